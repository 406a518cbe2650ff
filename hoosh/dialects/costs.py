"""What an answer has cost, told in its usage object: `"cost_usd": 0.000123`.

    translated     cost_fields(stamp, usage) ──▶ one field more in the object that an encoder writes
    passed on      tell_cost(document, …)    ──▶ the upstream's own bytes, with that field before the object's brace
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

__all__ = ["cost_fields", "cost_of", "dollars", "splice", "tell_cost", "without_cost"]

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
    whole, rest = divmod(micro_usd, MICRO)
    return (b"%d.%06d" % (whole, rest)).rstrip(b"0") if rest else b"%d" % whole


def cost_of(stamp: Stamp, usage: Usage | None) -> int | None:
    """Micro-USD; None where nothing is to be told."""
    return None if usage is None or stamp.cost_of is None else stamp.cost_of(usage)


def cost_fields(stamp: Stamp, usage: Usage | None) -> dict[str, Any]:
    """What a usage object of our own says besides the counts."""
    cost = cost_of(stamp, usage)
    return {} if cost is None else {"cost_usd": Raw(dollars(cost))}


def tell_cost(document: bytes, micro_usd: int, *, nested: bool = False) -> bytes:
    """A JSON object whose `usage` says what it cost; as it is where it has no such object.  `nested`: the usage is that
    of its `response`."""
    raw = _usage_in(document, nested=nested)
    return document if raw is None else splice(document, raw, micro_usd, nested=nested)


def splice(document: bytes, usage: bytes, micro_usd: int, *, nested: bool = False) -> bytes:
    """`document` with the cost in the usage object, whose bytes are `usage`."""
    priced = _priced(usage, micro_usd)
    at = document.rfind(usage)
    if document.rfind(usage, 0, at) < 0:  # it is there once, so that is it
        return document[:at] + priced + document[at + len(usage) :]
    fields = _decode_fields(document)
    if nested:
        inner = _decode_fields(fields["response"])
        inner["usage"] = Raw(priced)
        fields["response"] = Raw(_encode(inner))
    else:
        fields["usage"] = Raw(priced)
    return _encode(fields)


def _usage_in(document: bytes, *, nested: bool) -> bytes | None:
    try:
        raw = _decode_nested(document).response.usage if nested else _decode_usage(document).usage
    except UNREADABLE:
        return None
    usage = bytes(raw)
    return usage if usage.startswith(b"{") else None


def _priced(usage: bytes, micro_usd: int) -> bytes:
    """A usage object with our field as its last."""
    if usage.find(b'"cost_usd"') >= 0:
        fields = _decode_fields(usage)
        fields["cost_usd"] = Raw(dollars(micro_usd))
        return _encode(fields)
    said = usage[:-1].rstrip(JSON_SPACE)
    return said + (KEY if said == b"{" else b"," + KEY) + dollars(micro_usd) + b"}"


def without_cost(answer: bytes, *, nested: bool = False) -> bytes:
    """An answer, whole or streamed, that says 0 where it said what it cost."""
    if KEY not in answer:
        return answer
    if answer.lstrip(JSON_SPACE).startswith(b"{"):
        return _free(answer, nested=False)  # a whole response has its usage at the top
    return b"\n".join([_free_line(line, nested=nested) for line in answer.split(b"\n")])


def _free_line(line: bytes, *, nested: bool) -> bytes:
    """Of a stream.  What we have priced is in one line: nobody sends data over several."""
    field, colon, data = line.partition(b":")
    return b"".join((field, colon, _free(data, nested=nested))) if field == b"data" and KEY in data else line


def _free(document: bytes, *, nested: bool) -> bytes:
    usage = _usage_in(document, nested=nested)
    if usage is None or b'"cost_usd"' not in usage:
        return document
    return splice(document, usage, 0, nested=nested)
