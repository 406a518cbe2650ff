"""OpenAI's request bodies as we serve them: bytes in, `Call` out.

The body is scanned once into its top-level fields; every value stays as the client wrote it, byte for byte, and only
the few that hoosh acts upon are decoded.  What is decided on is read from the same fields that are sent upstream, so
a key given twice (the last one wins) cannot mean one thing here and another there.

Our own fields are taken out: `pool`, and `provider` when it is a name (an object of that name is OpenRouter's).
Unknown fields are kept.  Messages are counted, not read: what is in them is the upstream's business.

Raises InvalidRequest in OpenAI's words.  Source: wire notes 2.1; product section 4; reference section 2.3.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hoosh.dialects.contract import ErrorFacts, Stamp, StreamEncoder
from hoosh.dialects.openai.wire import DONE, error_json
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind, ChatReply, ChatRequest, EmbeddingRequest, Embeddings

__all__ = ["OpenAIDownstream", "read_chat", "read_completion", "read_embedding"]

MODEL_CHARS_MAX = 256

Fields = dict[str, Raw]

_decode_fields = msgspec.json.Decoder(Fields).decode
_empty_list = re.compile(rb"\[\s*\]")

KINDS = {
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}


class StreamOptions(Struct):
    """The part of `stream_options` that we act upon."""

    include_usage: bool | None = None


_decode_stream_options = msgspec.json.Decoder(StreamOptions).decode
_decode_value = msgspec.json.Decoder().decode


def read_chat(body: bytes) -> Call:
    """The body of `POST /v1/chat/completions`."""
    fields = _read_fields(body)
    plain = _read_plainly(body, fields)
    if plain is not None:
        return plain
    model = _take_model(fields)
    _require_list(fields, "messages")
    # Reasoning models want the newer name; whoever sends both means the newer.
    max_tokens = _limit(fields, "max_completion_tokens", 1)
    older = _limit(fields, "max_tokens", 1)
    return _streamed(CallKind.CHAT, model, fields, older if max_tokens is None else max_tokens)


def read_completion(body: bytes) -> Call:
    """The body of `POST /v1/completions`, where `max_tokens: 0` asks for the echo of the prompt."""
    fields = _read_fields(body)
    model = _take_model(fields)
    return _streamed(CallKind.COMPLETION, model, fields, _limit(fields, "max_tokens", 0))


def read_embedding(body: bytes) -> Call:
    """The body of `POST /v1/embeddings`."""
    fields = _read_fields(body)
    model = _take_model(fields)
    if _raw(fields, "input") is None:
        raise _missing("input")
    provider, pool = _take_name(fields, "provider"), _take_name(fields, "pool")
    return Call(CallKind.EMBEDDING, model, fields, provider=provider, pool=pool)


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
        field = "max_completion_tokens" if "max_completion_tokens" in call.fields else "max_tokens"
        return replace(call, max_tokens=limit, fields={**call.fields, field: Raw(b"%d" % limit)})

    def immediate(self, call: Call) -> None:
        return None

    def chat_request(self, call: Call) -> ChatRequest:
        raise NotImplementedError

    def embedding_request(self, call: Call) -> EmbeddingRequest:
        raise NotImplementedError

    def encode_reply(self, call: Call, reply: ChatReply, stamp: Stamp) -> bytes:
        raise NotImplementedError

    def chat_encoder(self, call: Call, stamp: Stamp) -> StreamEncoder:
        raise NotImplementedError

    def encode_embeddings(self, call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes:
        raise NotImplementedError

    def encode_token_count(self, tokens: int) -> bytes:
        return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens

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
    if "provider" in fields or "pool" in fields:
        return None
    try:
        lean = _decode_lean_chat(body)
    except msgspec.ValidationError:
        return None
    model, options = lean.model, lean.stream_options
    limit = lean.max_completion_tokens if lean.max_completion_tokens is not None else lean.max_tokens
    is_plain = 0 < len(model) <= MODEL_CHARS_MAX and model.isprintable() and lean.messages
    if not is_plain or (limit is not None and limit < 1) or (lean.max_tokens is not None and lean.max_tokens < 1):
        return None
    asks_usage = options is not None and options.include_usage is True
    return Call(CallKind.CHAT, model, fields, lean.stream is True, asks_usage, limit)


def _streamed(kind: CallKind, model: str, fields: Fields, max_tokens: int | None) -> Call:
    return Call(
        kind,
        model,
        fields,
        stream=_flag(fields, "stream"),
        include_usage=_asks_usage(fields),
        max_tokens=max_tokens,
        provider=_take_name(fields, "provider"),
        pool=_take_name(fields, "pool"),
    )


def _read_fields(body: bytes) -> Fields:
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look inside the strings that it skips
        return _decode_fields(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("The JSON body of your request must be an object.", code="invalid_type") from error
    except UnicodeDecodeError as error:
        raise _unreadable(f"invalid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise _unreadable("it is nested too deeply") from error
    except msgspec.DecodeError as error:
        raise _unreadable("it is empty" if not body.strip() else str(error)) from error


def _unreadable(why: str) -> InvalidRequest:
    return InvalidRequest(f"We could not parse the JSON body of your request. ({why})", code="invalid_json")


def _raw(fields: Fields, name: str) -> bytes | None:
    """The bytes of a field's value; None where it is missing or null."""
    value = fields.get(name)
    if value is None:
        return None
    raw = bytes(value)
    return None if raw == b"null" else raw


