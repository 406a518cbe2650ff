"""Ollama as we serve it: `/api/chat`, `/api/generate`, `/api/embed`, `/api/embeddings`."""

from __future__ import annotations

import time
from collections.abc import Callable

from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.loose_json import quote
from hoosh.dialects.ollama import conversation, replies, request
from hoosh.dialects.ollama.encoder import OllamaEncoder
from hoosh.dialects.ollama.lines import Lines
from hoosh.values import Call, CallKind, ChatReply, ChatRequest, EmbeddingRequest, Embeddings, Usage

__all__ = ["OllamaDownstream"]


class OllamaDownstream:
    """A `DownstreamDialect`.  The clock is for `created_at` of a load request's answer, which has no Stamp."""

    name = "ollama"
    stream_type = b"application/x-ndjson"
    id_headers: tuple[bytes, ...] = ()
    terminator = b""  # the last line says itself that it is `done`

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def for_caller(self, caller: str) -> OllamaDownstream:
        return self

    def read(self, kind: CallKind, body: bytes) -> Call:
        return request.read(kind, body)

    def limit_tokens(self, call: Call, limit: int) -> Call:
        return request.limit_tokens(call, limit)

    def immediate(self, call: Call) -> bytes | None:
        return replies.immediate(call, int(self._now()))

    def chat_request(self, call: Call) -> ChatRequest:
        return conversation.chat_request(call)

    def embedding_request(self, call: Call) -> EmbeddingRequest:
        return conversation.embedding_request(call)

    def encode_reply(self, call: Call, reply: ChatReply, stamp: Stamp) -> bytes:
        return replies.encode_reply(call, reply, stamp)

    def chat_encoder(self, call: Call, stamp: Stamp) -> OllamaEncoder:
        return OllamaEncoder(call, stamp)

    def encode_embeddings(self, call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes:
        return replies.encode_embeddings(call, embeddings, stamp)

    def encode_token_count(self, tokens: int) -> bytes:
        raise NotImplementedError("Ollama's language does not ask for token counts")

    def add_usage(self, call: Call, body: bytes, usage: Usage, cost_micro_usd: int | None) -> bytes:
        return body

    def without_cost(self, body: bytes) -> bytes:
        return body  # it never says one

    def keep_alive(self, call: Call) -> bytes:
        """An empty delta: a blank line, which says nothing in SSE, is broken JSON to Ollama's clients."""
        return Lines(call.kind, call.model, Stamp("", call.model, 0)).text("")

    def error_status(self, facts: ErrorFacts) -> int:
        return facts.status

    def error_body(self, facts: ErrorFacts) -> bytes:
        return b'{"error":%b}' % quote(facts.message)

    def error_event(self, facts: ErrorFacts) -> bytes:
        return self.error_body(facts) + b"\n"
