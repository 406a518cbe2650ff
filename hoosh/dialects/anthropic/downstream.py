"""The Messages API as we serve it: to the `anthropic` SDKs and to Claude Code, on any provider.

Source: wire notes 2.2, "Serving it to the Anthropic SDK and Claude Code".
"""

from __future__ import annotations

from msgspec.structs import replace

from hoosh.dialects.anthropic.encoder import PING, AnthropicEncoder
from hoosh.dialects.anthropic.errors import error_json, status_for
from hoosh.dialects.anthropic.replies import message_json
from hoosh.dialects.anthropic.request import limited, read, request_of
from hoosh.dialects.anthropic.wire import STOP
from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.costs import without_cost
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind, ChatReply, ChatRequest, EmbeddingRequest, Embeddings, Usage

__all__ = ["AnthropicDownstream"]


class AnthropicDownstream:
    """A `DownstreamDialect`."""

    name = "anthropic"
    stream_type = b"text/event-stream; charset=utf-8"
    id_headers: tuple[bytes, ...] = (b"request-id",)
    terminator = STOP

    def for_caller(self, caller: str) -> AnthropicDownstream:
        return self

    def read(self, kind: CallKind, body: bytes) -> Call:
        return read(kind, body)

    def limit_tokens(self, call: Call, limit: int) -> Call:
        if call.kind is not CallKind.CHAT or (call.max_tokens is not None and call.max_tokens <= limit):
            return call
        return replace(call, max_tokens=limit, fields=limited(call.fields, limit))

    def immediate(self, call: Call) -> bytes | None:
        return None

    def chat_request(self, call: Call) -> ChatRequest:
        return request_of(call)

    def embedding_request(self, call: Call) -> EmbeddingRequest:
        raise InvalidRequest("Anthropic's language has no embeddings.", code="unsupported_operation")

    def encode_reply(self, call: Call, reply: ChatReply, stamp: Stamp) -> bytes:
        return message_json(reply, stamp)

    def chat_encoder(self, call: Call, stamp: Stamp) -> AnthropicEncoder:
        return AnthropicEncoder(stamp)

    def encode_embeddings(self, call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes:
        raise NotImplementedError("Anthropic's language has no embeddings.")

    def encode_token_count(self, tokens: int) -> bytes:
        return b'{"input_tokens":%d}' % tokens

    def add_usage(self, call: Call, body: bytes, usage: Usage, cost_micro_usd: int | None) -> bytes:
        return body

    def without_cost(self, body: bytes) -> bytes:
        return without_cost(body)

    def keep_alive(self, call: Call) -> bytes:
        return PING

    def error_status(self, facts: ErrorFacts) -> int:
        return status_for(facts.status)

    def error_body(self, facts: ErrorFacts) -> bytes:
        return error_json(facts)

    def error_event(self, facts: ErrorFacts) -> bytes:
        """Nothing follows it, no `message_stop` either."""
        return b"event: error\ndata: %b\n\n" % error_json(facts)
