"""Every recorded Gemini exchange, against a reading of it that knows nothing of hoosh.

Answers: same text, thoughts, calls, signatures, ending and usage; whole and streamed, cut anywhere, LF and CRLF.
Requests: read by a naive reader into a ChatRequest, `encode_chat` gives back every field that values can hold.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import Raw
from recordings import WIRE

from hoosh.dialects.contract import Ending
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.replies import fold
from hoosh.errors import UpstreamError
from hoosh.values import (
    AudioPart,
    ChatReply,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    JsonFormat,
    Message,
    OpaqueOutput,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    ReasoningSaid,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
    Usage,
)

GEMINI = GeminiUpstream(now=lambda: 0.0)
SEED = 20_26
WORDS = {"STOP": "stop", "MAX_TOKENS": "length", "OTHER": "stop", "NO_IMAGE": "stop"}
OPAQUE = ("toolCall", "toolResponse", "executableCode", "codeExecutionResult")


class Exchange:
    def __init__(self, path: Path) -> None:
        self.meta = json.loads(path.read_text())
        self.name = path.name.removesuffix(".meta.json")
        files = self.meta["files"]
        self.request: Any = json.loads((path.parent / files["request"]).read_bytes()) if "request" in files else None
        self.response = (path.parent / files["response"]).read_bytes() if "response" in files else b""
        endpoint = self.meta.get("endpoint") or ""
        self.model = endpoint.partition("/models/")[2].partition(":")[0]


EVERY = [Exchange(path) for path in sorted(WIRE.glob("*/gemini/*.meta.json"))]


def each(kind: str, *, status_ok: bool = True, streaming: bool | None = None) -> pytest.MarkDecorator:
    chosen = [
        one
        for one in EVERY
        if one.meta["kind"].startswith(kind)
        and (one.meta["status"] == 200) is status_ok
        and streaming in (None, one.meta["streaming"])
    ]
    return pytest.mark.parametrize("exchange", chosen, ids=lambda one: one.name)


# -- answers -----------------------------------------------------------------------------------------------------


def answers(exchange: Exchange) -> list[Any]:
    if not exchange.meta["streaming"]:
        return [json.loads(exchange.response)]
    return [json.loads(line[5:]) for line in exchange.response.splitlines() if line.startswith(b"data:")]


def as_recorded(exchange: Exchange) -> dict[str, Any]:
    said: dict[str, Any] = {"text": "", "thoughts": "", "calls": [], "signatures": [], "opaque": [], "word": None}
    usage: dict[str, Any] = {}
    for answer in answers(exchange):
        usage = answer.get("usageMetadata") or usage
        for candidate in answer.get("candidates") or []:
            said["word"] = candidate.get("finishReason") or said["word"]
            for part in (candidate.get("content") or {}).get("parts") or []:
                kind = next((kind for kind in OPAQUE if kind in part), None)
                signature = part.get("thoughtSignature", "")
                if "functionCall" in part:
                    call = part["functionCall"]
                    said["calls"].append((call["name"], call.get("args") or {}, call.get("id"), signature))
                elif kind:
                    said["opaque"].append((kind, part))
                else:
                    said["thoughts" if part.get("thought") else "text"] += part.get("text") or ""
                    said["signatures"] += [signature] if signature else []
    said["model"] = answers(exchange)[0].get("modelVersion", "")
    said["finish"] = "tool_calls" if said["calls"] else WORDS.get(said["word"], "content_filter")
    thoughts = usage.get("thoughtsTokenCount", 0)
    prompt = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    said["usage"] = (
        prompt,
        usage.get("totalTokenCount", prompt) - prompt,
        thoughts,
        usage.get("cachedContentTokenCount", 0),
        sum(one.get("tokenCount", 0) for one in usage.get("promptTokensDetails") or [] if one["modality"] == "AUDIO"),
    )
    return said


def as_decoded(reply: ChatReply, recorded: dict[str, Any]) -> dict[str, Any]:
    usage = reply.usage or Usage()
    given = [call[2] for call in recorded["calls"]]
    return {
        "text": reply.text,
        "thoughts": reply.reasoning,
        "calls": [
            (call.name, json.loads(call.arguments), call.id if id_given else None, call.signature)
            for call, id_given in zip(reply.calls, given, strict=True)
        ],
        "signatures": [part.signature for part in reply.parts if isinstance(part, ReasoningSaid) and part.signature],
        "opaque": [(part.kind, json.loads(bytes(part.raw))) for part in reply.parts if isinstance(part, OpaqueOutput)],
        "word": reply.finish.native,
        "model": reply.model,
        "finish": reply.finish.reason.value,
        "usage": (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens,
            usage.cached_tokens,
            usage.audio_prompt_tokens,
        ),
    }


@each("generateContent", streaming=False)
def test_a_whole_answer_decodes_as_recorded(exchange: Exchange) -> None:
    recorded = as_recorded(exchange)
    reply = GEMINI.decode_chat(exchange.response, provider="google")
    assert as_decoded(reply, recorded) == recorded
    assert len({call.id for call in reply.calls}) == len(reply.calls)
    assert all(call.id for call in reply.calls)


def run(pieces: list[bytes]) -> ChatReply:
    decoder = GEMINI.chat_decoder(provider="google")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    assert ending is Ending.COMPLETE, decoder.error
    return fold([*events, *rest])


@each("generateContent", streaming=True)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_stream_decodes_as_recorded_wherever_it_is_cut(exchange: Exchange, line_end: bytes) -> None:
    recorded = as_recorded(exchange)
    wire = exchange.response.replace(b"\r\n", b"\n").replace(b"\n", line_end)
    assert as_decoded(run([wire]), recorded) == recorded
    stride = max(1, len(wire) // 700)
    for cut in range(0, len(wire), stride):
        assert as_decoded(run([wire[:cut], wire[cut:]]), recorded) == recorded
    random = Random(SEED)
    for _ in range(10):
        cuts = sorted({0, len(wire), *(random.randrange(len(wire)) for _ in range(40))})
        assert as_decoded(run([wire[a:b] for a, b in pairwise(cuts)]), recorded) == recorded, SEED


@each("generateContent", streaming=True)
def test_a_stream_without_alt_sse_is_the_same_as_an_array(exchange: Exchange) -> None:
    recorded = as_recorded(exchange)
    wire = json.dumps(answers(exchange), indent=1, ensure_ascii=False).encode()
    for cut in range(0, len(wire), max(1, len(wire) // 300)):
        assert as_decoded(run([wire[:cut], wire[cut:]]), recorded) == recorded


@each("generateContent", streaming=True)
def test_half_a_stream_is_cut(exchange: Exchange) -> None:
    end = exchange.response.rindex(b"data:")
    for cut in range(0, end + 8, max(1, end // 200)):
        piece = exchange.response[:cut]
        decoder = GEMINI.chat_decoder(provider="google")
        decoder.feed(piece)
        _, ending = decoder.close()
        assert decoder.error is None
        # Some models say STOP in the middle of their answer: nobody can know then that more was to come.
        assert ending is Ending.CUT or b'"finishReason"' in piece


@each("", status_ok=False)
def test_an_error_keeps_its_words_and_says_whose_fault_it_is(exchange: Exchange) -> None:
    status = exchange.meta["status"]
    recorded = json.loads(exchange.response)["error"]
    for body in (exchange.response, b"[" + exchange.response + b"]"):
        error = GEMINI.decode_error(status, None, body, provider="google")
        assert str(error) == recorded["message"]
        ours = "API_KEY_INVALID" in body.decode()
        assert (error.status, error.code) == ((401, "invalid_api_key") if ours else (status, recorded["status"]))
        delays = [one["retryDelay"] for one in recorded.get("details", []) if "retryDelay" in one]
        assert error.retry_after_s == (float(delays[0][:-1]) if delays else None)


@each("generateContent", status_ok=False)
def test_an_error_inside_a_200_is_the_same_error(exchange: Exchange) -> None:
    apart = GEMINI.decode_error(exchange.meta["status"], None, exchange.response, provider="google")
    one_line = json.dumps(json.loads(exchange.response)).encode()
    for wire in (b"data: " + one_line + b"\r\n\r\n", b"[" + exchange.response + b"]", exchange.response):
        decoder = GEMINI.chat_decoder(provider="google")
        assert decoder.feed(wire) == []
        assert decoder.close() == ([], Ending.FAILED)
        assert decoder.error is not None
        assert (str(decoder.error), decoder.error.status) == (str(apart), apart.status)
    with pytest.raises(UpstreamError, match=re.escape(str(apart))):
        GEMINI.decode_chat(exchange.response, provider="google")


# -- requests ----------------------------------------------------------------------------------------------------

UNTOLD = {"safetySettings", "cachedContent", "responseModalities", "taskType", "includeServerSideToolInvocations"}
UNTOLD |= {"labels", "modelArmorConfig", "videoMetadata", "mediaResolution"}
"""Fields that no other language has a word for: nothing that comes to hoosh can fill them."""


def tidy(value: Any) -> Any:
    """One spelling; without nulls, defaults and what is untold."""
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): inner for key, inner in value.items()}
    return {key: tidy(inner) for key, inner in named.items() if inner is not None and key not in UNTOLD}


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    body = tidy(body)
    contents: list[dict[str, Any]] = []
    for content in body["contents"]:
        parts = [said for part in content["parts"] if says_something(said := plain_part(part))]
        if not parts:
            continue
        if contents and contents[-1]["role"] == content["role"]:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": content["role"], "parts": parts})
    body["contents"] = contents
    if "systemInstruction" in body:
        body["systemInstruction"] = [part["text"] for part in body["systemInstruction"]["parts"]]
    body["tools"] = [declaration(one) for one in functions(body)]
    config = body.get("generationConfig") or {}
    if "responseSchema" in config or "responseJsonSchema" in config:
        schema = config.pop("responseSchema", None) or config.pop("responseJsonSchema")
        config["responseJsonSchema"] = lower_types(schema)
    if (config.get("thinkingConfig") or {}).get("includeThoughts") is False:
        del config["thinkingConfig"]["includeThoughts"]
    body["generationConfig"] = {key: value for key, value in config.items() if value != {}}
    return {key: value for key, value in body.items() if value not in ({}, [])}


def plain_part(part: dict[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in part.items() if value is not False}
    if "fileData" in said:  # its type is known only by its ending, and need not be said
        said["fileData"] = {"fileUri": said["fileData"]["fileUri"]}
    return said


def says_something(part: dict[str, Any]) -> bool:
    """An empty text says nothing, and nobody takes a thought back that is not signed."""
    return part != {"text": ""} and not (part.get("thought") and "thoughtSignature" not in part)


def functions(body: dict[str, Any]) -> list[dict[str, Any]]:
    tools = body.get("tools") or []
    return [
        one for tool in ([tools] if isinstance(tools, dict) else tools) for one in tool.get("functionDeclarations", ())
    ]


def declaration(function: dict[str, Any]) -> dict[str, Any]:
    schema = function.pop("parametersJsonSchema", None) or function.pop("parameters", None)
    return {**function, "schema": lower_types(schema)}


def lower_types(schema: Any) -> Any:
    """Google's older way to write a schema has types in capitals."""
    return json.loads(re.sub(r'"type": "[A-Z]+"', lambda found: found[0].lower(), json.dumps(schema)))


