"""The window in constant memory against the dumb one: a log of every stamp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.admission import Window
from hoosh.admission.window import BUCKETS

TICK_S = 1 / 64
"""Times are whole ticks, so that sums of them are exact."""

Arrivals = list[tuple[int, int]]
"""Ticks since the one before, and the amount."""
arrivals: st.SearchStrategy[Arrivals] = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 70), st.integers(0, 64 * 30), st.sampled_from([64 * 60 - 1, 64 * 60, 64 * 61])),
        st.integers(0, 6),
    ),
    max_size=60,
)


def let_in(arriving: Arrivals, limit: int) -> list[tuple[float, int, bool]]:
    """What the window does with each: when it came, its amount, and whether there was room."""
    window, now_s, story = Window(), 0.0, []
    for ticks, amount in arriving:
        now_s += ticks * TICK_S
        fits = window.take(amount, now_s, limit) is not None
        story.append((now_s, amount, fits))
    return story


def in_log(story: list[tuple[float, int, bool]], now_s: float, memory_s: float) -> int:
    """What an exact log of so many seconds holds at `now_s`."""
    return sum(amount for at_s, amount, fits in story if fits and now_s - memory_s < at_s <= now_s)


@given(arrivals, st.integers(1, 20))
def test_never_more_than_the_limit_comes_in_during_any_sixty_seconds(arriving, limit):
    story = let_in(arriving, limit)
    for now_s, _, _ in story:
        assert in_log(story, now_s, 60) <= limit


@given(arrivals, st.integers(1, 20))
def test_whoever_is_refused_would_be_by_a_log_that_forgets_one_second_later(arriving, limit):
    story = let_in(arriving, limit)
    for number, (now_s, amount, fits) in enumerate(story):
        if not fits:
            assert in_log(story[:number], now_s, 61) + amount > limit


@given(arrivals, st.integers(1, 20), st.integers(0, 25))
def test_waiting_as_long_as_told_is_enough_and_nothing_less_is(arriving, limit, amount):
    window, now_s = Window(), 0.0
    for ticks, taken in arriving:
        now_s += ticks * TICK_S
        window.take(taken, now_s)
    wait_s = window.wait_s(amount, limit, now_s)
    if wait_s is None:
        assert amount > limit
    elif wait_s == 0.0:
        assert window.used(now_s) + amount <= limit
    else:
        assert window.used(now_s + wait_s - TICK_S) + amount > limit
        assert window.used(now_s + wait_s) + amount <= limit
        assert wait_s <= 61


@given(arrivals)
def test_after_its_reset_nothing_counts_any_more(arriving):
    window, now_s = Window(), 0.0
    for ticks, amount in arriving:
        now_s += ticks * TICK_S
        window.take(amount, now_s)
    used, reset_s = window.standing(now_s)
    assert used == window.used(now_s)
    if reset_s > 1:
        assert window.used(now_s + reset_s - 1 - TICK_S) > 0
    assert window.used(now_s + reset_s) == 0


@given(st.lists(st.tuples(st.integers(0, 64 * 20), st.integers(0, 9), st.integers(0, 9), st.integers(0, 64 * 90))))
def test_a_correction_goes_to_its_own_second_or_nowhere(requests):
    """Each request comes after so many ticks with an estimate, and is over later with what it came to."""
    now, events = 0, []
    for number, (ticks, guess, truth, lasts) in enumerate(requests):
        now += ticks
        events += [(now, 0, number, guess, truth), (now + lasts, 1, number, guess, truth)]
    window, second_of, counts = Window(), {}, {}
    for at, is_over, number, guess, truth in sorted(events):
        now_s = at * TICK_S
        if not is_over:
            second_of[number] = window.take(guess, now_s)
            counts[number] = guess
        else:
            window.correct(second_of[number], truth - guess, now_s)
            counts[number] = truth
        kept = sum(amount for number, amount in counts.items() if int(now_s) - second_of[number] < BUCKETS)
        assert window.used(now_s) == kept >= 0


@given(arrivals)
def test_its_memory_never_grows(arriving):
    window, now_s = Window(), 0.0
    for ticks, amount in arriving:
        now_s += ticks * TICK_S
        window.take(amount, now_s)
        assert len(window._amounts) == BUCKETS
    assert window._used == sum(window._amounts)


@given(st.lists(st.integers(0, 64 * 200)))
def test_a_clock_that_goes_back_stands_still(times):
    back_and_forth, steady, latest = Window(), Window(), 0
    for ticks in times:
        latest = max(latest, ticks)
        back_and_forth.take(1, ticks * TICK_S)
        steady.take(1, latest * TICK_S)
        assert back_and_forth.used(ticks * TICK_S) == steady.used(latest * TICK_S)
        waits = back_and_forth.wait_s(1, 3, ticks * TICK_S), steady.wait_s(1, 3, (latest // 64) * 1.0)
        assert waits[0] is not None
        assert waits[1] is not None
        assert waits[0] <= waits[1]


@pytest.mark.parametrize(
    ("now_s", "used", "wait_s"),
    [(0.0, 3, 61.0), (59.9, 3, 1.1), (60.0, 3, 1.0), (60.9, 3, 0.1), (61.0, 1, 0.0), (70.5, 1, 0.0), (71.0, 0, 0.0)],
)
def test_a_second_leaves_a_minute_after_its_end(now_s, used, wait_s):
    window = Window()
    window.take(2, 0.0)
    window.take(1, 10.25 if now_s >= 10.25 else 0.5)
    assert window.used(now_s) == used
    assert window.wait_s(2, 3, now_s) == pytest.approx(wait_s)
