"""The way of an Ollama client's own bytes to an Ollama upstream, and back: only the value of `model` is replaced.

A load request (no messages, no prompt) goes the same way: there it has an effect.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.contract import Outgoing, Stamp, WholeReply
from hoosh.dialects.ollama.chat_answer import line_error
from hoosh.dialects.ollama.tap import OllamaTap
from hoosh.dialects.ollama.wire import (
    CHAT_PATH,
    EMBED_PATH,
    GENERATE_PATH,
    LEGACY_EMBED_PATH,
    is_legacy_embedding,
    read_as,
    usage_of,
)
from hoosh.errors import UpstreamBroke
from hoosh.values import Call, CallKind

__all__ = ["OllamaPassage"]

PATHS = {CallKind.CHAT: CHAT_PATH, CallKind.COMPLETION: GENERATE_PATH, CallKind.EMBEDDING: EMBED_PATH}


UNSAID = Raw()


class Whole(Struct, gc=False):
    """A whole reply of any kind, as far as it is counted.  Vectors are not looked into: they are long."""

    message: Raw = UNSAID
    response: Raw = UNSAID
    image: Raw = UNSAID
    embeddings: Raw = UNSAID
    embedding: Raw = UNSAID
    model: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    prompt_eval_cached_count: Any = None
    eval_count: Any = None
    error: Any = None

    @property
    def is_reply(self) -> bool:
        parts = (self.message, self.response, self.image, self.embeddings, self.embedding)
        return any(bytes(memoryview(part)[:4]) not in (b"", b"null") for part in parts)


_decode = msgspec.json.Decoder(Whole).decode


class OllamaPassage:
    """A `Passage`."""

    __slots__ = ()

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        fields = dict(call.fields)
        fields["model"] = Raw(msgspec.json.encode(model))
        path = PATHS[call.kind]
        if call.kind is CallKind.EMBEDDING and is_legacy_embedding(fields):
            path = LEGACY_EMBED_PATH
        return Outgoing(path, msgspec.json.encode(fields))

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        reply = read_as(_decode, body)
        if reply is None:
            raise UpstreamBroke("The upstream's answer is not a JSON object.", provider=provider)
        if reply.error:
            raise line_error(reply.error, provider=provider)
        if not reply.is_reply:
            raise UpstreamBroke("The upstream's answer holds no reply.", provider=provider)
        usage = usage_of(reply.prompt_eval_count, reply.prompt_eval_cached_count, reply.eval_count)
        return WholeReply(body, usage, _word(reply.model), _word(reply.done_reason))

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> OllamaTap:
        return OllamaTap(call, stamp, provider=provider)

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        """A whole reply is a stream of one line, which says itself that it is `done`."""
        whole = self.read_reply(call, body, stamp, provider=provider)
        line = body.strip()
        if b"\n" in line:
            line = msgspec.json.format(line, indent=-1)
        return replace(whole, body=line + b"\n")


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
