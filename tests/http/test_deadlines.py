"""Which deadline is due, when, and what it is called."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.http.deadlines import Deadline, Timeouts

LIMITS = Timeouts(connect_s=5, first_byte_s=30, idle_s=20, total_s=100)


@pytest.mark.parametrize(("phase", "limit_s"), [("connect", 5), ("first_byte", 30), ("idle", 20)])
def test_a_phase_is_due_its_limit_after_it_began(phase, limit_s):
    deadline = Deadline(LIMITS, now_s=1000)
    deadline.enter(phase, now_s=1010)
    assert deadline.due == 1010 + limit_s
    error = deadline.expired()
    assert (error.phase, error.after_s) == (phase, limit_s)


def test_the_total_wins_over_a_phase_that_would_end_later():
    deadline = Deadline(LIMITS, now_s=1000)
    deadline.enter("idle", now_s=1090)
    assert deadline.due == 1100
    error = deadline.expired()
    assert (error.phase, error.after_s) == ("total", 100)


def test_at_rest_only_the_total_counts():
    deadline = Deadline(LIMITS, now_s=1000)
    deadline.enter("idle", now_s=1010)
    deadline.rest()
    assert deadline.due == 1100
    assert Deadline(Timeouts(total_s=None), now_s=0).due == inf


def test_only_a_connect_timeout_says_that_the_request_was_lost():
    deadline = Deadline(LIMITS, now_s=0)
    for phase, lost in (("connect", True), ("first_byte", False), ("idle", False)):
        deadline.enter(phase, now_s=0)
        assert deadline.expired().request_lost is lost


@given(
    total_s=st.none() | st.floats(0.1, 100),
    steps=st.lists(st.tuples(st.sampled_from(["connect", "first_byte", "idle"]), st.floats(0, 50)), max_size=20),
)
def test_no_sequence_of_phases_passes_the_total(total_s, steps):
    deadline = Deadline(Timeouts(total_s=total_s), now_s=0)
    now_s = 0.0
    for phase, passed_s in steps:
        now_s += passed_s
        deadline.enter(phase, now_s)
        assert deadline.due <= (inf if total_s is None else total_s)
        assert deadline.due <= now_s + 30
