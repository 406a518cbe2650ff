"""The turnstile: so many requests at once, the others wait for their turn.  `queue.py` decides whose turn it is.

    NEW ──enter, there is room──────────────────────▶ INSIDE ──leave──▶ OVER
     └───enter, there is none──▶ WAITING ──its turn──▶ INSIDE
                                    └──full, too late, interrupted, cancelled──▶ OVER

Each step is one synchronous call.  Whoever leaves hands its place on in the same call: between the two nobody else
can take it, so that at any time

    who is inside ≤ max_concurrent      somebody waits ⇒ there is no room      a place is held by exactly one ticket

(the first but for those who were inside when `max_concurrent` fell).  A ticket whose client leaves is out of the list
at once.  If a place has been handed to it in that very moment, the ticket hands it on before it raises.  Its own
deadline, on the other hand, comes too late for one whose turn has come.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import trio

from hoosh.admission.queue import Waiter, WaitList
from hoosh.errors import HooshError, QueueFull
from hoosh.values import PRIORITIES, CallerQueue, Priority, QueueState

__all__ = ["Ticket", "Turnstile"]

AGES = 6
"""A waiter moves up a class in this part of the longest wait: anybody is in the best one when a third is left."""
REMEMBERED = 16
"""At least so many turns, and at most twice as many, count for how fast they come."""
RETRY_AFTER_S = (1.0, 60.0)
"""The least and the most that is told."""
CALLERS_TOLD = 20


class Turnstile:
    """`max_concurrent` tickets are inside at once, `max_queue` may wait, each for `timeout_s`.  None is no limit.

    Where `is_open`, there is no need to ask for a ticket; who has none is not counted when a limit comes.
    """

    __slots__ = (
        "_full_s",
        "_limit",
        "_turn_at_s",
        "_turns",
        "_waiting",
        "is_open",
        "refused",
        "running",
        "timeout_s",
    )

    is_open: bool

    def __init__(self, max_concurrent: int | None, max_queue: int, timeout_s: float) -> None:
        self.running = 0
        self.refused = 0
        self._waiting: WaitList[Ticket] = WaitList(max_queue, timeout_s / AGES)
        self._turn_at_s = 0.0
        """When last somebody left a full house, or it became full."""
        self.configure(max_concurrent, max_queue, timeout_s)

    def configure(self, max_concurrent: int | None, max_queue: int, timeout_s: float) -> None:
        """From now on these are the limits.  Who is inside stays; who waits goes on, for as long as it was to."""
        self.is_open = max_concurrent is None
        self._limit: float = math.inf if max_concurrent is None else max_concurrent
        self._waiting.max_length = max_queue
        self._waiting.age_s = timeout_s / AGES
        self.timeout_s = timeout_s
        self._turns = 0
        """So many have left while the house was full, in `_full_s`; the older ones fade."""
        self._full_s = 0.0
        if self.running:
            self._turn_at_s = trio.current_time()
            self._fill(self._turn_at_s)

    def ticket(self, caller: str, priority: Priority) -> Ticket:
        """For one request: `enter` with it, and `leave` whatever has become of that."""
        return Ticket(self, caller, priority)

    def drain(self, error: HooshError) -> None:
        """Everybody who waits ends with `error`."""
        for ticket in self._waiting.clear():
            ticket.wake(error)

    def statistics(self) -> QueueState:
        now_s = trio.current_time()
        waiting = list(self._waiting)
        classes = Counter(ticket.priority for ticket in waiting)
        return QueueState(
            queued={priority: classes[priority] for priority in PRIORITIES},
            running=self.running,
            max_concurrent=None if self.is_open else int(self._limit),
            max_queue=self._waiting.max_length,
            timeout_s=self.timeout_s,
            longest_wait_s=max((now_s - ticket.arrived_s for ticket in waiting), default=0.0),
            refused=self.refused,
            callers=longest_queues(waiting, now_s),
        )

    # -- for tickets -----------------------------------------------------------------------------------------------

    def let_in(self) -> bool:
        """There is room for one, and it is taken now."""
        self.running += 1
        if self.running < self._limit:  # nearly always: the clock need not be asked
            return True
        if self.running == self._limit:
            self._turn_at_s = trio.current_time()
            return True
        self.running -= 1
        return False

    def let_out(self) -> None:
        """Somebody has left, and the next one comes in."""
        self.running -= 1
        if self.running >= self._limit - 1:  # it was full
            now_s = trio.current_time()
            self._count_turn(now_s)
            if self._waiting:
                self._fill(now_s)

    def line_up(self, ticket: Ticket, now_s: float) -> None:
        """Let it wait.  Raises QueueFull."""
        loser = self._waiting.add(ticket, now_s)
        if loser is ticket:
            waiting = f"{len(self._waiting)} more wait for their turn" if self._waiting else "none may wait"
            raise self.refusal(f"The gateway is busy with {self.running} requests, and {waiting}.", ticket, now_s)
        if loser is not None:
            words = "The queue is full, and a request that comes first has taken the place of this one."
            loser.wake(self.refusal(words, loser, now_s))

    def give_up(self, ticket: Ticket) -> None:
        """It waits no longer."""
        self._waiting.remove(ticket)

    def refusal(self, words: str, ticket: Ticket, now_s: float) -> QueueFull:
        """Counts it, and says when such a request would have its turn if it came again now."""
        self.refused += 1
        ahead = self._waiting.ahead_of(ticket.caller, ticket.priority)
        # The average, but at least as long as nobody has left by now: those who stay for long come late into it.
        turn_s = max(self._full_s / max(self._turns, 1), now_s - self._turn_at_s)
        return QueueFull(words, retry_after_s=min(max((ahead + 1) * turn_s, RETRY_AFTER_S[0]), RETRY_AFTER_S[1]))

    def _fill(self, now_s: float) -> None:
        """Let in who waits, as far as there is room."""
        while self.running < self._limit:
            ticket = self._waiting.take(now_s)
            if ticket is None:
                return
            self.running += 1
            ticket.called()

    def _count_turn(self, now_s: float) -> None:
        """One has left a full house.  What leaves one that is not full says how many come, not how many could."""
        self._turns += 1
        self._full_s += now_s - self._turn_at_s
        self._turn_at_s = now_s
        if self._turns >= 2 * REMEMBERED:
            self._turns, self._full_s = REMEMBERED, self._full_s / 2


class Ticket(Waiter):
    """One request's way through.  Use it so that `leave` is called however `enter` ends."""

    __slots__ = ("_error", "_house", "_state", "_task")

    _task: trio.lowlevel.Task

    def __init__(self, house: Turnstile, caller: str, priority: Priority) -> None:
        super().__init__(caller, priority)
        self._house = house
        self._state: Literal["new", "waiting", "inside", "over"] = "new"
        self._error: HooshError | None = None

    async def enter(self) -> None:
        """Have a turn: at once, and without a checkpoint, where there is room.  Raises QueueFull."""
        if self._state == "new" and self._house.let_in():
            self._state = "inside"
        else:
            await self._wait()

    def leave(self) -> None:
        """It is over; who waits next comes in.  Counts once, and only from inside."""
        if self._state == "inside":
            self._state = "over"
            self._house.let_out()

    def interrupt(self, error: HooshError) -> None:
        """The wait, or the one about to begin, ends with `error`; the first counts.  What is inside goes on."""
        if self._state == "waiting":
            self._house.give_up(self)
            self.wake(error)
        elif self._error is None:
            self._error = error  # also where its turn has come and it has not noticed yet
            if self._state == "new":
                self._state = "over"

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._take_error()
        if self._state != "new":
            raise RuntimeError("a ticket is good for one turn")
        self._house.line_up(self, trio.current_time())
        self._state = "waiting"
        self._task = trio.lowlevel.current_task()
        timeout_s = self._house.timeout_s
        with trio.move_on_after(timeout_s):
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        try:
            await self._come_in(timeout_s)
        except BaseException:
            self.leave()
            raise

    async def _come_in(self, timeout_s: float) -> None:
        """The wait is over, one way or another.  A place that nobody needs any more is not entered."""
        if self._error is not None:
            raise self._take_error()
        if self._state != "inside":
            words = f"The turn of this request has not come within {timeout_s:g} seconds."
            raise self._house.refusal(words, self, trio.current_time())
        await trio.lowlevel.checkpoint_if_cancelled()

    def _take_error(self) -> HooshError:
        """Not kept: by its traceback it would keep the ticket, until the garbage collector comes."""
        error, self._error = self._error, None
        assert error is not None
        return error.with_traceback(None)  # a draining house raises it in many

    def _abort(self, raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._state = "over"
        self._house.give_up(self)
        return trio.lowlevel.Abort.SUCCEEDED

    # -- for the house ---------------------------------------------------------------------------------------------

    def called(self) -> None:
        """Its turn has come."""
        self._state = "inside"
        trio.lowlevel.reschedule(self._task)

    def wake(self, error: HooshError) -> None:
        """Its turn will not come; it has been taken off the list."""
        self._state = "over"
        self._error = error
        trio.lowlevel.reschedule(self._task)


def longest_queues(waiting: list[Ticket], now_s: float) -> tuple[CallerQueue, ...]:
    """The callers with the most waiting requests."""
    longest_s: dict[str, float] = {}
    for ticket in waiting:
        longest_s[ticket.caller] = max(longest_s.get(ticket.caller, 0.0), now_s - ticket.arrived_s)
    counts = Counter(ticket.caller for ticket in waiting).most_common(CALLERS_TOLD)
    return tuple(CallerQueue(caller, count, longest_s[caller]) for caller, count in counts)
