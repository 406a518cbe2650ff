"""Asking again: how long to wait before it, and how much of it all requests together may do.

`wait_for` decides about the same upstream.  None sends the request elsewhere, or ends it.

    verdict     it said when     somebody else is free     nobody else
    AGAIN       <= wait_out_s    wait until then           wait until then
    AGAIN       later            elsewhere                 end: the client hears when
    AGAIN       no; throttled    back off                  back off
    AGAIN       no; down         elsewhere                 back off
    ONCE_MORE   as above         once, nearly at once      the same, then back off

never more than `max_retries` times after the first, and never past the deadline.

The budget is a stock of attempts.  Each request adds `ratio`, each attempt beyond a request's first takes one: where
every request fails, what the upstreams get is 1 + ratio times what clients ask, and not 1 + max_attempts times.

    stock ──0────────reserve────────────most──     the same upstream again: while one is left
        ──overdraft──┘                             another upstream: also on credit, which requests pay back;
                                                   one that is well: always

One upstream that dies with a hundred streams on it is no storm: they go elsewhere, and the dead one gets nothing.

Pure; chance and the clock come in.  Source: AWS Architecture Blog, "Exponential Backoff and Jitter" (full jitter);
Finagle's RetryBudget (a part of the requests, and a few a second besides); RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

from random import Random

from hoosh.errors import UpstreamError
from hoosh.routing.judge import Verdict, is_throttled
from hoosh.routing.settings import Retry

__all__ = ["HedgeBudget", "RetryBudget", "backoff_s", "wait_for"]

SHORTLY_S = 0.02
"""At most, before what may do better at once: many connections that broke together do not come back together."""
LATE_PART = 0.1
"""How much later than asked to come back, at most: everybody was told the same time."""

RESERVE = 10
MOST = 10
"""Reserves that the stock holds at most: what a busy hour has saved must not feed a storm for long."""
OVERDRAFT = 10
"""Reserves of credit."""
PER_S = 0.1
"""What comes back without any request, where requests bring less: a request now and then can always be tried again."""


def backoff_s(retry: Retry, failures: int, chance: Random) -> float:
    """How long to wait after so many failures in a row, 1 or more."""
    # 2 ** 40 half seconds are longer than any limit; a larger exponent is no float one day.
    full_s = min(retry.base_delay_ms * 2.0 ** min(failures - 1, 40), retry.max_delay_ms) / 1000
    return full_s * (1.0 - retry.jitter_factor * chance.random())


def wait_for(
    retry: Retry,
    verdict: Verdict,
    error: UpstreamError,
    failures: int,
    chance: Random,
    *,
    another: bool,
    left_s: float,
) -> float | None:
    """Seconds until the same upstream is asked again, which has failed this request `failures` times; None: do not.

    `another` says that somebody else could be asked now, `left_s` how long the request still has.
    """
    if verdict not in (Verdict.AGAIN, Verdict.ONCE_MORE) or failures > retry.max_retries:
        return None
    asked_s = error.retry_after_s
    if asked_s is not None and asked_s > retry.wait_out_s:
        return None
    if verdict is Verdict.ONCE_MORE and another and failures > 1:
        return None
    if asked_s:
        wait_s = asked_s * (1.0 + LATE_PART * chance.random())
    elif verdict is Verdict.ONCE_MORE and failures == 1:
        wait_s = SHORTLY_S * chance.random()
    elif verdict is Verdict.AGAIN and another and not is_throttled(error):
        return None
    else:
        wait_s = backoff_s(retry, failures, chance)
    return wait_s if wait_s < left_s else None


class RetryBudget:
    """Attempts beyond the first, of all requests together.

    Of `n` requests in `t` seconds at most max(ratio * n, PER_S * t) are added in the long run, and no more than the
    reserves at once.
    """

    __slots__ = ("_at_s", "_earned", "_least", "_most", "_ratio", "_stock")

    def __init__(self, ratio: float, *, reserve: int = RESERVE) -> None:
        """With a `ratio` of 0 there is none: who wants no retries gets no reserve of them."""
        self._ratio = ratio
        reserve = reserve if ratio else 0
        self._stock = float(reserve)
        self._most = float(reserve * MOST)
        self._least = float(-reserve * OVERDRAFT)
        self._earned = 0.0
        """By requests, since `_at_s`."""
        self._at_s: float | None = None

    def request(self) -> None:
        """A request has begun."""
        self._earned += self._ratio

    def try_spend(self, now_s: float, *, elsewhere: bool = False, is_well: bool = False) -> bool:
        """May one more attempt be made?  If so it is counted.

        `elsewhere`: at another upstream than the last one.  If that `is_well` it is made in any case, except where
        there is no budget at all: one that dies under many requests must not take along those that somebody could
        answer.
        """
        self._settle(now_s)
        left = self._stock - 1.0
        if left < (self._least if elsewhere else 0.0):
            return is_well and self._ratio > 0
        self._stock = left
        return True

    def left(self, now_s: float) -> float:
        """Attempts in stock; below 0 on credit."""
        self._settle(now_s)
        return self._stock

    def _settle(self, now_s: float) -> None:
        """Requests or time, whichever has brought more: both together would be more than `ratio` in a busy house."""
        if self._at_s is None:
            self._at_s = now_s
        brought = max(self._earned, PER_S * (now_s - self._at_s) if self._ratio else 0.0)
        self._stock = min(self._stock + brought, self._most)
        self._earned, self._at_s = 0.0, max(now_s, self._at_s)


class HedgeBudget:
    """Of all requests, so many in a hundred may be asked twice at once.  The first may always be."""

    __slots__ = ("_ratio", "_requests", "_spent")

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._requests = 0
        self._spent = 0

    def request(self) -> None:
        self._requests += 1

    def try_spend(self) -> bool:
        if self._spent and self._spent + 1 > self._ratio * self._requests:
            return False
        self._spent += 1
        return True
