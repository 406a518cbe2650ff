r"""Prometheus' text format, read as far as we show it.

    hoosh_tokens_total{provider="a",type="prompt"} 12   ──▶   samples["hoosh_tokens_total"] = [({…}, 12.0)]

Lines that are none, and metrics that are not ours, are passed over.  Source: Prometheus, "Exposition formats", text
format 0.0.4: labels are escaped with \\, \" and \n.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Buckets", "Samples", "buckets_of", "parse", "quantile", "total"]

Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
Buckets = Mapping[float, float]
"""Cumulative counts by upper bound; the last bound is infinite."""

PREFIX = "hoosh_"
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? +([^ ]+)(?: +-?\d+)?$")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def parse(text: str) -> Samples:
    """Our samples by name, in their order."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for line in text.split("\n"):
        if not line.startswith(PREFIX) or (match := _LINE.match(line)) is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        labels = {name: _plain(value) for name, value in _LABEL.findall(match[2] or "")}
        found.setdefault(match[1], []).append((labels, value))
    return found


def _plain(escaped: str) -> str:
    return _ESCAPED.sub(lambda sign: "\n" if sign[1] == "n" else sign[1], escaped) if "\\" in escaped else escaped


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of `name` that have these labels; 0.0 where there are none."""
    return sum(
        value
        for found, value in samples.get(name, ())
        if all(found.get(label) == wanted for label, wanted in labels.items())
    )


def buckets_of(samples: Samples, name: str) -> Buckets:
    """The histogram `name`, summed over all its labels."""
    sums: dict[float, float] = {}
    for labels, value in samples.get(f"{name}_bucket", ()):
        try:
            bound = float(labels.get("le", ""))
        except ValueError:
            continue
        sums[bound] = sums.get(bound, 0.0) + value
    return sums


def quantile(buckets: Buckets, share: float) -> float | None:
    """As Prometheus' `histogram_quantile` does it: straight lines inside a bucket.  None where nothing was counted,
    infinite where it is beyond the last finite bound.
    """
    bounds: Iterable[float] = sorted(buckets)
    count = max(buckets.values(), default=0.0)
    if count <= 0:
        return None
    rank, low, below = share * count, 0.0, 0.0
    for bound in bounds:
        so_far = buckets[bound]
        if so_far >= rank:
            if math.isinf(bound):
                return math.inf
            return low + (bound - low) * (rank - below) / (so_far - below) if so_far > below else bound
        low, below = bound, so_far
    return math.inf
