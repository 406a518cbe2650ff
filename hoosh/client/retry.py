"""May it be asked again, and when?  Pure: the clock and chance come in.

    what happened                                     reading   asking   changing
    no connection: nothing was sent                      ✓         ✓         ✓
    429                                                  ✓         ✓         ✓
    408, 502, 503, 504                                   ✓         ✓         –
    the connection broke, or fell silent                 ✓         –         –
    everything else, `x-should-retry: false`             –         –         –

A stream of which one event has come is never asked for again, nor is what can be sent only once (`once`).  The wait is
the gateway's `retry-after`, else it doubles from `base_s`, the upper half of it by chance, so that clients who fail
together do not come back together.  A wait that is longer than `longest_s`, or than the time that is left, is not
waited for.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct

from hoosh.client.errors import GatewayError
from hoosh.client.question import Repeat
from hoosh.errors import ConnectionBroke, HooshError, TransportError, TransportTimeout
from hoosh.values import doubled_s

__all__ = ["Attempts", "Retries"]

REFUSED_UNHEARD = frozenset({429})
PASSING = frozenset({408, 429, 502, 503, 504})
TIMEOUT_MAX_S = 3600.0
"""The gateway takes no longer deadline."""
LEAST_S = 0.001


class Retries(Struct, frozen=True, kw_only=True):
    """How often, after the first time, and how long between."""

    most: int = 2
    base_s: float = 0.5
    longest_s: float = 30.0


class Attempts:
    """The attempts of one question, from the first to the last."""

    __slots__ = ("_chance", "_deadline_s", "_failed", "_repeat", "_retries", "timeout_s")

    def __init__(
        self, repeat: Repeat, retries: Retries, timeout_s: float | None, *, now_s: float, chance: Random
    ) -> None:
        """Raises ValueError for a `timeout_s` that is no time."""
        if timeout_s is not None and not 0 < timeout_s < float("inf"):
            raise ValueError("timeout_s must be a number of seconds above 0")
        self.timeout_s = timeout_s
        self._repeat, self._retries, self._chance = repeat, retries, chance
        self._deadline_s = None if timeout_s is None else now_s + timeout_s
        self._failed = 0

    def is_over(self, now_s: float) -> bool:
        return self._deadline_s is not None and self._deadline_s - now_s < LEAST_S

    def left_s(self, now_s: float) -> float | None:
        """None has no end.  Raises TransportTimeout when the time is over."""
        if self._deadline_s is None or self.timeout_s is None:
            return None
        if self.is_over(now_s):
            raise TransportTimeout("total", self.timeout_s)
        return self._deadline_s - now_s

    def headers(self, now_s: float) -> dict[str, str]:
        """The deadline as the gateway is told it: what is left of it, so that it shrinks from attempt to attempt."""
        left_s = self.left_s(now_s)
        return {} if left_s is None or left_s > TIMEOUT_MAX_S else {"x-hoosh-timeout": f"{left_s:.3f}"}

    def wait_s(self, error: HooshError, now_s: float) -> float:
        """How long to wait before asking again.  Raises `error` where it is not to be asked again."""
        self._failed += 1
        if self._failed > self._retries.most or not self._may_repeat(error):
            raise error
        asked_s = error.retry_after_s if isinstance(error, GatewayError) else None
        if asked_s is None:
            wait_s = doubled_s(self._failed, self._retries.base_s, self._retries.longest_s, self._chance)
        else:
            wait_s = asked_s
        if wait_s > self._retries.longest_s or (self._deadline_s is not None and now_s + wait_s >= self._deadline_s):
            raise error
        return wait_s

    def _may_repeat(self, error: HooshError) -> bool:
        match error:
            case _ if self._repeat == "once":
                return False
            case GatewayError():
                passing = REFUSED_UNHEARD if self._repeat == "changing" else PASSING
                return error.status in passing and error.may_retry is not False
            case TransportTimeout(phase="total"):
                return False
            case TransportError(request_lost=True):
                return True
            case ConnectionBroke() | TransportTimeout():
                return self._repeat == "reading"
            case _:
                return False
