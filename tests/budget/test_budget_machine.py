"""The ledger against a naive model, over any sequence of what can happen to it.

The model keeps, for each name and unit, the list of charges with their times, and adds them up anew for each question.
The clock jumps in both directions, pools come, go and change, the process dies.  At any time:

    what is free is never less than nothing      held = Σ open holds      used = Σ charges of the window
    a replay of the journal gives the same balances, and so does the last snapshot with what is behind it
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from hoosh.budget import Budget, Hold, Ledger, decode_entry, encode_entry
from hoosh.errors import BudgetExceeded, NoSuchEntry, UnknownPool
from hoosh.values.settlement import Settlement

NAMES = ("default", "p", "q")
OWNERS = ("ada", "bob")
SECOND, DAY = 1000, 86_400_000
START_MS = 1_709_164_800_000
"""2024-02-29."""
amounts = st.integers(0, 60)
LENGTH = {"none": 0, "minute": 16, "hour": 13, "day": 10, "month": 7}
"""As much of an ISO time as names the window."""


def window_name(window: str, at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()[: LENGTH[window]]


def beginning(window: str, at_ms: int) -> int:
    text = window_name(window, at_ms) + "1970-01-01T00:00:00+00:00"[LENGTH[window] :]
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class ModelPool:
    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget
        self.charges: list[tuple[int, int]] = []
        self.clock_ms = 0
        self.held: dict[Hold, int] = {}

    def see(self, at_ms: int) -> None:
        """Of the clock a pool remembers the window that it is in."""
        self.clock_ms = max(self.clock_ms, beginning(self.window, at_ms))

    @property
    def window(self) -> str:
        return self.budget.window if self.budget else "none"

    def used(self) -> int:
        now = window_name(self.window, self.clock_ms)
        return sum(charge for charge, at_ms in self.charges if window_name(self.window, at_ms) == now)

    def configure(self, budget: Budget | None, at_ms: int) -> None:
        new = budget.window if budget else "none"
        if new != self.window:
            self.see(at_ms)
            # What is used in the running window is used at this moment of the one that takes its place.
            now_ms = max(at_ms, self.clock_ms)
            self.charges = [(self.used(), now_ms)]
            self.clock_ms = beginning(new, now_ms)
        self.budget = budget


class LedgerMachine(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.now_ms = START_MS
        self.latest_ms = START_MS
        self.journal: list[bytes] = []
        self.saved = (self.ledger.state(), 0)
        self.pools = {("default", "tokens"): ModelPool(None)}
        self.open = {"default": "tokens"}
        self.promises: dict[str, list] = {}
        """Id → owner, pool, amount, when it ends."""
        self.number = 0

    # -- the model ---------------------------------------------------------------------------------------------------

    def pool(self, name: str) -> ModelPool:
        pool = self.pools[name, self.open[name]]
        pool.see(self.now_ms)
        return pool

    def reserved(self, pool: ModelPool) -> int:
        return sum(promise[2] for promise in self.promises.values() if promise[1] is pool)

    def free(self, pool: ModelPool) -> int | None:
        if pool.budget is None:
            return None
        scale = 1_000_000 if pool.budget.unit == "usd" else 1
        taken = pool.used() + sum(pool.held.values()) + self.reserved(pool)
        return max(0, round(pool.budget.capacity * scale) - taken)

    def write(self, *entries) -> None:
        self.journal += [encode_entry(entry) for entry in entries if entry is not None]

    # -- what happens ------------------------------------------------------------------------------------------------

    @rule(by_ms=st.sampled_from([1, SECOND, 59 * SECOND, 60 * SECOND, DAY, 31 * DAY, -1, -SECOND, -DAY, -40 * DAY]))
    def time_passes_or_jumps(self, by_ms: int) -> None:
        self.now_ms = max(0, self.now_ms + by_ms)
        self.latest_ms = max(self.latest_ms, self.now_ms)

    @rule(by_ms=st.sampled_from([-DAY, 60 * SECOND, DAY, 31 * DAY]))
    def the_clock_is_wrong_for_a_moment(self, by_ms: int) -> None:
        """All pools are looked at in it."""
        right_ms = self.now_ms
        self.time_passes_or_jumps(by_ms)
        self.balances_are_the_models()
        self.now_ms = right_ms

    @rule(target=holds, name=st.sampled_from(NAMES), amount=amounts)
    def hold(self, name: str, amount: int):
        if name not in self.open:
            with pytest.raises(UnknownPool):
                self.ledger.hold(name, amount, self.now_ms)
            return multiple()
        pool = self.pool(name)
        free = self.free(pool)
        if free is not None and amount > free:
            with pytest.raises(BudgetExceeded) as refused:
                self.ledger.hold(name, amount, self.now_ms)
            assert refused.value.free == free
            return multiple()
        hold = self.ledger.hold(name, amount, self.now_ms)
        pool.held[hold] = amount
        return hold, pool

    @rule(held=holds, amount=amounts)
    def extend(self, held, amount: int) -> None:
        hold, pool = held
        if hold not in pool.held:  # it died with its process
            return
        pool.see(self.now_ms)
        free = self.free(pool)
        granted = self.ledger.extend(hold, amount, self.now_ms)
        assert granted == (amount if free is None else min(amount, free))
        pool.held[hold] += granted

    @rule(held=consumes(holds), charge=amounts)
    def settle(self, held, charge: int) -> None:
        hold, pool = held
        if hold not in pool.held:  # it died with its process
            return
        assert hold.amount == pool.held.pop(hold)
        pool.see(self.now_ms)
        pool.charges.append((charge, pool.clock_ms))
        settlement = Settlement("req", self.now_ms, "ada", hold.pool, charge)
        self.write(self.ledger.settle(hold, settlement))
        with pytest.raises(RuntimeError):
            self.ledger.settle(hold, settlement)

    @rule(name=st.sampled_from(NAMES), owner=st.sampled_from(OWNERS), amount=amounts, ttl_s=st.sampled_from([1, 100]))
    def reserve(self, name: str, owner: str, amount: int, ttl_s: int) -> None:
        self.number += 1
        identity = f"r{self.number}"
        ask = {"ttl_s": ttl_s, "at_ms": self.now_ms, "reservation_id": identity}
        if name not in self.open:
            with pytest.raises(UnknownPool):
                self.ledger.reserve(name, owner, amount, **ask)
            return
        pool = self.pool(name)
        free = self.free(pool)
        if free is not None and amount > free:
            with pytest.raises(BudgetExceeded):
                self.ledger.reserve(name, owner, amount, **ask)
            return
        self.write(self.ledger.reserve(name, owner, amount, **ask))
        self.promises[identity] = [owner, pool, amount, self.now_ms + ttl_s * 1000]

    @rule(data=st.data(), owner=st.sampled_from(OWNERS), actual=amounts, admin=st.booleans())
    def report_by_id(self, data, owner: str, actual: int, admin: bool) -> None:
        identity = data.draw(st.sampled_from([*self.promises, "none"]))
        promise = self.promises.get(identity)
        if promise is None or (promise[0] != owner and not admin):
            with pytest.raises(NoSuchEntry):
                self.ledger.report(identity, owner, None, 0, actual, at_ms=self.now_ms, is_admin=admin)
            return
        self.write(self.ledger.report(identity, owner, None, 0, actual, at_ms=self.now_ms, is_admin=admin))
        del self.promises[identity]
        promise[1].see(self.now_ms)
        promise[1].charges.append((actual, promise[1].clock_ms))

    @rule(name=st.sampled_from(NAMES), owner=st.sampled_from(OWNERS), reserved=amounts, actual=amounts)
    def report_without_id(self, name: str, owner: str, reserved: int, actual: int) -> None:
        if name not in self.open:
            return
        pool = self.pool(name)
        self.write(self.ledger.report(None, owner, name, reserved, actual, at_ms=self.now_ms))
        pool.charges.append((actual, pool.clock_ms))
        for promise in self.promises.values():
            if promise[0] == owner and promise[1] is pool:
                taken = min(promise[2], reserved)
                promise[2] -= taken
                reserved -= taken
                if promise[2] == 0 and (taken or reserved):
                    promise[3] = None
        self.promises = {identity: promise for identity, promise in self.promises.items() if promise[3] is not None}

    @rule(data=st.data())
    def release(self, data) -> None:
        if self.promises:
            identity = data.draw(st.sampled_from(list(self.promises)))
            self.write(self.ledger.release(identity, self.promises.pop(identity)[0], at_ms=self.now_ms))

    @rule()
    def expire(self) -> None:
        entries = self.ledger.expire(self.now_ms)
        self.write(*entries)
        due = {identity for identity, promise in self.promises.items() if promise[3] <= self.now_ms}
        assert {entry.id for entry in entries} == due
        for identity in due:
            del self.promises[identity]

    @initialize(data=st.data())
    def begin(self, data) -> None:
        self.configure(data)

    @rule(data=st.data())
    def configure(self, data) -> None:
        """Any pools, with any capacity, unit and window."""
        budgets = []
        for name in data.draw(st.lists(st.sampled_from(NAMES), unique=True)):
            unit = data.draw(st.sampled_from(["tokens", "usd"]))
            capacity = data.draw(st.integers(0, 200)) / (1_000_000 if unit == "usd" else 1)
            window = data.draw(st.sampled_from(list(LENGTH)))
            budgets.append(Budget(name=name, capacity=capacity, unit=unit, window=window))
        self.write(self.ledger.configure(budgets, self.now_ms))
        wanted: dict[str, Budget | None] = {"default": None} | {budget.name: budget for budget in budgets}
        self.open = {name: budget.unit if budget else "tokens" for name, budget in wanted.items()}
        for name, budget in wanted.items():
            pool = self.pools.setdefault((name, self.open[name]), ModelPool(budget))
            pool.configure(budget, self.now_ms)

    @rule()
    def save(self) -> None:
        self.saved = (self.ledger.state(), len(self.journal))

    @rule(whole=st.booleans())
    def die(self, whole: bool) -> None:
        """Holds are gone.  What only requests have seen of the clock is, too, but here the next look is there."""
        self.ledger = self.replayed() if whole else self.resumed()
        self.now_ms = self.latest_ms
        self.ledger.roll(self.now_ms)
        for pool in self.pools.values():
            pool.held.clear()
            pool.see(self.now_ms)
        self.saved = (self.ledger.state(), len(self.journal))

    # -- what must hold ----------------------------------------------------------------------------------------------

    def replayed(self) -> Ledger:
        ledger = Ledger()
        for row in self.journal:
            ledger.apply(decode_entry(row))
        return ledger

    def resumed(self) -> Ledger:
        state, position = self.saved
        ledger = Ledger()
        ledger.restore(state)
        for row in self.journal[position:]:
            ledger.apply(decode_entry(row))
        return ledger

    @invariant()
    def balances_are_the_models(self) -> None:
        for name, unit in self.open.items():
            state, pool = self.ledger.pool(name, self.now_ms), self.pool(name)
            seen = (state.unit, state.used, state.held, state.reserved, state.available)
            assert seen == (unit, pool.used(), sum(pool.held.values()), self.reserved(pool), self.free(pool))
        assert {state.name for state in self.ledger.pools(self.now_ms)} == set(self.open)

    def teardown(self) -> None:
        for pool in self.pools.values():
            for hold in list(pool.held):
                self.write(self.ledger.settle(hold, Settlement("req", self.now_ms, "ada", hold.pool, 1)))
        others = [self.replayed(), self.resumed()]
        for names in (NAMES, ()):
            for unit in ("tokens", "usd"):  # bring back whatever was closed
                budgets = [Budget(name=name, capacity=0.0001, unit=unit, window="none") for name in names]
                for ledger in (self.ledger, *others):
                    ledger.configure(budgets, self.latest_ms)
                states = self.ledger.pools(self.latest_ms)
                assert all(state.held == 0 for state in states)
                assert [other.pools(self.latest_ms) for other in others] == [states, states]


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestLedgerMachine = LedgerMachine.TestCase
