"""JSON that an upstream wrote badly, and JSON that a client must get well whatever is in it.

    read_loosely              bytes that msgspec has refused, as Python's own reader takes them
    encode_safely, quote      JSON for clients: half of a surrogate pair, which msgspec refuses, becomes U+FFFD
    read_count                a number of tokens, or 0 for what cannot be one

Broken JSON of an upstream can hold such halves, NaN, counts that are text: one bad sign must not cost the answer.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Raw

__all__ = ["JSON_SPACE", "TOKENS_MAX", "UNREADABLE", "encode_safely", "mended", "mended_text", "quote", "read_count"]
__all__ += ["read_loosely"]

UNREADABLE = (ValueError, RecursionError)
"""What reading raises: msgspec's errors and UnicodeError are ValueErrors; deep nesting is a RecursionError."""

JSON_SPACE = b" \t\r\n"
"""White space to JSON: `strip` alone takes \\v and \\f too, which would stay in what a tap passes on."""

TOKENS_MAX = 2**53
"""A count above this is not a count."""

_encode = msgspec.json.Encoder().encode


def read_loosely(data: bytes) -> object:
    """JSON as Python's own reader takes it: lone surrogates and NaN pass.  Text where it is not JSON at all."""
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except UNREADABLE:
        return text


def read_count(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= TOKENS_MAX else 0


def quote(text: str) -> bytes:
    """`text` as a JSON string."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(mended_text(text))


def encode_safely(value: object) -> bytes:
    """`value` as JSON."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(mended(msgspec.to_builtins(value, builtin_types=(Raw,))))


def mended_text(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mended(value: Any) -> Any:
    """`value`, of what JSON is made of, with U+FFFD for each half of a surrogate pair in its texts."""
    if isinstance(value, str):
        return mended_text(value)
    if isinstance(value, dict):
        return {mended(name): mended(inner) for name, inner in value.items()}
    return [mended(inner) for inner in value] if isinstance(value, list) else value
