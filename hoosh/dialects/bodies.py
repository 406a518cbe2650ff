"""A request body's top level, in whichever language it is: scanned once, its values left as the client wrote them.

What a downstream dialect's `read` shares with the others: finding the fields, and decoding the few that hoosh acts on.
Everything raises InvalidRequest in OpenAI's words, with the name of the field in `param`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from hoosh.dialects.mistakes import above_maximum_length, below_minimum, explain, unreadable, wrong_type
from hoosh.errors import InvalidRequest

__all__ = ["MODEL_CHARS_MAX", "Fields", "decode_fields", "flag_of", "kind_of", "limit_of", "raw_of", "read_fields"]
__all__ += ["string_of", "take_model", "take_models", "take_name"]

MODEL_CHARS_MAX = 256
MODELS_MAX = 16
MODELS_BYTES_MAX = 64 * 1024
"""More than so many names come to, each sign of them an escaped pair."""

Fields = dict[str, Raw]
Body = TypeVar("Body")

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_value = msgspec.json.Decoder().decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode

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
        raise unreadable(f"invalid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise unreadable("it is nested too deeply") from error
    except msgspec.DecodeError as error:
        raise unreadable("it is empty" if not body.strip() else str(error)) from error


def decode_fields(fields: Mapping[str, Raw], decode: Callable[[bytes], Body]) -> Body:
    """The fields as one typed body.  They are still JSON: joining them again is a copy."""
    try:
        return decode(msgspec.json.encode(fields))
    except msgspec.ValidationError as error:
        raise explain(error) from error
    except RecursionError as error:
        raise unreadable("it is nested too deeply") from error
    except ValueError as error:  # the syntax has been checked, so it is inside a string
        raise unreadable("a string holds half of a surrogate pair") from error


def raw_of(fields: Mapping[str, Raw], name: str) -> bytes | None:
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
    _check_model(model, "model")
    return model


def take_models(fields: Fields) -> tuple[str, tuple[str, ...]]:
    """The model, and whom to ask after it: our own field `models`, out of what the upstream will get.

    Where `model` is not there, the first of them is the model.  A name is there once.
    """
    raw = raw_of(fields, "models")
    fields.pop("models", None)
    if raw is None:
        return take_model(fields), ()
    names = _model_names(raw)
    if names and raw_of(fields, "model") is None:
        fields["model"] = Raw(msgspec.json.encode(names[0]))
    model = take_model(fields)
    return model, tuple(dict.fromkeys(name for name in names if name != model))


def _model_names(raw: bytes) -> list[str]:
    if raw[:1] != b"[":
        raise wrong_type("models", "an array of strings", kind_of(raw))
    # Not even counted where it is long: of a body full of items each would become an object of its own.
    if len(raw) > MODELS_BYTES_MAX or len(items := _decode_items(raw)) > MODELS_MAX:
        raise above_maximum_length("models", MODELS_MAX)
    names = [string_of(bytes(item), "models") for item in items]
    for name in names:
        _check_model(name, "models")
    return names


def _check_model(name: str, param: str) -> None:
    if not name:
        raise InvalidRequest(f"Invalid '{param}': expected a name.", param=param, code="invalid_value")
    if len(name) > MODEL_CHARS_MAX:
        message = f"Invalid '{param}': string too long. Expected at most {MODEL_CHARS_MAX} characters."
        raise InvalidRequest(message, param=param, code="string_above_max_length")
    if not name.isprintable():  # it goes into headers and logs
        raise InvalidRequest(f"Invalid '{param}': it contains control characters.", param=param, code="invalid_value")


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
        raise wrong_type(name, "a boolean", kind_of(raw))
    return raw == b"true"


def limit_of(fields: Fields, name: str, least: int) -> int | None:
    """A number of tokens.  -1 is how users of local servers write "no limit"."""
    raw = raw_of(fields, name)
    if raw is None or raw == b"-1":
        return None
    value = _value(raw) if raw[:1] in b"-0123456789" else None
    if type(value) is not int:
        raise wrong_type(name, "an integer", kind_of(raw))
    if value < least:
        raise below_minimum(name, value, least)
    return value


def string_of(raw: bytes, name: str) -> str:
    value = _value(raw) if raw[:1] == b'"' else None
    if type(value) is not str:
        raise wrong_type(name, "a string", kind_of(raw))
    return value


def kind_of(raw: bytes) -> str:
    """What a value is, for the sentence that says that it is of the wrong type."""
    return KINDS.get(raw[:1]) or ("a decimal" if set(raw) & set(b".eE") else "an integer")


def _value(raw: bytes) -> object:
    """None for what only a closer look finds broken, such as half of a surrogate pair."""
    try:
        return _decode_value(raw)
    except ValueError:
        return None
