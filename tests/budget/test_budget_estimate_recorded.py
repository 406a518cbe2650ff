"""How good the estimates are on recorded traffic, and that docs/budgets.md says so."""

from __future__ import annotations

import pytest
from budget_recordings import samples
from estimate_quality import DOCUMENT, Error, at, errors, piece_errors, pieces_missed, section, section_in, table

pytestmark = pytest.mark.skipif(not samples(), reason="needs the recordings in ../shared/wire")

PLAIN = [error for error in errors() if error.sample.is_plain]


def test_the_section_in_the_documentation_is_true():
    said = section_in(DOCUMENT.read_text())
    assert said == section(), "run `python tests/budget/estimate_quality.py --write`"


def test_most_recordings_are_of_use():
    assert len(errors()) > 150
    assert len(PLAIN) > 100


def test_a_first_guess_is_no_worse_than_it_says(capsys: pytest.CaptureFixture[str]):
    with capsys.disabled():
        print(f"\n{table()}")
    first = [error.first for error in PLAIN]
    assert at(0.5, first) < 0.2
    assert at(0.9, first) < 0.9


def test_learning_helps_and_helps_most_where_there_is_something_to_learn_from():
    def median_and_worst(chosen: list[Error]) -> tuple[float, float]:
        learnt = [error.learnt for error in chosen]
        return at(0.5, learnt), at(0.9, learnt)

    known = [error for error in PLAIN if error.is_known]
    median, worst = median_and_worst(PLAIN)
    known_median, known_worst = median_and_worst(known)
    assert (median < 0.12, worst < 0.8) == (True, True)
    assert (known_median < 0.08, known_worst < 0.5) == (True, True)
    assert median < at(0.5, [error.first for error in PLAIN]) * 0.75
    assert known_median < at(0.5, [error.first for error in known]) * 0.6


def test_the_whole_bill_of_the_plain_recordings_is_foretold_better_after_learning():
    def missed(error: Error, part: float) -> float:
        return part * max(error.sample.usage.prompt_tokens, 100)

    first = sum(missed(error, error.first) for error in PLAIN)
    learnt = sum(missed(error, error.learnt) for error in PLAIN)
    assert learnt < first * 0.85


def test_the_worth_of_a_streams_pieces_is_learnt():
    assert pieces_missed() < 0.65
    assert sum(learnt for *_, learnt in piece_errors()) < 0.95 * sum(first for _, first, _ in piece_errors())
