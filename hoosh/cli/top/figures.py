"""Readings in, figures out: what counters say about the last ten seconds.

    reading, reading, …, reading ──▶ (newest - oldest) / seconds       rates
                                 ──▶ buckets of the newest - oldest    percentiles
                                 ──▶ newest - the one before           new errors

A counter that has gone down means that the gateway was started anew: what was known before is forgotten.  With one
reading there are no rates.  Where nothing has ended of late, percentiles are those since the gateway's start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from hoosh.cli.top.answers import Cache, Pool, Provider, Queue, Reading, Running
from hoosh.cli.top.samples import Buckets, Samples, buckets_of, quantile, total

__all__ = ["Figures", "History", "Percentiles", "Trouble"]

WINDOW_S = 10.0
READINGS_MAX = 100
TROUBLES_MAX = 50

Count = Mapping[tuple[str, ...], float]


class Percentiles(Struct, frozen=True):
    """Seconds; infinite beyond `longest_s`, the last bound of the histogram."""

    p50: float
    p90: float
    p99: float
    longest_s: float


class Trouble(Struct, frozen=True):
    """Something that went wrong `count` times since the reading before."""

    clock: str
    words: str
    count: int


class Figures(Struct, frozen=True):
    """All numbers of a frame.  None is not known."""

    clock: str
    status: str
    version: str
    window_s: float = 0.0
    """What rates are about."""
    requests_per_s: float | None = None
    prompt_tokens_per_s: float | None = None
    completion_tokens_per_s: float | None = None
    latency: Percentiles | None = None
    first_token: Percentiles | None = None
    latency_window_s: float = 0.0
    """What percentiles are about; 0: all since the start, because nothing has ended of late."""
    in_flight: int | None = None
    connections: int | None = None
    lag_s: float | None = None
    queue: Queue | None = None
    cache: Cache | None = None
    providers: tuple[Provider, ...] | None = None
    heartbeats: Mapping[str, str] = {}
    provider_in_flight: Mapping[str, int] = {}
    pools: tuple[Pool, ...] | None = None
    troubles: tuple[Trouble, ...] = ()
    """Newest first."""
    requests: tuple[Running, ...] | None = None
    requests_total: int = 0
    missing: Mapping[str, str] = {}


class Counters(Struct, frozen=True):
    """The counters of one reading that figures are made of."""

    at_s: float
    requests: float
    prompt_tokens: float
    completion_tokens: float
    latency: Buckets
    first_token: Buckets
    troubles: Count


class History:
    """The counters of the last readings."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._seen: deque[Counters] = deque(maxlen=READINGS_MAX)
        self._troubles: deque[Trouble] = deque(maxlen=TROUBLES_MAX)

    def add(self, reading: Reading) -> Figures:
        """Keep `reading`, and say what there is to say now."""
        if reading.metrics is not None:
            self._keep(_counters(reading.at_s, reading.metrics), reading.clock)
        metrics: Samples = reading.metrics or {}
        page = reading.requests
        figures = Figures(
            reading.clock,
            reading.health.status,
            reading.health.version,
            in_flight=_gauge(metrics, "hoosh_in_flight_requests"),
            connections=_gauge(metrics, "hoosh_connections"),
            lag_s=_first(metrics, "hoosh_event_loop_lag_seconds"),
            queue=reading.queue,
            cache=reading.cache,
            providers=None if reading.providers is None else tuple(reading.providers),
            heartbeats={} if reading.heartbeat is None else {node.id: node.status for node in reading.heartbeat.nodes},
            provider_in_flight=_busy(page.data if page else ()),
            pools=None if reading.pools is None else tuple(reading.pools.pools),
            troubles=tuple(reversed(self._troubles)),
            requests=None if page is None else tuple(page.data),
            requests_total=0 if page is None else page.total,
            missing=reading.missing,
        )
        return figures if reading.metrics is None else replace(figures, **self._rates())

    def _keep(self, now: Counters, clock: str) -> None:
        seen = self._seen
        if seen and _has_restarted(seen[-1], now):
            seen.clear()
        if seen:
            for words, count in _new(seen[-1].troubles, now.troubles):
                self._troubles.append(Trouble(clock, words, count))
        seen.append(now)
        while len(seen) > 2 and now.at_s - seen[0].at_s > self._window_s:
            seen.popleft()

    def _rates(self) -> dict[str, float | Percentiles | None]:
        oldest, now = self._seen[0], self._seen[-1]
        window_s = now.at_s - oldest.at_s
        latest = _percentiles(_less(now.latency, oldest.latency))
        if latest is None:
            latencies = {"latency": _percentiles(now.latency), "first_token": _percentiles(now.first_token)}
        else:
            first_token = _percentiles(_less(now.first_token, oldest.first_token))
            latencies = {"latency": latest, "first_token": first_token}
        if window_s <= 0.0:
            return {**latencies}
        return {
            **latencies,
            "latency_window_s": 0.0 if latest is None else window_s,
            "window_s": window_s,
            "requests_per_s": (now.requests - oldest.requests) / window_s,
            "prompt_tokens_per_s": (now.prompt_tokens - oldest.prompt_tokens) / window_s,
            "completion_tokens_per_s": (now.completion_tokens - oldest.completion_tokens) / window_s,
        }


