"""A request body's top level, in whichever language it is: scanned once, its values left as the client wrote them.

What a downstream dialect's `read` shares with the others: finding the fields, and decoding the few that hoosh acts on.
Everything raises InvalidRequest in OpenAI's words, with the name of the field in `param`.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from hoosh.errors import InvalidRequest

__all__ = ["MODEL_CHARS_MAX", "Fields", "missing", "raw_of", "read_fields", "string_of", "take_model", "take_name"]
__all__ += ["flag_of", "limit_of", "wrong_type"]

MODEL_CHARS_MAX = 256

Fields = dict[str, Raw]

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_value = msgspec.json.Decoder().decode

KINDS = {
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}


def read_fields(body: bytes) -> Fields:
    """The top-level fields, in their order; of a key given twice the last."""
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


def raw_of(fields: Fields, name: str) -> bytes | None:
    """The bytes of a field's value; None where it is missing or null."""
    value = fields.get(name)
    if value is None:
        return None
    raw = bytes(value)
    return None if raw == b"null" else raw


def take_model(fields: Fields) -> str:
    raw = raw_of(fields, "model")
    model = "" if raw is None else string_of(raw, "model")
    if not model:
        raise InvalidRequest("you must provide a model parameter", param="model")
    if len(model) > MODEL_CHARS_MAX:
        message = f"Invalid 'model': string too long. Expected at most {MODEL_CHARS_MAX} characters."
        raise InvalidRequest(message, param="model", code="string_above_max_length")
    if not model.isprintable():  # it goes into headers and logs
        raise InvalidRequest("Invalid 'model': it contains control characters.", param="model", code="invalid_value")
    return model


def take_name(fields: Fields, name: str) -> str | None:
    """One of our own fields, out of what the upstream will get.  An object `provider` is a vendor's field and stays."""
    raw = raw_of(fields, name)
    if raw is not None and name == "provider" and raw[:1] == b"{":
        return None
    fields.pop(name, None)
    if raw is None:
        return None
    value = string_of(raw, name)
    if not value or len(value) > MODEL_CHARS_MAX or not value.isprintable():
        raise InvalidRequest(f"Invalid '{name}': expected a name.", param=name, code="invalid_value")
    return value


def flag_of(fields: Fields, name: str, *, default: bool = False) -> bool:
    raw = raw_of(fields, name)
    if raw is None:
        return default
    if raw not in (b"true", b"false"):
        raise wrong_type(name, "a boolean", raw)
    return raw == b"true"


def limit_of(fields: Fields, name: str, least: int) -> int | None:
    """A number of tokens.  -1 is how users of local servers write "no limit"."""
    raw = raw_of(fields, name)
    if raw is None or raw == b"-1":
        return None
    value = _value(raw) if raw[:1] in b"-0123456789" else None
    if type(value) is not int:
        raise wrong_type(name, "an integer", raw)
    if value < least:
        message = f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value}"
        raise InvalidRequest(f"{message} instead.", param=name, code="integer_below_min_value")
    return value


def string_of(raw: bytes, name: str) -> str:
    value = _value(raw) if raw[:1] == b'"' else None
    if type(value) is not str:
        raise wrong_type(name, "a string", raw)
    return value


def missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def wrong_type(name: str, expected: str, raw: bytes) -> InvalidRequest:
    got = KINDS.get(raw[:1]) or ("a decimal" if set(raw) & set(b".eE") else "an integer")
    message = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return InvalidRequest(message, param=name, code="invalid_type")


def _value(raw: bytes) -> object:
    """None for what only a closer look finds broken, such as half of a surrogate pair."""
    try:
        return _decode_value(raw)
    except ValueError:
        return None


def _unreadable(why: str) -> InvalidRequest:
    return InvalidRequest(f"We could not parse the JSON body of your request. ({why})", code="invalid_json")
