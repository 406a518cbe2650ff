"""The wait list: who waits for a turn, and whose turn is next.

    critical    ada ▪▪     bob ▪                 take: the best class; in it the caller whose turn it is,
    high                                               who then goes to the end; of hers the first
    normal      eve ▪▪▪▪▪▪▪▪▪    bob ▪
    low         ada ▪▪▪                          age:  after `age_s` in a class its first moves up to the one above
    background  bob ▪

A class is fair among callers: a key with a thousand waiting delays another key's first by one turn.  A caller's own go
in the order in which they have come into the class.

Nobody starves.  A waiter is in the best class after 4 · `age_s`; there nobody of its own caller comes before it who was
not there before, and nobody else's turn comes twice between two of its caller's.  So it is taken after at most
(k + 1) · m turns more, with k of its caller before it and never more than m callers in the class.

The places are fair, too.  To a full list a newcomer comes in place of the worst: of the lowest class, of the caller
that has most there, the last.  It must be of a better class for that, or of the same one and its caller have fewer
waiting there, also afterwards.  Without that one key could fill the list, and keep all others of its class out.

Every operation takes constant time, or for ageing constant time for each move; a waiter moves four times at most.
`now_s` is a monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from operator import attrgetter
from typing import Generic, TypeVar

from hoosh.values import PRIORITIES, Priority

__all__ = ["RANK", "WaitList", "Waiter"]

RANK: dict[Priority, int] = {priority: rank for rank, priority in enumerate(PRIORITIES)}
"""0 is the best class."""


class Waiter:
    """One entry of the list.  The list keeps its own notes in it."""

    __slots__ = ("arrived_s", "caller", "priority", "rank", "since_s")

    rank: int
    """The class it is in now."""
    arrived_s: float
    since_s: float
    """When it came into that class."""

    def __init__(self, caller: str, priority: Priority) -> None:
        self.caller = caller
        self.priority: Priority = priority


W = TypeVar("W", bound=Waiter)


class WaitList(Generic[W]):
    """At most `max_length` waiters.  Both numbers may change at any time; nobody who waits is sent away for it."""

    __slots__ = ("_classes", "_length", "age_s", "max_length")

    def __init__(self, max_length: int, age_s: float) -> None:
        self.max_length = max_length
        self.age_s = age_s
        self._classes: list[_Class[W]] = [_Class() for _ in PRIORITIES]
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[W]:
        """Everybody, by class, in the order in which they have come into it."""
        for members in self._classes:
            yield from members.waiters

    def add(self, waiter: W, now_s: float) -> W | None:
        """Let `waiter` wait.  Returns who does not wait now: nobody, one who has lost its place, or itself."""
        self._age(now_s)
        rank = RANK[waiter.priority]
        loser = None
        if self._length >= self.max_length:
            loser = self._worse_than(waiter.caller, rank)
            if loser is None:
                return waiter
            self.remove(loser)
        waiter.arrived_s = now_s
        self._put(waiter, rank, now_s)
        self._length += 1
        return loser

    def take(self, now_s: float) -> W | None:
        """Whose turn it is; it waits no longer.  None where nobody does."""
        if not self._length:
            return None
        self._age(now_s)
        members = next(members for members in self._classes if members.waiters)
        waiter = members.turn()
        self.remove(waiter)
        return waiter

    def remove(self, waiter: W) -> None:
        """It waits no longer, from wherever it is in the list.  It must be there."""
        self._classes[waiter.rank].remove(waiter)
        self._length -= 1

    def clear(self) -> list[W]:
        """Nobody waits any longer.  Returns those who did."""
        everybody = list(self)
        for waiter in everybody:
            self.remove(waiter)
        return everybody

    def ahead_of(self, caller: str, priority: Priority) -> int:
        """How many turns would come before that of a newcomer, as things are: a guess, rather too high."""
        rank = RANK[priority]
        members = self._classes[rank]
        return sum(len(better.waiters) for better in self._classes[:rank]) + members.ahead_of(caller)

    def _worse_than(self, caller: str, rank: int) -> W | None:
        """Who loses its place to a newcomer."""
        lowest = max((place for place, members in enumerate(self._classes) if members.waiters), default=-1)
        members = self._classes[lowest]
        if lowest > rank or (lowest == rank and members.most > members.count_of(caller) + 1):
            return members.last_of_most()
        return None

    def _put(self, waiter: W, rank: int, since_s: float) -> None:
        waiter.rank = rank
        waiter.since_s = since_s
        self._classes[rank].add(waiter)

    def _age(self, now_s: float) -> None:
        """Everybody whose time in a class is over moves up, one after another as they have become due."""
        while (first := self._first_due()) is not None:
            due_s = first.since_s + self.age_s
            if due_s > now_s:
                break
            self._classes[first.rank].remove(first)
            self._put(first, first.rank - 1, due_s)

    def _first_due(self) -> W | None:
        """Who moves up next.  Each class is a queue by `since_s`: only its head needs a look.

        Not quite where `age_s` has become shorter: one may then stand behind another that is due later, but no longer
        than for the new `age_s`.
        """
        heads = [next(iter(members.waiters)) for members in self._classes[:0:-1] if members.waiters]
        return min(heads, key=_since_s, default=None)


_since_s = attrgetter("since_s")


class _Class(Generic[W]):
    """The waiters of one class, in three orders."""

    __slots__ = ("_by_count", "_lanes", "waiters")

    def __init__(self) -> None:
        # OrderedDict, not dict: of a dict the first is slow to find once many before it have gone.
        self.waiters: OrderedDict[W, None] = OrderedDict()
        """In the order in which they have come into the class."""
        self._lanes: OrderedDict[str, OrderedDict[W, None]] = OrderedDict()
        """The same by caller; the one whose turn is next is first.  Nobody has an empty lane."""
        self._by_count: list[OrderedDict[str, None]] = [OrderedDict()]
        """At each index the callers with so many waiters.  The last is not empty, but where it is the only one."""

    @property
    def most(self) -> int:
        """How many one caller has here, at most."""
        return len(self._by_count) - 1

    def count_of(self, caller: str) -> int:
        return len(self._lanes.get(caller, ()))

    def ahead_of(self, caller: str) -> int:
        own = self.count_of(caller)
        others = len(self._lanes) - (own > 0)
        return min(len(self.waiters), own + (own + 1) * others)

    def turn(self) -> W:
        """The next one.  It stays for now, but its caller's turn is over."""
        caller, lane = next(iter(self._lanes.items()))
        self._lanes.move_to_end(caller)
        return next(iter(lane))

    def last_of_most(self) -> W:
        """The last one of the caller with most; of several such callers the one who got there last."""
        caller = next(reversed(self._by_count[-1]))
        return next(reversed(self._lanes[caller]))

    def add(self, waiter: W) -> None:
        self.waiters[waiter] = None
        lane = self._lanes.get(waiter.caller)
        if lane is None:
            lane = self._lanes[waiter.caller] = OrderedDict()
        lane[waiter] = None
        self._count(waiter.caller, len(lane) - 1, len(lane))

    def remove(self, waiter: W) -> None:
        del self.waiters[waiter]
        lane = self._lanes[waiter.caller]
        del lane[waiter]
        if not lane:
            del self._lanes[waiter.caller]
        self._count(waiter.caller, len(lane) + 1, len(lane))

    def _count(self, caller: str, before: int, now: int) -> None:
        by_count = self._by_count
        if before:
            del by_count[before][caller]
        if now == len(by_count):
            by_count.append(OrderedDict())
        if now:
            by_count[now][caller] = None
        if len(by_count) > 1 and not by_count[-1]:
            by_count.pop()
