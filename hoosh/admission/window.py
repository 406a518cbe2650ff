"""How much has come in during the last minute: a sliding window in constant memory.

The exact way keeps a stamp for each request and drops those older than 60 seconds (reference section 4.6).  This one
adds them up second by second, in a ring:

    seconds   ... 39  40  41 ...                 ... 99  100        now = 100.3
    amounts        3   0   7                          2    1        used = the sum of all 61
                   ^ leaves at 40 + 61 = 101

A second's amounts may have come at its very end, so they leave one minute after that end.  Hence 61 buckets, not 60,
and two invariants (tests/admission compares both ways):

    never more is let in than `limit` in any 60 seconds;
    an amount is forgotten at most one second later than exactly.

Amounts are whole numbers; `now_s` is a monotonic clock of no negative times.  One that goes back is taken for one
that stands still.
"""

from __future__ import annotations

import sys

__all__ = ["BUCKETS", "NO_LIMIT", "Window"]

NO_LIMIT = sys.maxsize
MINUTE_S = 60
BUCKETS = MINUTE_S + 1


class Window:
    """Amounts of the last minute, and whether more fits in."""

    __slots__ = ("_amounts", "_second", "_used")

    def __init__(self) -> None:
        self._amounts = [0] * BUCKETS
        self._second = 0
        """The newest second; its bucket is `_second % BUCKETS`."""
        self._used = 0

    def used(self, now_s: float) -> int:
        """What counts now."""
        if now_s >= self._second + 1:
            self._forget(int(now_s))
        return self._used

    def take(self, amount: int, now_s: float, limit: int = NO_LIMIT) -> int | None:
        """Count `amount` if it fits below `limit`.  Returns the second it was counted in, for `correct`; else None."""
        if now_s >= self._second + 1:
            self._forget(int(now_s))
        used = self._used + amount
        if used > limit:
            return None
        self._used = used
        self._amounts[self._second % BUCKETS] += amount
        return self._second

    def correct(self, second: int, difference: int, now_s: float) -> None:
        """What was taken in `second` was `difference` more (or less).  Without effect once that second has left."""
        if now_s >= self._second + 1:
            self._forget(int(now_s))
        if self._second - second < BUCKETS:
            self._amounts[second % BUCKETS] += difference
            self._used += difference

    def wait_s(self, amount: int, limit: int, now_s: float) -> float | None:
        """Seconds until `amount` fits below `limit` if nothing else comes; 0.0: now; None: it never will."""
        if amount > limit:
            return None
        over = self.used(now_s) + amount - limit
        if over <= 0:
            return 0.0
        for second in range(self._second - MINUTE_S, self._second + 1):
            over -= self._amounts[second % BUCKETS]
            if over <= 0:
                return self._leaves_in_s(second, now_s)
        raise AssertionError("the buckets do not sum up to what is used")

    def standing(self, now_s: float) -> tuple[int, int]:
        """What counts now, and in how many whole seconds, rounded up, nothing of it does if nothing else comes."""
        if now_s >= self._second + 1:
            self._forget(int(now_s))
        amounts, newest, used = self._amounts, self._second, self._used
        if amounts[newest % BUCKETS]:  # nearly always
            return used, BUCKETS
        if not used:
            return 0, 0
        for ago in range(1, BUCKETS):
            if amounts[(newest - ago) % BUCKETS]:
                return used, BUCKETS - ago
        raise AssertionError("the buckets do not sum up to what is used")

    def _leaves_in_s(self, second: int, now_s: float) -> float:
        return second + BUCKETS - max(now_s, float(self._second))

    def _forget(self, second: int) -> None:
        """Move on to `second`: empty the buckets that it and those before it need."""
        amounts = self._amounts
        passed = second - self._second
        if passed >= BUCKETS:
            if self._used:
                self._amounts = [0] * BUCKETS
            self._used = 0
        else:
            for new in range(self._second + 1, second + 1):
                self._used -= amounts[new % BUCKETS]
                amounts[new % BUCKETS] = 0
        self._second = second
