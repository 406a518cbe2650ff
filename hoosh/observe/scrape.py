"""What was measured, in prometheus_client's terms, which no other module knows; what is what says docs/metrics.md.

Histograms are written by ourselves (`histograms.py`).
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hoosh.observe.attempts import OK
from hoosh.observe.histograms import histograms
from hoosh.observe.metrics import Metrics, Readings
from hoosh.values import Outcome
from hoosh.values.hardware import Device

__all__ = ["HouseCollector", "writer_for"]

STATUS = {
    Outcome.OK: "success",
    Outcome.ERROR: "error",
    Outcome.CUT: "cut",
    Outcome.CLIENT_LEFT: "client_left",
}
BREAKERS = {"half_open": 0.5, "open": 1.0}
TARGETS_MAX = 200
"""Accounts and models that have series of their own at a scrape."""
DEVICES_MAX = 128


def writer_for(metrics: Metrics) -> Callable[[], bytes]:
    """A function that writes `metrics`, and the process's own, as text."""
    registry = CollectorRegistry()
    registry.register(HouseCollector(metrics))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry) + "".join(histograms(metrics)).encode("utf-8", "replace")


class HouseCollector(Collector):
    """Hands our numbers to prometheus_client, in its terms."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would collect at once, to learn the names

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._counts()
        yield from self._attempts()
        now = self._metrics.read()
        yield from self._gauges(now)
        yield from _queue(now)
        yield from _upstreams(now)
        yield from _events(now)
        yield from _limits(now)
        yield from _telling(now)
        yield from _accelerators(now)

    def _requests(self) -> Iterator[Metric]:
        by_pair = ["provider", "model"]
        requests = CounterMetricFamily(
            "hoosh_requests", "Inference requests, by how they ended.", labels=[*by_pair, "status"]
        )
        for pair, series in self._metrics.series.items():
            for outcome, count in series.outcomes.items():
                if count:
                    requests.add_metric([*pair, STATUS[outcome]], count)
        yield requests

    def _counts(self) -> Iterator[Metric]:
        tokens = CounterMetricFamily("hoosh_tokens", "Tokens, as the providers count.", labels=["provider", "type"])
        for provider, (prompt, completion) in self._metrics.tokens.items():
            tokens.add_metric([provider, "prompt"], prompt)
            tokens.add_metric([provider, "completion"], completion)
        costs = CounterMetricFamily("hoosh_cost_micro_usd", "Cost in micro-USD, as settled.", labels=["provider"])
        for provider, micro_usd in self._metrics.costs.items():
            costs.add_metric([provider], micro_usd)
        refusals = CounterMetricFamily("hoosh_refusals", "Requests that the house refused, by code.", labels=["code"])
        for reason, times in self._metrics.refusals.items():
            refusals.add_metric([reason], times)
        cache = CounterMetricFamily("hoosh_cache_answers", "What the cache did for each request.", labels=["state"])
        for what, times in self._metrics.cache.items():
            cache.add_metric([what], times)
        yield from (costs, refusals, cache)
        responses = CounterMetricFamily("hoosh_responses", "All requests, by status code.", labels=["code"])
        for code, count in self._metrics.responses.items():
            responses.add_metric([str(code)], count)
        yield from (tokens, responses)

    def _attempts(self) -> Iterator[Metric]:
        attempts = self._metrics.attempts
        ended = Counter(attempts.ended)
        for (provider, _), series in self._metrics.series.items():
            if series.answered:
                ended[provider, OK] += series.answered
        family = CounterMetricFamily(
            "hoosh_attempts", "Attempts at upstreams, by how they ended.", labels=["provider", "reason"]
        )
        for label, count in ended.items():
            family.add_metric(label, count)
        yield family
        yield CounterMetricFamily(
            "hoosh_failovers", "Requests that another target answered than the first.", attempts.failovers
        )
        yield CounterMetricFamily("hoosh_retries", "Attempts after the first at the same target.", attempts.retries)
        yield CounterMetricFamily(
            "hoosh_rescued_streams", "Streams that broke off and were answered in full.", attempts.rescued_streams
        )
        hedges = CounterMetricFamily("hoosh_hedges", "Attempts made beside another.", labels=["outcome"])
        hedges.add_metric(["lost"], attempts.hedges_lost)
        yield hedges

    def _gauges(self, now: Readings) -> Iterator[Metric]:
        yield GaugeMetricFamily("hoosh_in_flight_requests", "Inference requests being answered.", now.in_flight)
        yield GaugeMetricFamily("hoosh_connections", "Open client connections.", now.connections)
        yield GaugeMetricFamily("hoosh_providers_configured", "Providers known now.", now.providers_configured)
        yield GaugeMetricFamily("hoosh_event_loop_lag_seconds", "Event loop lag, last sample.", now.loop_lag_s)
        yield GaugeMetricFamily(
            "hoosh_event_loop_lag_max_seconds", "Event loop lag, greatest of the last minute.", now.loop_lag_max_s
        )
        yield GaugeMetricFamily("hoosh_cache_entries", "Answers kept.", now.cache_entries)
        yield GaugeMetricFamily("hoosh_cache_bytes", "Bytes of the answers kept.", now.cache_bytes)
        yield GaugeMetricFamily("hoosh_store_waiting_rows", "Rows not on the disk yet.", now.store_waiting_rows)
        yield GaugeMetricFamily("hoosh_store_ok", "1 while rows reach the store itself.", now.store_ok)
        pools = GaugeMetricFamily(
            "hoosh_pool", "Budget pools, in tokens or micro-USD (unit usd).", labels=["pool", "unit", "state"]
        )
        for pool, unit, state, amount in now.pools:
            pools.add_metric([pool, unit, state], amount)
        yield pools
        upstream = GaugeMetricFamily(
            "hoosh_upstream_connections", "Connections to providers.", labels=["provider", "state"]
        )
        for provider, state, count in now.upstream_connections:
            upstream.add_metric([provider, state], count)
        build = GaugeMetricFamily("hoosh_build_info", "What is running.", labels=["version", "python"])
        build.add_metric([self._metrics.version, platform.python_version()], 1)
        yield from (upstream, build)


def _queue(now: Readings) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("hoosh_queue_waiting", "Requests that wait for their turn.", labels=["priority"])
    for priority, count in now.queue_waiting.items():
        waiting.add_metric([priority], count)
    yield waiting
    yield GaugeMetricFamily("hoosh_queue_running", "Requests that have had their turn.", now.queue_running)
    yield CounterMetricFamily("hoosh_queue_refused", "Requests that the queue turned away.", now.queue_refused)


def _upstreams(now: Readings) -> Iterator[Metric]:
    yield GaugeMetricFamily("hoosh_retry_budget", "Attempts left to retries; below 0 on credit.", now.retry_budget)
    by_target = ["provider", "model"]
    breakers = GaugeMetricFamily(
        "hoosh_breaker_state", "1 open, 0.5 half-open; closed ones are not shown.", labels=by_target
    )
    amiss = [each for each in now.breakers if each[2] in BREAKERS]
    for provider, model, state in nlargest(TARGETS_MAX, amiss, key=lambda each: (each[1] == "*", BREAKERS[each[2]])):
        breakers.add_metric([provider, model], BREAKERS[state])
    in_flight = GaugeMetricFamily("hoosh_upstream_in_flight", "Attempts being answered.", labels=by_target)
    first_content = GaugeMetricFamily(
        "hoosh_upstream_first_content_seconds", "Until the first content, on average.", labels=by_target
    )
    for provider, model, count, seconds in nlargest(TARGETS_MAX, now.loads, key=lambda each: each[2]):
        in_flight.add_metric([provider, model], count)
        if seconds is not None:
            first_content.add_metric([provider, model], seconds)
    yield from (breakers, in_flight, first_content)


def _events(now: Readings) -> Iterator[Metric]:
    published = CounterMetricFamily("hoosh_events_published", "Events, by topic.", labels=["topic"])
    for topic, count in now.events_published.items():
        published.add_metric([topic], count)
    yield published
    yield GaugeMetricFamily("hoosh_event_listeners", "Who listens to events, webhooks too.", now.event_listeners)
    yield CounterMetricFamily("hoosh_events_lost", "Events that listeners were too slow for.", now.events_lost)
    deliveries = CounterMetricFamily(
        "hoosh_webhook_deliveries", "Deliveries to webhooks, by what became of them.", labels=["webhook", "result"]
    )
    for webhook, result, count in now.webhook_deliveries:
        deliveries.add_metric([webhook, result], count)
    yield deliveries


def _limits(now: Readings) -> Iterator[Metric]:
    by_scope = ["kind", "name"]
    used = GaugeMetricFamily("hoosh_limit_used", "What counts against a limit.", labels=[*by_scope, "what"])
    most = GaugeMetricFamily("hoosh_limit", "The limits of keys, models and providers.", labels=[*by_scope, "what"])
    for kind, name, what, amount, limit in nlargest(TARGETS_MAX, now.limits, key=lambda each: each[3] / each[4]):
        used.add_metric([kind, name, what], amount)
        most.add_metric([kind, name, what], limit)
    refused = CounterMetricFamily("hoosh_limit_refusals", "What a limit has refused.", labels=by_scope)
    for kind, name, count in nlargest(TARGETS_MAX, now.limit_refusals, key=lambda each: each[2]):
        refused.add_metric([kind, name], count)
    yield from (used, most, refused)


def _telling(now: Readings) -> Iterator[Metric]:
    """Of the log and the traces themselves."""
    lines = CounterMetricFamily("hoosh_log_lines", "Lines of the log, by what became of them.", labels=["state"])
    for state, count in now.log_lines.items():
        lines.add_metric([state], count)
    traces = CounterMetricFamily("hoosh_traces", "Traces of requests, by what became of them.", labels=["state"])
    for state, count in now.traces.items():
        traces.add_metric([state], count)
    yield from (lines, traces)
    yield GaugeMetricFamily("hoosh_traces_waiting", "Traces that wait to be sent.", now.traces_waiting)


def _accelerators(now: Readings) -> Iterator[Metric]:
    """Of the devices of this machine; what one cannot say has no series."""
    devices = [(_labels(device), device) for device in now.accelerators[:DEVICES_MAX]]
    labels = ["type", "device", "name"]
    memory = GaugeMetricFamily("hoosh_accelerator_memory_bytes", "Memory of an accelerator.", labels=[*labels, "state"])
    for named, device in devices:
        memory.add_metric([*named, "total"], device.memory_bytes)
        if device.used_bytes is not None:
            memory.add_metric([*named, "used"], device.used_bytes)
    yield memory
    for name, note, read in ACCELERATOR_GAUGES:
        gauge = GaugeMetricFamily(name, note, labels=labels)
        for named, device in devices:
            if (value := read(device)) is not None:
                gauge.add_metric(named, value)
        yield gauge


def _labels(device: Device) -> list[str]:
    """`cuda`, `0`; of an instance of a GPU its place on it, too: `0.1`."""
    number = f"{device.index}" if device.parent is None else f"{device.parent}.{device.index}"
    return [device.kind, number, device.name]


def _load(device: Device) -> float | None:
    return None if device.utilization_pct is None else device.utilization_pct / 100


ACCELERATOR_GAUGES: tuple[tuple[str, str, Callable[[Device], float | None]], ...] = (
    ("hoosh_accelerator_utilization_ratio", "Part of the time in which an accelerator was at work.", _load),
    ("hoosh_accelerator_temperature_celsius", "Temperature of an accelerator.", lambda device: device.temperature_c),
    ("hoosh_accelerator_power_watts", "Power that an accelerator takes.", lambda device: device.power_w),
)
