"""A whole reply made fit for its client: with a usage where the upstream gave none, and told as the stream it should
have been where the upstream ignored `stream: true`.

    role -> everything else of the message -> finish reason        per choice
    usage                                                          once, only for a client who asked

Source: wire notes 2.1, the order of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.costs import dollars
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.openai.replies import counts_json
from hoosh.values import CallKind, Usage

__all__ = ["stream_of", "with_usage"]

ASIDE = frozenset({"choices", "usage", "object"})

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode


def with_usage(kind: CallKind, body: bytes, usage: Usage, cost_micro_usd: int | None) -> bytes:
    """The reply in `body` with `usage` as its own; as it is where it cannot be read."""
    try:
        fields = _decode_fields(body)
    except UNREADABLE:
        return body
    counts = counts_json(usage, is_embedding=kind is CallKind.EMBEDDING)
    if cost_micro_usd is not None:
        counts["cost_usd"] = Raw(dollars(cost_micro_usd))
    fields["usage"] = Raw(_encode(counts))
    return _encode(fields)


def stream_of(kind: CallKind, body: bytes, costs: Mapping[str, Any] | None) -> bytes:
    """The events of the reply in `body`.  `costs`: what its usage says besides; None for a client who did not ask for
    usage.  Raises msgspec.DecodeError when `body` is not a JSON object."""
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
    usage = reply.get("usage")
    if costs is not None and usage:
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append({**head, "choices": [], "usage": {**usage, **costs} if costs else usage})
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
