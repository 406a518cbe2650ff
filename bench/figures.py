"""What is measured, and what it should be: measures, medians over rounds, ratios, targets.  Pure.

A measure has one figure for each contender and round.  A target compares two medians of the same run, mostly as a ratio
between contenders, because ratios travel between machines and absolute figures do not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = [
    "BOOKS_MEASURES",
    "MEASURES",
    "PHASES",
    "SYNC",
    "TARGETS",
    "VERSIONS",
    "WITHOUT_BOOKS",
    "WITH_BOOKS",
    "Measure",
    "Samples",
    "Target",
    "Verdict",
    "judge",
    "percentile",
    "ratio_text",
    "value_text",
]

VERSIONS = {"h1": "HTTP/1.1", "h2": "HTTP/2"}
PHASES = ("streaming", "waiting", "connecting")
WITHOUT_BOOKS, WITH_BOOKS, SYNC = "hoosh without books", "hoosh with books", "hoosh with books, answers wait"
"""Contenders only with each other: our own house, told what to write down."""
GONE_WITHIN_MS = 20.0
SLOW_READER_KIB = 64.0
WITHDRAWN_MS = 100.0
STALL_MS = 20.0
BOOKS_TIMES = 1.25
"""What all books may make of the CPU time of a request."""


def percentile(values: Sequence[float], part: float) -> float | None:
    """The smallest value that at least `part` of all values do not pass (nearest rank).  None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


class Samples:
    """Figures by contender and measure, in the order of the rounds."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, list[float]]] = {}

    def note(self, contender: str, measure: str, value: float | None) -> None:
        if value is not None:
            self.taken.setdefault(contender, {}).setdefault(measure, []).append(value)

    def median(self, contender: str, measure: str) -> float | None:
        values = self.taken.get(contender, {}).get(measure)
        return statistics.median(values) if values else None

    def spread(self, contender: str, measure: str) -> tuple[float, float] | None:
        values = self.taken.get(contender, {}).get(measure)
        return (min(values), max(values)) if values else None


# --- Measures ---


@dataclass(frozen=True)
class Measure:
    key: str
    label: str
    unit: str
    compared: bool = True
    """A multiple of hoosh's figure says something."""


MEASURES = [
    Measure("chat32_rps", "chat, 32 clients", "requests/s"),
    Measure("chat32_cpu", "chat, 32 clients: CPU", "µs/request"),
    Measure("chat32_core", "chat, 32 clients: share of the core", "%", compared=False),
    Measure("chat32_p50", "chat, 32 clients: p50", "µs"),
    Measure("chat32_p99", "chat, 32 clients: p99", "µs"),
    Measure("chat1_p50", "chat, 1 client: p50", "µs"),
    Measure("chat1_p99", "chat, 1 client: p99", "µs"),
    Measure("chat1_cpu", "chat, 1 client: CPU", "µs/request"),
    Measure("stream_rate", "streams at full speed", "chunks/s"),
    Measure("stream_cpu", "streams at full speed: CPU", "µs/chunk"),
    Measure("stream_core", "streams at full speed: share of the core", "%", compared=False),
    Measure("chat_messages_core_rate", "OpenAI client, Anthropic upstream, full speed", "chunks/s a core"),
    Measure("messages_chat_core_rate", "Anthropic client, OpenAI upstream, full speed", "chunks/s a core"),
    Measure("messages_messages_core_rate", "Anthropic on both sides, full speed", "chunks/s a core"),
    Measure("paced100_cpu", "100 paced streams: CPU", "µs/chunk"),
    Measure("paced100_p50", "100 paced streams: transit p50", "µs"),
    Measure("paced100_p99", "100 paced streams: transit p99", "µs"),
    Measure("paced1000_cpu", "1 000 paced streams: CPU", "µs/chunk"),
    Measure("paced1000_p50", "1 000 paced streams: transit p50", "µs"),
    Measure("paced1000_p99", "1 000 paced streams: transit p99", "µs"),
    Measure("http2_rps", "HTTP/2, 32 streams, one connection", "requests/s"),
    Measure("http2_cpu", "HTTP/2, 32 streams, one connection: CPU", "µs/request"),
    Measure("memory_stream", "memory of an open stream", "KiB"),
    Measure("slow_reader", "memory of a slow reader of 10 MB", "KiB"),
    Measure("slow_reader_beside", "chat beside slow readers: p99, times that alone", "times", compared=False),
    Measure("prompts_alone_p99", "100 paced streams, before large prompts: transit p99", "ms"),
    Measure("prompts_beside_p99", "100 paced streams, beside large prompts: transit p99", "ms"),
    Measure("prompts_added_p99", "large prompts: added to it", "ms", compared=False),
    Measure("prompts_lag", "large prompts: greatest lag of the event loop", "ms", compared=False),
    Measure("withdrawn_left", "500 streams ended by their owner: until the upstream has none", "ms"),
    Measure("withdrawn_answered", "500 streams ended by their owner: until the owner is answered", "ms"),
    Measure("listening_alone_p99", "a look at the gateway, nobody speaks: p99", "ms"),
    Measure("listening_alone_worst", "a look at the gateway, nobody speaks: worst", "ms", compared=False),
    Measure("listening_beside_p99", "a look at the gateway while whisper listens: p99", "ms"),
    Measure("listening_beside_worst", "a look at the gateway while whisper listens: worst", "ms", compared=False),
    Measure("memory_base", "process at rest", "MiB RSS"),
    Measure("start", "start to first answer", "s"),
    Measure("others", "the gateway's core, used by somebody else", "%", compared=False),
    Measure("bad", "bad answers, all rounds", "", compared=False),
]

