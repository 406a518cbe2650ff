"""How busy each upstream is, and how soon it begins to answer.

Of each target, an account and a model, two averages of the time to the first content are kept:

    expected_s   what a request may expect: an average that smooths, for `lowest_latency`
    pressure     what one request more would suffer: an average that jumps up at once and comes down slowly, times
                 those in flight, for `least_loaded`

    0.8 │     ╭╮              peak: a stall is believed at once, that it is over only bit by bit
        │     │╰──╮
    0.2 │─────╯    ╰────      after 10 s of good answers a third of the stall is left

Both fade while nobody is asking there, so that an upstream that was slow is tried again.  They stand while somebody is:
one request finds out, not all of them.  An upstream that has never been tried is tried first, by one at a time while
there are others.  A failure counts as a slow answer, however fast it came.

Pure; `now_s` is a monotonic clock.  Source: reference section 4.3 (an average of seven parts old and three parts new);
Finagle's peak-EWMA balancer (docs: "Load Balancing", Power of Two Choices: Peak EWMA).
"""

from __future__ import annotations

import math
from collections import deque

from msgspec import Struct

from hoosh.values import Target

__all__ = ["Load", "LoadStatistics", "Loads"]

NEW_PART = 0.3
"""Of a new time in the average."""
FADE_S = 30.0
"""Idle for so long, an upstream is expected to be 2.7 times as fast as it was.  Twenty times slower than the others, it
is tried again after a minute and a half."""
PEAK_DECAY_S = 10.0
"""Good answers for so long leave a third of a peak."""
FAILURE_S = 5.0
"""What a failure counts as, at least: slow beside any healthy upstream."""
FAILURE_MAX_S = 60.0
UNKNOWN_S = 1e6
"""Of an upstream that nobody knows and somebody is finding out about: behind all that are known."""

TARGETS_KEPT = 4096
MODELS_KEPT = 1024
TIMES_KEPT = 200
"""Of each model.  The 95th percentile stands on the ten slowest."""
TIMES_NEEDED = 20
LOOK_EVERY = 10
"""New times before the percentile is worked out anew."""


class LoadStatistics(Struct, frozen=True):
    provider: str
    model: str
    in_flight: int
    first_content_s: float | None
    """On average; None: never seen."""


class Times:
    """The latest times to the first content of one model."""

    __slots__ = ("_kept", "_new", "_p95_s")

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=TIMES_KEPT)
        self._new = 0
        self._p95_s: float | None = None

    def add(self, seconds: float) -> None:
        self._kept.append(seconds)
        self._new += 1

    def p95_s(self) -> float | None:
        """None while too few are known."""
        if self._p95_s is None or self._new >= LOOK_EVERY:
            count = len(self._kept)
            if count < TIMES_NEEDED:
                return None
            self._p95_s = sorted(self._kept)[math.ceil(count * 0.95) - 1]
            self._new = 0
        return self._p95_s


class Load:
    """Of one target.  Each `begin` is followed by one `end`."""

    __slots__ = ("_average_s", "_peak_s", "_seen_at", "_times", "in_flight")

    def __init__(self, times: Times | None = None) -> None:
        self.in_flight = 0
        self._average_s: float | None = None
        self._peak_s = 0.0
        self._seen_at = 0.0
        self._times = times

    def begin(self) -> None:
        self.in_flight += 1

    def end(self, now_s: float, content_after_s: float | None, *, failed: bool) -> None:
        """A request there is over.  Its first content came after `content_after_s`; None: it never came.

        Of one that lost a race, the time it was given says something, too: it would have taken at least as long.
        """
        self.in_flight = max(0, self.in_flight - 1)  # it may have begun before anybody counted
        if failed:
            worse_s = 2 * (self._average_s or 0.0)
            self._note(now_s, min(max(FAILURE_S, worse_s, content_after_s or 0.0), FAILURE_MAX_S))
        elif content_after_s is not None:
            self._note(now_s, content_after_s)
            if self._times is not None:
                self._times.add(content_after_s)

    def expected_s(self, now_s: float) -> float:
        """The time to the first content that a request has to expect here."""
        if self._average_s is None:
            return UNKNOWN_S + self.in_flight if self.in_flight else 0.0
        return self._average_s * self._fading(now_s)

    def pressure(self, now_s: float) -> float:
        """The lower, the better is it to ask here now."""
        if self._average_s is None:
            return UNKNOWN_S + self.in_flight if self.in_flight else 0.0
        return self._peak_s * self._fading(now_s) * (self.in_flight + 1)

    @property
    def average_s(self) -> float | None:
        return self._average_s

    def _fading(self, now_s: float) -> float:
        return 1.0 if self.in_flight else _left(now_s - self._seen_at, FADE_S)

    def _note(self, now_s: float, seconds: float) -> None:
        old_s = self._average_s
        self._average_s = seconds if old_s is None else old_s + NEW_PART * (seconds - old_s)
        if seconds >= self._peak_s:
            self._peak_s = seconds
        else:
            kept = _left(now_s - self._seen_at, PEAK_DECAY_S)
            self._peak_s = self._peak_s * kept + seconds * (1.0 - kept)
        self._seen_at = now_s


def _left(age_s: float, decay_s: float) -> float:
    """Of what was seen so long ago."""
    return math.exp(-age_s / decay_s) if age_s > 0 else 1.0


class Loads:
    """Of every target that has been asked lately."""

    __slots__ = ("_by_target", "_times")

    def __init__(self) -> None:
        self._by_target: dict[Target, Load] = {}
        self._times: dict[str, Times] = {}

    def of(self, target: Target) -> Load:
        """The one Load of this target."""
        load = self._by_target.get(target)
        if load is None:
            if len(self._by_target) >= TARGETS_KEPT:
                self._drop_one()
            load = self._by_target[target] = Load(self._times_of(target.model))
        return load

    def p95_s(self, model: str) -> float | None:
        """So soon came the first content of 95 in 100 requests for `model`, by its upstreams' name, wherever asked.

        None while too few are known.
        """
        times = self._times.get(model)
        return None if times is None else times.p95_s()

    def statistics(self) -> tuple[LoadStatistics, ...]:
        return tuple(
            LoadStatistics(target.provider, target.model, load.in_flight, load.average_s)
            for target, load in self._by_target.items()
        )

    def _times_of(self, model: str) -> Times:
        times = self._times.get(model)
        if times is None:
            if len(self._times) >= MODELS_KEPT:
                del self._times[next(iter(self._times))]
            times = self._times[model] = Times()
        return times

    def _drop_one(self) -> None:
        """The oldest that nobody is asking.  The busy ones go to the end: they are not looked at again soon."""
        for _ in range(len(self._by_target)):
            target = next(iter(self._by_target))
            load = self._by_target.pop(target)
            if not load.in_flight:
                return
            self._by_target[target] = load