def _counters(at_s: float, metrics: Samples) -> Counters:
    return Counters(
        at_s,
        total(metrics, "hoosh_requests_total"),
        total(metrics, "hoosh_tokens_total", type="prompt"),
        total(metrics, "hoosh_tokens_total", type="completion"),
        buckets_of(metrics, "hoosh_request_duration_seconds"),
        buckets_of(metrics, "hoosh_time_to_first_token_seconds"),
        dict(_troubles(metrics)),
    )


def _troubles(metrics: Samples) -> Iterable[tuple[tuple[str, ...], float]]:
    """All counters of something that went wrong, with words that tell which."""
    for labels, value in metrics.get("hoosh_attempts_total", ()):
        if labels.get("reason") not in ("ok", "hedged"):
            yield (labels.get("provider", ""), "attempt:", labels.get("reason", "")), value
    for labels, value in metrics.get("hoosh_requests_total", ()):
        if labels.get("status") in ("error", "cut"):
            where = (labels.get("provider", ""), labels.get("model", ""))
            yield ("request", "failed" if labels["status"] == "error" else "cut", "at", *where), value
    for labels, value in metrics.get("hoosh_refusals_total", ()):
        yield ("refused:", labels.get("code", "")), value


def _new(before: Count, now: Count) -> Iterable[tuple[str, int]]:
    for words, count in now.items():
        more = count - before.get(words, 0.0)
        if more > 0:
            yield " ".join(words), int(more)


def _has_restarted(before: Counters, now: Counters) -> bool:
    return now.requests < before.requests or any(
        now.troubles.get(words, 0.0) < count for words, count in before.troubles.items()
    )


def _less(now: Buckets, before: Buckets) -> Buckets:
    return {bound: max(0.0, count - before.get(bound, 0.0)) for bound, count in now.items()}


def _percentiles(buckets: Buckets) -> Percentiles | None:
    p50, p90, p99 = (quantile(buckets, share) for share in (0.5, 0.9, 0.99))
    if p50 is None or p90 is None or p99 is None:
        return None
    finite = [bound for bound in buckets if bound != float("inf")]
    return Percentiles(p50, p90, p99, max(finite, default=0.0))


def _first(metrics: Samples, name: str) -> float | None:
    found = metrics.get(name)
    return found[0][1] if found else None


def _gauge(metrics: Samples, name: str) -> int | None:
    value = _first(metrics, name)
    return None if value is None else int(value)


def _busy(requests: Iterable[Running]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for request in requests:
        if request.provider is not None:
            counts[request.provider] = counts.get(request.provider, 0) + 1
    return counts
