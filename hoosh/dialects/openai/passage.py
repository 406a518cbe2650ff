"""The way of an OpenAI client's own bytes to an upstream that speaks OpenAI's language, and back.

`outgoing` writes the client's own fields back: only the value of `model` is replaced, and when a reply is streamed its
usage is asked for, because the books need it also where the client does not (the tap hides it again).  A vendor who
would refuse or misread a field gets it in its own words (`Quirks`, `adapt.py`); all others stay as they were written.

Source: wire notes 2.1 and 2.17.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.contract import Outgoing, Stamp, WholeReply
from hoosh.dialects.costs import cost_fields, cost_of, tell_cost
from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import UNREADABLE, read_loosely
from hoosh.dialects.openai.adapt import MessageAdapter
from hoosh.dialects.openai.family import Quirks, in_their_words
from hoosh.dialects.openai.tap import OpenAITap
from hoosh.dialects.openai.thought_chunks import has_list, without_chunks
from hoosh.dialects.openai.whole import stream_of
from hoosh.dialects.openai.wire import (
    CHAT_PATH,
    COMPLETION_PATH,
    EMBEDDING_PATH,
    PlainReply,
    Reply,
    plain_usage,
    read_usage,
)
from hoosh.errors import UpstreamBroke
from hoosh.values import Call, CallKind, Usage

__all__ = ["OpenAIPassage"]

PATHS = {CallKind.CHAT: CHAT_PATH, CallKind.COMPLETION: COMPLETION_PATH, CallKind.EMBEDDING: EMBEDDING_PATH}

_encode = msgspec.json.encode
_decode_plain = msgspec.json.Decoder(PlainReply).decode
_decode_reply = msgspec.json.Decoder(Reply).decode
_decode_options = msgspec.json.Decoder(dict[str, Raw]).decode
_true = Raw(b"true")


class OpenAIPassage:
    """A `Passage` for OpenAI and every vendor that differs from it by `quirks` only."""

    __slots__ = ("_adapter", "_is_plain", "quirks")

    def __init__(self, quirks: Quirks) -> None:
        self.quirks = quirks
        self._adapter = MessageAdapter(quirks)
        self._is_plain = not (quirks.renames or quirks.drops)

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        fields = dict(call.fields)
        fields["model"] = Raw(_encode(model))
        if call.kind is not CallKind.EMBEDDING:
            if not self.quirks.asks_usage:
                fields.pop("stream_options", None)
            elif call.stream:
                fields["stream_options"] = _asking_usage(fields.get("stream_options"))
        if call.kind is CallKind.CHAT and "messages" in fields:
            fields["messages"] = self._adapter.adapt(fields["messages"])
        return Outgoing(PATHS[call.kind], _encode(fields if self._is_plain else in_their_words(fields, self.quirks)))

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        return self._read(call, body, stamp, provider)

    def _read(self, call: Call, body: bytes, stamp: Stamp | None, provider: str) -> WholeReply:
        """`stamp` tells the cost; None leaves the body as it is."""
        if self.quirks.thought_chunks and call.kind is CallKind.CHAT and has_list(body):
            return self._read_leniently(without_chunks(body), stamp, provider)
        try:
            plain = _decode_plain(body)
            if plain.choices is not None or plain.data is not None:
                return _plain_facts(body, plain, stamp)
        except UNREADABLE:
            pass  # a vendor with types of its own, or no JSON at all
        return self._read_leniently(body, stamp, provider)

    def _read_leniently(self, body: bytes, stamp: Stamp | None, provider: str) -> WholeReply:
        try:
            reply = _decode_reply(body)
        except UNREADABLE as error:
            raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider) from error
        if not isinstance(reply.choices, list) and not isinstance(reply.data, list):
            if reply.error or reply.object == "error":
                raise error_in(read_loosely(body), provider=provider)
            raise UpstreamBroke("The upstream's answer has neither choices nor data.", provider=provider)
        usage = read_usage(reply.usage)
        return WholeReply(_with_cost(body, usage, stamp), usage, _text(reply.model), _finish_reason(reply.choices))

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> OpenAITap:
        return OpenAITap(call, stamp, provider=provider, thought_chunks=self.quirks.thought_chunks)

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        whole = self._read(call, body, None, provider)
        more = cost_fields(stamp, whole.usage)
        try:
            return replace(whole, body=stream_of(call.kind, whole.body, more if call.include_usage else None))
        except UNREADABLE as error:  # strings that are not UTF-8: `read_reply` skips most of them
            raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider) from error


def _plain_facts(body: bytes, reply: PlainReply, stamp: Stamp | None) -> WholeReply:
    usage = None if reply.usage is None else plain_usage(reply.usage)
    finish = _text(reply.choices[0].finish_reason) if reply.choices else None
    return WholeReply(_with_cost(body, usage, stamp), usage, reply.model or None, finish)


def _with_cost(body: bytes, usage: Usage | None, stamp: Stamp | None) -> bytes:
    cost = None if stamp is None else cost_of(stamp, usage)
    return body if cost is None else tell_cost(body, cost)


def _asking_usage(options: Raw | None) -> Raw:
    raw = b"null" if options is None else bytes(options)
    merged = {} if raw == b"null" else _decode_options(raw)
    merged["include_usage"] = _true
    return Raw(_encode(merged))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _finish_reason(choices: Any) -> str | None:
    first = choices[0] if isinstance(choices, list) and choices else None
    return _text(first.get("finish_reason")) if isinstance(first, dict) else None
