"""How our replies look, line by line: one form for `/api/chat`, one for `/api/generate`.

    chat        {…,"message":{"role":"assistant","content":TEXT},"done":false}⏎
    generate    {…,"response":TEXT,"done":false}⏎
    the end     {…,"done":true,"done_reason":…,"total_duration":0,…,"prompt_eval_count":…,"eval_count":…}⏎

A whole reply is an end with everything in its message.  Durations are 0: a dialect has no clock, and clients reckon
with what they find.  Counts are there when they are known.

A call's `arguments` are an object, and clients die of anything else.  A call whose JSON is broken (cut off at the
token limit) goes into the text, as Ollama itself does with what it cannot read: nothing is lost, and nothing is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import UNREADABLE, encode_safely, mended_text, quote
from hoosh.dialects.ollama.wire import timestamp
from hoosh.dialects.signatures import sign_id
from hoosh.values import CallKind, CallSaid, Finished, FinishReason, Usage

__all__ = ["Content", "Lines"]

REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.TOOL_CALLS: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
}
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode


class Content(Struct, frozen=True):
    """What one line says."""

    text: str = ""
    thinking: str = ""
    images: Sequence[str] = ()
    calls: Sequence[CallSaid] = ()
    first_call: int = 0
    """The index of the first of `calls`."""


NOTHING = Content()


class Lines:
    """Writes the lines of one reply."""

    __slots__ = ("_head", "_is_chat", "_tail", "_text", "_thought")

    def __init__(self, kind: CallKind, model: str, stamp: Stamp) -> None:
        self._is_chat = kind is CallKind.CHAT
        self._head = b'{"model":%b,"created_at":"%b",' % (
            quote(model or stamp.model),
            timestamp(stamp.created_s).encode(),
        )
        opening = b'"message":{"role":"assistant","content":' if self._is_chat else b'"response":'
        self._text = self._head + opening
        self._thought = self._text + b'"","thinking":'
        self._tail = b'},"done":false}\n' if self._is_chat else b',"done":false}\n'

    def text(self, text: str) -> bytes:
        return self._text + quote(text) + self._tail

    def thought(self, text: str) -> bytes:
        return self._thought + quote(text) + self._tail

    def content(self, content: Content) -> bytes:
        return self._head + _inside({**self._body(content), "done": False}) + b"}\n"

    def end(self, finish: Finished, usage: Usage | None, content: Content = NOTHING) -> bytes:
        fields = {**self._body(content), "done": True, "done_reason": REASONS[finish.reason]}
        fields |= dict.fromkeys(DURATIONS, 0)
        if usage is not None:
            cached = {"prompt_eval_cached_count": usage.cached_tokens} if usage.cached_tokens else {}
            fields |= {"prompt_eval_count": usage.prompt_tokens, **cached, "eval_count": usage.completion_tokens}
        return self._head + _inside(fields) + b"}\n"

    def _body(self, content: Content) -> dict[str, Any]:
        text, calls = content.text, []
        for index, call in enumerate(content.calls, content.first_call):
            arguments = _arguments(call.arguments)
            if arguments is None:
                text += _broken(call)
            else:
                function = {"index": index, "name": call.name, "arguments": arguments}
                calls.append({"id": sign_id(call.id, call.signature), "function": function})
        said: dict[str, Any] = {"role": "assistant", "content": text} if self._is_chat else {"response": text}
        if content.thinking:
            said["thinking"] = content.thinking
        if content.images:
            said |= {"images": list(content.images)} if self._is_chat else {"image": content.images[0]}
        if calls:
            said["tool_calls"] = calls
        return {"message": said} if self._is_chat else said


def _inside(fields: dict[str, Any]) -> bytes:
    """The members of a JSON object, without its braces."""
    return encode_safely(fields)[1:-1]


def _arguments(text: str) -> Raw | None:
    """None where it is not a JSON object.  Line ends between tokens would end our line."""
    raw = mended_text(text).strip().encode()
    if raw in (b"", b"null"):
        return Raw(b"{}")
    try:
        _decode_object(raw)
        return Raw(msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw)
    except UNREADABLE:
        return None


def _broken(call: CallSaid) -> str:
    return f'{{"name": {quote(call.name).decode()}, "arguments": {call.arguments}}}'
