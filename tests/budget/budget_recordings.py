"""The recorded traffic in ../shared/wire as what an estimator sees: a call, and the tokens that the upstream counted.

Each exchange is read by the dialects that would carry it.  Gemini has no clients of its own here: its requests are put
in OpenAI's words, as they would have come to the gateway.  Empty where the recordings are not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from hoosh.budget.weight import Weight, weigh
from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import DownstreamDialect, Passage, Stamp
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import built_in_types, upstream_dialect
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.translation import Translation
from hoosh.values import Call, CallKind, Usage

WIRE = Path(__file__).resolve().parents[2].parent / "shared" / "wire" / "fixtures"
STAMP = Stamp("r", "m", 1)
WIRE_NAMES = {"gemini": "google", "xai": "grok"}

OPENAI, ANTHROPIC, OLLAMA, RESPONSES = (
    OpenAIDownstream(),
    AnthropicDownstream(),
    OllamaDownstream(),
    ResponsesDownstream(),
)
SPOKEN: dict[str, tuple[DownstreamDialect, CallKind]] = {
    "chat": (OPENAI, CallKind.CHAT),
    "completions": (OPENAI, CallKind.COMPLETION),
    "embeddings": (OPENAI, CallKind.EMBEDDING),
    "messages": (ANTHROPIC, CallKind.CHAT),
    "count_tokens": (ANTHROPIC, CallKind.TOKEN_COUNT),
    "responses": (RESPONSES, CallKind.CHAT),
    "ollama_chat": (OLLAMA, CallKind.CHAT),
    "ollama_generate": (OLLAMA, CallKind.COMPLETION),
    "generateContent": (OPENAI, CallKind.CHAT),
}


class Sample(Struct, frozen=True):
    """One prompt that its upstream has counted.  `chunks` is 0 where the answer came whole."""

    name: str
    provider: str
    model: str
    call: Call
    weight: Weight
    usage: Usage
    chunks: int
    is_plain: bool
    """Text and functions of the client's own: nothing that only the provider can weigh."""


@cache
def samples() -> list[Sample]:
    """Every exchange whose prompt was counted."""
    return [sample for path in sorted(WIRE.glob("*/*.meta.json")) for sample in _read(path)]


def _read(path: Path) -> Iterator[Sample]:
    meta = json.loads(path.read_text())
    files, kind = meta["files"], meta["kind"]
    if meta["status"] != 200 or not {"request", "response"} <= files.keys() or kind not in SPOKEN:
        return
    request, response = ((path.parent / files[role]).read_bytes() for role in ("request", "response"))
    provider = WIRE_NAMES.get(meta["provider"], meta["provider"])
    provider = provider if provider in built_in_types() else "openai-compatible"
    if kind == "embeddings" and provider in ("google", "ollama"):
        return
    if kind == "generateContent":
        request = _in_openais_words(json.loads(request), meta)
    downstream, call_kind = SPOKEN[kind]
    call = downstream.read(call_kind, request)
    usage, chunks = _counted(call, downstream, provider, response, streaming=meta["streaming"])
    if usage is not None and usage.prompt_tokens > 0:
        weight = weigh(call)
        name = f"{path.parent.name}/{path.name.removesuffix('.meta.json')}"
        yield Sample(name, provider, call.model, call, weight, usage, chunks, _is_plain(request, call.model, weight))


ASKS_FOR_MORE = {"previous_response_id", "conversation", "cachedContent", "web_search_options", "plugins"}
SEARCHES_BY_ITSELF = ("compound", "search", "sonar", ":free")


def _is_plain(request: bytes, model: str, weight: Weight) -> bool:
    body = json.loads(request)
    tools = body.get("tools") or []
    own = all(tool.get("type") in (None, "function", "custom") for tool in tools)
    more = body.keys() & ASKS_FOR_MORE or any(word in model for word in SEARCHES_BY_ITSELF)
    return own and not more and not weight.fixed_tokens


def _counted(
    call: Call, downstream: DownstreamDialect, provider: str, response: bytes, *, streaming: bool
) -> tuple[Usage | None, int]:
    if call.kind is CallKind.TOKEN_COUNT:
        return Usage(json.loads(response)["input_tokens"]), 0
    passage = _passage(call, downstream, provider)
    if not streaming:
        return passage.read_reply(call, response, STAMP, provider="p").usage, 0
    tap = passage.tap(call, STAMP, provider="p")
    tap.feed(response)
    tap.close()
    return tap.usage, tap.chunks


def _passage(call: Call, downstream: DownstreamDialect, provider: str) -> Passage:
    """As it was recorded: in the client's own language, but for Gemini's."""
    speakers = {"openai": "openai-compatible", "responses": "openai"}
    name = (
        provider if call.language == "openai" and provider != "ollama" else speakers.get(call.language, call.language)
    )
    upstream = upstream_dialect(name)
    return upstream.passage(call) or Translation(downstream, upstream)


# -- Gemini's requests in OpenAI's words ---------------------------------------------------------------------------


def _in_openais_words(body: dict[str, Any], meta: dict[str, Any]) -> bytes:
    model = (meta.get("endpoint") or "").partition("/models/")[2].partition(":")[0]
    messages = [_message(content) for content in body["contents"]]
    if system := body.get("systemInstruction") or body.get("system_instruction"):
        messages.insert(0, {"role": "system", "content": "".join(part["text"] for part in system["parts"])})
    asked: dict[str, Any] = {"model": model, "messages": messages, "stream": meta["streaming"]}
    asked |= {name: body[name] for name in ("cachedContent",) if name in body}
    given = body.get("tools") or []
    tools = [_tool(tool) for tool in ([given] if isinstance(given, dict) else given)]
    if tools:
        asked["tools"] = [function for functions in tools for function in functions]
    config = body.get("generationConfig") or {}
    if schema := config.get("responseSchema") or config.get("responseJsonSchema"):
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()


def _tool(tool: dict[str, Any]) -> list[dict[str, Any]]:
    functions = tool.get("functionDeclarations") or tool.get("function_declarations")
    if functions is None:  # one of Google's own
        return [{"type": next(iter(tool)), **tool}]
    return [{"type": "function", "function": function} for function in functions]


def _message(content: dict[str, Any]) -> dict[str, Any]:
    role = {"model": "assistant"}.get(content.get("role", "user"), "user")
    return {"role": role, "content": [_part(part) for part in content["parts"]]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    data = part.get("inlineData") or part.get("inline_data")
    if data is None:
        text = (
            part["text"]
            if "text" in part
            else json.dumps(part.get("functionCall") or part.get("functionResponse") or part)
        )
        return {"type": "text", "text": text}
    media_type = data.get("mimeType") or data.get("mime_type")
    if media_type.startswith("audio/"):
        return {"type": "input_audio", "input_audio": {"data": data["data"], "format": media_type[6:]}}
    url = f"data:{media_type};base64,{data['data']}"
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": "f", "file_data": url}}
