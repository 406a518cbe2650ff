"""What an answer has cost, told in its usage object: `"cost_usd": 0.000123`.

    translated     cost_fields(stamp, usage) ──▶ one field more in the object that an encoder writes
    passed on      tell_cost(document, …)    ──▶ the upstream's own bytes, with that field as the object's first
    cached         without_cost(answer)      ──▶ the same answer at no cost

The number is the exact decimal of whole micro-USD.  A `cost_usd` of the upstream's own gives way to ours, its `cost`
(OpenRouter) stays.  Usage is looked for where the language has it and nowhere else: a tool's `input` in Anthropic's
language is JSON as well, and may have a field of that name.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import JSON_SPACE, UNREADABLE
from hoosh.values import Usage

__all__ = ["cost_fields", "cost_of", "dollars", "tell_cost", "without_cost"]

MICRO = 1_000_000
KEY = b'"cost_usd":'
"""As we write it.  Inside a JSON string its quotes would be escaped: these bytes are in none."""
ABSENT = Raw()


class Usages(Struct, frozen=True, gc=False):
    usage: Raw = ABSENT


class Nested(Struct, gc=False):
    response: Usages = Usages()


_decode_usage = msgspec.json.Decoder(Usages).decode
_decode_nested = msgspec.json.Decoder(Nested).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode


def dollars(micro_usd: int) -> bytes:
    """A JSON number."""
    return b"%d.%06d" % divmod(micro_usd, MICRO) if micro_usd else b"0"


def cost_of(stamp: Stamp, usage: Usage | None) -> int | None:
    """Micro-USD; None where nothing is to be told."""
    return None if usage is None or stamp.cost_of is None else stamp.cost_of(usage)


def cost_fields(stamp: Stamp, usage: Usage | None) -> dict[str, Any]:
    """What a usage object of our own says besides the counts."""
    cost = cost_of(stamp, usage)
    return {} if cost is None else {"cost_usd": Raw(dollars(cost))}


def tell_cost(document: bytes, micro_usd: int, *, nested: bool = False) -> bytes:
    """A JSON object, whose `usage` has counted something, with what it cost; as it is where there is no such object.
    `nested`: the usage is that of its `response`."""
    key = document.rfind(b'"usage":')
    at = document.find(b"{", key) + 1
    rest = document[at:]
    # Nearly every answer has it near its end, and nothing behind it but words: no array that it could be in ends there,
    # and of objects two or three, itself among them.  Then it is the right one.  (`in` takes twice as long as `find`.)
    if (
        key >= 0
        and at - key < 11
        and rest.count(b"}") - rest.count(b"{") == (3 if nested else 2)
        and rest.find(b"]") < 0
        and rest.find(b'"cost_usd"') < 0
    ):
        return document[:at] + KEY + dollars(micro_usd) + b"," + rest
    return _with_cost(document, micro_usd, nested=nested)


def _with_cost(document: bytes, micro_usd: int, *, nested: bool, if_told: bool = False) -> bytes:
    """Wherever the usage is, and whatever it says of its cost.  `if_told`: only where it says something."""
    try:
        usage = bytes((_decode_nested(document).response if nested else _decode_usage(document)).usage)
        if not usage.startswith(b"{") or (if_told and b'"cost_usd"' not in usage):
            return document
        fields = _decode_fields(usage)
        fields["cost_usd"] = Raw(dollars(micro_usd))
        return _with_usage(document, usage, _encode(fields), nested=nested)
    except UNREADABLE:
        return document


def _with_usage(document: bytes, usage: bytes, other: bytes, *, nested: bool) -> bytes:
    """`document` with `other` in place of its `usage`."""
    at = document.rfind(usage)
    if document.rfind(usage, 0, at) < 0:  # it is there once, so that is it
        return b"".join((document[:at], other, document[at + len(usage) :]))
    fields = _decode_fields(document)
    if nested:
        inner = _decode_fields(fields["response"])
        inner["usage"] = Raw(other)
        fields["response"] = Raw(_encode(inner))
    else:
        fields["usage"] = Raw(other)
    return _encode(fields)


def without_cost(answer: bytes, *, nested: bool = False) -> bytes:
    """An answer, whole or streamed, that says 0 where it said what it cost.  `nested`: a stream's last event has its
    usage in its `response`."""
    if KEY not in answer:
        return answer
    if answer.lstrip(JSON_SPACE).startswith(b"{"):
        return _with_cost(answer, 0, nested=False, if_told=True)
    return b"\n".join([_free(line, nested=nested) for line in answer.split(b"\n")])


def _free(line: bytes, *, nested: bool) -> bytes:
    """A line of a stream.  What we have priced is in one: nobody sends data over several."""
    if KEY not in line or not line.startswith(b"data:"):
        return line
    return b"data:" + _with_cost(line[5:], 0, nested=nested, if_told=True)
