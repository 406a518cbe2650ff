"""The limits of one scope, and how near it is to each.

    requests   a window of 60 seconds, one for each
    tokens     a window of 60 seconds, by estimates that are corrected once the truth is known
    running    those that are in now

`refuses` is asked on every request and only compares; `refusals` say what it is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from hoosh.admission.refusal import Scope, refusal
from hoosh.admission.settings import Rates
from hoosh.admission.window import Window
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

    def refuses(self, tokens: int, now_s: float) -> bool:
        """Would one more request, of so many tokens, pass a limit?"""
        return (
            (self.max_concurrent is not None and self.running >= self.max_concurrent)
            or (self.rpm is not None and self.requests.used(now_s) >= self.rpm)
            or (self.tpm is not None and self.tokens.used(now_s) + tokens > self.tpm)
        )

    def take(self, tokens: int, now_s: float) -> int:
        """Let it in.  Returns the second its tokens were counted in."""
        self.running += 1
        self.requests.take(1, now_s)
        return self.tokens.take(tokens, now_s)

    def leave(self, second: int, difference: int, now_s: float) -> None:
        """It is over; its tokens were `difference` more than it was let in with."""
        self.running -= 1
        if difference:
            self.tokens.correct(second, difference, now_s)

    def undo(self, second: int, tokens: int, now_s: float) -> None:
        """It was let in, in that second, and has not come: somebody else has refused it."""
        self.requests.correct(second, -1, now_s)
        self.leave(second, -tokens, now_s)

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