def read_part(part: dict[str, Any]) -> list[Part]:
    signature = part.get("thoughtSignature", "")
    seal: list[Part] = [ReasoningPart(signature=signature, origin="gemini")] if signature else []
    if "functionCall" in part:
        call = part["functionCall"]
        return [ToolCallPart(call.get("id", ""), call["name"], json.dumps(call["args"]), signature)]
    if "inlineData" in part:
        media_type, data = part["inlineData"]["mimeType"], part["inlineData"]["data"]
        if media_type.startswith("audio/"):
            return [AudioPart(data, media_type.removeprefix("audio/"))]
        source = DataSource(media_type, data)
        return [ImagePart(source) if media_type.startswith("image/") else FilePart(source)]
    if "fileData" in part:
        return [FilePart(UrlSource(part["fileData"]["fileUri"]))]
    if any(kind in part for kind in OPAQUE):
        return [OpaquePart("gemini", next(kind for kind in OPAQUE if kind in part), raw(part))]
    if part.get("thought"):
        return [ReasoningPart(part["text"], signature, origin="gemini")]
    return [TextPart(part["text"]), *seal]


def read_content(content: dict[str, Any]) -> Message:
    parts = content["parts"]
    if any("functionResponse" in part for part in parts):
        results: list[tuple[dict[str, Any], list[Any]]] = []
        for part in parts:
            if "functionResponse" not in part:
                results[-1][1].extend(read_part(part))
                continue
            response = part["functionResponse"]
            inner: list[Any] = [TextPart(json.dumps(response["response"]))]
            for one in response.get("parts", ()):
                inner += read_part(one)
            results.append((response, inner))
        read = [ToolResultPart(one.get("id", ""), tuple(inner), one["name"]) for one, inner in results]
        return Message(Role.TOOL, tuple(read))
    role = Role.USER if content.get("role", "user") == "user" else Role.ASSISTANT
    return Message(role, tuple(one for part in parts for one in read_part(part)))


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def read_tool(function: dict[str, Any], *, strict: bool) -> Tool:
    schema = function.get("parametersJsonSchema") or function.get("parameters")
    return Tool(function["name"], function.get("description"), raw(schema) if schema else None, strict or None)


