"""Load shedding: a gateway whose event loop is behind turns away what matters least.

    lag above      limit             2 · limit     4 · limit
    turned away    background, low   normal, too   high, too         critical: never

A step once taken is kept until the lag has fallen to half of what led to it, so that a lag about the limit does not
let every second request in.  The lag is that of `observe/lag.py`, which measures it ten times a second: the answer does
not change between two measurements.
"""

from __future__ import annotations

import math

from hoosh.values import PRIORITIES, Priority

__all__ = ["Shedder"]

STEPS = (1, 2, 4)
"""Times the limit."""
KEPT = 0.5
"""The part of a step's lag below which it is taken back."""
TURNED_AWAY: tuple[tuple[Priority, ...], ...] = ((), PRIORITIES[3:], PRIORITIES[2:], PRIORITIES[1:])
"""After so many steps."""


class Shedder:
    """Remembers how far it has gone.  With None it refuses nobody."""

    __slots__ = ("_calm_s", "_level", "_limit_s")

    def __init__(self, max_lag_ms: int | None) -> None:
        self._level = 0
        self.configure(max_lag_ms)

    def configure(self, max_lag_ms: int | None) -> None:
        """From now on this is the limit."""
        self._limit_s = math.inf if max_lag_ms is None else max_lag_ms / 1000
        self._calm_s = -1.0 if self._level else self._limit_s

    def turned_away(self, lag_s: float) -> tuple[Priority, ...]:
        """The classes whose requests would be refused now."""
        self.refuses("critical", lag_s)
        return TURNED_AWAY[self._level]

    def refuses(self, priority: Priority, lag_s: float) -> bool:
        """Is a request of this class to be turned away now?"""
        if lag_s <= self._calm_s:  # nearly always: up to there is nothing to decide
            return False
        self._level = self._level_at(lag_s)
        self._calm_s = -1.0 if self._level else self._limit_s
        return priority in TURNED_AWAY[self._level]

    def _level_at(self, lag_s: float) -> int:
        """How many steps there are to take at this lag, after those that have been taken."""
        limits_s = [step * self._limit_s for step in STEPS]
        return sum(
            lag_s > (limit_s * KEPT if number < self._level else limit_s) for number, limit_s in enumerate(limits_s)
        )
