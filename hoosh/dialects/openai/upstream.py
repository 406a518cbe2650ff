"""OpenAI's language as we speak it to an upstream: request bodies out; errors, counts and whole replies in.

`encode` writes the client's own fields back: only the value of `model` is replaced, and when a reply is streamed its
usage is asked for, because the books need it also where the client does not (the tap hides it again).

Pure: the one clock, for a Retry-After that is a date, comes in with the constructor.
Source: wire notes 2.1 and 2.17.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.contract import ReplyFacts
from hoosh.dialects.openai.errors import decode_error, error_in
from hoosh.dialects.openai.family import FAMILY, Quirks
from hoosh.dialects.openai.tap import OpenAITap
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
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Call, CallKind

__all__ = ["OpenAIUpstream", "join_base"]

PATHS = {CallKind.CHAT: CHAT_PATH, CallKind.COMPLETION: COMPLETION_PATH, CallKind.EMBEDDING: EMBEDDING_PATH}

_encode = msgspec.json.encode
_decode_plain = msgspec.json.Decoder(PlainReply).decode
_decode_reply = msgspec.json.Decoder(Reply).decode
_decode_options = msgspec.json.Decoder(dict[str, Raw]).decode
_version_segment = re.compile(r"/v\d+[a-z0-9]*(?=/|$)")
_true = Raw(b"true")


def join_base(base_url: str, path: str) -> str:
    """`path` (which begins with /v1) below `base_url`, with or without the version already there.

    Users of OpenAI's SDKs write `http://host/v1`, others `http://host`; Google's and Zhipu's compatible surfaces
    live below versions of their own (`/v1beta/openai`, `/api/paas/v4`).
    """
    base = base_url.rstrip("/")
    _, _, below_host = base.partition("://")
    has_version = _version_segment.search(below_host) is not None
    return base + (path.removeprefix("/v1") if has_version else path)


class OpenAIUpstream:
    """An `UpstreamDialect` for OpenAI and every vendor that differs from it by `quirks` only."""

    __slots__ = ("_now", "quirks")

    def __init__(self, quirks: Quirks = FAMILY["openai"], *, now: Callable[[], float] = time.time) -> None:
        self.quirks = quirks
        self._now = now

    def path(self, call: Call) -> str:
        return PATHS[call.kind]

    def encode(self, call: Call, *, model: str) -> bytes:
        fields = dict(call.fields)
        fields["model"] = Raw(_encode(model))
        if call.kind is not CallKind.EMBEDDING:
            if not self.quirks.asks_usage:
                fields.pop("stream_options", None)
            elif call.stream:
                fields["stream_options"] = _asking_usage(fields.get("stream_options"))
        return _encode(fields)

    def decode_error(self, status: int, retry_after: str | None, body: bytes, *, provider: str) -> UpstreamError:
        return decode_error(status, retry_after, body, provider=provider, now_s=self._now())

    def read_reply(self, body: bytes, *, provider: str) -> ReplyFacts:
        """Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no reply."""
        try:
            plain = _decode_plain(body)
            if plain.choices is not None or plain.data is not None:
                return _plain_facts(plain)
        except (ValueError, RecursionError):
            pass  # a vendor with types of its own, or no JSON at all
        return self._read_leniently(body, provider)

    def _read_leniently(self, body: bytes, provider: str) -> ReplyFacts:
        try:
            reply = _decode_reply(body)
        except (ValueError, RecursionError) as error:
            raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider) from error
        if not isinstance(reply.choices, list) and not isinstance(reply.data, list):
            if reply.error or reply.object == "error":
                raise error_in(msgspec.json.decode(body), provider=provider)
            raise UpstreamBroke("The upstream's answer has neither choices nor data.", provider=provider)
        return ReplyFacts(read_usage(reply.usage), _text(reply.model), _finish_reason(reply.choices))

    def tap(self, call: Call, *, provider: str) -> OpenAITap:
        return OpenAITap(provider=provider, show_usage=call.include_usage)

    def as_stream(self, call: Call, body: bytes) -> bytes:
        """The events of a whole reply that `read_reply` has accepted, without the terminator."""
        return stream_of(call.kind, body, show_usage=call.include_usage)


def _plain_facts(reply: PlainReply) -> ReplyFacts:
    usage = None if reply.usage is None else plain_usage(reply.usage)
    return ReplyFacts(usage, reply.model or None, _text(reply.choices[0].finish_reason) if reply.choices else None)


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
