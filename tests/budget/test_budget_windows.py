"""Windows against the calendar of the standard library, and against their own promises where that has no dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.budget.windows import NEVER_MS, window_around

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANY_TIME = st.integers(0, 2**70)
LAST_DATE_MS = 253_000_000_000_000
"""In the year 9987."""


def ms(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("window", "at", "start", "end"),
    [
        ("minute", "1970-01-01T00:00:00", "1970-01-01T00:00:00", "1970-01-01T00:01:00"),
        ("minute", "2024-05-01T12:34:59.999", "2024-05-01T12:34:00", "2024-05-01T12:35:00"),
        ("minute", "2016-12-31T23:59:59.999", "2016-12-31T23:59:00", "2017-01-01T00:00:00"),  # before a leap second
        ("hour", "2024-05-01T12:34:56", "2024-05-01T12:00:00", "2024-05-01T13:00:00"),
        ("day", "2024-03-31T01:30:00", "2024-03-31T00:00:00", "2024-04-01T00:00:00"),  # no summer time in UTC
        ("month", "1970-01-01T00:00:00", "1970-01-01T00:00:00", "1970-02-01T00:00:00"),
        ("month", "2024-02-29T12:00:00", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("month", "2023-02-28T23:59:59.999", "2023-02-01T00:00:00", "2023-03-01T00:00:00"),
        ("month", "2023-03-01T00:00:00", "2023-03-01T00:00:00", "2023-04-01T00:00:00"),
        ("month", "2000-02-29T00:00:00", "2000-02-01T00:00:00", "2000-03-01T00:00:00"),
        ("month", "2100-02-28T23:00:00", "2100-02-01T00:00:00", "2100-03-01T00:00:00"),  # no leap year
        ("month", "2024-12-31T23:59:59.999", "2024-12-01T00:00:00", "2025-01-01T00:00:00"),
        ("month", "9999-11-30T00:00:00", "9999-11-01T00:00:00", "9999-12-01T00:00:00"),
    ],
)
def test_a_window_is_utcs_own(window, at, start, end):
    assert window_around(window, ms(at)) == (ms(start), ms(end))


def test_no_window_never_ends():
    for at_ms in (0, 1, 2**70):
        assert window_around("none", at_ms) == (0, NEVER_MS)
        assert at_ms < NEVER_MS


@given(st.sampled_from(["minute", "hour", "day", "month"]), ANY_TIME)
def test_windows_leave_no_gap_and_do_not_overlap(window, at_ms):
    start, end = window_around(window, at_ms)
    assert start <= at_ms < end
    assert window_around(window, start) == window_around(window, end - 1) == (start, end)
    assert window_around(window, end)[0] == end
    assert start == 0 or window_around(window, start - 1)[1] == start


@given(st.integers(0, LAST_DATE_MS))
def test_months_are_the_calendars(at_ms):
    moment = EPOCH + timedelta(milliseconds=at_ms)
    start, end = (EPOCH + timedelta(milliseconds=edge) for edge in window_around("month", at_ms))
    assert start == datetime(moment.year, moment.month, 1, tzinfo=UTC)
    assert end == datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)


@given(ANY_TIME)
def test_a_month_has_28_to_31_days_at_whatever_time(at_ms):
    start, end = window_around("month", at_ms)
    assert (end - start) % 86_400_000 == 0
    assert 28 <= (end - start) // 86_400_000 <= 31
