"""What is held against one account, or one account and model: a breaker, a "not before", and why.

A chart is kept while it matters: it is clean again when the breaker is closed, nothing is to be waited for, and the
last bad sign is older than the window.  Somebody who fails more rarely than that needs no breaker: it would be
half-open again before the next attempt.  It is made at the first bad sign, so the window knows nothing from before.

`retry-after` is a "not before", whatever the breaker does, and believed up to an hour.  Who is asked too often and
does not say for how long (429 without it) gets three chances; then pauses that double, up to `open_s`, until it
answers.

Many streams share one connection: when it is cut, all of them fail in one moment.  That is one failure, not many.

Pure; `now_s` and `began_s` as in `breaker.py`.
"""

from __future__ import annotations

import random

from hoosh.errors import HooshError, UpstreamBroke
from hoosh.health.breaker import Breaker, BreakerState
from hoosh.health.diagnosis import Ailment
from hoosh.health.settings import Health

__all__ = ["RETRY_AFTER_MAX_S", "Chart"]

RETRY_AFTER_MAX_S = 3600.0
PAUSE_S = 0.5
"""The first pause after too many 429 that do not say how long."""
ONE_CUT_S = 0.05
"""Streams that are cut within so short a time were cut together."""

SLOW = frozenset({Ailment.BARRED, Ailment.DENIED, Ailment.SPENT})
"""Stays open for `denied_s`: people have to act before it is well."""
AT_ONCE = frozenset({Ailment.DENIED, Ailment.SPENT})
"""Opens without counting: asking again gives the same answer."""


class Chart:
    """One patient."""

    __slots__ = ("_cut_s", "_keep_until_s", "_limited", "_settings", "ailment", "breaker", "not_before_s", "told")

    def __init__(self, settings: Health, chance: random.Random) -> None:
        self._settings = settings
        self.breaker = Breaker(settings, chance)
        self.ailment = Ailment.NONE
        """The last one that counted: why the breaker is open, where it is."""
        self.not_before_s = float("-inf")
        self.told = BreakerState.CLOSED
        """What the world knows of the breaker."""
        self._limited = 0
        """429 in a row."""
        self._cut_s = float("-inf")
        """When a connection was cut last."""
        self._keep_until_s = float("-inf")

    def is_clean(self, now_s: float) -> bool:
        return self.breaker.is_closed and now_s >= self.not_before_s and now_s >= self._keep_until_s

    def wait_s(self, now_s: float) -> float:
        return max(self.breaker.wait_s(now_s), self.not_before_s - now_s, 0.0)

    def well(self, began_s: float, now_s: float) -> None:
        self._limited = 0
        self.breaker.well(began_s, now_s)

    def ill(self, ailment: Ailment, error: HooshError, began_s: float, now_s: float) -> None:
        settings = self._settings
        self._keep_until_s = now_s + max(settings.window_s, settings.open_s)
        self._defer(error, now_s)
        if ailment is Ailment.LIMITED:
            self._limit(error, now_s)
            self.breaker.left(began_s, now_s)
        elif self._is_same_cut(error, began_s, now_s):
            self.breaker.left(began_s, now_s)
        else:
            open_s = settings.denied_s if ailment in SLOW else None
            if self.breaker.ill(began_s, now_s, open_s=open_s, at_once=ailment in AT_ONCE):
                self.ailment = ailment

    def _defer(self, error: HooshError, now_s: float) -> None:
        wait_s = getattr(error, "retry_after_s", None)
        if wait_s is not None and wait_s > 0:
            self.not_before_s = max(self.not_before_s, now_s + min(wait_s, RETRY_AFTER_MAX_S))

    def _limit(self, error: HooshError, now_s: float) -> None:
        if getattr(error, "retry_after_s", None) is not None:
            return
        self._limited += 1
        beyond = self._limited - self._settings.failure_threshold
        if beyond >= 0:
            pause_s = min(PAUSE_S * 2.0 ** min(beyond, 30), self._settings.open_s)
            self.not_before_s = max(self.not_before_s, now_s + pause_s)

    def _is_same_cut(self, error: HooshError, began_s: float, now_s: float) -> bool:
        if not isinstance(error, UpstreamBroke):
            return False
        if began_s <= self._cut_s and now_s - self._cut_s < ONE_CUT_S:
            return True
        self._cut_s = now_s
        return False
