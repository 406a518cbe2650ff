"""The limits of one scope, and how near it is to each.

    requests   a window of 60 seconds, one for each
    tokens     a window of 60 seconds, by estimates that are corrected once the truth is known
    running    those that are in now

`admit` is asked on every request and only compares and counts; `refusals` say why it has said no.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from hoosh.admission.refusal import Scope, refusal
from hoosh.admission.settings import Rates
from hoosh.admission.window import NO_LIMIT, Window
from hoosh.errors import RateLimited

__all__ = ["SLOT_WAIT_S", "Meter", "longest", "sooner"]

SLOT_WAIT_S = 1.0
"""Nobody knows when one of those inside will leave."""


class Meter:
    """One scope's state.  It outlives a change of its limits: so both windows count, also where nothing limits them."""

    __slots__ = ("max_concurrent", "refused", "requests", "rpm", "running", "scope", "tokens", "tpm")

    def __init__(self, scope: Scope, rates: Rates) -> None:
        self.scope = scope
        self.running = 0
        self.refused = 0
        self.requests = Window()
        self.tokens = Window()
        self.limit(rates)

    def limit(self, rates: Rates) -> None:
        self.rpm, self.tpm, self.max_concurrent = rates.rpm, rates.tpm, rates.max_concurrent

    def admit(self, tokens: int, now_s: float) -> int | None:
        """Let one more request in, of so many tokens.  Returns the second it counts in.

        None where a limit is in the way, and then nothing has changed.
        """
        running = self.running
        if self.max_concurrent is not None and running >= self.max_concurrent:
            return None
        second = self.requests.take(1, now_s, NO_LIMIT if self.rpm is None else self.rpm)
        if second is None:
            return None
        if self.tokens.take(tokens, now_s, NO_LIMIT if self.tpm is None else self.tpm) is None:
            self.requests.correct(second, -1, now_s)
            return None
        self.running = running + 1
        return second

    def refusals(self, tokens: int, now_s: float) -> list[RateLimited]:
        """One for each limit that keeps it out."""
        found = []
        if self.max_concurrent is not None and self.running >= self.max_concurrent:
            found.append(refusal(self.scope, "concurrent", self.max_concurrent, self.running, 1, SLOT_WAIT_S))
        windows = (("requests", self.requests, self.rpm, 1), ("tokens", self.tokens, self.tpm, tokens))
        for what, window, limit, asked in windows:
            if limit is None:
                continue
            wait_s = window.wait_s(asked, limit, now_s)
            if wait_s is None or wait_s > 0:
                found.append(refusal(self.scope, what, limit, window.used(now_s), asked, wait_s))
        return found


def longest(refusals: Iterable[RateLimited]) -> RateLimited | None:
    """The one to tell: who waits as long as it says need not wait again for another."""
    return max(refusals, key=_wait_of, default=None)


def sooner(one: RateLimited, other: RateLimited) -> RateLimited:
    """The one to tell where either would do."""
    return min(one, other, key=_wait_of)


def _wait_of(error: RateLimited) -> float:
    return math.inf if error.retry_after_s is None else error.retry_after_s
