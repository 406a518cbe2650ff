"""What an entry of a table or a counter is, and how long it lives.  Pure; every backend decides with these.

    put, ttl 60 s ──▶ alive until now + 60 s ──▶ as if it had never been there

A counter's time begins with the first take and is not renewed by later ones; at 0 without a time to live it is the
same as none.  Times are Unix seconds.  When the clock goes back, entries live longer, and what was dead but has not
been thrown out yet is there again.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hoosh.errors import StorageError

__all__ = [
    "MAX_COUNT",
    "Count",
    "Sweeps",
    "after_prefix",
    "check_key",
    "check_name",
    "expiry",
    "given",
    "is_alive",
    "taken",
]

MAX_COUNT = 2**63 - 1
"""No counter passes it: what a database keeps in one column."""

_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_LAST_CHARACTER = "\U0010ffff"
_SWEEP_EVERY_S = 60.0


def check_name(name: str) -> str:
    """`name`, if a log, table or counter may be called so.  Raises ValueError: names are ours, not a client's."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name for a log, table or counter")
    return name


def check_key(key: str) -> str:
    """`key`, if it is text that can be stored.  Raises StorageError."""
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            raise StorageError("A key with half of a surrogate pair cannot be stored.") from None
    return key


def expiry(ttl_s: float | None, now_s: float) -> float | None:
    """When something put now will be gone; None is never."""
    if ttl_s is None:
        return None
    if not ttl_s >= 0:  # also what is no number
        raise ValueError(f"a time to live of {ttl_s} s")
    return now_s + ttl_s


def is_alive(expires_s: float | None, now_s: float) -> bool:
    return expires_s is None or now_s < expires_s


def after_prefix(prefix: str) -> str | None:
    """The first text that lies behind all that begin with `prefix`; None where there is none."""
    stem = prefix.rstrip(_LAST_CHARACTER)
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # no characters: halves of pairs
        following = 0xE000
    return stem[:-1] + chr(following)


class Count(Struct, frozen=True):
    """A counter's value."""

    value: int
    expires_s: float | None = None


def taken(count: Count | None, amount: int, ceiling: int, expires_s: float | None, *, now_s: float) -> Count | None:
    """After a take.  None: it would pass the ceiling.  `expires_s` holds where this is the first take."""
    if count is None or not is_alive(count.expires_s, now_s):
        count = Count(0, expires_s)
    value = count.value + _checked(amount)
    return Count(value, count.expires_s) if value <= min(ceiling, MAX_COUNT) else None


def given(count: Count | None, amount: int, *, now_s: float) -> Count | None:
    """After giving back.  None: there is nothing to remember."""
    _checked(amount)
    if count is None or not is_alive(count.expires_s, now_s):
        return None
    value = max(0, count.value - amount)
    return None if value == 0 and count.expires_s is None else Count(value, count.expires_s)


def _checked(amount: int) -> int:
    if amount < 0:
        raise ValueError(f"{amount} is less than nothing")
    return amount


class Sweeps:
    """When to throw out what is dead: once a minute of the store's own clock, wherever that jumps."""

    __slots__ = ("_next_s",)

    def __init__(self) -> None:
        self._next_s = 0.0

    def is_due(self, now_s: float) -> bool:
        if self._next_s - _SWEEP_EVERY_S <= now_s < self._next_s:
            return False
        self._next_s = now_s + _SWEEP_EVERY_S
        return True
