"""A whole reply as a message, and what it shares with a stream: usage and citations.

`input` of a call has to be an object: of arguments that are none (cut off by the limit) nothing can be told here.

Source: wire notes 2.2.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.anthropic.seals import sealed
from hoosh.dialects.anthropic.stops import stop_reason_of
from hoosh.dialects.contract import Stamp
from hoosh.dialects.costs import cost_fields
from hoosh.dialects.loose_json import UNREADABLE, encode_safely
from hoosh.dialects.signatures import sign_id
from hoosh.values import (
    Annotation,
    CallSaid,
    ChatReply,
    OpaqueOutput,
    ReasoningSaid,
    RefusalSaid,
    ReplyPart,
    TextSaid,
    Usage,
)

__all__ = ["citation_of", "message_json", "usage_of"]

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def message_json(reply: ChatReply, stamp: Stamp) -> bytes:
    blocks = [block for part in reply.parts if (block := _block(part)) is not None]
    message = {
        "id": f"msg_{stamp.reply_id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or stamp.model,
        "content": blocks,
        "stop_reason": stop_reason_of(reply.finish, refused=bool(reply.refusal), called=bool(reply.calls)),
        "stop_sequence": reply.finish.stop_sequence,
        "stop_details": None,
        "usage": usage_of(reply.usage, stamp),
    }
    return encode_safely(message)


def _block(part: ReplyPart) -> Any:
    match part:
        case TextSaid():
            citations = [citation_of(annotation) for annotation in part.annotations if annotation.url]
            block: dict[str, Any] = {"type": "text", "text": part.text}
            return {**block, "citations": citations} if citations else block
        case RefusalSaid():
            return {"type": "text", "text": part.text}
        case ReasoningSaid():
            kept = sealed(part.origin, part.signature, part.data, part.id)
            if part.data and not part.text:
                return {"type": "redacted_thinking", "data": kept}
            return {"type": "thinking", "thinking": part.text, "signature": kept}
        case CallSaid():
            call_id = sign_id(part.id, part.signature)
            return {"type": "tool_use", "id": call_id, "name": part.name, "input": _input(part.arguments)}
        case OpaqueOutput(dialect="anthropic"):
            return part.raw
    return None


def _input(arguments: str) -> Raw:
    try:
        raw = arguments.encode()
        _decode_object(raw)
    except UNREADABLE:
        return Raw(b"{}")
    return Raw(raw)


def citation_of(annotation: Annotation) -> dict[str, Any]:
    """A page on the web.  Whoever sends it back to Anthropic must leave it out: it has no index there."""
    return {
        "type": "web_search_result_location",
        "url": annotation.url,
        "title": annotation.title or None,
        "cited_text": annotation.cited,
        "encrypted_index": "",
    }


def usage_of(usage: Usage | None, stamp: Stamp | None = None) -> dict[str, Any]:
    """Anthropic counts what the cache read and wrote apart; clients add to these, so that they are always there.

    `stamp` tells the cost: at the end, not in what a message says at its start.
    """
    costs = {} if stamp is None else cost_fields(stamp, usage)
    if usage is None:
        usage = Usage()
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    counts: dict[str, Any] = {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts | costs
