"""The end of an upstream's stream that we end ourselves: as if its model had come to the limit of its tokens.

    per choice that has begun and has no finish reason: an empty delta with `length`        usage, for who asked

It speaks as the chunks before it did: their id, model and time, or the stamp's where none has come.  A tool call that
is cut in its arguments stays so; `length` is the word by which clients know.

Source: wire notes 2.1, the order of a stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import encode_safely, read_loosely
from hoosh.dialects.openai.replies import usage_json
from hoosh.values import Call, CallKind, Usage

__all__ = ["early_end"]


def early_end(call: Call, stamp: Stamp, sample: bytes, unfinished: Iterable[int], usage: Usage | None) -> bytes:
    """`sample` is the JSON of a chunk that has gone by, b"" for none; `usage` None where it is not to be told."""
    head = _head(call, stamp, sample)
    after = {"usage": None} if call.include_usage else {}
    chunks = [{**head, "choices": [_last(call, index, begins=not sample)], **after} for index in unfinished]
    if usage is not None:
        chunks.append({**head, "choices": [], "usage": usage_json(usage, stamp)})
    return b"".join([b"data: %b\n\n" % encode_safely(chunk) for chunk in chunks])


def _head(call: Call, stamp: Stamp, sample: bytes) -> dict[str, Any]:
    said = read_loosely(sample)
    said = said if isinstance(said, dict) else {}
    prefix, kind = ("cmpl-", "text_completion") if _is_text(call) else ("chatcmpl-", "chat.completion.chunk")
    created = said.get("created")
    return {
        "id": _text(said.get("id")) or prefix + stamp.reply_id,
        "object": _text(said.get("object")) or kind,
        "created": created if type(created) is int else stamp.created_s,
        "model": _text(said.get("model")) or stamp.model,
    }


def _last(call: Call, index: int, *, begins: bool) -> dict[str, Any]:
    """The last piece of a choice, whose first it may be: then it says who speaks."""
    if _is_text(call):
        return {"text": "", "index": index, "logprobs": None, "finish_reason": "length"}
    delta = {"role": "assistant", "content": ""} if begins else {}
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": "length"}


def _is_text(call: Call) -> bool:
    return call.kind is CallKind.COMPLETION


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
