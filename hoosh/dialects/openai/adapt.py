"""What of an OpenAI client's own messages must be said otherwise to one vendor, and nothing but that.

    role `developer`           `system`, for all that are known and are not OpenAI
    ids of tool calls          nine letters and digits, for Mistral
    reasoning in history       chunks of the content, for Mistral

Messages are looked at only where their bytes hold one of the words at issue.  What does not read as messages stays as
it is: the upstream says best what is wrong with it.

Source: wire notes 2.1 and 2.4.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.openai.family import Quirks
from hoosh.dialects.openai.history import upstream_id
from hoosh.dialects.openai.thought_chunks import with_chunks

__all__ = ["MessageAdapter"]

Fields = dict[str, Raw]

_encode = msgspec.json.encode
_decode = msgspec.json.decode
_decode_list = msgspec.json.Decoder(list[Fields]).decode

THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")


class MessageAdapter:
    __slots__ = ("_marks", "_quirks")

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._marks = [
            mark
            for mark, is_at_issue in (
                (b'"developer"', not (quirks.developer or quirks.is_anybody)),
                (b'"tool_call', quirks.short_ids),
                (b'"reasoning', quirks.thought_chunks),
            )
            if is_at_issue
        ]

    def adapt(self, messages: Raw) -> Raw:
        if not self._marks:
            return messages
        data = bytes(messages)
        for mark in self._marks:  # no generator: every request comes here
            if mark in data:
                break
        else:
            return messages
        try:
            adapted = [self._message(message) for message in _decode_list(data)]
        except UNREADABLE:
            return messages
        return Raw(_encode(adapted))

    def _message(self, fields: Fields) -> dict[str, Any]:
        said: dict[str, Any] = dict(fields)
        quirks = self._quirks
        if not quirks.developer and _text(fields.get("role")) == "developer":
            said["role"] = "system"
        if quirks.short_ids:
            if (call_id := _text(fields.get("tool_call_id"))) is not None:
                said["tool_call_id"] = upstream_id(call_id, quirks)
            if (calls := fields.get("tool_calls")) is not None and bytes(calls)[:1] == b"[":
                said["tool_calls"] = [self._call(call) for call in _decode_list(calls)]
        if quirks.thought_chunks and not fields.keys().isdisjoint(THOUGHTS):
            thought = _thought(fields)
            for name in THOUGHTS:  # which are refused
                said.pop(name, None)
            if thought:
                content = fields.get("content")
                said["content"] = with_chunks(None if content is None else _decode(content), thought)
        return said

    def _call(self, fields: Fields) -> dict[str, Any]:
        call_id = _text(fields.get("id"))
        return dict(fields) if call_id is None else {**fields, "id": upstream_id(call_id, self._quirks)}


def _thought(fields: Fields) -> str:
    if thought := _text(fields.get("reasoning_content")) or _text(fields.get("reasoning")):
        return thought
    details = _decode(fields["reasoning_details"]) if "reasoning_details" in fields else None
    entries = [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    texts = [entry.get("text") or entry.get("summary") for entry in entries]
    return "".join([text for text in texts if isinstance(text, str)])


def _text(raw: Raw | None) -> str | None:
    value = None if raw is None else _decode(raw)
    return value if isinstance(value, str) else None
