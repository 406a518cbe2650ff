"""A tally as a person wants to read it, and as a program does.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from hoosh.cli.bench.spread import Spread
from hoosh.cli.bench.tally import Tally
from hoosh.cli.costs import plain, table

__all__ = ["Circumstances", "as_json", "lines", "shown_s"]

PERCENTS = (50, 90, 99)
BARS = 10
BAR_COLUMNS = 40
BUSY = 0.9
"""The share of a processor from which on the measuring itself is what is slow."""


class Circumstances(Struct, frozen=True):
    """What was measured, and for how long."""

    url: str
    model: str
    concurrency: int
    stream: bool
    elapsed_s: float
    busy: float
    """Share of one processor that the measuring took."""
    is_interrupted: bool = False


def lines(tally: Tally, facts: Circumstances, *, unicode: bool) -> Iterable[str]:
    """For a person; without `unicode` in plain ASCII."""
    manner = "streaming" if facts.stream else "whole answers"
    yield f"{facts.url}, model {plain(facts.model)}, {facts.concurrency} at once, {manner}"
    if facts.is_interrupted:
        yield "ended early: this is what there is"
    yield ""
    yield f"requests    {tally.good} good, {tally.failed} failed, in {facts.elapsed_s:.2f} s"
    yield f"throughput  {_throughput(tally, facts.elapsed_s)}"
    if tally.good:
        yield ""
        named = [("first content", tally.first), ("between chunks", tally.gaps), ("whole answer", tally.whole)]
        rows = [_row(name, spread) for name, spread in named if spread.count]
        yield from table(("", *(f"p{percent}" for percent in PERCENTS), "max"), rows, left=1)
        yield ""
        yield from _histogram(tally.whole, "█" if unicode else "#")
    yield from _failures(tally)
    if facts.busy > BUSY:
        yield ""
        yield f"measuring took {facts.busy:.0%} of a processor here: the server may be faster than these numbers say"


def _throughput(tally: Tally, elapsed_s: float) -> str:
    rates = [f"{_per_s(tally.good, elapsed_s)} requests/s"]
    if tally.good > tally.without_usage:
        rates.append(f"{_per_s(tally.completion_tokens, elapsed_s)} tokens/s out")
        rates.append(f"{_per_s(tally.prompt_tokens, elapsed_s)} tokens/s in")
    if tally.chunks:
        rates.append(f"{_per_s(tally.chunks, elapsed_s)} chunks/s")
    if tally.without_usage:
        some = f"{tally.without_usage} answer{'s' if tally.without_usage > 1 else ''}"
        rates.append(f"{some} did not say how many tokens they had")
    return ", ".join(rates)


def _per_s(count: int, elapsed_s: float) -> str:
    rate = count / elapsed_s if elapsed_s else 0.0
    return f"{rate:,.1f}".replace(",", " ")


def _row(name: str, spread: Spread) -> list[str]:
    return [name, *(shown_s(spread.percentile(percent)) for percent in PERCENTS), shown_s(spread.greatest_s)]


def shown_s(duration_s: float | None) -> str:
    """A duration with the unit that fits it."""
    if duration_s is None:
        return "-"
    if duration_s < 0.001:
        return f"{duration_s * 1e6:.0f} us"
    if duration_s < 1.0:
        return f"{duration_s * 1e3:.1f} ms"
    return f"{duration_s:.2f} s"


def _histogram(spread: Spread, sign: str) -> Iterable[str]:
    bars = spread.bars(BARS)
    most = max(bar.count for bar in bars)
    width = max(len(str(bar.count)) for bar in bars)
    yield "whole answer, up to"
    for bar in bars:
        length = -(-bar.count * BAR_COLUMNS // most)  # whoever is there at all is seen
        yield f"  {shown_s(bar.until_s):>9}  {bar.count:>{width}}  {sign * length}".rstrip()


def _failures(tally: Tally) -> Iterable[str]:
    if not tally.failures:
        return
    yield ""
    yield "failures"
    width = len(str(max(tally.failures.values())))
    for kind, count in sorted(tally.failures.items(), key=lambda item: (-item[1], item[0])):
        said = tally.examples.get(kind, "")
        yield f"  {count:>{width}}  {kind}" + (f": {_one_line(said)}" if said else "")


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)[:160]


def as_json(tally: Tally, facts: Circumstances) -> dict[str, Any]:
    """Seconds, counts, and rates a second."""
    elapsed_s = facts.elapsed_s or 1.0
    has_usage = tally.good > tally.without_usage
    return {
        "url": facts.url,
        "model": facts.model,
        "concurrency": facts.concurrency,
        "stream": facts.stream,
        "interrupted": facts.is_interrupted,
        "elapsed_s": facts.elapsed_s,
        "client_busy": round(facts.busy, 3),
        "requests": {"good": tally.good, "failed": tally.failed},
        "requests_per_s": tally.good / elapsed_s,
        "completion_tokens_per_s": tally.completion_tokens / elapsed_s if has_usage else None,
        "prompt_tokens_per_s": tally.prompt_tokens / elapsed_s if has_usage else None,
        "chunks_per_s": tally.chunks / elapsed_s,
        "received_bytes": tally.received_bytes,
        "first_content_s": _percentiles(tally.first),
        "between_chunks_s": _percentiles(tally.gaps),
        "whole_answer_s": _percentiles(tally.whole),
        "histogram": [{"until_s": bar.until_s, "count": bar.count} for bar in tally.whole.bars(BARS)],
        "failures": [
            {"kind": kind, "count": count, "example": tally.examples.get(kind)}
            for kind, count in tally.failures.items()
        ],
    }


def _percentiles(spread: Spread) -> dict[str, float | None]:
    told: dict[str, float | None] = {f"p{percent}": spread.percentile(percent) for percent in PERCENTS}
    mean = spread.sum_s / spread.count if spread.count else None
    return {**told, "max": spread.greatest_s if spread.count else None, "mean": mean}
