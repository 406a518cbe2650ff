"""One value of a configuration that is no table: a number, a truth, a text, a word of a list.

It is checked against its field's type and limits, and what is wrong is said in words: what stands there (texts are
not repeated, they may be keys) and what must stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import NODEFAULT, inspect

from hoosh.config.mistakes import nearest, show

__all__ = ["ITEM", "Wrong", "leaf", "what"]

MAX_INT = 2**63 - 1
"""TOML's own limit (TOML v1.0.0, Integer), which `tomllib` does not keep."""

ITEM: Mapping[type[inspect.Type], type] = {inspect.StrType: str, inspect.Metadata: str}
"""What the items of a list are read as."""


class Wrong(Exception):
    """A value cannot be read; the text is what is wrong and what would be right."""


def leaf(kind: Any, info: inspect.Type, value: object) -> object:
    """`value` as a `kind`, whose description is `info`.  Raises Wrong."""
    try:
        read = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        read = NODEFAULT
    if read is NODEFAULT or read == "" or read != read:  # NaN passes every limit, and is no limit
        raise Wrong(_refusal(info, value))
    if isinstance(read, int) and read > MAX_INT:
        raise Wrong(f"is {what(read)}, must be {MAX_INT} at most")
    return read


def _refusal(info: inspect.Type, value: object) -> str:
    if not (isinstance(info, inspect.LiteralType) and isinstance(value, str)):
        return f"is {what(value)}, must be {_wanted(info)}"
    near = nearest(value, [str(word) for word in info.values])
    return f"is {show(value)}, must be {_wanted(info)}" + (f"; did you mean `{near}`?" if near else "")


def what(value: object) -> str:
    """A wrong value, by its kind.  Text is not repeated: it may be a key."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() > 128:  # Python does not even write out the longest of them
            return "a number of more than 38 digits"
        case int() | float():
            return f"{value}"
        case str():
            return "text" if value else "empty"
        case list():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"


def _wanted(info: inspect.Type) -> str:
    """A type in words."""
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}" if high is not None else f"a whole number, {low} or more"
        case inspect.FloatType(ge=None, le=high):
            return "a number above 0" + ("" if high is None else f", {high:g} at most")
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:.0f}" if high is not None else f"a number, {low:g} or more"
        case inspect.StrType():
            return "text"
        case inspect.LiteralType(values=[word]):
            return f'"{word}"'
        case inspect.LiteralType(values=words):
            return "one of " + ", ".join(f'"{word}"' for word in words)
        case inspect.UnionType(types=kinds):
            return ", or ".join(_wanted(kind) for kind in kinds if not isinstance(kind, inspect.NoneType))
        case inspect.Metadata(type=inner):
            return _wanted(inner)
    return "something else"
