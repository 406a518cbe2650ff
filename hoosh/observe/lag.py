"""How long the event loop keeps others waiting: the drift of a short sleep, measured all the time.

    asleep for 100 ms ──▶ awake after 100 ms + lag

Lag is what every other task waited too: a long computation between two checkpoints, or a full CPU.  A task that
measures is cheaper than a Trio Instrument, which would be called at every step of every task.  Seconds.
"""

from __future__ import annotations

from collections import deque
from typing import NoReturn

import trio
from msgspec import Struct

__all__ = ["LagStatistics", "LagWatch", "LagWindow"]

EVERY_S = 0.1
WINDOW_S = 60.0


class LagStatistics(Struct, frozen=True):
    last_s: float
    max_s: float
    """Of the last minute."""


class LagWindow:
    """The greatest of the samples that are not older than `window_s`.  Pure.

    A queue of ever smaller samples: one that a later, greater one has overtaken can never be the greatest again.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._falling: deque[tuple[float, float]] = deque()

    def add(self, lag_s: float, *, now_s: float) -> None:
        falling = self._falling
        while falling and falling[-1][1] <= lag_s:
            falling.pop()
        falling.append((now_s, lag_s))
        self._expire(now_s)

    def greatest(self, *, now_s: float) -> float:
        """0.0 when there are no samples."""
        self._expire(now_s)
        return self._falling[0][1] if self._falling else 0.0

    def _expire(self, now_s: float) -> None:
        while self._falling and now_s - self._falling[0][0] > self.window_s:
            self._falling.popleft()


class LagWatch:
    """A service that measures, and what it has measured."""

    def __init__(self) -> None:
        self._window = LagWindow()
        self._last_s = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        task_status.started()
        while True:
            due_s = trio.current_time() + EVERY_S
            await trio.sleep_until(due_s)
            now_s = trio.current_time()
            self._last_s = max(0.0, now_s - due_s)
            self._window.add(self._last_s, now_s=now_s)

    @property
    def last_s(self) -> float:
        return self._last_s

    def statistics(self) -> LagStatistics:
        return LagStatistics(self._last_s, self._window.greatest(now_s=trio.current_time()))
