from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.routing import Load, Loads, LoadStatistics
from hoosh.routing.load import MODELS_KEPT, TARGETS_KEPT, TIMES_KEPT, TIMES_NEEDED
from hoosh.values import Target

times_s = st.floats(0.001, 100.0)


def after(*answers: tuple[float, float | None], load: Load | None = None) -> Load:
    """A load that has seen these: (when, the time to the first content or None for a failure)."""
    load = load or Load()
    for now_s, content_after_s in answers:
        load.begin()
        load.end(now_s, content_after_s, failed=content_after_s is None)
    return load


def test_who_has_never_been_tried_comes_first_and_last_while_somebody_finds_out():
    new, fast = Load(), after((0.0, 0.001))
    assert new.expected_s(0.0) < fast.expected_s(0.0)
    assert new.pressure(0.0) < fast.pressure(0.0)
    new.begin()
    assert new.expected_s(0.0) > fast.expected_s(0.0)
    assert new.pressure(0.0) > fast.pressure(0.0)


def test_the_average_is_seven_parts_old_and_three_parts_new():
    assert after((0.0, 1.0), (1.0, 2.0)).average_s == pytest.approx(1.3)


def test_who_was_slow_is_tried_again_by_one_request_at_a_time():
    slow, fast = after((0.0, 2.0)), after((0.0, 0.1))
    now_s = 0.0
    while slow.expected_s(now_s) > 0.1:
        now_s += 1.0
    assert 60.0 < now_s < 120.0
    slow.begin()  # the one that tries
    assert slow.expected_s(now_s) == pytest.approx(2.0)
    slow.end(now_s, 2.0, failed=False)
    assert slow.expected_s(now_s) > fast.expected_s(now_s)


def test_a_failure_is_slow_however_fast_it_came():
    failing = after((0.0, 0.05), (1.0, None))
    assert failing.pressure(1.0) >= 5.0
    assert failing.expected_s(1.0) > 1.0
    patient = after((0.0, 8.0), (1.0, None))  # where nobody is faster than that, it still is
    assert patient.pressure(1.0) > 8.0
    assert after(*[(float(now_s), None) for now_s in range(100)]).pressure(99.0) <= 60.0


def test_what_is_neither_answered_nor_failed_says_nothing():
    load = after((0.0, 1.0))
    load.begin()
    load.end(5.0, None, failed=False)
    assert (load.average_s, load.in_flight) == (1.0, 0)


@given(st.lists(st.tuples(st.floats(0.0, 100.0), times_s), min_size=1, max_size=30))
def test_a_peak_is_believed_at_once_and_never_exceeds_what_was_seen(answers):
    load, now_s, highest = Load(), 0.0, 0.0
    for pause_s, content_after_s in answers:
        now_s += pause_s
        after((now_s, content_after_s), load=load)
        highest = max(highest, content_after_s)
        assert content_after_s * 0.999 <= load.pressure(now_s) <= highest * 1.001
    assert load.pressure(now_s + 30.0) == pytest.approx(load.pressure(now_s) / 2.718281828)


def test_each_request_in_flight_adds_to_the_pressure_as_much_as_an_answer_takes():
    load = after((0.0, 0.5))
    for in_flight in range(5):
        assert load.pressure(0.0) == pytest.approx(0.5 * (in_flight + 1))
        load.begin()


def test_a_clock_that_goes_back_stands_still():
    load = after((10.0, 1.0), (5.0, 0.5))
    assert 0.5 <= load.pressure(5.0) <= 1.0


def test_only_some_targets_are_remembered_and_never_one_in_use_forgotten():
    loads = Loads()
    busy = loads.of(Target("p", "busy"))
    busy.begin()
    for number in range(TARGETS_KEPT * 2):
        loads.of(Target("p", f"m{number}"))
    assert len(loads.statistics()) <= TARGETS_KEPT
    assert len(loads._times) <= MODELS_KEPT
    assert loads.of(Target("p", "busy")) is busy


def test_where_all_are_in_use_none_is_forgotten():
    loads = Loads()
    for number in range(TARGETS_KEPT + 10):
        loads.of(Target("p", f"m{number}")).begin()
    assert sum(each.in_flight for each in loads.statistics()) == TARGETS_KEPT + 10


def test_the_95th_percentile_is_of_a_models_latest_times_at_all_its_accounts():
    loads = Loads()
    assert loads.p95_s("m") is None
    for number in range(1, 101):
        assert (loads.p95_s("m") is None) == (number <= TIMES_NEEDED)
        after((0.0, float(number)), load=loads.of(Target(f"p{number % 2}", "m")))
    assert loads.p95_s("m") == 95.0
    for _ in range(TIMES_KEPT):
        after((0.0, 1.0), load=loads.of(Target("p0", "m")))
    assert loads.p95_s("m") == 1.0
    after(*[(0.0, None)] * 50, load=loads.of(Target("p0", "m")))  # a failure is no time
    assert loads.p95_s("m") == 1.0


def test_statistics_tell_what_is_in_flight():
    loads = Loads()
    loads.of(Target("p", "m")).begin()
    assert loads.statistics() == (LoadStatistics("p", "m", 1, None),)
