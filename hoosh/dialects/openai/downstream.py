"""OpenAI's language as we serve it: a request body in, a `Call` out, and where the rest of the work is done.

The body is scanned once into its top-level fields; every value stays as the client wrote it, byte for byte, and only
the few that hoosh acts upon are decoded.  What is decided on is read from the same fields that are sent upstream, so
a key given twice (the last one wins) cannot mean one thing here and another there.

Our own fields are taken out: `pool`, `models`, and `provider` when it is a name (an object of that name is
OpenRouter's).
Unknown fields are kept.  `read` counts messages without looking into them; only a translation does
(`request.py`), and it writes the answer too (`encoder.py`, `replies.py`, `vectors.py`).

Raises InvalidRequest in OpenAI's words.  Source: wire notes 2.1; product section 4; reference section 2.3.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.bodies import (
    MODEL_CHARS_MAX,
    Fields,
    flag_of,
    kind_of,
    limit_of,
    raw_of,
    read_fields,
    take_models,
    take_name,
)
from hoosh.dialects.contract import ErrorFacts, Stamp, StreamEncoder
from hoosh.dialects.costs import without_cost
from hoosh.dialects.mistakes import empty_array, missing, wrong_type
from hoosh.dialects.openai.encoder import ChatEncoder, CompletionEncoder
from hoosh.dialects.openai.replies import encode_completion, encode_reply
from hoosh.dialects.openai.request import chat_request, completion_request, embedding_request, hides_reasoning
from hoosh.dialects.openai.vectors import encode_embeddings, wanted_encoding
from hoosh.dialects.openai.whole import with_usage
from hoosh.dialects.openai.wire import DONE, error_json
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind, ChatReply, ChatRequest, EmbeddingRequest, Embeddings, Usage

__all__ = ["OpenAIDownstream", "read_chat", "read_completion", "read_embedding"]

_empty_list = re.compile(rb"\[\s*\]")


class StreamOptions(Struct):
    """The part of `stream_options` that we act upon."""

    include_usage: bool | None = None


_decode_stream_options = msgspec.json.Decoder(StreamOptions).decode


def read_chat(body: bytes) -> Call:
    """The body of `POST /v1/chat/completions`."""
    fields = read_fields(body)
    plain = _read_plainly(body, fields)
    if plain is not None:
        return plain
    model, others = take_models(fields)
    _require_list(fields, "messages")
    # Reasoning models want the newer name; whoever sends both means the newer.
    max_tokens = limit_of(fields, "max_completion_tokens", 1)
    older = limit_of(fields, "max_tokens", 1)
    return _streamed(CallKind.CHAT, model, others, fields, older if max_tokens is None else max_tokens)


def read_completion(body: bytes) -> Call:
    """The body of `POST /v1/completions`, where `max_tokens: 0` asks for the echo of the prompt."""
    fields = read_fields(body)
    model, others = take_models(fields)
    return _streamed(CallKind.COMPLETION, model, others, fields, limit_of(fields, "max_tokens", 0))


def read_embedding(body: bytes) -> Call:
    """The body of `POST /v1/embeddings`."""
    fields = read_fields(body)
    model, others = take_models(fields)
    if raw_of(fields, "input") is None:
        raise missing("input")
    provider, pool = take_name(fields, "provider"), take_name(fields, "pool")
    return Call(CallKind.EMBEDDING, model, fields, provider=provider, pool=pool, models=others)


READERS = {CallKind.CHAT: read_chat, CallKind.COMPLETION: read_completion, CallKind.EMBEDDING: read_embedding}


class OpenAIDownstream:
    """A `DownstreamDialect`."""

    name = "openai"
    id_headers: tuple[bytes, ...] = ()
    stream_type = b"text/event-stream; charset=utf-8"
    terminator = DONE

    def for_caller(self, caller: str) -> OpenAIDownstream:
        return self

    def read(self, kind: CallKind, body: bytes) -> Call:
        return READERS[kind](body)

    def limit_tokens(self, call: Call, limit: int) -> Call:
        if call.max_tokens is not None and call.max_tokens <= limit:
            return call
        field = "max_tokens" if raw_of(call.fields, "max_completion_tokens") is None else "max_completion_tokens"
        return replace(call, max_tokens=limit, fields={**call.fields, field: Raw(b"%d" % limit)})

    def immediate(self, call: Call) -> None:
        return None

    def chat_request(self, call: Call) -> ChatRequest:
        return completion_request(call) if call.kind is CallKind.COMPLETION else chat_request(call)

    def embedding_request(self, call: Call) -> EmbeddingRequest:
        return embedding_request(call)

    def encode_reply(self, call: Call, reply: ChatReply, stamp: Stamp) -> bytes:
        if call.kind is CallKind.COMPLETION:
            return encode_completion(reply, stamp)
        return encode_reply(reply, stamp, show_reasoning=not hides_reasoning(call))

    def chat_encoder(self, call: Call, stamp: Stamp) -> StreamEncoder:
        if call.kind is CallKind.COMPLETION:
            return CompletionEncoder(stamp, include_usage=call.include_usage)
        return ChatEncoder(stamp, include_usage=call.include_usage, show_reasoning=not hides_reasoning(call))

    def encode_embeddings(self, call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes:
        return encode_embeddings(embeddings, stamp, wanted_encoding(call))

    def encode_token_count(self, tokens: int) -> bytes:
        return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens

    def add_usage(self, call: Call, body: bytes, usage: Usage, cost_micro_usd: int | None) -> bytes:
        return with_usage(call.kind, body, usage, cost_micro_usd) if call.kind in READERS else body

    def without_cost(self, body: bytes) -> bytes:
        return without_cost(body)

    def keep_alive(self, call: Call) -> bytes:
        return b": keep-alive\n\n"

    def error_status(self, facts: ErrorFacts) -> int:
        return facts.status

    def error_body(self, facts: ErrorFacts) -> bytes:
        return error_json(facts)

    def error_event(self, facts: ErrorFacts) -> bytes:
        """No `[DONE]` follows it."""
        return b"data: %b\n\n" % error_json(facts)


class LeanChat(Struct, gc=False):
    """The fields of a chat request that most clients send, as they should be."""

    model: str
    messages: list[Raw]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_decode_lean_chat = msgspec.json.Decoder(LeanChat).decode


def _read_plainly(body: bytes, fields: Fields) -> Call | None:
    """The call, where nothing about it is out of the ordinary; None sends it to the reading that can explain."""
    if "provider" in fields or "pool" in fields or "models" in fields:
        return None
    try:
        lean = _decode_lean_chat(body)
    except msgspec.DecodeError:
        return None
    model, options = lean.model, lean.stream_options
    limit = lean.max_completion_tokens if lean.max_completion_tokens is not None else lean.max_tokens
    is_plain = 0 < len(model) <= MODEL_CHARS_MAX and model.isprintable() and lean.messages
    if not is_plain or (limit is not None and limit < 1) or (lean.max_tokens is not None and lean.max_tokens < 1):
        return None
    asks_usage = options is not None and options.include_usage is True
    return Call(CallKind.CHAT, model, fields, lean.stream is True, asks_usage, limit)


def _streamed(kind: CallKind, model: str, others: tuple[str, ...], fields: Fields, max_tokens: int | None) -> Call:
    return Call(
        kind,
        model,
        fields,
        stream=flag_of(fields, "stream"),
        include_usage=_asks_usage(fields),
        max_tokens=max_tokens,
        provider=take_name(fields, "provider"),
        pool=take_name(fields, "pool"),
        models=others,
    )


def _require_list(fields: Fields, name: str) -> None:
    raw = raw_of(fields, name)
    if raw is None:
        raise missing(name)
    if raw[:1] != b"[":
        raise wrong_type(name, "an array", kind_of(raw))
    if _empty_list.fullmatch(raw):
        raise empty_array(name)


def _asks_usage(fields: Fields) -> bool:
    raw = raw_of(fields, "stream_options")
    if raw is None:
        return False
    if raw[:1] != b"{":
        raise wrong_type("stream_options", "an object", kind_of(raw))
    try:
        return bool(_decode_stream_options(raw).include_usage)
    except msgspec.DecodeError as error:
        message = "Invalid type for 'stream_options.include_usage': expected a boolean."
        raise InvalidRequest(message, param="stream_options.include_usage", code="invalid_type") from error
