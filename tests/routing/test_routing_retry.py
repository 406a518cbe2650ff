from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.errors import UpstreamError
from hoosh.routing import Retry, RetryBudget, Verdict, backoff_s, wait_for

AGAIN, ONCE_MORE, ELSEWHERE, LARGER, NOBODY = Verdict


class Fixed(Random):
    """Chance that always says the same."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def random(self):
        return self.value


def wait(verdict, failures=1, *, status=503, retry_after=None, another=True, left=100.0, chance=0.5, **retry):
    error = UpstreamError("no", provider="p", status=status, retry_after_s=retry_after)
    return wait_for(Retry(**retry), verdict, error, failures, Fixed(chance), another=another, left_s=left)


# -- waiting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("another", [True, False])
@pytest.mark.parametrize("status", [429, 503])
def test_s01_a_short_retry_after_is_waited_out_also_when_another_is_free(another, status):
    for chance in (0.0, 0.999):
        assert 2.0 <= wait(AGAIN, status=status, retry_after=2.0, another=another, chance=chance) <= 2.2
    assert wait(ONCE_MORE, status=500, retry_after=2.0, another=another) >= 2.0  # never before it is due


@pytest.mark.parametrize("another", [True, False])
def test_s01_a_longer_one_is_not_and_none_that_passes_the_deadline(another):
    assert wait(AGAIN, status=429, retry_after=3.1, another=another) is None
    assert wait(ONCE_MORE, status=500, retry_after=3.1, another=another) is None
    assert wait(AGAIN, status=429, retry_after=2.0, left=2.0, another=another) is None


def test_s02_without_a_retry_after_it_backs_off_and_leaves_after_two_retries():
    waits = [wait(AGAIN, failures, status=429, chance=0.0) for failures in (1, 2, 3)]
    assert waits == [0.5, 1.0, None]
    assert wait(AGAIN, status=429, retry_after=0.0, chance=0.0) == 0.5  # `now`, it has just said, is too soon


def test_s03_s05_what_may_do_better_at_once_is_asked_once_more_nearly_at_once():
    assert wait(ONCE_MORE, 1, status=500) <= 0.02
    assert wait(ONCE_MORE, 2, status=500) is None
    assert wait(ONCE_MORE, 2, status=500, another=False, chance=0.0) == 1.0
    assert wait(ONCE_MORE, 3, status=500, another=False) is None


def test_s04_s16_who_is_down_is_left_at_once_where_another_is_free():
    assert wait(AGAIN, status=503) is None
    assert wait(AGAIN, status=503, another=False, chance=0.0) == 0.5


@pytest.mark.parametrize("verdict", [ELSEWHERE, LARGER, NOBODY])
def test_nothing_else_is_asked_again(verdict):
    assert wait(verdict, another=False) is None
    assert wait(verdict, retry_after=1.0, another=False) is None


def test_no_retries_are_none():
    assert wait(AGAIN, status=429, retry_after=1.0, max_retries=0) is None
    assert wait(ONCE_MORE, status=500, max_retries=0, another=False) is None


@given(st.integers(1, 2000), st.integers(0, 60_000), st.integers(0, 60_000), st.floats(0, 1), st.integers())
def test_a_backoff_lies_between_what_chance_leaves_and_the_maximum(failures, base_ms, max_ms, jitter, seed):
    retry = Retry(base_delay_ms=base_ms, max_delay_ms=max_ms, jitter_factor=jitter)
    full_s = min(base_ms * 2 ** (failures - 1), max_ms) / 1000
    wait_s = backoff_s(retry, failures, Random(seed))
    assert full_s * (1 - jitter) - 1e-9 <= wait_s <= full_s + 1e-9


# -- the budget ----------------------------------------------------------------------------------------------------


def spend(budget: RetryBudget, now_s: float, *, elsewhere: bool = False) -> int:
    count = 0
    while budget.try_spend(now_s, elsewhere=elsewhere):
        count += 1
    return count


def test_a_quiet_house_may_always_try_again():
    budget = RetryBudget(0.2)
    assert spend(budget, 0.0) == 10
    assert spend(budget, 9.0) == 0
    assert spend(budget, 20.5) == 2
    assert spend(budget, 1e9) == 100  # and no year of silence feeds a storm


@settings(deadline=None, max_examples=50)
@given(st.floats(0.05, 1.0), st.integers(1, 50), st.booleans())
def test_in_a_busy_house_the_attempts_added_are_the_ratio_in_the_long_run(ratio, per_second, elsewhere):
    budget, added, requests = RetryBudget(ratio), 0, 0
    for second in range(200):
        for _ in range(per_second):
            budget.request()
            requests += 1
        added += spend(budget, float(second), elsewhere=elsewhere)
    reserves = 110 if elsewhere else 10
    assert added <= max(ratio * requests, 0.1 * 200) + reserves + 20  # 20: seconds that brought more than requests
    assert added >= ratio * requests - 1


def test_twenty_in_a_hundred_is_the_end_of_it():
    budget = RetryBudget(0.2)
    spend(budget, 0.0)
    added = 0
    for number in range(10_000):
        budget.request()
        added += spend(budget, number / 100)
    assert added == pytest.approx(2000, abs=2)


def test_an_upstream_that_dies_may_send_all_its_streams_elsewhere_and_they_are_paid_back():
    budget = RetryBudget(0.2)
    for _ in range(100):
        budget.request()
    assert all(budget.try_spend(0.0, elsewhere=True) for _ in range(100))
    assert not budget.try_spend(0.0)
    assert budget.left(0.0) == pytest.approx(-70)
    for _ in range(355):
        budget.request()
    assert budget.try_spend(0.0)


def test_a_ratio_of_none_allows_none():
    budget = RetryBudget(0.0)
    budget.request()
    assert not budget.try_spend(0.0)
    assert not budget.try_spend(1e6, elsewhere=True)


def test_a_clock_that_goes_back_brings_nothing():
    budget = RetryBudget(0.2)
    spend(budget, 100.0)
    assert spend(budget, 0.0) == 0
    assert spend(budget, 100.0) == 0
