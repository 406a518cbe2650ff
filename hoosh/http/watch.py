"""One task per pool that waits for the deadlines of all its exchanges.

Trio could do this with a deadline on each exchange's CancelScope.  But moving such a deadline costs about as much as
a system call, twice a chunk (armed while we wait for the upstream, disarmed while the caller waits for its client).
Here arming is a float stored in the alarm; the watch sleeps until the earliest one *it has seen*, looks again, and
rings those that are really due.  Deadlines mostly move later, so it wakes about once per shortest timeout.

An alarm rings at its time, not earlier and not measurably later, and rings once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NoReturn

import trio

from hoosh.errors import HooshError
from hoosh.http.deadlines import Deadline, Phase, Timeouts

__all__ = ["Alarm", "Watch"]


class Alarm(Deadline):
    """The deadline of one exchange, watched.  `interrupt` is called with the TransportTimeout."""

    __slots__ = ("_watch", "interrupt")

    def __init__(self, watch: Watch, timeouts: Timeouts, interrupt: Callable[[HooshError], None], now_s: float) -> None:
        super().__init__(timeouts, now_s)
        self._watch = watch
        self.interrupt = interrupt
        watch.alarms[self] = None

    def arm(self, phase: Phase, now_s: float | None = None) -> None:
        """Begin `phase` now; give `now_s` where trio.current_time() has just been asked."""
        self.enter(phase, trio.current_time() if now_s is None else now_s)
        if self.due < self._watch.next_at:
            self._watch.look_at(self.due)

    def cancel(self) -> None:
        """Never ring."""
        self._watch.alarms.pop(self, None)
        self.interrupt = _nobody  # breaks the cycle with the exchange: freed at once, without the garbage collector


def _nobody(error: HooshError) -> None:
    return None


class Watch:
    """The alarms that may ring, and when to look at them next."""

    __slots__ = ("_nap", "alarms", "next_at")

    def __init__(self) -> None:
        self.alarms: dict[Alarm, None] = {}  # a dict: rings in the order of arrival, the same in every run
        self.next_at = inf
        self._nap: trio.CancelScope | None = None

    def look_at(self, at_s: float) -> None:
        """Look at the alarms at `at_s`, which is earlier than planned."""
        self.next_at = at_s
        if self._nap is not None:
            self._nap.deadline = at_s

    async def run(self) -> NoReturn:
        """Ring alarms for ever."""
        while True:
            self.next_at = min((alarm.due for alarm in self.alarms), default=inf)
            with trio.CancelScope(deadline=self.next_at) as self._nap:
                await trio.sleep_forever()
            self._nap = None
            self._ring(trio.current_time())

    def _ring(self, now_s: float) -> None:
        """Its own frame: `run` sleeps for long, and must not hold on to the request that was rung for last."""
        for alarm in [alarm for alarm in self.alarms if alarm.due <= now_s]:
            error = alarm.expired()
            alarm.due = alarm.total_at = inf
            alarm.interrupt(error)
