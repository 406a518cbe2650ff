"""The plot: one small panel for each question, one bar for each contender, a logarithmic scale."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import Samples, value_text

__all__ = ["available", "draw"]

PANELS = [
    ("chat32_cpu", "chat: CPU µs a request (less is better)"),
    ("chat1_p50", "chat, one client: median µs (less is better)"),
    ("stream_rate", "streams at full speed: chunks/s (more is better)"),
    ("paced100_cpu", "100 paced streams: CPU µs a chunk (less is better)"),
    ("memory_stream", "memory: KiB an open stream (less is better)"),
    ("http2_rps", "HTTP/2, one connection: requests/s (more is better)"),
]
OURS, THEIRS = "#d1495b", "#8d99ae"


def available() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def draw(samples: Samples, contenders: Sequence[str], paths: Sequence[Path], caption: str) -> None:
    """Write the plot to each of `paths`; the suffix says the format."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "hoosh"  # the same figures give the same file
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(3, 2, figsize=(11, 8), layout="constrained")
    for axes, (measure, title) in zip(grid.flat, PANELS, strict=True):
        _panel(axes, title, [(name, samples.median(name, measure)) for name in contenders])
    figure.suptitle(caption, fontsize=9, color="#555555")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _panel(axes: Any, title: str, medians: Sequence[tuple[str, float | None]]) -> None:
    known = [(name, value) for name, value in reversed(medians) if value]
    axes.set_title(title, fontsize=10, loc="left")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False)
    if not known:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="#999999")
        return
    names, values = zip(*known, strict=True)
    bars = axes.barh(names, values, color=[OURS if name == "hoosh" else THEIRS for name in names])
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlim(min(values) / 3, max(values) * 4)
    axes.bar_label(bars, [value_text(value) for value in values], padding=3, fontsize=9)
