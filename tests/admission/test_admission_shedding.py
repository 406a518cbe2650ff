"""Who is turned away at which lag, told as a story of lags."""

from __future__ import annotations

import math

import pytest

from hoosh.admission import Shedder
from hoosh.values import PRIORITIES

LIMIT_MS = 100

NOBODY = ""
LOW = "low background"
NORMAL = "normal low background"
HIGH = "high normal low background"


def turned_away(shedder: Shedder, lag_s: float) -> str:
    refused = " ".join(priority for priority in PRIORITIES if shedder.refuses(priority, lag_s))
    assert refused == " ".join(shedder.turned_away(lag_s))
    return refused


@pytest.mark.parametrize(
    "story",
    [
        [(0.0, NOBODY), (0.1, NOBODY), (0.101, LOW), (0.2, LOW), (0.201, NORMAL), (0.4, NORMAL), (0.401, HIGH)],
        [(0.11, LOW), (0.09, LOW), (0.051, LOW), (0.05, NOBODY), (0.09, NOBODY), (0.11, LOW)],
        [(0.21, NORMAL), (0.19, NORMAL), (0.101, NORMAL), (0.1, LOW), (0.19, LOW), (0.21, NORMAL)],
        [(9.0, HIGH), (0.21, HIGH), (0.2, NORMAL), (0.1, LOW), (0.0, NOBODY)],
        [(9.0, HIGH), (0.0, NOBODY), (0.09, NOBODY)],
        [(math.inf, HIGH), (0.0, NOBODY)],
    ],
)
def test_each_step_comes_above_its_lag_and_stays_until_half_of_it(story):
    shedder = Shedder(LIMIT_MS)
    assert [(lag_s, turned_away(shedder, lag_s)) for lag_s, _ in story] == story


def test_without_a_limit_nobody_is_turned_away():
    assert turned_away(Shedder(None), 1e9) == NOBODY


def test_a_new_limit_counts_at_once():
    shedder = Shedder(LIMIT_MS)
    assert turned_away(shedder, 0.5) == HIGH
    shedder.configure(1000)
    assert turned_away(shedder, 0.5) == NOBODY
    shedder.configure(LIMIT_MS)
    assert turned_away(shedder, 0.15) == LOW
    shedder.configure(None)
    assert turned_away(shedder, 9.0) == NOBODY
