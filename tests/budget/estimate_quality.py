"""How good the estimates are, measured on the recorded traffic; and the section of docs/budgets.md that says so.

    python tests/budget/estimate_quality.py --write

*First guess*: by an Estimator that has heard nothing.  *Learnt*: by one that has been taught by all other recordings of
the same provider, in a seeded order.  An error is a part of what the upstream has counted, or of SMALL tokens where it
has counted less.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from random import Random

from budget_recordings import Sample, samples
from msgspec import Struct

from hoosh.budget import Estimator, ModelKey

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "budgets.md"
HEADING = "## How good are the estimates?"
SEED = 2026
SMALL = 100
REPORTS = 3
"""Other recordings of a model from which on it counts as known."""

TEXT = """\
{heading}

What a request may take has to be held before it is sent, so the tokens of its prompt are guessed from the bytes that
become prompt: text, messages, tools and schemas each at a rate of their own; images by their size and detail; sound and
documents by their bytes.  A model begins at the ratios of its provider type (3.5 to 4 bytes to a token), and every
complete usage report of an upstream makes its rates better.  What has been learnt survives a restart (of a process that
is killed, but for the last minute).  A guess only
decides what is *held*: what is *paid* is the upstream's own count wherever it gives one.

The figures below are measured on {prompts} recorded exchanges with {providers} types of providers, and a test keeps
them true.  *Learnt* is after the reports of all other recordings of the same provider, which are few: {known_prompts}
prompts go to models with three or more others.  An error is a part of what the upstream counted, or of {small} tokens
where it counted less.  The starting ratios of text are older than these recordings; those of tools, and how fast is
learnt, were chosen with them in view.

{table}

Half of the first guesses at a plain prompt are off by {first} or less, and one in ten by {first_worst} or more; for a
model with a few reports these are {known} and {known_worst}.  What a provider adds on its own side cannot be guessed
from a request: pages that its search tool reads, a conversation it has kept, its own tools.  Such prompts are the last
line, and may take many times what was held; the difference is charged when the upstream has counted.

The pieces of a stream are counted while it runs, and how many tokens a piece is worth is learnt in the same way: a
token each to begin with.  Local engines send a token a piece; some vendors send dozens at once, and reasoning that they
keep to themselves is in no piece at all.  On the recorded streams, which are short and full of tool calls, what an
upstream does not count would be told wrong by about {pieces} in the median.
"""


class Error(Struct, frozen=True):
    """Of one sample, before and after learning."""

    sample: Sample
    first: float
    learnt: float
    is_known: bool


@cache
def errors() -> list[Error]:
    """Of every prompt."""
    order = list(samples())
    Random(SEED).shuffle(order)
    recorded = Counter(key_of(sample) for sample in order)
    return [
        Error(
            sample,
            _error(Estimator(), sample),
            _error(taught_by_others(sample, order), sample),
            recorded[key_of(sample)] > REPORTS,
        )
        for sample in order
    ]


def key_of(sample: Sample) -> ModelKey:
    return ModelKey(sample.provider, sample.model)


def taught_by_others(sample: Sample, order: Iterable[Sample]) -> Estimator:
    estimator = Estimator()
    for other in order:
        if other is not sample and other.provider == sample.provider:
            estimator.learn(key_of(other), other.weight, other.usage, other.chunks)
    return estimator


def _error(estimator: Estimator, sample: Sample) -> float:
    counted = sample.usage.prompt_tokens
    return abs(estimator.prompt_tokens(key_of(sample), sample.weight) - counted) / max(counted, SMALL)


@cache
def piece_errors() -> list[tuple[Sample, int, int]]:
    """Of every stream: how far off are a token a piece, and what has been learnt from the others; in tokens."""
    order = [sample for sample in samples() if sample.chunks]
    Random(SEED).shuffle(order)
    found = []
    for sample in order:
        counted = sample.usage.completion_tokens
        told = taught_by_others(sample, order).reply_tokens(key_of(sample), sample.chunks)
        found.append((sample, abs(sample.chunks - counted), abs(told - counted)))
    return found


def pieces_missed() -> float:
    """The median part of a stream's tokens that is told wrong, once learnt."""
    return at(0.5, [off / max(sample.usage.completion_tokens, 1) for sample, _, off in piece_errors()])


def at(part: float, values: Sequence[float]) -> float:
    """The value below which that part of them lies."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def _row(label: str, chosen: list[Error]) -> str:
    columns = [[error.first for error in chosen], [error.learnt for error in chosen]]
    cells = [f"{at(part, column):.0%}" for column in columns for part in (0.5, 0.9)]
    return f"| {' | '.join([label, str(len(chosen)), *cells])} |"


def table() -> str:
    plain = [error for error in errors() if error.sample.is_plain]
    rows = [
        "| prompts | n | first guess: median | nine in ten within | learnt: median | nine in ten within |",
        "|---|---|---|---|---|---|",
    ]
    providers = sorted({error.sample.provider for error in plain})
    rows += [_row(f"`{name}`", [error for error in plain if error.sample.provider == name]) for name in providers]
    rows.append(_row("all plain prompts", plain))
    long = [error for error in plain if error.sample.usage.prompt_tokens >= SMALL]
    rows.append(_row(f"of these, {SMALL} tokens or more", long))
    rows.append(_row("models with three or more others", [error for error in plain if error.is_known]))
    rows.append(_row(f"of these, {SMALL} tokens or more", [error for error in long if error.is_known]))
    rows.append(
        _row("with media, or more of the provider's own", [error for error in errors() if not error.sample.is_plain])
    )
    return "\n".join(rows)


def section() -> str:
    plain = [error for error in errors() if error.sample.is_plain]
    known = [error for error in plain if error.is_known]
    return TEXT.format(
        heading=HEADING,
        prompts=len(errors()),
        providers=len({error.sample.provider for error in errors()}),
        known_prompts=len(known),
        first=f"{at(0.5, [error.first for error in plain]):.0%}",
        first_worst=f"{at(0.9, [error.first for error in plain]):.0%}",
        known=f"{at(0.5, [error.learnt for error in known]):.0%}",
        known_worst=f"{at(0.9, [error.learnt for error in known]):.0%}",
        small=SMALL,
        pieces=f"{round(pieces_missed(), 1):.0%}",
        table=table(),
    )


def section_in(document: str) -> str:
    """What a document says under the heading."""
    _, _, behind = document.partition(HEADING)
    said, _, _ = behind.partition("\n## ")
    return (HEADING + said).rstrip() + "\n"


def document() -> str:
    """The document as it is, with the section as it should be: in its place, or at the end."""
    text = DOCUMENT.read_text() if DOCUMENT.exists() else "# Budgets\n"
    if HEADING not in text:
        return f"{text.rstrip()}\n\n{section()}"
    return text.replace(section_in(text).rstrip(), section().rstrip())


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOCUMENT.write_text(document())
    else:
        print(section())
