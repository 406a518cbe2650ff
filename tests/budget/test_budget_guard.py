"""The guard: who gets how much of what is left, and who is told."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from hoosh.budget import Budget, BudgetGuard, Ledger
from hoosh.budget.guard import shares
from hoosh.values.settlement import Settlement


class Stream:
    """Wants to hold `target` at any time, and writes down what it is told."""

    def __init__(self, ledger: Ledger, pool: str, held: int, wanted: int) -> None:
        self.hold = ledger.hold(pool, held, 0)
        self.wanted = wanted
        self.told: list[int | str] = []

    def wants(self) -> int:
        return self.wanted

    def granted(self, amount: int) -> None:
        self.told.append(amount)
        self.wanted -= amount

    def starved(self) -> None:
        self.told.append("starved")


class Grumpy(Stream):
    """Fails at whatever is named."""

    fails_at = ""

    def wants(self) -> int:
        return self._grumble("wants") or super().wants()

    def granted(self, amount: int) -> None:
        self._grumble("granted")

    def starved(self) -> None:
        self._grumble("starved")

    def _grumble(self, what: str) -> None:
        if what == self.fails_at:
            self.told.append(f"failed at {what}")
            raise ZeroDivisionError(what)


def ledger_of(**capacities: float) -> Ledger:
    return Ledger([Budget(name=name, capacity=capacity) for name, capacity in capacities.items()])


def guard_of(ledger: Ledger, *streams: Stream, **others) -> BudgetGuard:
    guard = BudgetGuard(ledger, now_ms=lambda: 0, **others)
    for stream in streams:
        guard.watch(stream)
    return guard


def test_streams_get_what_they_want_while_there_is_enough():
    ledger = ledger_of(p=1000)
    one, two, rich = Stream(ledger, "p", 10, 20), Stream(ledger, "p", 10, 0), Stream(ledger, "default", 0, 10**12)
    guard_of(ledger, one, two, rich).round()
    assert (one.told, two.told, rich.told) == ([20], [], [10**12])
    assert ledger.pool("p", 0).held == 40


def test_a_short_pool_is_shared_in_equal_parts_and_who_gets_nothing_is_told():
    ledger = ledger_of(p=100)
    big, small, modest = Stream(ledger, "p", 60, 50), Stream(ledger, "p", 19, 50), Stream(ledger, "p", 0, 3)
    guard = guard_of(ledger, big, small, modest)
    guard.round()
    assert (big.told, small.told, modest.told) == ([9], [9], [3])
    guard.round()
    assert (big.told, small.told, modest.told) == ([9, "starved"], [9, "starved"], [3])
    assert ledger.free("p", 0) == 0


def test_the_odd_rest_goes_to_the_smallest():
    ledger = ledger_of(p=100)
    big, small = Stream(ledger, "p", 60, 50), Stream(ledger, "p", 39, 50)
    guard_of(ledger, big, small).round()
    assert (big.told, small.told) == (["starved"], [1])


def test_the_next_window_feeds_those_who_starved():
    ledger = Ledger([Budget(name="p", capacity=100, window="minute")])
    now = [0]
    stream = Stream(ledger, "p", 60, 80)
    guard = BudgetGuard(ledger, now_ms=lambda: now[0])
    guard.watch(stream)
    guard.round()
    ledger.apply(Settlement("other", 0, "ada", "p", 70))
    guard.round()
    now[0] = 60_000
    guard.round()
    assert stream.told == [40, "starved", "starved"]  # what it holds, it still holds
    ledger.settle(stream.hold, Settlement("r", 60_000, "ada", "p", 10))
    assert ledger.free("p", 60_000) == 90


def test_a_stream_on_a_pool_that_was_removed_goes_on_with_what_is_left():
    ledger = ledger_of(p=100)
    stream = Stream(ledger, "p", 60, 80)
    ledger.configure([], 0)
    guard_of(ledger, stream).round()
    assert stream.told == [40]


def test_settled_and_unwatched_streams_are_left_alone():
    ledger = ledger_of(p=100)
    settled, gone = Stream(ledger, "p", 10, 5), Stream(ledger, "p", 10, 5)
    guard = guard_of(ledger, settled, gone)
    ledger.settle(settled.hold, Settlement("r", 0, "ada", "p", 1))
    guard.unwatch(gone)
    guard.unwatch(gone)
    guard.round()
    assert settled.told == gone.told == []


def test_one_that_ends_another_when_told_does_no_harm():
    ledger = ledger_of(p=100)
    first, second = Stream(ledger, "p", 50, 5), Stream(ledger, "p", 50, 5)
    guard = guard_of(ledger, first, second)
    end = Settlement("r", 0, "ada", "p", 1)
    for stream, other in ((first, second), (second, first)):
        stream.starved = lambda other=other: ledger.settle(other.hold, end)
    guard.round()
    assert sorted([first.hold.settled, second.hold.settled]) == [False, True]


def test_a_stream_that_fails_is_dropped_and_the_others_go_on(caplog):
    for fails_at, held in (("wants", 0), ("granted", 0), ("starved", 100)):
        ledger = ledger_of(p=100, q=100)
        grumpy, fine = Grumpy(ledger, "p", held, 5), Stream(ledger, "q", 0, 5)
        grumpy.fails_at = fails_at
        guard = guard_of(ledger, grumpy, fine)
        guard.round()
        guard.round()
        assert grumpy.told == [f"failed at {fails_at}"]
        assert fine.told == [5]
        ledger.settle(grumpy.hold, Settlement("r", 0, "ada", "p", 0))
        assert ledger.pool("p", 0).held == 0
    assert len(caplog.records) == 3


def test_a_pool_that_runs_low_is_told_of_once():
    ledger = Ledger([Budget(name="p", capacity=100, window="minute"), Budget(name="none", capacity=0)])
    heard, now = [], [0]
    guard = BudgetGuard(ledger, now_ms=lambda: now[0], on_low=lambda state: heard.append((state.name, state.used)))
    for charge in (79, 1, 5, 14, 1, 1):
        ledger.apply(Settlement("r", 0, "ada", "p", charge))
        guard.round()
    assert heard == [("p", 80), ("p", 100)]
    now[0] = 60_000
    guard.round()
    ledger.apply(Settlement("r", 60_000, "ada", "p", 250))
    guard.round()
    guard.round()
    assert heard == [("p", 80), ("p", 100), ("p", 250)]


def test_a_listener_that_fails_does_not_stop_the_guard(caplog):
    ledger = ledger_of(p=100)
    ledger.apply(Settlement("r", 0, "ada", "p", 100))
    stream = Stream(ledger, "default", 0, 1)
    guard_of(ledger, stream, on_low=lambda state: 1 / 0).round()
    assert stream.told == [1]
    assert len(caplog.records) == 1


def test_a_journal_that_fails_is_not_hidden():
    ledger = ledger_of(p=100)
    ledger.reserve("p", "ada", 60, ttl_s=0, at_ms=0, reservation_id="r1")
    with pytest.raises(ZeroDivisionError):
        guard_of(ledger, on_expired=lambda expired: 1 / 0).round()


async def test_the_service_expires_what_is_over(autojump_clock):
    ledger = ledger_of(p=100)
    expired = []
    guard = BudgetGuard(ledger, now_ms=lambda: int(trio.current_time() * 1000), on_expired=expired.extend)
    start_ms = int(trio.current_time() * 1000)
    ledger.reserve("p", "ada", 60, ttl_s=30, at_ms=start_ms, reservation_id="r1")
    stream = Stream(ledger, "p", 40, 50)
    guard.watch(stream)
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run)
        await trio.sleep(29.95)
        assert not expired
        assert stream.told[-1] == "starved"
        await trio.sleep(0.2)
        assert [entry.id for entry in expired] == ["r1"]
        assert stream.told[-1] == 50
        nursery.cancel_scope.cancel()


@given(st.integers(0, 300), st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), min_size=1, max_size=9))
def test_shares_are_whole_and_fair(free, streams):
    wants, held = [want for want, _ in streams], [hold for _, hold in streams]
    parts = shares(free, wants, held)
    assert sum(parts) == min(free, sum(wants))
    assert all(0 <= part <= want for part, want in zip(parts, wants, strict=True))
    most = max(parts)
    assert all(part == want or part >= most - 1 for part, want in zip(parts, wants, strict=True))
