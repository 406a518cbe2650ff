from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hoosh.audit import Tallied, Tally
from hoosh.audit.tally import KINDS_MAX, PERIOD_MS


def test_the_first_is_told_at_once_and_the_rest_once_a_period():
    tally = Tally()
    assert [tally.add("auth.failed", "", at) for at in (0, 1, 2)] == [True, False, False]
    assert tally.due(PERIOD_MS - 1) == []
    assert tally.due(PERIOD_MS) == [Tallied("auth.failed", "", 2, 0)]
    assert not tally.add("auth.failed", "", PERIOD_MS + 1)
    assert tally.due(2 * PERIOD_MS) == [Tallied("auth.failed", "", 1, PERIOD_MS)]
    assert tally.due(3 * PERIOD_MS) == []
    assert len(tally) == 0
    assert tally.add("auth.failed", "", 3 * PERIOD_MS)


def test_a_clock_that_goes_back_ends_the_period():
    tally = Tally()
    tally.add("a", "", 1_000_000)
    tally.add("a", "", 1_000_001)
    assert tally.due(5) == [Tallied("a", "", 1, 1_000_000)]


def test_kinds_are_bounded():
    tally = Tally()
    for number in range(10 * KINDS_MAX):
        tally.add("a", str(number), 0)
    assert len(tally) == KINDS_MAX + 1
    assert tally.due(0, all_of_them=True) == [Tallied("a", "", 9 * KINDS_MAX - 1, 0)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**6))))
def test_nothing_is_forgotten(calls: list[tuple[str, int]]):
    tally, told = Tally(), 0
    for event, at_ms in calls:
        told += sum(counted.count for counted in tally.due(at_ms)) + tally.add(event, "", at_ms)
    assert told + sum(counted.count for counted in tally.due(0, all_of_them=True)) == len(calls)
