"""What an answer tells of its caller's limits, word for word."""

from __future__ import annotations

import pytest

from hoosh.admission import Gate, Rates
from hoosh.admission.refusal import duration

ADA = ("key", "ada")
NEW_YEAR_S = 1767225600.0
"""2026-01-01T00:00:00Z"""

OPENAI = """\
x-ratelimit-limit-requests: 60
x-ratelimit-remaining-requests: 59
x-ratelimit-reset-requests: 1m1s
x-ratelimit-limit-tokens: 1000
x-ratelimit-remaining-tokens: 700
x-ratelimit-reset-tokens: 1m1s
"""
ANTHROPIC = """\
anthropic-ratelimit-requests-limit: 60
anthropic-ratelimit-requests-remaining: 59
anthropic-ratelimit-requests-reset: 2026-01-01T00:01:01Z
anthropic-ratelimit-tokens-limit: 1000
anthropic-ratelimit-tokens-remaining: 700
anthropic-ratelimit-tokens-reset: 2026-01-01T00:01:01Z
"""


def told(gate: Gate, now_s: float, language: str = "openai") -> str:
    headers = gate.headers(ADA, now_s, wall_s=NEW_YEAR_S, language=language)
    return "".join(f"{name.decode()}: {value.decode()}\n" for name, value in headers)


@pytest.mark.parametrize(
    ("language", "headers"), [("openai", OPENAI), ("responses", OPENAI), ("ollama", OPENAI), ("anthropic", ANTHROPIC)]
)
def test_each_language_has_its_own_words(language, headers):
    gate = Gate({ADA: Rates(rpm=60, tpm=1000, max_concurrent=3)})
    gate.enter((ADA,), 300, 0.25)
    assert told(gate, 0.5, language) == headers


@pytest.mark.parametrize(
    ("rates", "names"),
    [
        (Rates(rpm=1), ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]),
        (Rates(tpm=1), ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
        (Rates(max_concurrent=1), []),
        (Rates(), []),
    ],
)
def test_a_limit_that_there_is_not_is_not_told_of(rates, names):
    assert [line.partition(":")[0] for line in told(Gate({ADA: rates}), 0.0).splitlines()] == names


def test_an_unused_limit_is_whole_and_needs_no_reset():
    assert told(Gate({ADA: Rates(rpm=5)}), 9.0).split()[1::2] == ["5", "5", "0s"]


def test_what_is_overdrawn_has_nothing_left():
    gate = Gate({ADA: Rates(tpm=100)})
    gate.enter((ADA,), 50, 0.0).leave(900, 0.0)
    assert told(gate, 0.0).split()[1::2] == ["100", "0", "1m1s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (-1.0, "0s"),
        (0.0001, "1ms"),
        (0.006, "6ms"),
        (0.012, "12ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (1.1, "1.1s"),
        (1.2, "1.2s"),
        (20.0, "20s"),
        (59.9995, "1m0s"),
        (60.3, "1m0.3s"),
        (86.4, "1m26.4s"),
        (360.0, "6m0s"),
    ],
)
def test_a_duration_is_written_as_openai_writes_it(seconds, text):
    assert duration(seconds) == text
