"""A whole reply told as the stream it should have been, for an upstream that ignored `stream: true`.

    role -> everything else of the message -> finish reason        per choice
    usage                                                          once, only for a client who asked

Source: wire notes 2.1, the order of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hoosh.values import CallKind

__all__ = ["stream_of"]

ASIDE = frozenset({"choices", "usage", "object"})


def stream_of(kind: CallKind, body: bytes, *, show_usage: bool) -> bytes:
    """The events of the reply in `body`.  Raises msgspec.DecodeError when that is not a JSON object."""
    reply: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    chat = kind is CallKind.CHAT
    head = {name: value for name, value in reply.items() if name not in ASIDE}
    head["object"] = "chat.completion.chunk" if chat else "text_completion"
    pieces = _chat_pieces if chat else _text_pieces
    choices = reply.get("choices")
    chunks = [
        {**head, "choices": [piece]}
        for number, choice in enumerate(choices if isinstance(choices, list) else ())
        if isinstance(choice, Mapping)
        for piece in pieces(number, choice)
    ]
    if show_usage and reply.get("usage"):
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append({**head, "choices": [], "usage": reply["usage"]})
    return b"".join([b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks])


def _chat_pieces(number: int, choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    calls = message.get("tool_calls")
    said = {name: value for name, value in message.items() if name != "role" and value not in (None, "", [])}
    if isinstance(calls, list) and calls:
        said["tool_calls"] = [{"index": at, **call} for at, call in enumerate(calls) if isinstance(call, Mapping)]
    index = choice.get("index", number)
    role = {"role": message.get("role") or "assistant", "content": None if "content" not in said else ""}
    yield {"index": index, "delta": role, "finish_reason": None}
    if said:
        rest = {name: value for name, value in choice.items() if name not in ("index", "message", "finish_reason")}
        yield {"index": index, "delta": said, **rest, "finish_reason": None}
    yield {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}


def _text_pieces(number: int, choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    index = choice.get("index", number)
    if choice.get("text"):
        yield {**choice, "index": index, "finish_reason": None}
    yield {"index": index, "text": "", "finish_reason": choice.get("finish_reason") or "stop"}
