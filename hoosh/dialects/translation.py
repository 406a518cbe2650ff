"""A call from one language to another and back: a `Passage` made of a downstream and an upstream dialect.

    outgoing     Downstream.chat_request ─▶ ChatRequest ─▶ Upstream.encode_chat
    read_reply   Upstream.decode_chat ─▶ ChatReply ─▶ Downstream.encode_reply
    tap          Upstream.chat_decoder ─▶ ReplyEvents ─▶ Downstream.chat_encoder

Nothing of either language is known here.
"""

from __future__ import annotations

from hoosh.dialects.contract import (
    DownstreamDialect,
    Ending,
    Outgoing,
    Stamp,
    StreamDecoder,
    StreamEncoder,
    StreamTap,
    UpstreamDialect,
    WholeReply,
)
from hoosh.dialects.replies import unfold
from hoosh.errors import InvalidRequest, UpstreamError
from hoosh.values import Call, CallKind, ChatRequest, Finished, FinishReason, Usage, UsageReported

__all__ = ["Translation"]


class Translation:
    """One call, translated.  `request` is what the gateway has made of it (media fetched); None reads the call."""

    __slots__ = ("_downstream", "_request", "_upstream")

    def __init__(
        self, downstream: DownstreamDialect, upstream: UpstreamDialect, *, request: ChatRequest | None = None
    ) -> None:
        self._downstream = downstream
        self._upstream = upstream
        self._request = request

    def outgoing(self, call: Call, *, model: str) -> Outgoing:
        if call.kind is CallKind.EMBEDDING:
            return self._upstream.encode_embeddings(self._downstream.embedding_request(call), model=model)
        request = self._request or self._downstream.chat_request(call)
        _refuse_foreign(request, self._upstream.name)
        if call.kind is CallKind.TOKEN_COUNT:
            outgoing = self._upstream.encode_token_count(request, model=model)
            if outgoing is None:
                raise InvalidRequest("This provider does not count tokens.", code="unsupported_operation")
            return outgoing
        return self._upstream.encode_chat(request, model=model)

    def read_reply(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        if call.kind is CallKind.EMBEDDING:
            embeddings = self._upstream.decode_embeddings(body, provider=provider)
            answer = self._downstream.encode_embeddings(call, embeddings, stamp)
            return WholeReply(answer, embeddings.usage, embeddings.model or None)
        if call.kind is CallKind.TOKEN_COUNT:
            tokens = self._upstream.decode_token_count(body, provider=provider)
            return WholeReply(self._downstream.encode_token_count(tokens))
        reply = self._upstream.decode_chat(body, provider=provider)
        answer = self._downstream.encode_reply(call, reply, stamp)
        return WholeReply(answer, reply.usage, reply.model or None, reply.finish.reason.value)

    def tap(self, call: Call, stamp: Stamp, *, provider: str) -> StreamTap:
        decoder = self._upstream.chat_decoder(provider=provider)
        return _TranslatedStream(decoder, self._downstream.chat_encoder(call, stamp))

    def as_stream(self, call: Call, body: bytes, stamp: Stamp, *, provider: str) -> WholeReply:
        reply = self._upstream.decode_chat(body, provider=provider)
        encoder = self._downstream.chat_encoder(call, stamp)
        events = encoder.encode(tuple(unfold(reply))) + encoder.finish()
        return WholeReply(events, reply.usage, reply.model or None, reply.finish.reason.value)


def _refuse_foreign(request: ChatRequest, upstream: str) -> None:
    """What only another dialect can do, and the answer hangs on it."""
    for extension in request.extensions:
        if extension.home and extension.home != upstream and extension.demands:
            name = extension.demands[0]
            message = f"`{name}` can only be served by a provider that is spoken to in {extension.home}'s own language."
            raise InvalidRequest(message, param=name, code="unsupported_parameter")


class _TranslatedStream:
    """A `StreamTap`: what the decoder makes of the upstream's bytes, in the encoder's words."""

    __slots__ = ("_decoder", "_encoder")

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder) -> None:
        self._decoder = decoder
        self._encoder = encoder

    @property
    def usage(self) -> Usage | None:
        return self._decoder.usage

    @property
    def chunks(self) -> int:
        return self._encoder.chunks

    @property
    def has_content(self) -> bool:
        return self._decoder.has_content

    @property
    def terminated(self) -> bool:
        return self._decoder.terminated

    @property
    def has_finished(self) -> bool:
        return self._decoder.has_finished

    @property
    def error(self) -> UpstreamError | None:
        return self._decoder.error

    def feed(self, data: bytes) -> bytes:
        events = self._decoder.feed(data)
        return self._encoder.encode(events) if events else b""

    def close(self) -> tuple[bytes, Ending]:
        events, ending = self._decoder.close()
        rest = self._encoder.encode(events) if events else b""
        if ending is Ending.COMPLETE:
            rest += self._encoder.finish()
        return rest, ending

    def finish_early(self, usage: Usage) -> bytes | None:
        if self._decoder.error is not None:
            return None
        ending = (Finished(FinishReason.LENGTH), UsageReported(usage))
        return self._encoder.encode(ending) + self._encoder.finish()
