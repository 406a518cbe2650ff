"""Medians, percentiles, ratios and targets: what the tables say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.disconnects import Outcome, summary
from bench.figures import TARGETS, Samples, Target, judge, percentile, ratio_text, value_text
from bench.report import BEGIN, END, disconnects_table, figures_table, fill_between, keep_json, markdown_table


@pytest.mark.parametrize(
    ("part", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)], ids=lambda value: str(value)
)
def test_a_percentile_is_one_of_the_values(part: float, expected: float) -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, part) == expected


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_a_client_that_was_never_noticed_counts_as_infinitely_late() -> None:
    outcome = Outcome(ms={"close": [1.0] * 97}, never=3)
    found = summary(outcome)
    assert found["p50"] == 1.0
    assert math.isinf(found["p99"])
    assert found["never"] == 3


def test_values_and_ratios_are_written_with_the_figures_that_matter() -> None:
    assert [value_text(value) for value in (None, 0, 0.1234, 12.34, 12345.6, math.inf)] == [
        "–",
        "0",
        "0.12",
        "12.3",
        "12 346",
        "never",
    ]
    assert [ratio_text(value, 10) for value in (0.05, 5, 15, 150, 15000)] == [
        "×0.005",
        "×0.50",
        "×1.50",
        "×15.0",
        "×1500",
    ]
    assert ratio_text(5, None) == ratio_text(None, 5) == ratio_text(5, 0) == ""


def test_a_table_is_markdown_with_padded_columns() -> None:
    assert markdown_table([["a", "b"], ["long cell", "1"]]) == (
        "| a         | b   |\n| --------- | --: |\n| long cell | 1   |"
    )


def samples(**figures: dict[str, list[float]]) -> Samples:
    made = Samples()
    made.taken = {name.replace("_", "-"): measures for name, measures in figures.items()}
    return made


def test_figures_are_medians_and_multiples_of_hoosh() -> None:
    made = samples(hoosh={"chat32_cpu": [90.0, 50.0, 60.0]}, smg={"chat32_cpu": [180.0]})
    rows = figures_table(made, ["hoosh", "smg"], {"smg": "1.13"}).splitlines()
    assert rows[0].split() == ["|", "measure", "|", "hoosh", "|", "smg", "1.13", "|"]
    assert "60.0" in rows[2]
    assert "180 ×3.00" in rows[2]
    assert len(rows) == 3, "what nobody has is not listed"


def test_a_target_is_met_missed_or_not_measured() -> None:
    made = samples(hoosh={"x": [5.0]})
    below = Target("below", lambda s: s.median("hoosh", "x"), "≤", lambda s: 6.0, "x")
    above = Target("above", lambda s: s.median("hoosh", "x"), "≥", lambda s: 6.0, "x")
    unknown = Target("unknown", lambda s: s.median("hoosh", "x"), "≤", lambda s: s.median("smg", "x"), "x")
    assert [verdict.met for verdict in judge(made, [below, above, unknown])] == [True, False, None]


def test_targets_compare_with_the_faster_of_the_rust_routers() -> None:
    made = samples(
        hoosh={"stream_rate": [800.0], "chat1_p50": [140.0]},
        smg={"stream_rate": [100.0]},
        vllm_router={"stream_rate": [150.0], "chat1_p50": [200.0]},
        direct={"chat1_p50": [40.0]},
    )
    verdicts = {verdict.target.label: verdict for verdict in judge(made, TARGETS)}
    fast = verdicts["full-speed streams: chunks/s ≥ 4 × the faster Rust router"]
    added = verdicts["chat, 1: added median ≤ vllm-router's, µs"]
    assert (fast.value, fast.limit, fast.met) == (800.0, 600.0, True)
    assert (added.value, added.limit, added.met) == (100.0, 160.0, True)


def test_disconnects_tell_how_many_tries_there_were_and_how_many_failed() -> None:
    outcomes = {"hoosh": {"h1_waiting": Outcome(ms={"close": [1.0], "reset": [3.0]}, never=1)}}
    table = disconnects_table(outcomes, ["hoosh", "smg"])
    assert "3.00 / never / never of 3, 1 never" in table
    assert "smg" not in table


def test_the_document_keeps_everything_but_its_figures() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert fill_between(document, "new\n") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        fill_between("nothing here", "new")


def test_results_are_json_even_where_somebody_never_noticed(tmp_path: Path) -> None:
    made = samples(hoosh={"gone_h1_waiting_p99": [math.inf]})
    keep_json(tmp_path / "results" / "x.json", {"cpu": "?"}, made, {"hoosh": {"h1_waiting": Outcome(never=1)}}, [])
    assert '"never"' in (tmp_path / "results" / "x.json").read_text()
