"""The board: whom real requests and probes have found ill, and when they may be asked again."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from health_desk import A_LARGE, A, Always, B, Desk, answer, cut, late, unconnected
from hypothesis import given
from hypothesis import strategies as st

from hoosh.errors import HooshError
from hoosh.health import Board, Health
from hoosh.health.board import CHARTS_MAX
from hoosh.values import Target

# -- the usual case ----------------------------------------------------------------------------------------------


def test_a_healthy_house_is_quiet_and_keeps_nothing():
    desk = Desk()
    for now_s in range(100):
        desk.fail(A_LARGE, answer(400), now_s)
        assert desk.attempt(A, None, now_s)
        desk.attempt(B, answer(400), now_s)
        desk.attempt(B, late("total"), now_s)
    assert desk.board.is_quiet
    assert not desk.board._models
    assert desk.board.state("a", 100).status == "healthy"
    assert desk.board.state("nobody", 100).status == "unknown"
    assert desk.changes == []


def test_one_failure_is_forgotten_when_the_window_has_passed():
    desk = Desk()
    desk.attempt(A, answer(500), 0)
    desk.attempt(A, None, 1)
    assert not desk.board.is_quiet
    desk.attempt(A, None, 31)
    assert desk.board.is_quiet
    desk.fail(A, answer(500), 40, 80, 120, 160)
    assert desk.board.wait_s(A, 160) == 0.0, "failures that are far apart do not count together"


# -- breakers ----------------------------------------------------------------------------------------------------


def test_a_model_that_fails_takes_no_other_model_with_it():
    desk = Desk()
    desk.fail(A, answer(500), 0, 1, 2)
    assert desk.board.wait_s(A, 2) == 10.0
    assert desk.board.wait_s(A_LARGE, 2) == 0.0
    assert desk.board.state("a", 3).breakers == {"small": "open"}
    assert desk.told == ["a/small closed > open: 500", "a/None healthy > unhealthy: 500"]


def test_who_was_only_asked_too_often_is_told_from_who_is_ill():
    desk = Desk()
    desk.attempt(A, answer(429, wait_s=20.0), 0)
    desk.fail(B, answer(503), 0, 1, 2)
    assert desk.board.wait_s(A, 2) == 18.0
    assert desk.board.is_limited(A, 2)
    assert desk.board.wait_s(B, 2) > 0
    assert not desk.board.is_limited(B, 2)


def test_who_cannot_be_reached_cannot_be_reached_for_any_model():
    desk = Desk()
    desk.fail(A, unconnected(), 0, 1)
    desk.fail(A_LARGE, late("connect"), 2)
    assert desk.board.wait_s(A_LARGE, 2) == desk.board.wait_s(A, 2) == 10.0
    assert desk.board.wait_s(B, 2) == 0.0
    condition = desk.board.state("a", 13)
    assert (condition.status, condition.breakers) == ("unhealthy", {"*": "half_open"})
    assert (condition.consecutive_failures, condition.last_error) == (3, "unreachable")


@pytest.mark.parametrize("error", [answer(401), answer(402), answer(429, code="insufficient_quota")], ids=str)
def test_a_refused_key_or_quota_closes_the_account_at_once_on_the_slow_clock(error: HooshError):
    desk = Desk()
    desk.fail(A, error, 0)
    assert desk.board.wait_s(A_LARGE, 0) == 60.0
    assert desk.attempt(A_LARGE, error, 60)
    assert desk.board.wait_s(A, 61) == 59.0
    assert desk.attempt(A, None, 120)
    assert desk.board.wait_s(A, 120) == 0.0
    assert desk.told[-2:] == ["a/* half_open > closed: answered", "a/None unhealthy > healthy: answered"]


def test_an_account_that_may_not_use_a_model_may_use_its_others():
    desk = Desk()
    desk.fail(A, answer(403, code="model_not_found"), 0, 1, 2)
    assert desk.board.wait_s(A, 2) == 60.0
    assert desk.board.wait_s(A_LARGE, 2) == 0.0


def test_a_trial_that_fails_in_another_way_shows_that_the_account_is_back():
    desk = Desk()
    desk.fail(A, unconnected(), 0, 1, 2)
    assert desk.attempt(A, answer(500), 12)
    assert desk.board.state("a", 12).breakers == {}
    desk.fail(A, answer(401), 13)
    assert desk.attempt(A, answer(500), 73), "the trial of the key"
    assert desk.board.state("a", 73).breakers == {"*": "half_open"}, "a server's error does not prove a key"
    assert desk.board.wait_s(A_LARGE, 73) == 0.0


def test_a_verdict_on_the_request_gives_the_trial_back():
    desk = Desk()
    desk.fail(A, answer(500), 0, 1, 2)
    for _ in range(3):
        assert desk.attempt(A, answer(400), 12)
        assert desk.attempt(A, answer(429), 12)
    assert desk.board.state("a", 12).breakers == {"small": "half_open"}


def test_streams_that_share_a_connection_and_are_cut_with_it_fail_once():
    desk = Desk()
    for _ in range(50):
        desk.board.begin(A, 0)
    for number in range(50):
        desk.board.ill(A, cut(), 0, 5 + number / 2000)
    assert desk.board.wait_s(A, 5.1) == 0.0
    desk.fail(A, cut(), 6, 7)
    assert desk.board.wait_s(A, 7) == 10.0


def test_the_number_of_charts_is_bounded_and_open_breakers_stay():
    desk = Desk()
    desk.fail(A, answer(500), 0, 0, 0)
    for number in range(3 * CHARTS_MAX):
        desk.attempt(Target("a", f"model {number}"), answer(500), 0.001 * number)
    assert len(desk.board._models) == CHARTS_MAX
    assert desk.board.wait_s(A, 4) > 0
    for number in range(CHARTS_MAX):
        desk.fail(Target("b", f"model {number}"), answer(500), 5, 5, 5)
    assert len(desk.board._models) == CHARTS_MAX
    assert "a/small open > closed: expired" in desk.told


# -- not before --------------------------------------------------------------------------------------------------


def test_retry_after_is_not_before_for_that_model_and_no_failure():
    desk = Desk()
    desk.fail(A, answer(429, wait_s=2.0), 0)
    assert (desk.board.wait_s(A, 0), desk.board.wait_s(A, 1.5), desk.board.wait_s(A, 2)) == (2.0, 0.5, 0.0)
    assert desk.board.wait_s(A_LARGE, 0) == 0.0
    assert desk.board.state("a", 1).consecutive_failures == 0
    assert desk.changes == []


def test_retry_after_of_a_quota_is_for_the_account_and_believed_up_to_an_hour():
    desk = Desk()
    desk.fail(A, answer(429, code="insufficient_quota", wait_s=1e6), 0)
    assert desk.board.wait_s(A_LARGE, 0) == 3600.0


@pytest.mark.parametrize("wait_s", [0.0, -5.0, float("nan")])
def test_a_retry_after_that_says_nothing_defers_nothing(wait_s: float):
    desk = Desk()
    desk.fail(A, answer(503, wait_s=wait_s), 0)
    assert desk.board.wait_s(A, 0) == 0.0


def test_a_busy_upstream_is_both_deferred_and_counted():
    desk = Desk()
    desk.fail(A, answer(503, wait_s=5.0), 0)
    assert desk.board.wait_s(A, 1) == 4.0
    desk.fail(A, answer(503, wait_s=5.0), 5, 10)
    assert desk.board.wait_s(A, 10) == 10.0


def test_429_without_a_time_leads_to_pauses_that_double_until_it_answers():
    desk, now_s, waits = Desk(), 0.0, []
    for _ in range(9):
        desk.fail(A, answer(429), now_s)
        waits.append(desk.board.wait_s(A, now_s))
        now_s += waits[-1]
    assert waits == [0, 0, 0.5, 1, 2, 4, 8, 10, 10]
    desk.attempt(A, None, now_s)
    desk.fail(A, answer(429), now_s)
    assert desk.board.wait_s(A, now_s) == 0.0
    assert desk.changes == [], "who is asked too often is not ill"


# -- S15, and a house with one upstream --------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("down_s", range(56, 64))
def test_s15_the_primary_is_left_alone_and_back_within_15_s_of_its_recovery(down_s: int, chance: float):
    """503 for a minute, a request every 4 s: B serves meanwhile, other models of A go on."""
    desk = Desk(chance=chance)
    tried: list[int] = []
    served: dict[int, str] = {}
    for now_s in range(0, 120, 4):
        if desk.board.wait_s(A, now_s) == 0.0:
            tried.append(now_s)
            if desk.attempt(A, answer(503) if now_s < down_s else None, now_s) and now_s >= down_s:
                served[now_s] = "a"
                continue
        assert desk.attempt(B, None, now_s)
        assert desk.attempt(A_LARGE, None, now_s)
        served[now_s] = "b"
    back_s = min(now_s for now_s, who in served.items() if who == "a")
    assert back_s - down_s <= 15
    assert all(who == "a" for now_s, who in served.items() if now_s >= back_s)
    trials = [now_s for now_s in tried if 8 < now_s <= back_s]
    assert tried[:3] == [0, 4, 8]
    assert all(later - before <= 10 + 4 for before, later in pairwise([8, *trials]))
    assert len(trials) <= 60 / 9 + 1


def test_s15_with_a_steady_stream_of_requests_trials_are_at_most_10_s_apart():
    desk = Desk(chance=0.0)
    trials = [tenth / 10 for tenth in range(700) if desk.attempt(A, answer(503), tenth / 10)]
    assert trials[:3] == [0.0, 0.1, 0.2]
    assert [round(later - before, 6) for before, later in pairwise(trials[2:])] == [10.0] * 6


def test_the_only_upstream_is_left_alone_as_well_and_the_wait_is_honest():
    desk = Desk(Health(open_s=4.0))
    desk.fail(A, answer(500), 0, 1, 2)
    assert desk.board.wait_s(A, 3) == 3.0
    assert not desk.attempt(A, None, 5.9)
    assert desk.attempt(A, None, 6)
    assert desk.board.wait_s(A, 6) == 0.0


# -- probes ------------------------------------------------------------------------------------------------------


def test_probes_find_who_cannot_be_reached_before_a_request_does_and_see_it_come_back():
    desk = Desk()
    for now_s in (0, 30, 60):
        desk.board.probed("a", unconnected(), now_s)
    assert desk.board.wait_s(A, 61) == 9.0
    assert desk.board.state("a", 61).status == "unhealthy"
    desk.board.probed("a", unconnected(), 90)
    assert desk.board.wait_s(A, 90) == 10.0, "half-open, and no request need try"
    desk.board.probed("a", None, 95)
    assert desk.board.wait_s(A, 95) == 0.0
    assert desk.board.state("a", 97).checked_ago_s == 2.0
    assert [line for line in desk.told if "/None" in line] == [
        "a/None healthy > unhealthy: unreachable",
        "a/None unhealthy > healthy: probe",
    ]


def test_a_model_list_that_answers_closes_no_model_and_pays_no_bill():
    desk = Desk()
    desk.fail(A, answer(500), 0, 1, 2)
    desk.board.probed("a", None, 3)
    assert desk.board.wait_s(A, 3) == 9.0
    assert desk.board.state("a", 3).status == "unhealthy"
    desk.fail(B, answer(402), 4)
    desk.board.probed("b", None, 5)
    assert desk.board.wait_s(B, 5) == 59.0


def test_what_comes_in_late_does_not_change_why_an_account_is_closed():
    desk = Desk()
    desk.board.begin(A, 0)
    desk.fail(A_LARGE, answer(402), 1)
    desk.board.ill(A, unconnected(), 0, 2)
    desk.board.probed("a", None, 3)
    assert desk.board.wait_s(A, 3) == 58.0


def test_a_model_list_that_answers_proves_the_key():
    desk = Desk()
    desk.fail(A, answer(401), 0)
    desk.board.probed("a", None, 5)
    assert desk.board.wait_s(A, 5) == 0.0
    assert desk.board.state("a", 5).status == "healthy"


def test_a_key_that_may_chat_and_not_list_is_not_shut_out():
    desk = Desk()
    for now_s in range(0, 300, 30):
        desk.board.probed("a", answer(401), now_s)
        assert desk.attempt(A, None, now_s)
    assert desk.changes == []
    assert desk.board.state("a", 300).last_error == "401"
    desk.board.probed("a", answer(404), 301)
    assert desk.board.state("a", 301).last_error is None
    assert desk.board.heartbeats.node("a", "a", 302).status == "online"


def test_a_broken_model_list_cannot_keep_a_trial_from_closing():
    desk = Desk(Health(interval_secs=5))
    for now_s in (0, 5, 10):
        desk.board.probed("a", answer(502), now_s)
    assert desk.board.wait_s(A, 10) == 10.0
    desk.board.probed("a", answer(502), 21)
    assert desk.attempt(A, None, 21)
    assert desk.board.wait_s(A, 21) == 0.0


def test_new_settings_hold_for_what_comes():
    desk = Desk()
    desk.fail(A, answer(500), 0)
    desk.board.configure(Health(failure_threshold=1, open_s=3))
    desk.fail(A, answer(500), 1)
    assert desk.board.wait_s(A, 1) == 0.0
    desk.fail(B, answer(500), 1)
    assert desk.board.wait_s(B, 1) == 3.0


def test_who_has_left_is_forgotten():
    desk = Desk()
    desk.fail(A, unconnected(), 0, 1, 2)
    desk.fail(B, answer(500), 0, 1, 2)
    desk.board.forget("a")
    assert desk.board.wait_s(A, 3) == 0.0
    assert desk.board.state("a", 3).status == "unknown"
    assert desk.board.wait_s(B, 3) == 9.0


# -- whatever happens --------------------------------------------------------------------------------------------

ERRORS = [answer(500), answer(503, wait_s=4.0), answer(429), answer(401), answer(402), answer(400)]
ERRORS += [answer(403), unconnected(), cut(), late("first_token"), late("total")]
Step = st.tuples(
    st.sampled_from(["begin", "begin", "well", "ill", "left", "probe", "forget"]),
    st.sampled_from([A, A_LARGE, B]),
    st.sampled_from(ERRORS),
    st.floats(0, 20),
    st.integers(0),
)


@given(st.lists(Step, max_size=80), st.integers())
def test_whatever_happens_everybody_is_admitted_again_and_news_form_a_chain(steps, seed: int):
    desk, settings = Desk(), Health()
    desk.board = board = Board(settings, on_change=desk.changes.append, chance=random.Random(seed))
    running: list[tuple[Target, float]] = []
    now_s = 0.0
    for step, target, error, pause_s, pick in steps:
        now_s += pause_s
        if step == "begin" and board.wait_s(target, now_s) == 0.0:
            board.begin(target, now_s)
            running.append((target, now_s))
        elif step in ("well", "ill", "left") and running:
            began, began_s = running.pop(pick % len(running))
            if step == "ill":
                board.ill(began, error, began_s, now_s)
            else:
                getattr(board, step)(began, began_s, now_s)
        elif step == "probe":
            board.probed(target.provider, error if pick % 2 else None, now_s)
        elif step == "forget" and not pick % 5:
            board.forget(target.provider)
            desk.changes[:] = [change for change in desk.changes if change.provider != target.provider]
        if board.is_quiet:
            assert not board._models
            assert all(account.chart is None and not account.failures for account in board._accounts.values())
        for each in (A, A_LARGE, B):
            assert 0 <= board.wait_s(each, now_s) <= settings.denied_s
    now_s += settings.denied_s + settings.open_s
    for each in (A, A_LARGE, B):
        assert desk.attempt(each, None, now_s)
        assert board.wait_s(each, now_s) == 0.0
    assert board.state("a", now_s).status == board.state("b", now_s).status == "healthy"
    assert board.state("a", now_s + 60).breakers == {}
    assert board.is_quiet
    last: dict[tuple[str, str | None], str] = {}
    for change in desk.changes:
        start = "healthy" if change.model is None else "closed"
        assert change.from_ == last.get((change.provider, change.model), start)
        assert change.from_ != change.to
        last[change.provider, change.model] = change.to
    assert set(last.values()) <= {"healthy", "closed"}


def test_chance_may_be_anything():
    for value in (0.0, 0.999999):
        board = Board(Health(), on_change=lambda change: None, chance=Always(value))
        board.ill(A, answer(401), 0, 0)
        assert 54 <= board.wait_s(A, 0) <= 60
