"""`hoosh-trio costs`: what has been spent, by provider or by whatever one asks for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import NO_GATEWAY, add_talk_flags, talk_to

__all__ = ["add_to", "plain", "run", "table"]

GROUPS = ("day", "key", "pool", "provider", "model")
RECORD_SUMS = ("request_count", "total_input_tokens", "total_output_tokens")
TOTAL_SUMS = ("total_requests", "total_prompt_tokens", "total_completion_tokens")
MONEY = "total_cost_micro_usd"
UNPRICED = "requests_unpriced"


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "costs",
        help="show what has been spent",
        description="Show what the requests of a running gateway have cost.  Days are UTC's, written YYYY-MM-DD.",
        examples=("hoosh-trio costs", "hoosh-trio costs --by key,model --since 2026-11-01 --until 2026-11-30"),
    )
    parser.add_argument(
        "--by", metavar="WHAT", default="provider", help=f"any of {', '.join(GROUPS)}, with commas (default: provider)"
    )
    parser.add_argument("--since", metavar="DAY", help="the first day that counts")
    parser.add_argument("--until", metavar="DAY", help="the last day that counts")
    add_talk_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    words = [word.strip() for word in arguments.by.split(",") if word.strip()]
    unknown = [word for word in words if word not in GROUPS]
    if unknown or not words:
        raise Failure(f"--by takes any of {', '.join(GROUPS)}, with commas between them", exit_code=WRONG_USAGE)
    query = {"group_by": ",".join(words), "since": arguments.since, "until": arguments.until}
    with talk_to(arguments) as gateway:
        answer = gateway.get("/v1/costs?" + urlencode({name: text for name, text in query.items() if text}, safe=","))
        server = gateway.server
    if arguments.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    try:
        lines = list(_lines(answer, [group for group in GROUPS if group in words]))
    except (TypeError, KeyError, AttributeError, ValueError):
        raise Failure(NO_GATEWAY.format(server)) from None
    print("\n".join(lines))
    return 0


def _lines(answer: Any, groups: Sequence[str]) -> Iterable[str]:
    records = answer["records"]
    if not records:
        yield "nothing has been spent" + (f" since {answer['since']}" if answer["since"] else " yet")
        return
    heads = [*groups, "requests", "input", "output", "USD"]
    rows = [[*(plain(record[group]) for group in groups), *_numbers(record, RECORD_SUMS)] for record in records]
    total = ["total", *[""] * (len(groups) - 1), *_numbers(answer, TOTAL_SUMS)]
    yield from table(heads, [*rows, total], left=len(groups))
    yield from _remarks(answer)


def _numbers(sums: Any, names: Sequence[str]) -> list[str]:
    micro, star = int(sums[MONEY]), "*" if sums[UNPRICED] else ""  # a star: this is not all of it
    usd = f"{micro // 1_000_000}.{micro % 1_000_000:06}{star}"
    return [*(f"{int(sums[name]):,}".replace(",", " ") for name in names), usd]


def _remarks(answer: Any) -> Iterable[str]:
    if answer[UNPRICED]:
        count = answer[UNPRICED]
        yield f"* {count} request{'s' if count > 1 else ''} without a known price not counted; [[prices]] can set one"
    if answer["requests_cached"]:
        yield f"{answer['requests_cached']} answered from the cache, which saved {answer['saved_tokens']} tokens"
    if answer["truncated"]:
        yield "there are more rows; the total is that of all"
    if answer["since"]:
        yield f"counted since {answer['since']}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> Iterable[str]:
    """Aligned plain text: the first `left` columns to the left, numbers to the right, dots under dots."""
    shown = [list(heads), *(list(row) for row in rows)]
    if any(row[-1].endswith("*") for row in shown):
        shown = [[*row[:-1], row[-1] if row[-1].endswith("*") else row[-1] + " "] for row in shown]
    widths = [max(len(row[column]) for row in shown) for column in range(len(heads))]
    for row in shown:
        cells = [
            text.ljust(w) if n < left else text.rjust(w) for n, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def plain(name: object) -> str:
    """A name as one line that no terminal takes for a command; model names come from anywhere."""
    text = "".join(sign if sign.isprintable() else "?" for sign in str(name))
    return text if len(text) <= 60 else text[:59] + "…"