def read_request(exchange: Exchange, body: dict[str, Any]) -> ChatRequest:
    body = tidy(body)
    system = body.get("systemInstruction")
    told = [Message(Role.SYSTEM, tuple(TextPart(part["text"]) for part in system["parts"]))] if system else []
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode, allowed = calling.get("mode", ""), tuple(calling.get("allowedFunctionNames", ()))
    choice = {"ANY": ToolMode.REQUIRED, "NONE": ToolMode.NONE, "AUTO": ToolMode.AUTO}.get(mode)
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    is_json = config.get("responseMimeType") == "application/json"
    return ChatRequest(
        exchange.model,
        (*told, *(read_content(content) for content in body["contents"])),
        stream=exchange.meta["streaming"],
        tools=tuple(read_tool(function, strict=mode == "VALIDATED") for function in functions(body)),
        tool_choice=ToolChoice(choice, allowed=allowed) if choice else None,
        reply_format=SchemaFormat(raw(lower_types(schema))) if schema else JsonFormat() if is_json else None,
        reasoning=thinking
        and Reasoning(
            effort=Effort(thinking["thinkingLevel"]) if "thinkingLevel" in thinking else None,
            budget_tokens=thinking.get("thinkingBudget"),
            summary="auto" if thinking.get("includeThoughts") else None,
        ),
        sampling=Sampling(
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            top_k=config.get("topK"),
            seed=config.get("seed"),
            stop=tuple(config.get("stopSequences", ())),
            max_tokens=config.get("maxOutputTokens"),
        ),
    )


