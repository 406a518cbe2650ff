"""Token pools in a program of one's own: `budget`'s ledger, with the reference's verbs.  Whole tokens; nothing waits.

    reserve(600) ──▶ True    reserved += 600                 not enough: False, and nothing has changed
    commit(600, 450)         reserved −= 600, used += 450    `used` may pass the capacity
    release(600)             reserved −= 600

Pools have no window here and are in memory; those of a gateway have both (docs/budgets.md).
Source: reference sections 5 and 19.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hoosh.budget import Budget, Ledger, PoolState
from hoosh.errors import BudgetExceeded, UnknownPool

__all__ = ["TokenBudget", "TokenPool"]

OWNER = "program"
FOR_EVER_S = 1e11
NOW_MS = 0
"""Of pools without windows and reservations without end: no clock is needed."""


class TokenPool:
    """One pool.  It has a ledger of its own."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self._numbers = itertools.count(1)
        self._ledger = Ledger([Budget(name=name, capacity=capacity)])

    @property
    def state(self) -> PoolState:
        return self._ledger.pool(self.name, NOW_MS)

    @property
    def used(self) -> int:
        return self.state.used

    @property
    def reserved(self) -> int:
        return self.state.reserved

    @property
    def available(self) -> int:
        return self._ledger.free(self.name, NOW_MS) or 0

    @property
    def utilization(self) -> float:
        """Used, of the capacity; what is reserved does not count."""
        return self.used / self.capacity if self.capacity else 0.0

    def can_reserve(self, tokens: int) -> bool:
        return tokens <= self.available

    def reserve(self, tokens: int) -> bool:
        """False where there is less.  Raises Refused where there are too many reservations (`budget.MOST_LIVING`)."""
        if tokens == 0:
            return True
        try:
            self._ledger.reserve(
                self.name, OWNER, tokens, ttl_s=FOR_EVER_S, at_ms=NOW_MS, reservation_id=f"rsv_{next(self._numbers)}"
            )
        except BudgetExceeded:
            return False
        return True

    def commit(self, reserved: int, actual: int) -> None:
        """`actual` was used; up to `reserved` of what is reserved is given back."""
        self._ledger.report(None, OWNER, self.name, reserved, actual, at_ms=NOW_MS)

    def release(self, tokens: int) -> None:
        self.commit(tokens, 0)


class TokenBudget:
    """Several pools by name."""

    def __init__(self) -> None:
        self._pools: dict[str, TokenPool] = {}

    def add_pool(self, pool: TokenPool) -> None:
        """In place of another of its name."""
        self._pools[pool.name] = pool

    def get_pool(self, name: str) -> TokenPool | None:
        return self._pools.get(name)

    def pools(self) -> Iterator[TokenPool]:
        return iter(tuple(self._pools.values()))

    def check(self, name: str, tokens: int) -> bool:
        """False also where there is no such pool."""
        pool = self._pools.get(name)
        return pool is not None and pool.can_reserve(tokens)

    def reserve(self, name: str, tokens: int) -> bool:
        """False also where there is no such pool."""
        pool = self._pools.get(name)
        return pool is not None and pool.reserve(tokens)

    def report(self, name: str, reserved: int, actual: int) -> None:
        """Raises UnknownPool, where the original said nothing: what was used would have been lost."""
        pool = self._pools.get(name)
        if pool is None:
            raise UnknownPool(name)
        pool.commit(reserved, actual)
