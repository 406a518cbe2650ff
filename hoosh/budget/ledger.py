"""The ledger: who may still spend how much.  Checked and applied in one synchronous step.

    hold(pool, amount) ──▶ HELD ──extend──▶ HELD ──settle(settlement)──▶ SETTLED      once; a second time raises

    balances = fold(apply, entries)      a replay of the journal, or of a snapshot and what is behind it, runs `apply`

Requests hold in memory; what they come to is an entry.  Outsiders reserve, report and release: each is decided here,
applied, and returned as the entry that must be written to the journal.  Nothing waits, nothing looks at a clock:
`at_ms` is Unix milliseconds, and each pool takes the latest it has seen.

A pool that the owner removes is closed: nobody can hold or reserve from it any more, but what runs on it ends as it
would have, and its balance is kept in case it comes back.  A pool is its name *and* its unit: tokens do not become
money.  A capacity lowered below what is used leaves nothing free.

To start:  `ledger = Ledger()`, `restore` the snapshot, `apply` the rows behind it, `configure` with today's budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from hoosh.budget.balances import Balances, wanted_terms
from hoosh.budget.entries import Configured, Expired, Released, Reported, Reserved
from hoosh.budget.pool import MOST, Hold, HoldMisused, Pool, PoolState, Terms
from hoosh.budget.reservations import MOST_LIVING, Reservation
from hoosh.budget.settings import Budget
from hoosh.errors import BudgetExceeded, NoSuchEntry, Refused, UnknownPool
from hoosh.values.settlement import Settlement

__all__ = ["Ledger"]


class Ledger(Balances):
    """Balances that can be decided about."""

    __slots__ = ()

    def __init__(self, budgets: Iterable[Budget] = (), *, at_ms: int = 0) -> None:
        super().__init__(wanted_terms(budgets), at_ms=at_ms)

    # -- requests --------------------------------------------------------------------------------------------------

    def hold(self, pool: str, amount: int, at_ms: int, *, or_closed: bool = False) -> Hold:
        """Promise `amount` to a request.

        Raises UnknownPool; BudgetExceeded or MoneySpent where less is free, and then nothing has changed.  An amount
        of 0 is never refused.
        """
        account = self.find(pool, at_ms, or_closed=or_closed)
        if amount < 0:
            raise ValueError(f"cannot hold {amount}")
        if account.capacity is not None and amount:
            account.require(amount, at_ms)
        account.held += amount
        return Hold(account, amount)

    def extend(self, hold: Hold, amount: int, at_ms: int) -> int:
        """Promise up to `amount` more, as much as is free now; returns how much that was."""
        if hold.settled:
            raise HoldMisused(f"a hold on {hold.pool!r} was extended after it was settled")
        account = hold.account
        account.advance(at_ms)
        free = account.free()
        granted = max(0, amount if free is None else min(amount, free))
        account.held += granted
        hold.amount += granted
        return granted

    def exhausted(self, hold: Hold, at_ms: int) -> BudgetExceeded:
        """What is told of a stream that has used up what it held, where its pool has nothing more for it."""
        hold.account.advance(at_ms)
        return hold.account.refusal(0, 0, at_ms)

    def settle(self, hold: Hold, settlement: Settlement) -> Settlement:
        """The request is over: what it held is free again, and its pool pays `charge`, be that more than it held.

        Returns the entry to be written to the journal.  It is `settlement`, but where the journal could not tell from
        it what has happened here: a clock that went back, a pool that has another unit by now.
        """
        account = hold.account
        if hold.settled:
            raise HoldMisused(f"a hold on {account.name!r} was settled twice (request {settlement.request_id})")
        if settlement.pool != account.name:
            raise HoldMisused(f"a hold on {account.name!r} was settled for {settlement.pool!r}")
        hold.settled = True
        account.held -= hold.amount
        hold.amount = 0
        account.charge(settlement.charge, settlement.at_ms)
        if settlement.at_ms < account.starts_ms:
            settlement = replace(settlement, at_ms=account.starts_ms)
        if account.is_former and not settlement.unit:
            settlement = replace(settlement, unit=account.unit)
        return settlement

    # -- looking ---------------------------------------------------------------------------------------------------

    def find(self, name: str, at_ms: int, *, or_closed: bool = False) -> Pool:
        """A pool that can be held from, as it stands now.  To be looked at, not changed.  Raises UnknownPool."""
        account = self._open.get(name) or (self._pools.get(name) if or_closed else None)
        if account is None:
            raise UnknownPool(name)
        if at_ms >= account.ends_ms:
            account.advance(at_ms)
        return account

    def free(self, pool: str, at_ms: int) -> int | None:
        """What can be promised now; None has no end.  Raises UnknownPool."""
        return self.find(pool, at_ms).free()

    def pool(self, name: str, at_ms: int) -> PoolState:
        """Also of a pool that is closed: something may still run on it.  Raises UnknownPool."""
        account = self._pools.get(name)
        if account is None:
            raise UnknownPool(name)
        account.advance(at_ms)
        return account.state()

    def pools(self, at_ms: int) -> tuple[PoolState, ...]:
        """Those that can be used, in the owner's order."""
        for account in self._open.values():
            account.advance(at_ms)
        return tuple([account.state() for account in self._open.values()])

    def ceilings(self) -> Iterator[Pool]:
        """The pools in use that have one.  To be looked at, not changed."""
        return (account for account in self._open.values() if account.capacity)

    def roll(self, at_ms: int) -> None:
        """Open the windows that have begun, also of pools that are closed."""
        for account in (*self._pools.values(), *self._former.values()):
            account.advance(at_ms)

    # -- outsiders: decide, apply, and return what must be written -------------------------------------------------

    def reserve(self, pool: str, owner: str, amount: int, *, ttl_s: float, at_ms: int, reservation_id: str) -> Reserved:
        """Promise `amount` to `owner` for `ttl_s`.

        Raises UnknownPool, BudgetExceeded, MoneySpent; Refused where the owner has too many.  Nothing changed then.
        """
        account = self.find(pool, at_ms)
        if amount < 0 or reservation_id in self._reservations.living:
            raise ValueError(f"cannot reserve {amount} as {reservation_id}")
        account.require(amount, at_ms)
        if self._reservations.count(owner) >= MOST_LIVING:
            message = f"There are {MOST_LIVING} reservations of this caller already; report or release some."
            raise Refused(message, code="too_many_reservations")
        entry = Reserved(at_ms, reservation_id, owner, pool, amount, at_ms + int(ttl_s * 1000))
        self.apply(entry)
        return entry

    def report(
        self,
        reservation_id: str | None,
        owner: str,
        pool: str | None,
        reserved: int,
        actual: int,
        *,
        at_ms: int,
        is_admin: bool = False,
    ) -> Reported:
        """`actual` has been used, be that more than was reserved.

        With an id, its reservation is over.  Without one, up to `reserved` of what the owner itself has reserved in
        `pool` is given back.  Raises NoSuchEntry for an id that is not living or not the owner's, and UnknownPool.
        """
        if actual < 0 or reserved < 0:
            raise ValueError(f"cannot report {actual} of {reserved}")
        if reservation_id is None:
            account = self.find(pool or "", at_ms)
        else:
            account = self._find(reservation_id, owner, is_admin).account
        at_ms = _clock(account, at_ms)
        entry = Reported(at_ms, owner, account.name, min(actual, MOST), reservation_id, min(reserved, MOST))
        self.apply(entry)
        return entry

    def release(self, reservation_id: str, owner: str, *, at_ms: int, is_admin: bool = False) -> Released:
        """Nothing has been used.  Raises NoSuchEntry."""
        account = self._find(reservation_id, owner, is_admin).account
        entry = Released(at_ms, reservation_id, account.name)
        self.apply(entry)
        return entry

    def expire(self, at_ms: int) -> list[Expired]:
        """End the reservations whose time is over."""
        due = self._reservations.due(at_ms)
        entries = [Expired(at_ms, each.id, each.account.name) for each in due]
        for entry in entries:
            self.apply(entry)
        return entries

    def _find(self, identity: str, owner: str, is_admin: bool) -> Reservation:
        found = self._reservations.living.get(identity)
        # Somebody else's looks like none: whether it is there is nobody's business.
        if found is None or (found.owner != owner and not is_admin):
            raise NoSuchEntry(f"There is no reservation `{identity[:100]}`; it may have expired.", param="id")
        return found

    # -- the owner -------------------------------------------------------------------------------------------------

    def configure(self, budgets: Iterable[Budget], at_ms: int) -> Configured | None:
        """These are the pools from now on.  Returns the entry to be written, or None where nothing changes.

        What is used, held and reserved stays so, also where a capacity sinks below it, a window changes or a pool is
        removed; only another unit makes another pool.
        """
        wanted = self._given = wanted_terms(budgets)
        if wanted == tuple(account.terms for account in self._open.values()):
            return None
        known = [self._known(terms) for terms in wanted]
        ahead = {account.name: account.starts_ms for account in known if account and account.starts_ms > at_ms}
        entry = Configured(at_ms, wanted, ahead)
        self.apply(entry)
        return entry

    def _known(self, terms: Terms) -> Pool | None:
        account = self._pools.get(terms.name)
        if account is None or account.unit == terms.unit:
            return account
        return self._former.get((terms.name, terms.unit))


def _clock(account: Pool, at_ms: int) -> int:
    """The time at which something counts in `account`, which may have seen later ones."""
    return max(at_ms, account.starts_ms)
