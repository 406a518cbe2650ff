"""Outsiders' reservations that are living: found by id, by their owner in a pool, and by when they end.

Whoever asks over HTTP may forget to come back, so each has an end, and nobody may have more than MOST_LIVING.
Reservations know how much they hold of which pool; they keep that pool's `reserved` true.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from msgspec import Struct

from hoosh.budget.pool import Pool

__all__ = ["MOST_LIVING", "Reservation", "Reservations"]

MOST_LIVING = 10_000
"""Of one owner."""
SLACK = 64


class Reservation(Struct, eq=False):
    id: str
    owner: str
    account: Pool
    amount: int
    """Of which a report without an id may have taken some."""
    expires_ms: int


class Reservations:
    """All that are living, oldest first."""

    __slots__ = ("_by_end", "_by_owner", "_counts", "living")

    def __init__(self) -> None:
        self.living: dict[str, Reservation] = {}
        self._by_owner: dict[tuple[str, Pool], dict[str, Reservation]] = {}
        self._counts: dict[str, int] = {}
        self._by_end: list[tuple[int, str]] = []
        """A heap.  Those that ended before their time stay in it for a while."""

    def count(self, owner: str) -> int:
        return self._counts.get(owner, 0)

    def add(self, reservation: Reservation) -> None:
        owner, account = reservation.owner, reservation.account
        self.living[reservation.id] = reservation
        self._by_owner.setdefault((owner, account), {})[reservation.id] = reservation
        self._counts[owner] = self._counts.get(owner, 0) + 1
        account.reserved += reservation.amount
        heappush(self._by_end, (reservation.expires_ms, reservation.id))

    def remove(self, identity: str) -> Reservation | None:
        """It ends, and its pool has back what is left of it.  None where it is not living."""
        reservation = self.living.pop(identity, None)
        if reservation is None:
            return None
        owner, account = reservation.owner, reservation.account
        account.reserved -= reservation.amount
        theirs = self._by_owner[owner, account]
        del theirs[identity]
        if not theirs:
            del self._by_owner[owner, account]
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
        self._tidy()
        return reservation

    def take(self, owner: str, account: Pool, amount: int) -> None:
        """Give `amount` back to the pool out of the owner's reservations, oldest first; no more than they hold."""
        theirs = self._by_owner.get((owner, account))
        while theirs and amount > 0:
            oldest = next(iter(theirs.values()))
            if oldest.amount > amount:
                oldest.amount -= amount
                account.reserved -= amount
                return
            amount -= oldest.amount
            self.remove(oldest.id)

    def due(self, at_ms: int) -> list[Reservation]:
        """Those whose time is over, the first to end first.  They are told of once, and live until they are removed."""
        found = []
        while self._by_end and self._by_end[0][0] <= at_ms:
            reservation = self.living.get(heappop(self._by_end)[1])
            if reservation is not None and reservation.expires_ms <= at_ms:
                found.append(reservation)
        return found

    def _tidy(self) -> None:
        """Keep the heap from growing with what comes and goes before its time."""
        if len(self._by_end) > 2 * len(self.living) + SLACK:
            self._by_end = [(each.expires_ms, each.id) for each in self.living.values()]
            heapify(self._by_end)
