"""A whole message told as the stream it should have been, for an upstream that ignored `stream: true`.

    message_start → per block: content_block_start, its deltas, content_block_stop → message_delta

The blocks' own fields stay where they are; what a delta tells is taken out of the block at its start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hoosh.dialects.loose_json import encode_safely

__all__ = ["event_of", "stream_of", "told"]

ENDING = ("stop_reason", "stop_sequence", "stop_details", "container")


def event_of(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode_safely({"type": kind, **fields}))


def stream_of(message: dict[str, Any], costs: Mapping[str, Any]) -> bytes:
    """The events of a message, without the terminator.  `costs`: what its usage says at the end besides."""
    content = message.get("content")
    shell = {**message, "content": [], **dict.fromkeys(("stop_reason", "stop_sequence"))}
    events = [event_of("message_start", message=shell)]
    for index, block in enumerate(content if isinstance(content, list) else ()):
        if isinstance(block, dict):
            opening, deltas = told(block)
            events.append(event_of("content_block_start", index=index, content_block=opening))
            events += [event_of("content_block_delta", index=index, delta=delta) for delta in deltas]
            events.append(event_of("content_block_stop", index=index))
    ending = {name: message.get(name) for name in ENDING if name in message or name in ENDING[:2]}
    usage = message.get("usage") or {}
    events.append(event_of("message_delta", delta=ending, usage={**usage, **costs} if costs else usage))
    return b"".join(events)


def told(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return _opening(block), list(_deltas(block))


def _opening(block: dict[str, Any]) -> dict[str, Any]:
    match block.get("type"):
        case "text":
            empty: dict[str, Any] = {"text": ""}
            return {**block, **empty, **({"citations": []} if block.get("citations") else {})}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            return {**block, "input": {}}
    return block


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match block.get("type"):
        case "text":
            if block.get("text"):
                yield {"type": "text_delta", "text": block["text"]}
            citations = block.get("citations")
            for citation in citations if isinstance(citations, list) else ():
                yield {"type": "citations_delta", "citation": citation}
        case "thinking":
            if block.get("thinking"):
                yield {"type": "thinking_delta", "thinking": block["thinking"]}
            if block.get("signature"):
                yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            if block.get("input"):
                yield {"type": "input_json_delta", "partial_json": encode_safely(block["input"]).decode()}
