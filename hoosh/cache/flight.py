"""Equal requests in the air share one upstream call.

    launch ──▶ in the air ──finish──▶ whole ──┐
                  │                           ├──(its task is over)──▶ landed
                  ├──fail────────▶ failed ────┤
                  └──last member leaves──▶ cancelled

The upstream call is a task of the service, not of the request that began it: whoever leaves, the first one too, stops
nobody else, and when the last one leaves the call is cancelled at once.  A member gets the whole answer from its first
block, whenever it has come aboard.  An error before the first block reaches each member as it is; one after it, too,
once the member has had all blocks, so that a cut answer is never taken for a whole one.

The buffer is the answer itself, and there are three rules about it:

 * The call goes at the pace of the *fastest* member, at most `AHEAD_BYTES` ahead of it: a slow member stops nobody.
 * When an answer passes `flight_bytes`, or all answers in the air together pass `total_bytes`, the flight takes no
   more members and its answer will not be kept: blocks that every member has had are dropped.
 * From then on the call waits for the *slowest* member, too, if that is `flight_bytes` behind (`AHEAD_BYTES` while all
   together are too many): memory stays bounded, and that is the one case in which members feel each other.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

import trio
from msgspec import Struct

from hoosh.errors import HooshError, Unavailable

__all__ = ["Flight", "FlightStatistics", "Flights", "Head", "Member"]

Payer = TypeVar("Payer")
"""Whatever is to be known of the request that the upstream call is made for."""

AHEAD_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024
"""What a member that lags behind takes at a time."""


class Head(Struct, frozen=True):
    """How the answer begins.  A stream may come in many blocks; what is none is one block."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    is_stream: bool


class FlightStatistics(Struct, frozen=True):
    flights: int
    members: int
    buffered_bytes: int


def log_crash(error: BaseException) -> None:
    logging.getLogger("hoosh.cache").error(
        "a flight ended in a bug that no member was there to hear of", exc_info=error
    )


class Flights(Generic[Payer]):
    """A service, and the flights in the air."""

    def __init__(
        self, *, flight_bytes: int, total_bytes: int, on_crash: Callable[[BaseException], None] = log_crash
    ) -> None:
        self.flight_bytes = flight_bytes
        self.total_bytes = total_bytes
        self.buffered_bytes = 0
        """Of all flights together, until nobody reads them any more."""
        self.on_crash = on_crash
        self._open: dict[bytes, Flight[Payer]] = {}
        """Those that can be joined."""
        self._aloft: set[Flight[Payer]] = set()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; flights that are in the air then fail with Unavailable."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    @property
    def is_running(self) -> bool:
        return self._nursery is not None

    def find(self, key: bytes) -> Flight[Payer] | None:
        """A flight that can be joined."""
        return self._open.get(key)

    def launch(
        self, key: bytes, payer: Payer, work: Callable[[Flight[Payer]], Awaitable[None]], *, joinable: bool = True
    ) -> Flight[Payer]:
        """Begin a flight, which is the one to join for `key` from now on.  Board it before you wait for anything.

        `work` does the upstream call, and tells the flight what comes.
        """
        assert self._nursery is not None, "the service does not run"
        flight = Flight(self, key, payer)
        self._aloft.add(flight)
        if joinable:
            self._open[key] = flight
        self._nursery.start_soon(self._fly, flight, work)
        return flight

    def close(self, flight: Flight[Payer]) -> None:
        """Let nobody join any more."""
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]

    def payers(self) -> Iterator[Payer]:
        """Those for whom an upstream is asked, or is still to be."""
        return (flight.payer for flight in self._aloft)

    def statistics(self) -> FlightStatistics:
        members = sum(len(flight.members) for flight in self._aloft)
        return FlightStatistics(len(self._aloft), members, self.buffered_bytes)

    def forget(self, flight: Flight[Payer]) -> None:
        """Nobody works for it and nobody reads it."""
        self._aloft.discard(flight)
        self.buffered_bytes -= flight.buffered_bytes

    async def _fly(self, flight: Flight[Payer], work: Callable[[Flight[Payer]], Awaitable[None]]) -> None:
        """One flight's task.  Nothing but cancellation leaves it: a crash is its members' business alone."""
        try:
            with flight.scope:
                await work(flight)
                if not flight.is_whole:
                    raise RuntimeError("the flight gave no whole answer")
        except Exception as error:
            self._fail(flight, error)
        except BaseExceptionGroup as group:
            leaving, failures = group.split(trio.Cancelled)
            if failures is not None:
                self._fail(flight, failures)
            if leaving is not None:
                raise leaving from None
        finally:
            self.close(flight)
            flight.land()

    def _fail(self, flight: Flight[Payer], error: BaseException) -> None:
        if not flight.fail(error) and not isinstance(error, HooshError):
            self.on_crash(error)


