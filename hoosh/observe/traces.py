"""The trace of one request, while it runs: ids, and when its attempts began and ended.

    client's traceparent ──Tracer.begin──▶ Trace ──begin──▶ Tried ──headers──▶ the upstream's traceparent
                                             └──over──┘
    the request has ended ──Traces.put──▶ spans, made later (`spans.py`), sent by a service (`export.py`)

Whether a request is traced its client has decided, where it says so; else the share that the owner wants, by the trace
id, so that all who see it decide alike.  A request that is not has ids all the same: its upstream is told so.

Times are seconds on Trio's clock.  Source: OpenTelemetry specification, trace SDK, ParentBased and TraceIdRatioBased.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from msgspec import Struct

from hoosh.observe.context import RANDOM, SAMPLED, TRACEPARENT, TRACESTATE, read_context, traceparent
from hoosh.observe.settings import Telemetry

__all__ = ["ATTEMPTS_MAX", "Answer", "Trace", "Tracer", "Tried"]

ATTEMPTS_MAX = 64
"""Of a request, that have spans."""
HALF = 1 << 64


class Answer(Struct, frozen=True):
    """What became of a batch at the collector."""

    is_there: bool = False
    why: str = ""
    """It is not."""
    is_final: bool = False
    """Nor will it ever be."""
    retry_after_s: float = 0.0


class Tried:
    """One attempt at one upstream."""

    __slots__ = ("begun_at", "error", "is_hedge", "is_rescue", "model", "over_at", "provider", "span_id", "status")

    def __init__(self, span_id: int, provider: str, model: str, begun_at: float) -> None:
        self.span_id = span_id
        self.provider = provider
        self.model = model
        self.begun_at = begun_at
        self.over_at: float | None = None
        self.error = ""
        """A word: why it did not answer."""
        self.status: int | None = None
        """The upstream's."""
        self.is_hedge = False
        """Begun beside another."""
        self.is_rescue = False
        """It goes on with a stream that broke off."""

    def over(self, error: str, now_s: float) -> None:
        """The first time counts."""
        if self.over_at is None:
            self.error, self.over_at = error, now_s


class Trace:
    """One request's.  `attempts` are in the order in which they began."""

    __slots__ = ("_chance", "attempts", "flags", "parent_id", "span_id", "state", "trace_id")

    def __init__(self, trace_id: int, parent_id: int, flags: int, state: str, chance: Random) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        """Of the client's span; 0 where there is none."""
        self.flags = flags
        self.state = state
        self.span_id = chance.getrandbits(64) or 1
        self.attempts: list[Tried] = []
        self._chance = chance

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    def begin(self, provider: str, model: str, now_s: float) -> Tried:
        """An attempt begins."""
        tried = Tried(self._chance.getrandbits(64) or 1, provider, model, now_s)
        if len(self.attempts) < ATTEMPTS_MAX:
            self.attempts.append(tried)
        return tried

    def headers(self, tried: Tried) -> list[tuple[bytes, bytes]]:
        """For the upstream: its spans are children of the attempt's."""
        headers = [(TRACEPARENT, traceparent(self.trace_id, tried.span_id, self.flags))]
        if self.state:
            headers.append((TRACESTATE, self.state.encode()))
        return headers


class Tracer:
    """Begins traces."""

    def __init__(self, settings: Telemetry, chance: Random | None = None) -> None:
        self._chance = chance or Random()
        self.configure(settings)

    def configure(self, settings: Telemetry) -> None:
        """For requests from now on."""
        self._below = int((1.0 if settings.sample is None else settings.sample) * HALF)

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Trace:
        """A request begins, with these headers."""
        parent = read_context(headers)
        chance = self._chance
        if parent is not None:
            return Trace(parent.trace_id, parent.span_id, parent.flags, parent.state, chance)
        trace_id = chance.getrandbits(128) or 1
        flags = RANDOM | (SAMPLED if trace_id % HALF < self._below else 0)
        return Trace(trace_id, 0, flags, "", chance)
