"""Ollama's request bodies as we serve them: bytes in, `Call` out.

A stream is what a client gets that does not ask: `stream` is true unless it is false.  `num_predict` limits the reply,
and its -1 and -2 do not.  A call without messages, prompt or input asks for nothing but that the model be loaded.

`/api/embeddings`, the older route, is told from `/api/embed` by its body: `prompt` instead of `input`.

Raises InvalidRequest.  Source: wire notes 2.9; Ollama's API documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.bodies import Fields, flag_of, kind_of, raw_of, read_fields, take_model, take_name
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.mistakes import wrong_type
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind

__all__ = ["asks_nothing", "is_unload", "limit_tokens", "read"]

CONTENT = {
    CallKind.CHAT: ("messages",),
    CallKind.COMPLETION: ("prompt", "images", "suffix"),
    CallKind.EMBEDDING: ("input", "prompt"),
}

_nothing = re.compile(rb'null|""|\[\s*\]')
_no_time = re.compile(rb'0+(\.0+)?|"0+(\.0+)?(ns|us|ms|s|m|h)?"')

_decode_options = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_value = msgspec.json.Decoder().decode


def read(kind: CallKind, body: bytes) -> Call:
    """The body of `/api/chat`, `/api/generate`, `/api/embed` or `/api/embeddings`."""
    fields = read_fields(body)
    model = take_model(fields)
    messages = raw_of(fields, "messages")
    if kind is CallKind.CHAT and messages is not None and messages[:1] != b"[":
        raise wrong_type("messages", "an array", kind_of(messages))
    limit = _num_predict(fields)
    return Call(
        kind,
        model,
        fields,
        stream=kind is not CallKind.EMBEDDING and flag_of(fields, "stream", default=True),
        include_usage=True,
        max_tokens=limit,
        provider=take_name(fields, "provider"),
        pool=take_name(fields, "pool"),
        language="ollama",
    )


def limit_tokens(call: Call, limit: int) -> Call:
    """`call` asking for at most `limit` tokens of reply."""
    if call.max_tokens is not None and call.max_tokens <= limit:
        return call
    options = {**_options(call.fields), "num_predict": Raw(b"%d" % limit)}
    return replace(call, max_tokens=limit, fields={**call.fields, "options": Raw(msgspec.json.encode(options))})


def asks_nothing(call: Call) -> bool:
    """It only wants the model loaded, or (with `keep_alive: 0`) unloaded."""
    given = (call.fields[name] for name in CONTENT[call.kind] if name in call.fields)
    return all(_nothing.fullmatch(bytes(raw)) for raw in given)


def is_unload(call: Call) -> bool:
    return _no_time.fullmatch(bytes(call.fields.get("keep_alive", b""))) is not None


def _num_predict(fields: Fields) -> int | None:
    raw = raw_of(_options(fields), "num_predict")
    if raw is None:
        return None
    try:
        value = _decode_value(raw)
    except UNREADABLE:
        value = None  # out of range
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise InvalidRequest('option "num_predict" must be of type integer', param="options", code="invalid_type")
    return value if value > 0 else None


def _options(fields: Mapping[str, Raw]) -> Fields:
    raw = raw_of(dict(fields), "options")
    if raw is None:
        return {}
    if raw[:1] != b"{":
        raise wrong_type("options", "an object", kind_of(raw))
    try:
        return _decode_options(raw)
    except UNREADABLE as error:
        raise InvalidRequest(f"Invalid 'options': {error}", param="options", code="invalid_value") from error