class Flight(Generic[Payer]):
    """One upstream call and what has come of it.  Blocks are counted from the first one, dropped or not."""

    __slots__ = (
        "_base",
        "_blocks",
        "_front_bytes",
        "_has_landed",
        "_house",
        "_room",
        "buffered_bytes",
        "error",
        "head",
        "is_crowded",
        "is_whole",
        "key",
        "members",
        "news",
        "payer",
        "scope",
        "total_bytes",
    )

    def __init__(self, house: Flights[Payer], key: bytes, payer: Payer) -> None:
        self.key = key
        self.payer = payer
        self.scope = trio.CancelScope()
        self.head: Head | None = None
        """There as soon as there is a block, or the end."""
        self.is_whole = False
        self.error: BaseException | None = None
        self.members: set[Member] = set()
        self.is_crowded = False
        """Too large to be joined or kept."""
        self.total_bytes = 0
        """That have come."""
        self.buffered_bytes = 0
        self.news = trio.lowlevel.ParkingLot()
        """Where members wait."""
        self._house = house
        self._blocks: list[bytes] = []
        self._base = 0
        self._front_bytes = 0
        """How far the fastest member is."""
        self._room = trio.lowlevel.ParkingLot()
        self._has_landed = False

    # -- those who bring the answer --------------------------------------------------------------------------------

    def begin(self, head: Head) -> None:
        self.head = head

    async def bring(self, block: bytes) -> None:
        """One block more.  Waits for members that are behind."""
        self._add(block)
        while self._is_ahead():
            await self._room.park()

    def finish(self, block: bytes = b"") -> None:
        """The last block: the answer is whole."""
        self.is_whole = True
        self._add(block)

    def fail(self, error: BaseException) -> bool:
        """There will be no more.  False where nobody hears of it: the answer is whole already, or all have left."""
        if self.is_whole:
            return False
        self.error = error
        self.news.unpark_all()
        return bool(self.members)

    def land(self) -> None:
        """The task is over."""
        if not self.is_whole and self.error is None:
            self.error = Unavailable("The gateway is shutting down.", retry_after_s=1.0)
            self.news.unpark_all()
        self._has_landed = True
        if not self.members:
            self._house.forget(self)

    def kept_blocks(self) -> Sequence[bytes]:
        """The whole answer; empty where it is not whole or some of it has been dropped."""
        return self._blocks if self.is_whole and not self.is_crowded else ()

    def _add(self, block: bytes) -> None:
        if block:
            self._blocks.append(block)
            size = len(block)
            self.total_bytes += size
            self.buffered_bytes += size
            house = self._house
            house.buffered_bytes += size
            if not self.is_crowded and (
                self.total_bytes > house.flight_bytes or house.buffered_bytes > house.total_bytes
            ):
                self.is_crowded = True
                house.close(self)
            if self.is_crowded:
                self._drop_what_all_have()
        self.news.unpark_all()

    def _is_ahead(self) -> bool:
        if self.total_bytes - self._front_bytes > AHEAD_BYTES:
            return True
        house = self._house
        allowed = house.flight_bytes if house.buffered_bytes <= house.total_bytes else AHEAD_BYTES
        return self.is_crowded and self.buffered_bytes > allowed

    # -- those who get it ------------------------------------------------------------------------------------------

    def board(self) -> Member:
        """A place aboard, as a context manager."""
        member = Member(self)
        self.members.add(member)
        return member

    def leave(self, member: Member) -> None:
        self.members.discard(member)
        if not self.members:
            if self._has_landed:
                self._house.forget(self)
            elif not self.is_whole:
                self._house.close(self)
                self.scope.cancel(reason="the last member left")
            return
        if self.is_crowded:
            self._drop_what_all_have()
            self._room.unpark_all()

    def piece(self, position: int) -> tuple[bytes, int]:
        """What there is from the block at `position` on, but not endlessly much of it; and the position behind it."""
        first = position - self._base
        blocks = self._blocks
        if first == len(blocks) - 1:
            return blocks[first], position + 1
        end, size = first, 0
        while end < len(blocks) and size < PIECE_BYTES:
            size += len(blocks[end])
            end += 1
        return b"".join(blocks[first:end]), self._base + end

    @property
    def end(self) -> int:
        """The position behind the last block."""
        return self._base + len(self._blocks)

    def moved(self, member: Member) -> None:
        """`member` has taken a piece."""
        if member.taken_bytes > self._front_bytes:
            self._front_bytes = member.taken_bytes
        if self.is_crowded:
            self._drop_what_all_have()
        self._room.unpark_all()

    def _drop_what_all_have(self) -> None:
        count = min((member.position for member in self.members), default=self._base) - self._base
        if count:
            size = sum(map(len, self._blocks[:count]))
            del self._blocks[:count]
            self._base += count
            self.buffered_bytes -= size
            self._house.buffered_bytes -= size


class Member:
    """One request aboard.  Leaving the block is leaving the flight."""

    __slots__ = ("_error", "_flight", "position", "taken_bytes")

    def __init__(self, flight: Flight[Any]) -> None:
        self._flight = flight
        self._error: HooshError | None = None
        self.position = 0
        """Of the next block."""
        self.taken_bytes = 0

    def __enter__(self) -> Member:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._flight.leave(self)

    async def take(self) -> bytes:
        """What has come since the last time; waits while there is nothing.  b"" at the end of a whole answer.

        Raises what the flight failed with, after its last block.
        """
        flight = self._flight
        while True:
            if self._error is not None:
                raise self._error
            if self.position < flight.end:
                piece, self.position = flight.piece(self.position)
                self.taken_bytes += len(piece)
                flight.moved(self)
                return piece
            if flight.error is not None:
                raise flight.error.with_traceback(None)  # it is raised in every member
            if flight.is_whole:
                return b""
            await flight.news.park()

    @property
    def is_done(self) -> bool:
        """The answer is whole, and all of it has been taken."""
        flight = self._flight
        return flight.is_whole and self.position == flight.end

    def interrupt(self, error: HooshError) -> None:
        """Make this member's wait fail; the others do not notice."""
        self._error = error
        self._flight.news.unpark_all()
