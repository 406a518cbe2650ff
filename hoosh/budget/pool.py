"""One pool: what may be spent, what is spent, and what is promised.

    capacity = used + held + reserved + available          while nothing is overdrawn
                │      │       └ outsiders' reservations: in the journal, they survive a restart
                │      └ requests' holds: in memory, they end with the process
                └ settled in this window; may pass the capacity, for the upstream has the last word

All amounts are whole: tokens, or micro-USD.  The clock of a pool never goes back: what it remembers of it is the window
that it is in, and what comes with an older time counts there.  So a clock that jumps ahead and back again leaves the
pool in the window that it has jumped to, until the clock gets there: nobody gets a second refill for it.

A refill empties `used` alone.  A hold that spans the boundary stays held, and is charged where it is settled.
"""

from __future__ import annotations

import math

from msgspec import Struct

from hoosh.budget.settings import Budget, OnExhausted, Unit, Window
from hoosh.budget.windows import NEVER_MS, window_around
from hoosh.errors import BudgetExceeded, MoneySpent

__all__ = ["MOST", "Hold", "HoldMisused", "Pool", "PoolState", "Terms", "terms_of"]

MOST = 2**63 - 1
"""No pool counts further, neither its capacity nor what is used."""
MICRO = 1_000_000


class Terms(Struct, frozen=True, omit_defaults=True):
    """What the owner has decided for a pool."""

    name: str
    capacity: int | None = None
    """In the pool's unit; None has no end."""
    unit: Unit = "tokens"
    window: Window = "none"
    on_exhausted: OnExhausted = "stop"


class PoolState(Struct, frozen=True):
    """A pool at one moment.  Amounts in its unit: tokens, or micro-USD where that is `usd`."""

    name: str
    unit: Unit
    window: Window
    on_exhausted: OnExhausted
    capacity: int | None
    used: int
    held: int
    reserved: int
    window_ends_ms: int | None

    @property
    def available(self) -> int | None:
        """What can still be promised; None has no end."""
        return None if self.capacity is None else max(0, self.capacity - self.used - self.held - self.reserved)


def terms_of(budget: Budget) -> Terms:
    return Terms(budget.name, _whole(budget), budget.unit, budget.window, budget.on_exhausted)


def _whole(budget: Budget) -> int | None:
    """The capacity in whole units.  What is no number pays for nothing."""
    if not budget.capacity > 0:
        return 0
    if math.isinf(budget.capacity):
        return None
    # Rounded where it is money: 1.1 USD are 1 100 000.0000000002 micro-USD.
    units = round(budget.capacity * MICRO) if budget.unit == "usd" else int(budget.capacity)
    return min(units, MOST)


class Pool:
    """The balances.  Only the ledger writes to them."""

    __slots__ = (
        "capacity",
        "ends_ms",
        "held",
        "is_former",
        "is_unheard",
        "name",
        "on_exhausted",
        "reserved",
        "starts_ms",
        "unit",
        "used",
        "window",
    )

    def __init__(self, terms: Terms) -> None:
        self.name = terms.name
        self.unit: Unit = terms.unit
        self.is_former = False
        """Another pool has its name now, with another unit."""
        self.is_unheard = False
        """Entries have named it, and no owner yet: its unit is a guess."""
        self.used = 0
        self.held = 0
        self.reserved = 0
        self.capacity = terms.capacity
        self.on_exhausted: OnExhausted = terms.on_exhausted
        self.window: Window = terms.window
        self.starts_ms = 0
        # Opened by the first time that comes, not by the owner's clock: a replay begins in the past.
        self.ends_ms: float = NEVER_MS if terms.window == "none" else 0

    @property
    def terms(self) -> Terms:
        return Terms(self.name, self.capacity, self.unit, self.window, self.on_exhausted)

    def change(self, terms: Terms, at_ms: int) -> None:
        """New terms.  What is used in the running window stays used in the one that takes its place."""
        self.capacity = terms.capacity
        self.on_exhausted = terms.on_exhausted
        if terms.window != self.window:
            self.advance(at_ms)
            self.window = terms.window
            self.starts_ms, self.ends_ms = window_around(terms.window, max(at_ms, self.starts_ms))

    def advance(self, at_ms: int) -> None:
        """Open the window of `at_ms` where that is a later one."""
        if at_ms >= self.ends_ms:
            self.starts_ms, self.ends_ms = window_around(self.window, at_ms)
            self.used = 0

    def free(self) -> int | None:
        """What can be promised now; None has no end."""
        if self.capacity is None:
            return None
        free = self.capacity - self.used - self.held - self.reserved
        return free if free > 0 else 0

    def charge(self, amount: int, at_ms: int) -> None:
        if at_ms >= self.ends_ms:
            self.advance(at_ms)
        if amount > 0:
            used = self.used + amount
            self.used = used if used < MOST else MOST

    def require(self, amount: int, at_ms: int) -> None:
        """Raises BudgetExceeded, or MoneySpent, unless `amount` is free.  Nothing always is."""
        if at_ms >= self.ends_ms:
            self.advance(at_ms)
        if self.capacity is not None and 0 < amount > self.capacity - self.used - self.held - self.reserved:
            raise self.refusal(amount, self.free() or 0, at_ms)

    def refusal(self, asked: int, free: int, at_ms: int) -> BudgetExceeded:
        kind = MoneySpent if self.unit == "usd" else BudgetExceeded
        return kind(self.name, asked=asked, free=free, retry_after_s=self._refilled_in_s(asked, at_ms))

    def _refilled_in_s(self, amount: int, at_ms: int) -> float | None:
        """None where waiting will not help."""
        if self.ends_ms == NEVER_MS or (self.capacity is not None and amount > self.capacity):
            return None
        return (self.ends_ms - at_ms) / 1000

    def state(self) -> PoolState:
        ends_ms = None if self.ends_ms == NEVER_MS else int(self.ends_ms)
        return PoolState(
            self.name,
            self.unit,
            self.window,
            self.on_exhausted,
            self.capacity,
            self.used,
            self.held,
            self.reserved,
            ends_ms,
        )


class HoldMisused(RuntimeError):
    """A bug of ours: a hold was settled twice, used after that, or settled for another pool."""


class Hold(Struct, eq=False):
    """What one running request has been promised.  Made, grown and settled by the ledger alone."""

    account: Pool
    amount: int
    """Held now, in the pool's unit."""
    settled: bool = False

    @property
    def pool(self) -> str:
        return self.account.name

    @property
    def unit(self) -> Unit:
        return self.account.unit

    @property
    def on_exhausted(self) -> OnExhausted:
        return self.account.on_exhausted