BOOKS_MEASURES = [
    Measure("chat32_times", "chat: CPU, of pairs", "times", compared=False),
    Measure("chat32_cpu", "chat: CPU", "µs/request"),
    Measure("chat32_rps", "chat", "requests/s"),
    Measure("chat32_p50", "chat: p50", "µs"),
    Measure("stream_cpu", "streams at full speed: CPU", "µs/chunk"),
    Measure("stream_rate", "streams at full speed", "chunks/s"),
]


def value_text(value: float | None) -> str:
    """Three figures that matter, thousands apart; a dash for what was not measured."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if math.isinf(value):
        return "never"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.{1 if abs(value) >= 10 else 2}f}"


def ratio_text(value: float | None, base: float | None) -> str:
    """`value` as a multiple of `base`; nothing where that says nothing."""
    if value is None or not base or math.isinf(value) or math.isinf(base):
        return ""
    ratio = value / base
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2 if ratio >= 0.1 else 3
    return f"×{ratio:.{digits}f}"


# --- Targets ---

Figure = Callable[[Samples], float | None]


@dataclass(frozen=True)
class Target:
    """`value` must not pass `limit`, from whichever side `relation` says."""

    label: str
    value: Figure
    relation: str
    limit: Figure
    group: str


@dataclass(frozen=True)
class Verdict:
    target: Target
    value: float | None
    limit: float | None

    @property
    def met(self) -> bool | None:
        """None where one of the two was not measured."""
        if self.value is None or self.limit is None:
            return None
        return self.value <= self.limit if self.target.relation == "≤" else self.value >= self.limit


def judge(samples: Samples, targets: Sequence[Target]) -> list[Verdict]:
    return [Verdict(target, target.value(samples), target.limit(samples)) for target in targets]


def _of(contender: str, measure: str, times: float = 1.0) -> Figure:
    def figure(samples: Samples) -> float | None:
        median = samples.median(contender, measure)
        return None if median is None else median * times

    return figure


def _h(measure: str) -> Figure:
    return _of("hoosh", measure)


def _rust(measure: str, choose: Callable[[list[float]], float], times: float = 1.0) -> Figure:
    """Of the two Rust routers, the better one; of one, that one."""

    def figure(samples: Samples) -> float | None:
        medians = [samples.median(name, measure) for name in ("smg", "vllm-router")]
        known = [median for median in medians if median is not None]
        return choose(known) * times if known else None

    return figure


def _fixed(value: float) -> Figure:
    return lambda samples: value


def _added(contender: str) -> Figure:
    """Median latency at one client above the upstream's own."""

    def figure(samples: Samples) -> float | None:
        through, direct = samples.median(contender, "chat1_p50"), samples.median("direct", "chat1_p50")
        return None if through is None or direct is None else through - direct

    return figure


def _buffered(samples: Samples) -> float | None:
    """What a slow reader costs above any open stream."""
    slow, open_ = samples.median("hoosh", "slow_reader"), samples.median("hoosh", "memory_stream")
    return None if slow is None or open_ is None else slow - open_


