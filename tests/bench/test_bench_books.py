"""With and without the books: who comes after whom, what is told, and what would be a mistake in them."""

from __future__ import annotations

import pytest

from bench.books import Look, mistakes, readings, turns
from bench.figures import SYNC, TARGETS, WITH_BOOKS, WITHOUT_BOOKS, Samples, judge
from bench.load import LoadResult
from bench.report import books_table


def test_both_are_first_as_often() -> None:
    assert [turns(number)[:2] for number in range(3)] == [
        (WITHOUT_BOOKS, WITH_BOOKS),
        (WITH_BOOKS, WITHOUT_BOOKS),
        (WITHOUT_BOOKS, WITH_BOOKS),
    ]
    assert all(turns(number)[2:] == (SYNC,) for number in range(3))


def load(begun: int) -> LoadResult:
    return LoadResult(4.0, begun, begun - 10, 0, 0, (None,) * 4, (None,) * 4)


@pytest.mark.parametrize("rows", [1936, 1990, 2000])
def test_each_request_has_a_row_but_those_in_the_air_when_their_client_left(rows: int) -> None:
    assert mistakes(Look(rows=7), Look(rows=7 + rows), [load(1500), load(500)]) == []


@pytest.mark.parametrize(
    ("after", "mistake"),
    [
        (Look(rows=1935), "1935 rows for 2000 requests"),
        (Look(rows=2001), "2001 rows for 2000 requests"),
        (Look(rows=2000, waiting_rows=3), "waiting_rows=3"),
        (Look(rows=2000, held=600), "held=600"),
        (Look(rows=2000, in_flight=1), "in_flight=1"),
        (Look(rows=2000, cached=9), "9 answers came out of the cache"),
    ],
    ids=str,
)
def test_what_is_wrong_with_books_is_said(after: Look, mistake: str) -> None:
    (found,) = mistakes(Look(rows=0), after, [load(1500), load(500)])
    assert mistake in found


def test_readings_are_found_by_name_and_labels() -> None:
    text = '# HELP a A thing.\n# TYPE a gauge\na 3.0\nhoosh_pool{pool="a b",state="held"} 1.2e+02\n\n'
    assert readings(text) == {"a": 3.0, 'hoosh_pool{pool="a b",state="held"}': 120.0}


def test_what_the_books_cost_is_a_table_and_a_target() -> None:
    samples = Samples()
    samples.taken = {
        WITHOUT_BOOKS: {"chat32_cpu": [100.0, 90.0, 200.0], "stream_rate": [80_000.0]},
        WITH_BOOKS: {
            "chat32_cpu": [130.0, 120.0, 110.0],
            "chat32_times": [1.3, 1.2, 1.1],
            "stream_rate": [60_000.0],
        },
        SYNC: {"chat32_cpu": [150.0]},
    }
    table = books_table(samples)
    assert "| chat: CPU, µs/request" in table
    assert "| 100     | 120 ×1.20    | 150 ×1.50 " in table
    assert "| 80 000  | 60 000 ×0.75 | – " in table
    (verdict,) = [verdict for verdict in judge(samples, TARGETS) if verdict.target.group == "books"]
    assert (verdict.value, verdict.limit, verdict.met) == (1.2, 1.25, True)
