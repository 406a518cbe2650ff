"""Histograms in Prometheus' text format, written by ourselves: of 200 models there are thousands of lines.

prometheus_client makes an object of each line and checks its labels again; here the labels of a series are put into
words once.  Measured with 200 models: a twentieth of the time, in which nobody else would get his turn.

Source: Prometheus, Exposition formats, text-based format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from hoosh.observe.genai import Distribution
from hoosh.observe.metrics import Metrics
from hoosh.values import PHASES

__all__ = ["histograms"]

Series = tuple[Sequence[str], Distribution]
PAIR = ("provider", "model")
OPERATION = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def histograms(metrics: Metrics) -> Iterator[str]:
    """All that there are."""
    series, phases = metrics.series, zip(PHASES, metrics.phases, strict=True)
    yield from _family(
        "hoosh_request_duration_seconds",
        "From the request's arrival to its end.",
        PAIR,
        ((pair, each.duration) for pair, each in series.items()),
    )
    yield from _family(
        "hoosh_time_to_first_token_seconds",
        "From a request's start to its first content.",
        PAIR,
        ((pair, each.first_token) for pair, each in series.items()),
    )
    words = "From accept to the start of the handler, and the wait for a turn."
    yield from _family("hoosh_queue_seconds", words, (), [((), metrics.queue)], shows_unused=True)
    words = "Where the time of a request went that has asked an upstream."
    named = [(("queue",), metrics.queue), *(((name,), each) for name, each in phases)]
    yield from _family("hoosh_phase_seconds", words, ("phase",), named, shows_unused=True)
    yield from _operations(metrics)


def _operations(metrics: Metrics) -> Iterator[str]:
    """In the words of OpenTelemetry; see `genai.py`."""
    found = metrics.operations.items()
    yield from _family(
        "gen_ai_client_operation_duration_seconds",
        "GenAI operation duration: the last attempt.",
        (*OPERATION, "error_type"),
        (((*of, error), each) for of, operation in found for error, each in operation.durations.items()),
    )
    yield from _family(
        "gen_ai_client_token_usage",
        "Input and output tokens of an operation.",
        (*OPERATION, "gen_ai_token_type"),
        (
            ((*of, kind), each)
            for of, operation in found
            for kind, each in (("input", operation.input_tokens), ("output", operation.output_tokens))
        ),
    )
    yield from _family(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "Of a stream, from asking to its first content.",
        OPERATION,
        ((of, operation.first_chunk) for of, operation in found),
    )
    yield from _family(
        "gen_ai_server_time_to_first_token_seconds",
        "Of a stream, from the request to its first content.",
        OPERATION,
        ((of, operation.first_token) for of, operation in found),
    )
    yield from _family(
        "gen_ai_server_time_per_output_token_seconds",
        "Of a stream, after the first token.",
        OPERATION,
        ((of, operation.per_token) for of, operation in found),
    )


def _family(
    name: str, words: str, labels: Sequence[str], series: Iterable[Series], *, shows_unused: bool = False
) -> Iterator[str]:
    yield f"# HELP {name} {words}\n# TYPE {name} histogram\n"
    for values, distribution in series:
        if shows_unused or any(distribution.counts):
            yield _lines(name, labels, values, distribution)


def _lines(name: str, labels: Sequence[str], values: Sequence[str], distribution: Distribution) -> str:
    of = ",".join(f'{label}="{value.translate(ESCAPED)}"' for label, value in zip(labels, values, strict=True))
    begin = f"{name}_bucket{{{of}{',' if of else ''}le="
    lines, so_far = [], 0
    for bound, count in zip(_bounds(tuple(distribution.bounds)), distribution.counts, strict=True):
        so_far += count
        lines.append(f"{begin}{bound}}} {so_far}\n")
    of = f"{{{of}}}" if of else ""
    lines.append(f"{name}_count{of} {so_far}\n{name}_sum{of} {distribution.total!r}\n")
    return "".join(lines)


@lru_cache(maxsize=32)
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """As they stand in a line."""
    return (*(f'"{float(bound)}"' for bound in bounds), '"+Inf"')
