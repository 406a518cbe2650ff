"""What a client wrote wrongly, in OpenAI's words.

`param` is the path of the field at fault, such as `messages[2].content[0].type`; the code is one of OpenAI's own
(`invalid_type`, `missing_required_parameter`, `invalid_value`, `unsupported_parameter`, …).

Source: the error bodies in wire notes 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from hoosh.errors import InvalidRequest

__all__ = ["above_maximum_length", "below_minimum", "empty_array", "explain", "invalid_value", "missing"]
__all__ += ["only_openai", "unreadable", "wrong_type"]

SHOWN_CHARS_MAX = 64

KINDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}

_expectation = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?")
_bounds = re.compile(r"Expected `(\w+)` ((?:[<>]=?|of length) .+?)(?: - at `|$)")
_omission = re.compile(r"Object missing required field `([^`]+)`")
_place = re.compile(r" - at `\$(.*)`$")


def missing(path: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def wrong_type(path: str, expected: str, got: str) -> InvalidRequest:
    """`expected` and `got` with their articles: `an array of strings`."""
    message = f"Invalid type for '{path}': expected {expected}, but got {got} instead."
    return InvalidRequest(message, param=path, code="invalid_type")


def invalid_value(path: str, value: str, supported: Iterable[str] = ()) -> InvalidRequest:
    shown = value if len(value) <= SHOWN_CHARS_MAX else value[:SHOWN_CHARS_MAX] + "…"
    message = f"Invalid value: '{shown}'."
    if words := ", ".join(map(repr, supported)):
        message += f" Supported values are: {words}."
    return InvalidRequest(message, param=path, code="invalid_value")


def empty_array(path: str) -> InvalidRequest:
    wanted = "Expected an array with minimum length 1, but got an empty array instead."
    return InvalidRequest(f"Invalid '{path}': empty array. {wanted}", param=path, code="empty_array")


def above_maximum_length(path: str, most: int) -> InvalidRequest:
    wanted = f"Expected an array with maximum length {most}, but got a longer one instead."
    return InvalidRequest(f"Invalid '{path}': array too long. {wanted}", param=path, code="array_above_max_length")


def below_minimum(path: str, value: int, least: int) -> InvalidRequest:
    message = f"Invalid '{path}': integer below minimum value. Expected a value >= {least}, but got {value} instead."
    return InvalidRequest(message, param=path, code="integer_below_min_value")


def only_openai(path: str, what: str) -> InvalidRequest:
    """For what no other language can say: `what` is the subject of the sentence."""
    message = f"{what} can only be served by a provider that speaks OpenAI's language, which this model's does not."
    return InvalidRequest(message, param=path, code="unsupported_parameter")


def unreadable(why: str) -> InvalidRequest:
    return InvalidRequest(f"We could not parse the JSON body of your request. ({why})", code="invalid_json")


def explain(error: msgspec.ValidationError, *, prefix: str = "") -> InvalidRequest:
    """A validation error as OpenAI would tell it; `prefix` is the path of what was decoded, "" for the whole body."""
    text = str(error)
    found = _place.search(text)
    path = _join(prefix, (found.group(1) if found else "").replace("[...]", ""))
    omitted = _omission.match(text)
    if omitted is not None:
        return missing(_join(path, "." + omitted.group(1)))
    bounds = _bounds.match(text)
    if bounds is not None:
        wanted = f"{KINDS.get(bounds.group(1), bounds.group(1))} {bounds.group(2)}"
        return InvalidRequest(f"Invalid '{path}': expected {wanted}.", param=path or None, code="invalid_value")
    expectation = _expectation.match(text)
    if expectation is None:
        return InvalidRequest(f"Invalid '{path}': {_place.sub('', text)}.", param=path or None, code="invalid_value")
    expected = [KINDS.get(kind, kind) for kind in expectation.group(1).split(" | ")]
    wanted = " or ".join([kind for kind in expected if kind != "null"] or expected)
    got = expectation.group(2)
    shown = "another value" if got is None else KINDS.get(got, got)
    if not path:
        return unreadable(f"Expected {wanted}, but got {shown} instead.")
    return wrong_type(path, wanted, shown)


def _join(prefix: str, rest: str) -> str:
    return prefix + rest if prefix else rest.removeprefix(".")