def _disconnect_targets() -> list[Target]:
    return [
        Target(
            f"client gone, {VERSIONS[version]}, {phase}: p99, ms",
            _h(f"gone_{version}_{phase}_p99"),
            "≤",
            _fixed(GONE_WITHIN_MS),
            "disconnects",
        )
        for version in VERSIONS
        for phase in PHASES
    ]


TARGETS = [
    Target("chat, 32: CPU/request ≤ 0.6 × smg, µs", _h("chat32_cpu"), "≤", _of("smg", "chat32_cpu", 0.6), "chat"),
    Target(
        "chat, 32: CPU/request ≤ 1.3 × vllm-router, µs",
        _h("chat32_cpu"),
        "≤",
        _of("vllm-router", "chat32_cpu", 1.3),
        "chat",
    ),
    Target("chat, 32: requests/s ≥ 100 × LiteLLM", _h("chat32_rps"), "≥", _of("litellm", "chat32_rps", 100), "chat"),
    Target("chat, 1: added median ≤ vllm-router's, µs", _added("hoosh"), "≤", _added("vllm-router"), "chat"),
    Target(
        "full-speed streams: chunks/s ≥ 4 × the faster Rust router",
        _h("stream_rate"),
        "≥",
        _rust("stream_rate", max, 4),
        "streams",
    ),
    Target(
        "OpenAI client, Anthropic upstream: chunks/s a core",
        _h("chat_messages_core_rate"),
        "≥",
        _fixed(40_000),
        "translated",
    ),
    Target(
        "Anthropic client, OpenAI upstream: chunks/s a core",
        _h("messages_chat_core_rate"),
        "≥",
        _fixed(40_000),
        "translated",
    ),
    Target(
        "100 paced streams: CPU/chunk ≤ 1.3 × the faster Rust router, µs",
        _h("paced100_cpu"),
        "≤",
        _rust("paced100_cpu", min, 1.3),
        "paced",
    ),
    Target(
        "100 paced streams: transit p99 ≤ the faster Rust router's, µs",
        _h("paced100_p99"),
        "≤",
        _rust("paced100_p99", min),
        "paced",
    ),
    Target(
        "1 000 paced streams: CPU/chunk ≤ 1.3 × the faster Rust router, µs",
        _h("paced1000_cpu"),
        "≤",
        _rust("paced1000_cpu", min, 1.3),
        "paced",
    ),
    Target(
        "1 000 paced streams: transit p99 ≤ the faster Rust router's, µs",
        _h("paced1000_p99"),
        "≤",
        _rust("paced1000_p99", min),
        "paced",
    ),
    Target("HTTP/2: requests/s ≥ 60 % of HTTP/1.1's", _h("http2_rps"), "≥", _of("hoosh", "chat32_rps", 0.6), "http2"),
    Target(
        "HTTP/2 hello: requests/s of our server ≥ 20 × Hypercorn + Quart-Trio's",
        _of("hoosh server", "http2_rps"),
        "≥",
        _of("hypercorn+quart", "http2_rps", 20),
        "http2",
    ),
    *_disconnect_targets(),
    Target(
        "books, chat, 32: CPU/request with all of them, times that without",
        _of(WITH_BOOKS, "chat32_times"),
        "≤",
        _fixed(BOOKS_TIMES),
        "books",
    ),
    Target("memory of an open stream, KiB", _h("memory_stream"), "≤", _fixed(30), "memory"),
    Target("buffered for a slow reader of 10 MB, KiB", _buffered, "≤", _fixed(SLOW_READER_KIB), "pressure"),
    Target("large prompts: added to transit p99, ms", _h("prompts_added_p99"), "≤", _fixed(5), "pressure"),
    Target("500 streams ended by their owner, ms", _h("withdrawn_left"), "≤", _fixed(WITHDRAWN_MS), "pressure"),
    Target(
        "while whisper listens: the worst answer, ms", _h("listening_beside_worst"), "≤", _fixed(STALL_MS), "listening"
    ),
    Target("process at rest, MiB RSS", _h("memory_base"), "≤", _fixed(90), "memory"),
    Target("start to first answer, s", _h("start"), "≤", _fixed(1.0), "start"),
]
