"""The supervisor: asks every account from time to time whether it is there, and tells the board.

    members() ──▶ due? ──▶ probe, with a deadline ──▶ board.probed
        ▲                                                  │
        └──────── again after 0.7 to 0.9 of the interval ──┘

Each account has its own clock, so one that hangs delays nobody.  The first probes are spread over the first seconds;
then chance keeps them apart.  Periods are somewhat shorter than the interval, never longer: whoever counts on a sign
of life in every interval gets one.  Members may join and leave: who they are is asked every second.

A probe that crashes is its account's failure; it is logged, and the others go on.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol

import trio

from hoosh.errors import HooshError, UpstreamBroke, UpstreamTimeout
from hoosh.health.board import Board
from hoosh.health.settings import Health

__all__ = ["Probed", "Supervisor"]

PROBE_S = 5.0
"""How long a probe may take."""
AT_ONCE = 16
LOOK_S = 1.0
"""Between two looks at who is there."""
FIRST_WITHIN_S = 2.0
PERIOD = (0.7, 0.9)
"""Of the interval."""

log = logging.getLogger("hoosh.health")


class Probed(Protocol):
    """A member of the fleet, as the supervisor sees it."""

    @property
    def name(self) -> str: ...

    async def probe(self) -> None:
        """Is it there?  Raises HooshError where it is not, or says so; costs no money."""
        ...


class Supervisor:
    """Probes `members()` for as long as it runs."""

    def __init__(
        self, board: Board, members: Callable[[], Iterable[Probed]], settings: Health, chance: random.Random
    ) -> None:
        self._board = board
        self._members = members
        self._chance = chance
        self._due_s: dict[str, float] = {}
        """By name; infinite while its probe runs."""
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._wanted = trio.Event()
        self.configure(settings)

    def configure(self, settings: Health) -> None:
        """From the next probe on this is the interval; 0 probes nobody."""
        self._interval_s = settings.interval_secs
        if self._interval_s:
            self._wanted.set()
        elif self._wanted.is_set():
            self._wanted = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                await self._wanted.wait()
                for member in self._due(trio.current_time()):
                    nursery.start_soon(self._probe, member)
                await trio.sleep_until(min([trio.current_time() + LOOK_S, *self._due_s.values()]))
        raise AssertionError("the loop has no end")

    def _due(self, now_s: float) -> list[Probed]:
        """Who is to be probed now.  Those who have left are forgotten, those who have joined get their first turn."""
        members = {member.name: member for member in self._members()}
        due_s = self._due_s
        for name in due_s.keys() - members.keys():
            del due_s[name]
        for name in members.keys() - due_s.keys():
            due_s[name] = now_s + self._chance.random() * min(FIRST_WITHIN_S, self._interval_s)
        due = [member for name, member in members.items() if due_s[name] <= now_s]
        for member in due:
            due_s[member.name] = float("inf")
        return due

    async def _probe(self, member: Probed) -> None:
        async with self._limit:
            error = await self._verdict(member)
        now_s = trio.current_time()
        if any(other is member for other in self._members()):  # else it has left, or another has its name now
            self._board.probed(member.name, error, now_s)
        if member.name in self._due_s:
            self._due_s[member.name] = now_s + self._interval_s * self._chance.uniform(*PERIOD)

    async def _verdict(self, member: Probed) -> HooshError | None:
        name = member.name
        try:
            with trio.move_on_after(PROBE_S) as scope:
                await member.probe()
        except HooshError as error:
            return error
        except Exception as bug:
            log.error("a probe ended in a bug", exc_info=bug)
            return UpstreamBroke(f"Provider `{name}` could not be probed.", provider=name)
        if scope.cancelled_caught:
            return UpstreamTimeout(f"Provider `{name}` did not answer a probe.", provider=name, phase="first_byte")
        return None
