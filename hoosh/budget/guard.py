"""The budget guard: a service that works ahead of the streams.

    every round     reservations expire ▸ windows open ▸ streams are given more, or told that there is none ▸ notices

A stream with an open end holds a slice and comes back for more.  The relay checks for itself at every block; the guard
gives before a stream has to ask, and tells those that sit between two blocks when their pool has run dry.  Where a pool
has less than its streams want, they share it: equal parts, and of streams that want the same the smallest gets the odd
rest.

A stream that fails at being told is dropped, with a line in the log; the others do not notice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import trio

from hoosh.budget.entries import Expired
from hoosh.budget.ledger import Ledger
from hoosh.budget.pool import Hold, Pool, PoolState

__all__ = ["BudgetGuard", "Watched", "shares"]

MARKS = (80, 100)
"""Per cent of a pool that are told of when they are used."""

log = logging.getLogger("hoosh.budget")


class Watched(Protocol):
    """A running stream, as the guard knows it."""

    hold: Hold

    def wants(self) -> int:
        """How much more it should hold to go on without asking, in the pool's unit; 0 for nothing."""
        ...

    def granted(self, amount: int) -> None:
        """Its hold has grown by `amount`."""
        ...

    def starved(self) -> None:
        """The pool has nothing for it.  A stream that has used up what it held ends now."""
        ...


class BudgetGuard:
    """Watches what it is given with `watch`, from then until `unwatch`, or until its hold is settled."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        every_s: float = 0.1,
        now_ms: Callable[[], int],
        on_low: Callable[[PoolState], None] | None = None,
        on_expired: Callable[[list[Expired]], None] | None = None,
    ) -> None:
        """`on_low` hears once when a pool passes a mark, `on_expired` of entries that belong into the journal."""
        self._ledger = ledger
        self._every_s = every_s
        self._now_ms = now_ms
        self._on_low = on_low
        self._on_expired = on_expired
        self._streams: dict[Watched, None] = {}
        self._told: dict[str, int] = {}
        """The mark that each pool stands at, by name."""

    def watch(self, stream: Watched) -> None:
        self._streams[stream] = None

    def unwatch(self, stream: Watched) -> None:
        """Does no harm where it is not watched."""
        self._streams.pop(stream, None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        task_status.started()
        while True:
            await trio.sleep(self._every_s)
            self.round()

    def round(self) -> None:
        """All that is due now.  Raises what `on_expired` raises: without its journal the ledger must not go on."""
        at_ms = self._now_ms()
        expired = self._ledger.expire(at_ms)
        if expired and self._on_expired is not None:
            self._on_expired(expired)
        self._ledger.roll(at_ms)
        for pool, hungry in self._by_pool().items():
            self._share_out(pool, hungry, at_ms)
        if self._on_low is not None:
            self._notice(self._on_low)

    # -- streams ---------------------------------------------------------------------------------------------------

    def _by_pool(self) -> dict[Pool, list[tuple[Watched, int]]]:
        """Who wants how much."""
        found: dict[Pool, list[tuple[Watched, int]]] = {}
        for stream in list(self._streams):
            if stream.hold.settled:
                self.unwatch(stream)
                continue
            wanted = self._ask(stream)
            if wanted > 0:
                found.setdefault(stream.hold.account, []).append((stream, wanted))
        return found

    def _ask(self, stream: Watched) -> int:
        try:
            return stream.wants()
        except Exception as error:
            self._drop(stream, error)
            return 0

    def _share_out(self, pool: Pool, hungry: list[tuple[Watched, int]], at_ms: int) -> None:
        free = pool.free()
        wants = [wanted for _, wanted in hungry]
        parts = wants if free is None else shares(free, wants, [stream.hold.amount for stream, _ in hungry])
        for (stream, _), part in zip(hungry, parts, strict=True):
            if stream.hold.settled:  # by what another one did when it was told
                continue
            granted = self._ledger.extend(stream.hold, part, at_ms)
            try:
                if granted:
                    stream.granted(granted)
                else:
                    stream.starved()
            except Exception as error:
                self._drop(stream, error)

    def _drop(self, stream: Watched, error: Exception) -> None:
        self.unwatch(stream)
        log.error("a stream failed at being told about its budget", exc_info=error)

    # -- notices ---------------------------------------------------------------------------------------------------

    def _notice(self, on_low: Callable[[PoolState], None]) -> None:
        """Ten times a second over every pool: so only those above a mark are looked at closely."""
        told, self._told = self._told, {}
        for pool in self._ledger.ceilings():
            mark = _mark(pool)
            if mark:
                self._told[pool.name] = mark
                if mark > told.get(pool.name, 0):
                    self._tell(pool, on_low)

    def _tell(self, pool: Pool, on_low: Callable[[PoolState], None]) -> None:
        try:
            on_low(pool.state())
        except Exception as error:
            log.error("nobody could be told that a budget runs low", exc_info=error)


def shares(free: int, wants: Sequence[int], held: Sequence[int]) -> list[int]:
    """What each gets of `free`: its wish, or as much as any other whose wish is not met, give or take one."""
    parts = [0] * len(wants)
    order = sorted(range(len(wants)), key=lambda place: (wants[place], -held[place]))
    for done, place in enumerate(order):
        parts[place] = min(wants[place], free // (len(order) - done))
        free -= parts[place]
    return parts


def _mark(pool: Pool) -> int:
    """The highest mark that is reached, 0 for none."""
    used, capacity = pool.used * 100, pool.capacity or 0
    if used < capacity * MARKS[0]:
        return 0
    return max(mark for mark in MARKS if used >= capacity * mark)
