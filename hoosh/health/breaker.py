"""A circuit breaker: who fails is left alone for a while, then tried by one request before all come back.

               failure_threshold in a row,
               or failure_ratio of the window                      open_s has passed
    CLOSED ───────────────────────────────────▶ OPEN ◀────────────────────────────────▶ HALF_OPEN
       ▲                                              the trial fails: open_s again           │
       └──────────────────────────────────── a trial succeeds ────────────────────────────────┘

Half-open admits `half_open_probes` trials at once.  One that has not ended after `open_s` no longer keeps others out,
so an upstream that hangs, or a trial that nobody reports, cannot close the road for ever.

An attempt is known by when it *began*: one that began before the breaker opened says nothing of whether the upstream
has recovered, however it ends.  (A stream that had started well before the outage would close the breaker; requests
that hang since the outage would open it again after the recovery.)

Invariants: an opening lasts at most `open_s`, or the duration that was given; it is never doubled, so whoever asks
often enough is back within 15 s of a recovery.  Up to a tenth of it is left off by chance, so that not all who were
hurt by one outage come back at the same moment.

Pure.  `now_s` is a monotonic clock.  Contract: S15 of faults.md.
"""

from __future__ import annotations

import random
from enum import StrEnum

from hoosh.health.settings import Health
from hoosh.health.window import OutcomeWindow

__all__ = ["Breaker", "BreakerState"]

SPREAD = 0.1
TRIAL_TAKES_S = 1.0
"""For whom no trial is free: when to come again."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One breaker.  After each `begin` exactly one of `well`, `ill`, `left` is called, with its time as `began_s`."""

    __slots__ = ("_chance", "_closed_s", "_settings", "_trials", "_until_s", "_window", "in_a_row")

    def __init__(self, settings: Health, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        self._window = OutcomeWindow(settings.window_s)
        self.in_a_row = 0
        """Failures since the last success."""
        self._until_s: float | None = None
        """The end of the opening; half-open from then on.  None: closed."""
        self._closed_s = float("-inf")
        """When it was last closed again."""
        self._trials: list[float] = []
        """When those of this half-open phase began that have not ended."""

    def state(self, now_s: float) -> BreakerState:
        if self._until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._until_s else BreakerState.HALF_OPEN

    @property
    def is_closed(self) -> bool:
        return self._until_s is None

    def wait_s(self, now_s: float) -> float:
        """0.0: an attempt may begin; else in how many seconds it is worth asking again."""
        if self._until_s is None:
            return 0.0
        if now_s < self._until_s:
            return self._until_s - now_s
        if len(self._trials) < self._settings.half_open_probes:
            return 0.0
        expires_s = self._trials[0] + self._settings.open_s
        return min(expires_s - now_s, TRIAL_TAKES_S) if expires_s > now_s else 0.0

    def begin(self, now_s: float) -> None:
        """An attempt begins: a trial where half-open.  Also an attempt that was not to be (`wait_s` > 0) may."""
        if self._until_s is None or now_s < self._until_s:
            return
        trials = self._trials
        if len(trials) >= self._settings.half_open_probes:
            trials.pop(0)  # the oldest has had its time, or somebody asks whatever we say
        trials.append(now_s)

    def well(self, began_s: float, now_s: float) -> None:
        """An attempt has succeeded."""
        if self._until_s is None:
            self.in_a_row = 0
            self._window.add(now_s, is_failure=False)
        elif began_s >= self._until_s:
            self._shut(now_s)
            self._window.add(now_s, is_failure=False)

    def ill(self, began_s: float, now_s: float, *, open_s: float | None = None, at_once: bool = False) -> bool:
        """An attempt has failed.  `open_s` is another duration than usual; `at_once` opens without counting.

        Returns whether it says anything: it began late enough.
        """
        if began_s < (self._closed_s if self._until_s is None else self._until_s):
            return False
        if self._is_too_much(now_s) or at_once or self._until_s is not None:
            self._open(now_s, open_s)
        return True

    def left(self, began_s: float, now_s: float) -> None:
        """An attempt has ended and says nothing: its trial is free again."""
        if began_s in self._trials:
            self._trials.remove(began_s)

    def close(self, now_s: float) -> None:
        """All is well again, and what was before is forgotten."""
        self._shut(now_s)
        self._window.clear()

    def _shut(self, now_s: float) -> None:
        """One trial has succeeded.  The window stays: who fails every other time opens again with the next failure."""
        self._until_s = None
        self._closed_s = now_s
        self.in_a_row = 0
        self._trials.clear()

    def _is_too_much(self, now_s: float) -> bool:
        """Count a failure: is it one too many?"""
        settings, window = self._settings, self._window
        self.in_a_row += 1
        window.add(now_s, is_failure=True)
        if self.in_a_row >= settings.failure_threshold:
            return True
        seen = window.successes + window.failures
        return seen >= settings.min_requests and window.failures >= settings.failure_ratio * seen

    def _open(self, now_s: float, open_s: float | None) -> None:
        duration_s = self._settings.open_s if open_s is None else open_s
        self._until_s = now_s + duration_s * (1 - SPREAD * self._chance.random())
        self._trials.clear()
