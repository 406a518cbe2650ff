"""Names to addresses, in threads: the system's resolver waits for a name server as long as it likes.

    resolve     for whoever dials what the owner has named
    Lookups     for what strangers name: shared by all of them, and by none alone

A thread that waits for a silent server cannot be ended, only left behind.  Whoever names such hosts must not take the
look-ups of everybody else, so each has a turn, kept until its thread has really ended, and counted three times:

    AT_ONCE in all; of one asker ASKERS; under one domain DOMAINS, of whosever asking
    a turn that is not to be had is waited for in order, no longer than WITHIN_S; WAITING of one asker at most, and
    WAITING_IN_ALL

So one asker, however many silent servers it names, holds up itself; and one silent server, whoever names it, itself and
its neighbours under the same domain, and not before two askers have named it.  A name that has failed is not asked for
again for FAILED_S; one whose turn came so late that there was hardly time to answer has not failed, or whoever is slow
on purpose could have any name held for one that has.
"""

from __future__ import annotations

import math
import socket
from collections import Counter, deque
from itertools import chain, zip_longest
from typing import Any, cast

import trio
from msgspec import Struct

from hoosh.errors import ConnectFailed
from hoosh.http.addresses import literal_address

__all__ = ["Address", "LookupStatistics", "Lookups", "domain_of", "resolve"]

AT_ONCE = 64
ASKERS = 4
DOMAINS = 8
WAITING = 64
WAITING_IN_ALL = 2048
WITHIN_S = 5.0
FAILED_S = 10.0
FAILED_NAMES = 1024

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


async def resolve(host: str, port: int, limiter: trio.CapacityLimiter | None = None) -> list[Address]:
    """Addresses in the order to try.  Raises ConnectFailed.  Waits for a name server, unless `host` is an address."""
    if (known := _of_address(host, port)) is not None:
        return known
    try:
        return await trio.to_thread.run_sync(_ask, host, port, abandon_on_cancel=True, limiter=limiter)
    except (OSError, UnicodeError, ValueError):
        raise _no_such_name() from None


class LookupStatistics(Struct, frozen=True):
    running: int
    """Threads, those included that nobody waits for any more."""
    waiting: int
    failed_names: int


class Lookups:
    """The look-ups of many askers."""

    def __init__(
        self, *, at_once: int = AT_ONCE, askers: int = ASKERS, domains: int = DOMAINS, within_s: float = WITHIN_S
    ) -> None:
        self._at_once, self._of_an_asker, self._of_a_domain = at_once, askers, domains
        self._within_s = within_s
        self._running = 0
        self._askers: Counter[str] = Counter()
        self._domains: Counter[str] = Counter()
        self._waiting: deque[_Turn] = deque()
        self._failed: dict[str, float] = {}
        """Until when; the oldest first."""

    def statistics(self) -> LookupStatistics:
        return LookupStatistics(self._running, len(self._waiting), len(self._failed))

    async def resolve(self, host: str, port: int, *, asker: str) -> list[Address]:
        """As the function, within `within_s`, and for `asker`, who is to have no more than its share."""
        if (known := _of_address(host, port)) is not None:
            return known
        name = host.rstrip(".").casefold()
        if self._failed.get(name, -1.0) > trio.current_time() or not self._may_wait(asker):
            raise _no_such_name()
        turn = _Turn(self, asker, domain_of(name))
        with trio.move_on_after(self._within_s):
            try:
                # The turn stands in for trio's limiter, which is asked before the thread starts and told when it has
                # ended, also when nobody waits for it any more.
                limiter = cast(trio.CapacityLimiter, turn)
                return await trio.to_thread.run_sync(_ask, host, port, abandon_on_cancel=True, limiter=limiter)
            except (OSError, UnicodeError, ValueError):
                self._remember(name)
        if trio.current_time() - turn.began_at >= self._within_s / 2:
            self._remember(name)
        raise _no_such_name()

    def _may_wait(self, asker: str) -> bool:
        waiting = self._waiting
        return len(waiting) < WAITING_IN_ALL and sum(turn.asker == asker for turn in waiting) < WAITING

    def _remember(self, name: str) -> None:
        self._failed.pop(name, None)
        self._failed[name] = trio.current_time() + FAILED_S
        while len(self._failed) > FAILED_NAMES:
            del self._failed[next(iter(self._failed))]

    # -- turns -----------------------------------------------------------------------------------------------------

    async def wait_turn(self, turn: _Turn) -> None:
        self._waiting.append(turn)
        self._call_next()
        try:
            await turn.called.wait()
        except trio.Cancelled:
            if turn.called.is_set():  # called and cancelled at once: there will be no thread
                turn.began_at = math.inf
                self.give_back(turn)
            else:
                self._waiting.remove(turn)
            raise

    def give_back(self, turn: _Turn) -> None:
        self._running -= 1
        for counts, key in ((self._askers, turn.asker), (self._domains, turn.domain)):
            counts[key] -= 1
            if not counts[key]:
                del counts[key]
        self._call_next()

    def _call_next(self) -> None:
        """Everybody for whom there is room, in the order in which they came."""
        for turn in [each for each in self._waiting if self._running < self._at_once]:
            if self._has_room(turn):
                self._waiting.remove(turn)
                self._running += 1
                self._askers[turn.asker] += 1
                self._domains[turn.domain] += 1
                turn.began_at = trio.current_time()
                turn.called.set()

    def _has_room(self, turn: _Turn) -> bool:
        return (
            self._running < self._at_once
            and self._askers[turn.asker] < self._of_an_asker
            and self._domains[turn.domain] < self._of_a_domain
        )


class _Turn:
    """Of one look-up, as trio's `to_thread.run_sync` takes a limiter."""

    def __init__(self, lookups: Lookups, asker: str, domain: str) -> None:
        self.asker, self.domain = asker, domain
        self.called = trio.Event()
        self.began_at = math.inf
        self._lookups = lookups

    async def acquire_on_behalf_of(self, _: object) -> None:
        await self._lookups.wait_turn(self)

    def release_on_behalf_of(self, _: object) -> None:
        self._lookups.give_back(self)


def domain_of(name: str) -> str:
    """What one owner's name servers most likely answer for: the last two labels, three under such as `co.uk`.

    A guess without a list of public suffixes.  Where it takes in too much, those under it share DOMAINS look-ups.
    """
    labels = name.split(".")
    is_divided = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3:] if is_divided else labels[-2:])


# -- asking ----------------------------------------------------------------------------------------------------------


def _ask(host: str, port: int) -> list[Address]:
    """Blocks.  Raises what `getaddrinfo` raises."""
    return _in_order(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _of_address(host: str, port: int) -> list[Address] | None:
    """None for a name.  Asks nobody.  Raises ConnectFailed for the zone of an interface that is not there."""
    literal = literal_address(host)
    try:
        numeric = literal or host  # the system may know a spelling that we do not
        return _in_order(socket.getaddrinfo(numeric, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, UnicodeError, ValueError):
        if literal is not None:
            raise _no_such_name() from None
        return None


def _in_order(found: list[Any]) -> list[Address]:
    """Families alternate, the resolver's preference first (RFC 8305, section 4)."""
    addresses: list[Address] = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    first = [entry for entry in addresses if entry[0] == addresses[0][0]]
    other = [entry for entry in addresses if entry[0] != addresses[0][0]]
    mixed = chain.from_iterable(zip_longest(first, other))
    return [entry for entry in mixed if entry is not None]


def _no_such_name() -> ConnectFailed:
    return ConnectFailed("name does not resolve")
