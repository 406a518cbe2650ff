"""One listener: events that wait for it, oldest first, and how many it has lost.

    with gateway.events.subscribe("providers/#") as events:
        async for event in events:
            match event:
                case Lost(): ...                  # so many are missing here
                case Event(payload=HealthChanged() as news): ...

                put                         take, async for
    a publisher ────▶ at most `limit` ────▶ the listener
                        └─ full: the oldest goes, and is counted

Nobody waits for a listener.  For one thread, the event loop's, and one task that listens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import trio

from hoosh.events.event import Event, Lost

__all__ = ["Subscription"]


class Subscription:
    """From when it is made until the block is left, or the gateway closes: then what waits is still given out.

    Of a listener that is dropped without leaving, nothing stays behind but its place.
    """

    __slots__ = (
        "_first_lost",
        "_is_unknown",
        "_last_lost",
        "_leave",
        "_limit",
        "_lost",
        "_over",
        "_parked",
        "_waiting",
        "topics",
    )

    def __init__(
        self, topics: frozenset[str], limit: int, leave: Callable[[Subscription], None], first: Iterable[Event] = ()
    ) -> None:
        self.topics = topics
        self._leave = leave
        self._waiting: deque[Event | Lost] = deque(first)
        self._limit = limit + len(self._waiting)
        """What is replayed has room of its own: news must not push it out before it could be read."""
        self._lost = self._first_lost = self._last_lost = 0
        """Not told yet."""
        self._is_unknown = False
        """Nobody knows how many."""
        self._over = False
        self._parked = trio.lowlevel.ParkingLot()

    # -- publishers: never wait --------------------------------------------------------------------------------------

    def put(self, event: Event) -> int:
        """One more to be heard of.  Returns how many were lost for it: 0 or 1."""
        waiting, lost = self._waiting, 0
        if len(waiting) >= self._limit:
            lost = self._lose(waiting.popleft())
        waiting.append(event)
        if self._parked:
            self._parked.unpark_all()
        return lost

    def tell_lost(self, lost: Lost) -> None:
        """Before anything else."""
        self._waiting.appendleft(lost)

    def end(self) -> None:
        """Nothing more will come."""
        self._over = True
        self._parked.unpark_all()

    def _lose(self, item: Event | Lost) -> int:
        if isinstance(item, Lost):  # of a time before all this, and it is not told twice
            self._first_lost = self._first_lost or item.first_id or item.last_id
            self._last_lost, self._lost = item.last_id, self._lost + (item.count or 0)
            self._is_unknown |= item.count is None
            return 0
        self._first_lost = self._first_lost or item.id
        self._last_lost, self._lost = item.id, self._lost + 1
        return 1

    # -- the listener ------------------------------------------------------------------------------------------------

    async def wait(self) -> bool:
        """Until there is something to take; False when there never will be."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._over:
                return False
            await self._parked.park()
        return True

    def take(self, limit: int | None = None) -> list[Event | Lost]:
        """What waits, oldest first, `limit` at most.  Does not wait."""
        found: list[Event | Lost] = []
        if self._lost or self._is_unknown:
            found.append(Lost(None if self._is_unknown else self._lost, self._first_lost, self._last_lost))
            self._lost = self._first_lost = self._last_lost = 0
            self._is_unknown = False
        while self._waiting and (limit is None or len(found) < limit):
            found.append(self._waiting.popleft())
        return found

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Lost:
        if not await self.wait():
            raise StopAsyncIteration
        return self.take(1)[0]

    def close(self) -> None:
        """Listen no more.  A second time does nothing."""
        self._waiting.clear()
        self.end()
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
