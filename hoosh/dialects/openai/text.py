"""JSON for clients out of whatever text a model has come up with.

msgspec refuses half of a surrogate pair, which an upstream's broken JSON can hold; it becomes U+FFFD, so that one bad
sign does not cost the answer.
"""

from __future__ import annotations

import json

import msgspec

__all__ = ["encode_safely", "quote"]

_encode = msgspec.json.Encoder().encode


def quote(text: str) -> bytes:
    """`text` as a JSON string."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(_whole(text))


def encode_safely(value: object) -> bytes:
    """`value`, made of what JSON knows, as JSON."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _whole(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
