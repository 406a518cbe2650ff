"""What a request wishes for in its headers, beside what its body asks: how urgent, how long, how dear, how talkative.

    x-hoosh-priority: low             critical | high | normal | low | background; never more than its key may have
    x-hoosh-timeout: 2.5              seconds for the whole request, above 0, at most an hour
    x-hoosh-max-price: 0.6            USD for a million tokens of reply; 0 leaves who costs nothing
    x-hoosh-attempts: detail          the answer tells each attempt in `x-hoosh-attempts-detail`

They are ours, so a value that we cannot read is a mistake, and is told.  Of a header given twice the first counts, as
everywhere in the house.  A request without any of them, which is nearly every one, gets `NO_WISHES` itself.

Pure.  Source: product section 4; reference section 4.7 (the five priorities).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from hoosh.errors import InvalidRequest
from hoosh.http.message import Headers
from hoosh.values import AttemptRecord, Caller
from hoosh.values.caller import PRIORITIES, Priority

__all__ = ["DETAIL_HEADER", "NO_WISHES", "Wishes", "attempts_header", "priority_for", "read_wishes"]

PRIORITY = b"x-hoosh-priority"
TIMEOUT = b"x-hoosh-timeout"
MAX_PRICE = b"x-hoosh-max-price"
ATTEMPTS = b"x-hoosh-attempts"
DETAIL_HEADER = b"x-hoosh-attempts-detail"

TIMEOUT_MAX_S = 3600
PRICE_MAX_USD = 1_000_000


class Wishes(Struct, frozen=True):
    """None: the request says nothing of it."""

    priority: Priority | None = None
    timeout_s: float | None = None
    max_price_usd: float | None = None
    """Of a million tokens of reply.  0 is a wish, too."""
    wants_attempts: bool = False


NO_WISHES = Wishes()

WATCHED = frozenset({PRIORITY, TIMEOUT, MAX_PRICE, ATTEMPTS})
BY_NAME: dict[bytes, Priority] = {name.encode(): name for name in PRIORITIES}

_DECIMAL = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")
"""Narrower than `float`, which takes `nan`, `1e3`, `1_0` and other writings that a client hardly means."""


def read_wishes(headers: Headers) -> Wishes:
    """Raises InvalidRequest, with the header's name in `param`."""
    for name, _ in headers.raw:
        if name in WATCHED:
            return _read(headers)
    return NO_WISHES


def _read(headers: Headers) -> Wishes:
    return Wishes(
        priority=_priority(headers.get(PRIORITY)),
        timeout_s=_timeout(headers.get(TIMEOUT)),
        max_price_usd=_max_price(headers.get(MAX_PRICE)),
        wants_attempts=_wants_attempts(headers.get(ATTEMPTS)),
    )


def _priority(value: bytes | None) -> Priority | None:
    if value is None:
        return None
    priority = BY_NAME.get(value.strip().lower())
    if priority is None:
        raise _mistake(PRIORITY, "must say one of " + ", ".join(f"`{name}`" for name in PRIORITIES))
    return priority


def _timeout(value: bytes | None) -> float | None:
    timeout_s = _number(value, most=TIMEOUT_MAX_S)
    if value is not None and not timeout_s:
        raise _mistake(TIMEOUT, f"must say a number of seconds above 0 and up to {TIMEOUT_MAX_S}, such as 2.5")
    return timeout_s


def _max_price(value: bytes | None) -> float | None:
    price_usd = _number(value, most=PRICE_MAX_USD)
    if value is not None and price_usd is None:
        raise _mistake(MAX_PRICE, "must say a number of USD for a million tokens of reply, such as 0.6")
    return price_usd


def _wants_attempts(value: bytes | None) -> bool:
    if value is not None and value.strip().lower() != b"detail":
        raise _mistake(ATTEMPTS, "must say `detail`, or not be sent")
    return value is not None


def _number(value: bytes | None, *, most: float) -> float | None:
    written = None if value is None else _DECIMAL.fullmatch(value.strip())
    number = None if written is None else float(written[0])
    return number if number is not None and number <= most else None


def _mistake(header: bytes, what: str) -> InvalidRequest:
    """The value is not repeated: it may be anything."""
    name = header.decode()
    return InvalidRequest(f"The header {name} {what}.", param=name, code="invalid_value")


def priority_for(caller: Caller, wish: Priority | None) -> Priority:
    """What the request asks for, but nothing better than what its key has; that, where it asks for nothing."""
    if wish is None or PRIORITIES.index(wish) < PRIORITIES.index(caller.priority):
        return caller.priority
    return wish


# -- telling the attempts ----------------------------------------------------------------------------------------

ATTEMPTS_SHOWN = 16
NAME_CHARS = 64
REASON_CHARS = 24
"""All of it together stays below 3 kB: nginx takes 4 or 8 kB for the whole head of an answer (proxy_buffer_size)."""

_PLAIN = bytes(sign if 0x21 <= sign <= 0x7E and sign not in b",;" else ord("?") for sign in range(256))
"""Visible ASCII without our own separators: no name of a model can add an attempt or a header to the list."""


def attempts_header(tried: Sequence[AttemptRecord]) -> bytes:
    """`openai/gpt-4o;503;0.210, azure/gpt-4o;ok`: who was asked, how it ended, the seconds of those that failed.

    Of too many the last ones.
    """
    return b", ".join([_told(attempt) for attempt in tried[-ATTEMPTS_SHOWN:]])


def _told(attempt: AttemptRecord) -> bytes:
    target = b"%b/%b" % (_plain(attempt.provider, NAME_CHARS), _plain(attempt.model, NAME_CHARS))
    if not attempt.reason:  # it is still running when the headers go out
        return target + b";ok"
    return b"%b;%b;%.3f" % (target, _plain(attempt.reason, REASON_CHARS), attempt.duration_s)


def _plain(text: str, most: int) -> bytes:
    return text[:most].encode("ascii", "replace").translate(_PLAIN)
