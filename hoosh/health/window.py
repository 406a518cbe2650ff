"""How an upstream's latest attempts have ended: a sliding window in constant memory.

    bucket    [ 2 | 0 | 1 | 0 | 4 | … ]     a tenth of the window each, in a ring
    counts    the sums of successes and of failures

A bucket leaves as a whole, so an outcome counts for the window's length at most and for nine tenths of it at least.
Counted, not averaged: a moving average weighs outcomes by the time between them, so a burst of failures hides in it.

`now_s` is a monotonic clock; one that goes back is taken for one that stands still.
"""

from __future__ import annotations

__all__ = ["BUCKETS", "OutcomeWindow"]

BUCKETS = 10


class OutcomeWindow:
    """Successes and failures of the last `window_s`."""

    __slots__ = ("_bucket_s", "_failures", "_newest", "_successes", "failures", "successes")

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / BUCKETS
        self._newest = 0
        self.clear()

    def clear(self) -> None:
        """Nothing has been seen."""
        self._successes = [0] * BUCKETS
        self._failures = [0] * BUCKETS
        self.successes = self.failures = 0

    def add(self, now_s: float, *, is_failure: bool) -> None:
        """Count one outcome.  Afterwards `successes` and `failures` are those of the window."""
        self.move_to(now_s)
        place = self._newest % BUCKETS
        if is_failure:
            self._failures[place] += 1
            self.failures += 1
        else:
            self._successes[place] += 1
            self.successes += 1

    def move_to(self, now_s: float) -> None:
        """Forget what is too old at `now_s`."""
        newest = int(now_s / self._bucket_s)
        passed = newest - self._newest
        if passed <= 0:
            return
        if passed >= BUCKETS:
            self.clear()
        else:
            for bucket in range(self._newest + 1, newest + 1):
                self._empty(bucket % BUCKETS)
        self._newest = newest

    def _empty(self, place: int) -> None:
        self.successes -= self._successes[place]
        self.failures -= self._failures[place]
        self._successes[place] = self._failures[place] = 0
