"""The desk for outsiders: programs that spend from a pool without sending their requests through the gateway.

    check ─▶ reserve ─▶ (they work) ─▶ report what it took, or release        or nothing: then it expires

Everything that moves a balance is decided by the ledger and written to its journal before it is answered; with
`durability = "sync"` the answer also waits for the disk.  Where that fails, the client does not learn the id of what
was reserved: it expires.

A caller whose key has a pool can name no other; a reservation is its owner's; an administrator may do both for
everybody.  Ids are random: nobody finds another's by counting.

Amounts are in the pool's unit, tokens or micro-USD.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from msgspec import Struct

from hoosh.budget import Entry, Ledger, OnExhausted, PoolState, Unit, Window
from hoosh.errors import BudgetExceeded, Forbidden
from hoosh.values import Caller

__all__ = ["Checked", "PoolList", "Promised", "Reckoned", "Returned", "ShownPool", "TokenDesk"]


class Checked(Struct, frozen=True):
    allowed: bool
    available: int | None
    """None has no end, here and below."""


class Promised(Struct, frozen=True, omit_defaults=True):
    reserved: bool
    available: int | None
    id: str | None = None
    expires_at: int | None = None
    """Unix seconds."""


class Reckoned(Struct, frozen=True):
    used: int
    available: int | None


class Returned(Struct, frozen=True):
    released: bool
    available: int | None


class ShownPool(Struct, frozen=True):
    name: str
    capacity: int | None
    used: int
    reserved: int
    """By outsiders, and held by running requests."""
    available: int | None
    unit: Unit
    window: Window
    on_exhausted: OnExhausted
    window_ends_at: int | None
    """Unix seconds."""


class PoolList(Struct, frozen=True):
    pools: list[ShownPool]


class TokenDesk:
    """Answers the tokens API.  Errors are those of the ledger, and Forbidden."""

    def __init__(
        self,
        ledger: Ledger,
        write: Callable[[Entry], int],
        wait_kept: Callable[[int], Awaitable[None]] | None,
        now_ms: Callable[[], int],
        require_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`write` hands an entry to the journal and returns its position; `wait_kept` waits until that is kept.

        `require_room` raises Unavailable while nothing more can be kept: no reservation is made that might be lost.
        """
        self._ledger = ledger
        self._write = write
        self._wait_kept = wait_kept
        self._now_ms = now_ms
        self._require_room = require_room

    async def check(self, caller: Caller, pool: str, amount: int) -> Checked:
        """Would `amount` be there now?"""
        _require_pool(caller, pool)
        free = self._ledger.free(pool, self._now())
        return Checked(free is None or amount <= free, free)

    async def reserve(self, caller: Caller, pool: str, amount: int, ttl_s: float) -> Promised:
        """Keep `amount` for the caller, for `ttl_s` at most.  That there is less is an answer, not an error."""
        _require_pool(caller, pool)
        self._require_room()
        at_ms = self._now()
        identity = f"rsv_{secrets.token_hex(12)}"
        try:
            entry = self._ledger.reserve(pool, caller.name, amount, ttl_s=ttl_s, at_ms=at_ms, reservation_id=identity)
        except BudgetExceeded as refused:
            return Promised(False, refused.free)
        answer = Promised(True, self._ledger.free(pool, at_ms), entry.id, entry.expires_ms // 1000)
        await self._keep(entry)
        return answer

    async def report(
        self, caller: Caller, actual: int, *, identity: str | None = None, pool: str | None = None, reserved: int = 0
    ) -> Reckoned:
        """`actual` was used, for the reservation `identity`, or for `reserved` of what the caller has in `pool`."""
        if identity is None and pool is not None:
            _require_pool(caller, pool)
        at_ms = self._now()
        entry = self._ledger.report(
            identity, caller.name, pool, reserved, actual, at_ms=at_ms, is_admin=_is_admin(caller)
        )
        state = self._ledger.pool(entry.pool, at_ms)
        await self._keep(entry)
        return Reckoned(state.used, state.available)

    async def release(self, caller: Caller, identity: str) -> Returned:
        """The reservation is not needed."""
        at_ms = self._now()
        entry = self._ledger.release(identity, caller.name, at_ms=at_ms, is_admin=_is_admin(caller))
        state = self._ledger.pool(entry.pool, at_ms)
        await self._keep(entry)
        return Returned(True, state.available)

    def pools(self, caller: Caller) -> PoolList:
        """Those that the caller may name."""
        states = self._ledger.pools(self._now())
        return PoolList([_shown(state) for state in states if _may_name(caller, state.name)])

    def _now(self) -> int:
        """What is over by now is over for whoever asks, also between two rounds of the guard."""
        at_ms = self._now_ms()
        for entry in self._ledger.expire(at_ms):
            self._write(entry)
        return at_ms

    async def _keep(self, entry: Entry) -> None:
        position = self._write(entry)
        if self._wait_kept is not None:
            await self._wait_kept(position)


def _is_admin(caller: Caller) -> bool:
    return "admin" in caller.scopes


def _may_name(caller: Caller, pool: str) -> bool:
    return caller.pool is None or caller.pool == pool or _is_admin(caller)


def _require_pool(caller: Caller, pool: str) -> None:
    if not _may_name(caller, pool):
        raise Forbidden(f"This API key may only use the budget `{caller.pool}`.", param="pool")


def _shown(state: PoolState) -> ShownPool:
    return ShownPool(
        name=state.name,
        capacity=state.capacity,
        used=state.used,
        reserved=state.held + state.reserved,
        available=state.available,
        unit=state.unit,
        window=state.window,
        on_exhausted=state.on_exhausted,
        window_ends_at=None if state.window_ends_ms is None else state.window_ends_ms // 1000,
    )
