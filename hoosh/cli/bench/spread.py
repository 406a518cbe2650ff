"""Many durations in little memory: counted in buckets that are 1 % wide, so a percentile is true to 1 %.

    0.0123 s ──▶ bucket floor(log(x) / log(1.01)) ──▶ counted

The least, the greatest and the sum are exact.  Seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Bar", "Spread"]

WIDTH = 1.01
LEAST_S = 1e-7
"""What is shorter counts as this; no clock of ours sees it."""
_PER = 1.0 / math.log(WIDTH)


class Bar(Struct, frozen=True):
    """How many durations there are from the end of the bar before up to `until_s`."""

    until_s: float
    count: int


class Spread:
    """Durations, counted."""

    __slots__ = ("_buckets", "count", "greatest_s", "least_s", "sum_s")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.sum_s = 0.0
        self.least_s = math.inf
        self.greatest_s = 0.0

    def add(self, duration_s: float) -> None:
        bucket = math.floor(math.log(max(duration_s, LEAST_S)) * _PER)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.sum_s += duration_s
        self.least_s = min(self.least_s, duration_s)
        self.greatest_s = max(self.greatest_s, duration_s)

    def percentile(self, percent: float) -> float | None:
        """The least duration that `percent` of all do not exceed (nearest rank); None where there are none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        if rank >= self.count:
            return self.greatest_s
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(max(_middle_s(bucket), self.least_s), self.greatest_s)
        return self.greatest_s

    def bars(self, number: int) -> Sequence[Bar]:
        """A histogram of `number` bars, each as much wider than the one before as the others are."""
        if not self.count:
            return ()
        low, high = max(self.least_s, LEAST_S), max(self.greatest_s, LEAST_S)
        step = (high / low) ** (1 / number)
        if step <= WIDTH:  # they are all the same, as far as we can tell
            return (Bar(high, self.count),)
        counts = [0] * number
        for bucket, count in self._buckets.items():
            place = math.floor(math.log(_middle_s(bucket) / low) / math.log(step))
            counts[min(max(place, 0), number - 1)] += count
        return tuple(Bar(low * step ** (place + 1), count) for place, count in enumerate(counts))


def _middle_s(bucket: int) -> float:
    return math.exp((bucket + 0.5) / _PER)