def _take_model(fields: Fields) -> str:
    raw = _raw(fields, "model")
    if raw is None:
        raise InvalidRequest("you must provide a model parameter", param="model")
    model = _string(raw, "model")
    if not model:
        raise InvalidRequest("you must provide a model parameter", param="model")
    if len(model) > MODEL_CHARS_MAX:
        message = f"Invalid 'model': string too long. Expected at most {MODEL_CHARS_MAX} characters."
        raise InvalidRequest(message, param="model", code="string_above_max_length")
    if not model.isprintable():  # it goes into headers and logs
        raise InvalidRequest("Invalid 'model': it contains control characters.", param="model", code="invalid_value")
    return model


def _take_name(fields: Fields, name: str) -> str | None:
    """One of our own fields, out of what the upstream will get.  An object is a vendor's field and stays."""
    raw = _raw(fields, name)
    if raw is not None and name == "provider" and raw[:1] == b"{":
        return None
    fields.pop(name, None)
    if raw is None:
        return None
    value = _string(raw, name)
    if not value or len(value) > MODEL_CHARS_MAX or not value.isprintable():
        raise InvalidRequest(f"Invalid '{name}': expected a name.", param=name, code="invalid_value")
    return value


def _require_list(fields: Fields, name: str) -> None:
    raw = _raw(fields, name)
    if raw is None:
        raise _missing(name)
    if raw[:1] != b"[":
        raise _wrong_type(name, "an array", raw)
    if _empty_list.fullmatch(raw):
        message = f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array"
        raise InvalidRequest(f"{message} instead.", param=name, code="empty_array")


def _flag(fields: Fields, name: str) -> bool:
    raw = _raw(fields, name)
    if raw is None or raw == b"false":
        return False
    if raw == b"true":
        return True
    raise _wrong_type(name, "a boolean", raw)


def _asks_usage(fields: Fields) -> bool:
    raw = _raw(fields, "stream_options")
    if raw is None:
        return False
    if raw[:1] != b"{":
        raise _wrong_type("stream_options", "an object", raw)
    try:
        return bool(_decode_stream_options(raw).include_usage)
    except msgspec.ValidationError as error:
        message = "Invalid type for 'stream_options.include_usage': expected a boolean."
        raise InvalidRequest(message, param="stream_options.include_usage", code="invalid_type") from error


def _limit(fields: Fields, name: str, least: int) -> int | None:
    """A number of tokens.  -1 is how users of llama.cpp and LM Studio write "no limit"."""
    raw = _raw(fields, name)
    if raw is None or raw == b"-1":
        return None
    value = _decode_value(raw) if raw[:1] in b"-0123456789" else None
    if type(value) is not int:
        raise _wrong_type(name, "an integer", raw)
    if value < least:
        message = f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value}"
        raise InvalidRequest(f"{message} instead.", param=name, code="integer_below_min_value")
    return value


def _string(raw: bytes, name: str) -> str:
    value = _decode_value(raw) if raw[:1] == b'"' else None
    if type(value) is not str:
        raise _wrong_type(name, "a string", raw)
    return value


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _wrong_type(name: str, expected: str, raw: bytes) -> InvalidRequest:
    got = KINDS.get(raw[:1]) or ("a decimal" if set(raw) & set(b".eE") else "an integer")
    message = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return InvalidRequest(message, param=name, code="invalid_type")
