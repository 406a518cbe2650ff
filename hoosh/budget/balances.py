"""The balances: a fold over the journal's entries, from the first, or from a snapshot on.

    balances = apply(… apply(apply(nothing, entry 1), entry 2) …)

What the ledger decides, it applies here too: a replay after a crash runs the same code.  The fold never refuses: what
has happened has happened.  An entry of a pool that nobody has told of is kept, in case somebody will.

A pool is its name *and* its unit.  Under one name there is one pool at a time; those that had it with another unit are
kept apart, for what still runs on them, and for the day they come back.

The snapshot holds what entries have made.  Requests' holds are not among it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from hoosh.budget.entries import Configured, Entry, Expired, Released, Reported, Reserved
from hoosh.budget.pool import HoldMisused, Pool, Terms, terms_of
from hoosh.budget.reservations import Reservation, Reservations
from hoosh.budget.settings import Budget, Unit
from hoosh.budget.windows import window_around
from hoosh.errors import StorageError
from hoosh.values.settlement import DEFAULT_POOL, Settlement

__all__ = ["Balances", "wanted_terms"]

VERSION: Final = 1
UNLIMITED = Terms(DEFAULT_POOL)
"""The pool that exists unless the owner has one of that name."""


class Balances:
    """All pools, and what outsiders have reserved."""

    __slots__ = ("_former", "_given", "_open", "_pools", "_reservations")

    def __init__(self, terms: tuple[Terms, ...], *, at_ms: int) -> None:
        self._pools: dict[str, Pool] = {}
        """Every pool that is or was, by its name."""
        self._open: dict[str, Pool] = {}
        """Of these, those that can be held from."""
        self._former: dict[tuple[str, Unit], Pool] = {}
        """Those whose name has another unit now."""
        self._reservations = Reservations()
        self._given = terms
        self._configure(Configured(at_ms, terms))

    def apply(self, entry: Entry) -> None:
        """Move the balances as `entry` says.  Never refuses: what has happened has happened."""
        match entry:
            case Settlement():
                self._remembered(entry.pool, entry.unit).charge(entry.charge, entry.at_ms)
            case Reserved():
                account = self._remembered(entry.pool)
                held = Reservation(entry.id, entry.owner, account, entry.amount, entry.expires_ms)
                self._reservations.add(held)
            case Reported():
                self._report(entry)
            case Released() | Expired():
                self._reservations.remove(entry.id)
            case Configured():
                self._configure(entry)

    def _report(self, entry: Reported) -> None:
        account = self._remembered(entry.pool)
        if entry.id is None:
            self._reservations.take(entry.owner, account, entry.reserved)
        elif (reservation := self._reservations.remove(entry.id)) is not None:
            account = reservation.account
        account.charge(entry.actual, entry.at_ms)

    def _remembered(self, name: str, unit: str = "") -> Pool:
        """The pool that an entry names.  One that nobody has told of is kept closed, in case somebody will."""
        account = self._pools.get(name)
        if account is not None and (not unit or unit == account.unit):
            return account
        kind: Unit = "usd" if unit == "usd" else "tokens"
        if account is None:
            account = self._pools[name] = Pool(Terms(name, unit=kind))
            account.is_unheard = not unit
            return account
        if (name, kind) not in self._former:
            self._former[name, kind] = former = Pool(Terms(name, unit=kind))
            former.is_former = True
        return self._former[name, kind]

    def _configure(self, entry: Configured) -> None:
        self._open = {}
        for terms in entry.pools:
            account = self._pools.get(terms.name)
            if account is not None and account.is_unheard:
                account.unit, account.is_unheard = terms.unit, False
            elif account is None or account.unit != terms.unit:
                account = self._with_unit(terms, account)
            account.change(terms, max(entry.at_ms, entry.ahead_ms.get(terms.name, 0)))
            self._open[terms.name] = account

    def _with_unit(self, terms: Terms, namesake: Pool | None) -> Pool:
        """The pool of that name and unit: the one there was before, or a new one."""
        if namesake is not None:
            namesake.is_former = True
            self._former[namesake.name, namesake.unit] = namesake
        account = self._former.pop((terms.name, terms.unit), None) or Pool(terms)
        account.is_former = False
        self._pools[terms.name] = account
        return account

    # -- snapshots -------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """All that the entries up to now have come to.  Requests' holds are not among it."""
        accounts = [*self._pools.values(), *self._former.values()]
        places = {account: place for place, account in enumerate(accounts)}
        return msgspec.json.encode(
            _State(
                VERSION,
                [_balance_of(each) for each in accounts],
                list(self._open),
                [
                    _Promise(each.id, each.owner, places[each.account], each.amount, each.expires_ms)
                    for each in self._reservations.living.values()
                ],
            )
        )

    def restore(self, state: bytes) -> None:
        """Take over what `state` returned, of a ledger that nobody holds from yet.

        A ledger that was made with budgets keeps their terms, else the state's are taken over.  Raises StorageError for
        a state that this version cannot read, and then nothing has changed.
        """
        found = _decode_state(state)
        if any(account.held for account in self._pools.values()):
            raise HoldMisused("a ledger was restored while requests run on it")
        accounts = [_pool_of(balance) for balance in found.pools]
        self._pools = {each.name: each for each in accounts if not each.is_former}
        self._former = {(each.name, each.unit): each for each in accounts if each.is_former}
        self._open = {name: self._pools[name] for name in found.open}
        self._reservations = Reservations()
        for each in found.reservations:
            held = Reservation(each.id, each.owner, accounts[each.place], each.amount, each.expires_ms)
            self._reservations.add(held)
        if self._given != (UNLIMITED,):
            self._configure(Configured(0, self._given))


class _Balance(Struct, frozen=True, omit_defaults=True):
    terms: Terms
    used: int
    starts_ms: int
    is_former: bool = False
    is_unheard: bool = False


class _Promise(Struct, frozen=True, array_like=True):
    id: str
    owner: str
    place: int
    """Of its pool."""
    amount: int
    expires_ms: int


class _State(Struct, frozen=True):
    version: int
    pools: list[_Balance]
    open: list[str]
    reservations: list[_Promise]


def _decode_state(state: bytes) -> _State:
    try:
        found = msgspec.json.decode(state, type=_State)
        whole = found.version == VERSION and _is_whole(found)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise StorageError.unreadable("The snapshot of the budgets")
    return found


def _is_whole(found: _State) -> bool:
    """Does all that it names stand in it?"""
    names = {balance.terms.name for balance in found.pools if not balance.is_former}
    return names.issuperset(found.open) and all(0 <= each.place < len(found.pools) for each in found.reservations)


def _balance_of(account: Pool) -> _Balance:
    return _Balance(account.terms, account.used, account.starts_ms, account.is_former, account.is_unheard)


def _pool_of(balance: _Balance) -> Pool:
    account = Pool(balance.terms)
    account.used, account.is_former, account.is_unheard = balance.used, balance.is_former, balance.is_unheard
    if balance.starts_ms:
        account.starts_ms, account.ends_ms = window_around(balance.terms.window, balance.starts_ms)
    return account


def wanted_terms(budgets: Iterable[Budget]) -> tuple[Terms, ...]:
    """The terms of all pools that there shall be.  Of two with one name the later counts."""
    return tuple({UNLIMITED.name: UNLIMITED, **{terms.name: terms for terms in map(terms_of, budgets)}}.values())