def plain_path(path: str) -> str:
    """Without the key, and without the project of Google's cloud."""
    return re.sub(r"[?&]key=REDACTED|^.*/models/", "", path)


@pytest.mark.parametrize(
    "exchange",
    [one for one in EVERY if one.request is not None and one.meta["kind"].startswith("generateContent")],
    ids=lambda one: one.name,
)
def test_a_recorded_request_comes_back_with_every_field(exchange: Exchange) -> None:
    request = read_request(exchange, exchange.request)
    outgoing = GEMINI.encode_chat(request, model=exchange.model)
    assert plain_path(outgoing.path) == plain_path(exchange.meta["endpoint"])
    sent, recorded = comparable(json.loads(outgoing.body)), comparable(exchange.request)
    if "thinkingConfig" in sent.get("generationConfig", {}):  # who thinks is shown the thoughts, here as well
        sent["generationConfig"]["thinkingConfig"].pop("includeThoughts", None)
        recorded["generationConfig"]["thinkingConfig"].pop("includeThoughts", None)
    assert sent == recorded


@each("countTokens")
def test_tokens_are_counted_as_recorded(exchange: Exchange) -> None:
    body = exchange.request.get("generateContentRequest") or exchange.request
    outgoing = GEMINI.encode_token_count(read_request(exchange, body), model=exchange.model)
    assert plain_path(outgoing.path) == plain_path(exchange.meta["endpoint"])
    sent = json.loads(outgoing.body)
    assert set(sent) == set(exchange.request)
    assert comparable(sent.get("generateContentRequest") or sent) == comparable(body)
    assert (
        GEMINI.decode_token_count(exchange.response, provider="google") == json.loads(exchange.response)["totalTokens"]
    )


@each("embeddings")
def test_embeddings_are_asked_for_and_read_as_recorded(exchange: Exchange) -> None:
    asked = exchange.request.get("requests") or [exchange.request]
    inputs = tuple(one["content"]["parts"][0]["text"] for one in asked)
    request = EmbeddingRequest("m", inputs, dimensions=asked[0].get("outputDimensionality"))
    sent = json.loads(GEMINI.encode_embeddings(request, model=exchange.model).body)
    for one in asked:
        one["content"].pop("role", None)
    assert [tidy(one) for one in sent["requests"]] == [tidy(one) for one in asked]
    read = json.loads(exchange.response)
    vectors = [one["values"] for one in read.get("embeddings") or [read["embedding"]]]
    assert [list(one) for one in GEMINI.decode_embeddings(exchange.response, provider="google").vectors] == vectors


@each("models")
def test_a_model_list_is_read_as_recorded(exchange: Exchange) -> None:
    cards = GEMINI.read_models(exchange.response, default_owner="x")
    recorded = json.loads(exchange.response)["models"]
    assert [f"models/{card.id}" for card in cards] == [one["name"] for one in recorded]
    assert [card.facts.context_tokens for card in cards] == [one["inputTokenLimit"] for one in recorded]
