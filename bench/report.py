"""What a run says: markdown tables, a JSON file with every figure, the figures of docs/benchmarks.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.disconnects import Outcome, summary
from bench.figures import (
    BOOKS_MEASURES,
    MEASURES,
    PHASES,
    SYNC,
    VERSIONS,
    WITH_BOOKS,
    WITHOUT_BOOKS,
    Samples,
    Verdict,
    ratio_text,
    value_text,
)

__all__ = [
    "BEGIN",
    "END",
    "books_table",
    "disconnects_table",
    "figures_table",
    "fill_between",
    "keep_json",
    "markdown_table",
    "targets_table",
]

BEGIN = "<!-- figures: begin (written by `python -m bench --write-docs`) -->"
END = "<!-- figures: end -->"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the head.  Columns are padded, so that the source reads as well as the page."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])


def figures_table(samples: Samples, contenders: Sequence[str], versions: dict[str, str]) -> str:
    """A row for each measure somebody has; medians, and what they are as multiples of hoosh's."""
    head = [f"{name} {versions[name]}" if name in versions else name for name in contenders]
    rows = [["measure", *head]]
    for measure in MEASURES:
        medians = [samples.median(name, measure.key) for name in contenders]
        if all(median is None for median in medians):
            continue
        base = samples.median("hoosh", measure.key)
        ratios = [ratio_text(median, base) if measure.compared else "" for median in medians]
        ratios[0] = ""
        cells = [f"{value_text(median)} {ratio}".strip() for median, ratio in zip(medians, ratios, strict=True)]
        rows.append([f"{measure.label}, {measure.unit}".rstrip(", "), *cells])
    return markdown_table(rows)


def books_table(samples: Samples) -> str:
    """Without and with; medians, and what they are as multiples of those without."""
    rows = [["what the books cost, 32 clients; ×n: of without", "without", "with all", "and answers wait for the disk"]]
    for measure in BOOKS_MEASURES:
        base = samples.median(WITHOUT_BOOKS, measure.key)
        cells = [value_text(base)]
        for name in (WITH_BOOKS, SYNC):
            median = samples.median(name, measure.key)
            ratio = ratio_text(median, base) if measure.compared else ""
            cells.append(f"{value_text(median)} {ratio}".strip())
        rows.append([f"{measure.label}, {measure.unit}", *cells])
    return markdown_table(rows)


def disconnects_table(outcomes: Mapping[str, Mapping[str, Outcome]], contenders: Sequence[str]) -> str:
    """A row for each phase over each HTTP version: p50 / p99 / max in ms, and how many were never noticed."""
    present = [name for name in contenders if name in outcomes]
    rows = [["client gone → upstream knows, ms p50 / p99 / max", *present]]
    for version, spoken in VERSIONS.items():
        for phase in PHASES:
            cells = [_gone_text(outcomes[name].get(f"{version}_{phase}")) for name in present]
            rows.append([f"{spoken}, {phase}", *cells])
    return markdown_table(rows)


def _gone_text(outcome: Outcome | None) -> str:
    if outcome is None or not (found := summary(outcome)):
        return "–"
    tries = len(outcome.all_ms) + outcome.never
    text = " / ".join(value_text(found[figure]) for figure in ("p50", "p99", "max")) + f" of {tries}"
    return f"{text}, {outcome.never} never" if outcome.never else text


def targets_table(verdicts: Sequence[Verdict]) -> str:
    rows = [["target", "limit", "hoosh", "verdict"]]
    for verdict in verdicts:
        word = {True: "pass", False: "**miss**", None: "not measured"}[verdict.met]
        limit = f"{verdict.target.relation} {value_text(verdict.limit)}" if verdict.limit is not None else "–"
        rows.append([verdict.target.label, limit, value_text(verdict.value), word])
    return markdown_table(rows)


def fill_between(document: str, text: str) -> str:
    """`document` with `text` between its markers.  Raises ValueError where they are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no place for figures: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def keep_json(
    path: Path, about: dict[str, Any], samples: Samples, outcomes: dict[str, dict[str, Outcome]], problems: list[str]
) -> None:
    """Every figure of every round, and every single disconnect."""
    gone = {
        name: {case: {"ms": each.ms, "never": each.never, "broken": each.broken} for case, each in cases.items()}
        for name, cases in outcomes.items()
    }
    told = {"about": about, "samples": samples.taken, "disconnects": gone, "problems": problems}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_finite(told), indent=1) + "\n")


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return "never" if isinstance(value, float) and math.isinf(value) else value
