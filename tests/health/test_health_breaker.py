"""The window and the breaker, on plain numbers."""

from __future__ import annotations

import random

import pytest
from health_desk import Always
from hypothesis import given
from hypothesis import strategies as st

from hoosh.health import Breaker, BreakerState, Health
from hoosh.health.window import BUCKETS, OutcomeWindow

SETTINGS = Health()
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def breaker(chance: float = 0.0, **settings: float) -> Breaker:
    return Breaker(Health(**settings), Always(chance))  # type: ignore[arg-type]


def opened(at_s: float = 0.0, **settings: float) -> Breaker:
    made = breaker(**settings)
    made.ill(at_s, at_s, at_once=True)
    return made


# -- the window --------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_the_window_counts_as_a_list_of_everything_does(steps: list[tuple[float, bool]]):
    window, seen, now_s = OutcomeWindow(30.0), [], 0.0
    for pause_s, is_failure in steps:
        now_s += pause_s
        window.add(now_s, is_failure=is_failure)
        seen.append((now_s, is_failure))
        for failed, counted in ((True, window.failures), (False, window.successes)):
            certain = sum(then_s > now_s - 27.0 + 1e-9 for then_s, how in seen if how is failed)
            possible = sum(then_s > now_s - 30.0 - 1e-9 for then_s, how in seen if how is failed)
            assert certain <= counted <= possible


def test_a_window_stays_as_small_however_much_it_sees():
    window = OutcomeWindow(30.0)
    for step in range(1000):
        window.add(step * 0.1, is_failure=bool(step % 2))
    assert len(window._failures) == len(window._successes) == BUCKETS
    window.move_to(0.0)  # a clock that goes back stands still
    assert window.failures > 100


# -- the breaker -------------------------------------------------------------------------------------------------


def test_three_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    patient = breaker()
    for now_s, is_well in enumerate([False, False, True, False, False]):
        (patient.well if is_well else patient.ill)(now_s, now_s)
    assert patient.state(5) is CLOSED
    patient.ill(5, 5)
    assert patient.state(5) is OPEN
    assert patient.wait_s(5) == 10.0
    assert patient.state(15) is HALF_OPEN


def test_half_of_the_window_opens_it_too_once_it_has_seen_enough():
    patient = breaker()
    for now_s in range(9):
        (patient.ill if now_s % 2 else patient.well)(now_s, now_s)
    assert patient.state(9) is CLOSED
    patient.ill(9, 9)
    assert patient.state(9) is OPEN


def test_chance_shortens_an_opening_by_a_tenth_at_most_and_never_lengthens_it():
    assert [patient.wait_s(0) for patient in map(_tripped, (0.0, 0.5, 1.0))] == pytest.approx([10.0, 9.5, 9.0])


def _tripped(chance: float) -> Breaker:
    patient = breaker(chance)
    patient.ill(0, 0, at_once=True)
    return patient


def test_half_open_admits_one_trial_and_its_end_decides():
    patient = opened()
    assert patient.wait_s(10) == 0.0
    patient.begin(10)
    assert patient.wait_s(10.5) == 1.0
    patient.ill(10, 11)
    assert (patient.state(11), patient.wait_s(11)) == (OPEN, 10.0)
    patient.begin(21)
    patient.well(21, 22)
    assert patient.state(22) is CLOSED


def test_a_trial_without_a_verdict_makes_room_for_the_next():
    patient = opened()
    patient.begin(10)
    patient.left(10, 12)
    assert patient.wait_s(12) == 0.0
    assert patient.state(12) is HALF_OPEN


def test_a_trial_that_never_ends_keeps_the_next_out_for_a_while_only():
    patient = opened()
    patient.begin(10)
    assert patient.wait_s(19.5) == 0.5
    assert patient.wait_s(20) == 0.0
    patient.begin(20)
    assert patient.wait_s(20) > 0
    patient.left(10, 25)  # the first one comes back, and takes nothing from the second
    assert patient.wait_s(25) > 0
    patient.well(20, 26)
    assert patient.state(26) is CLOSED


def test_as_many_trials_at_once_as_are_configured():
    patient = opened(half_open_probes=2)
    patient.begin(10)
    assert patient.wait_s(10) == 0.0
    patient.begin(10)
    assert patient.wait_s(10) > 0
    patient.well(10, 11)
    patient.ill(10, 12)  # the other trial: it began before the breaker closed
    assert (patient.state(12), patient.in_a_row) == (CLOSED, 0)


def test_attempts_from_before_the_opening_neither_close_nor_open_it_again():
    patient = opened(5)
    patient.well(1, 6)
    assert patient.state(6) is OPEN
    patient.begin(15)
    patient.well(2, 16)
    patient.ill(3, 16)
    patient.left(4, 16)
    assert patient.state(16) is HALF_OPEN
    assert patient.wait_s(16) > 0, "the trial is still on its way"
    patient.well(15, 17)
    for began_s in range(5):
        patient.ill(began_s, 40)  # requests that have hung since the outage
    assert patient.state(40) is CLOSED


def test_failures_from_before_the_recovery_are_forgotten():
    patient = breaker()
    for now_s in range(3):
        patient.ill(now_s, now_s)
    patient.well(12, 12)
    patient.ill(13, 13)
    assert patient.state(13) is CLOSED


Steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "force", "well", "ill", "deny", "left", "lose"]), st.floats(0, 15), st.integers(0)
    ),
    max_size=80,
)


@given(Steps, st.integers(1, 3), st.integers())
def test_whatever_happens_it_opens_again_in_time(steps, probes: int, seed: int):
    """Any order of beginnings and ends: openings are bounded, trials are counted, and half-open admits again."""
    settings = Health(half_open_probes=probes)
    patient = Breaker(settings, random.Random(seed))
    running: list[float] = []
    trials: list[float] = []
    now_s = 0.0
    for step, pause_s, pick in steps:
        now_s += pause_s
        is_half_open = patient.state(now_s) is HALF_OPEN
        match step:
            case "begin" | "force" if step == "force" or not patient.wait_s(now_s):
                patient.begin(now_s)
                running.append(now_s)
                if step == "begin" and is_half_open:
                    trials.append(now_s)
                    recent = [t for t in trials if t in running and t > now_s - settings.open_s]
                    assert len(recent) <= probes or "force" in [s for s, *_ in steps]
            case "well" | "ill" | "deny" | "left" | "lose" if running:
                began_s = running.pop(pick % len(running))
                if step == "deny":
                    patient.ill(began_s, now_s, open_s=settings.denied_s, at_once=True)
                elif step != "lose":
                    {"well": patient.well, "ill": patient.ill, "left": patient.left}[step](began_s, now_s)
        if is_half_open and patient.state(now_s) is not HALF_OPEN:
            trials.clear()
        assert 0 <= patient.wait_s(now_s) <= settings.denied_s
    later_s = now_s + settings.denied_s + settings.open_s
    assert patient.wait_s(later_s) == 0.0
    if patient.state(later_s) is HALF_OPEN:
        patient.begin(later_s)
        patient.well(later_s, later_s)
    assert patient.state(later_s) is CLOSED
