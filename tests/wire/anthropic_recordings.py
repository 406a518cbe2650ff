"""The recorded traffic in Anthropic's language, and a naive reading of it: json.loads, and nothing clever."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from recordings import WIRE, Recording

KINDS = ("messages", "count_tokens", "models")
LANGUAGE_OF = ("anthropic", "openrouter")


@cache
def anthropic_recordings() -> list[Recording]:
    return [
        _read(meta_path)
        for meta_path in sorted(WIRE.glob("*/*/*.meta.json"))
        if meta_path.parent.name in LANGUAGE_OF and json.loads(meta_path.read_text())["kind"] in KINDS
    ]


def _read(meta_path: Any) -> Recording:
    meta = json.loads(meta_path.read_text())
    bodies = {role: (meta_path.parent / name).read_bytes() for role, name in meta["files"].items()}
    return Recording(
        f"{meta_path.parent.name}/{meta_path.name.removesuffix('.meta.json')}",
        meta["provider"],
        meta["kind"],
        meta["status"],
        meta["streaming"],
        meta.get("response_headers") or {},
        bodies.get("request"),
        bodies.get("response"),
    )


def naive_message(stream: bytes) -> dict[str, Any]:
    """The message that a stream of LF lines adds up to."""
    message: dict[str, Any] = {}
    for line in stream.decode().splitlines():
        if not line.startswith("data:") or line.endswith("[DONE]"):
            continue
        event = json.loads(line[5:])
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append({**event["content_block"], "_json": ""})
            case "content_block_delta":
                _grow(message["content"][event["index"]], event["delta"])
            case "message_delta":
                message.update(event["delta"])
                message["usage"].update({name: value for name, value in event["usage"].items() if value is not None})
            case "error":
                message["error"] = event["error"]
    for block in message["content"]:
        fragments = block.pop("_json", "")
        if fragments:
            block["input"] = json.loads(fragments)
    return message


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "input_json_delta":
            block["_json"] += delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        case "compaction_delta":
            block["content"] = delta["content"]
        case unknown:
            raise AssertionError(f"the naive reading does not know {unknown}")


def expected(message: dict[str, Any]) -> dict[str, Any]:
    """What a reply must say of a message."""
    content = message["content"]
    usage = message["usage"]
    if not usage["input_tokens"] and not usage["output_tokens"]:  # only a compaction, which its iterations count
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        usage = {name: sum(one.get(name) or 0 for one in usage.get("iterations") or []) for name in names}
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    known = ("text", "thinking", "redacted_thinking", "tool_use")
    return {
        "id": message["id"],
        "model": message["model"],
        "text": "".join(block["text"] for block in content if block["type"] == "text"),
        "reasoning": [(b["thinking"], b["signature"], "") for b in content if b["type"] == "thinking"]
        + [("", "", b["data"]) for b in content if b["type"] == "redacted_thinking"],
        "calls": [(b["id"], b["name"], b["input"]) for b in content if b["type"] == "tool_use"],
        "opaque": [block for block in content if block["type"] not in known],
        "cited": [c["cited_text"] for b in content if b["type"] == "text" for c in b.get("citations") or []],
        "native": message["stop_reason"],
        "stop_sequence": message["stop_sequence"],
        "usage": (usage["input_tokens"] + cached + written, usage["output_tokens"], cached, written),
    }
