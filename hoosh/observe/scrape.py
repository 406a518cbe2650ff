"""What was measured, in prometheus_client's terms.  The one module that knows it; see `metrics.py` for what is what."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hoosh.observe.metrics import Distribution, Metrics
from hoosh.values import Outcome

__all__ = ["HouseCollector", "writer_for"]

STATUS = {
    Outcome.OK: "success",
    Outcome.ERROR: "error",
    Outcome.CUT: "cut",
    Outcome.CLIENT_LEFT: "client_left",
}


def writer_for(metrics: Metrics) -> Callable[[], bytes]:
    """A function that writes `metrics`, and the process's own, as text."""
    registry = CollectorRegistry()
    registry.register(HouseCollector(metrics))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


class HouseCollector(Collector):
    """Hands our numbers to prometheus_client, in its terms."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would collect at once, to learn the names

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._counts()
        yield from self._gauges()

    def _requests(self) -> Iterator[Metric]:
        by_pair = ["provider", "model"]
        requests = CounterMetricFamily(
            "hoosh_requests", "Inference requests, by how they ended.", labels=[*by_pair, "status"]
        )
        duration = HistogramMetricFamily(
            "hoosh_request_duration_seconds", "From the request's arrival to its end.", labels=by_pair
        )
        first_token = HistogramMetricFamily(
            "hoosh_time_to_first_token_seconds", "From a request's start to its first content.", labels=by_pair
        )
        for pair, series in self._metrics.series.items():
            for outcome, count in series.outcomes.items():
                if count:
                    requests.add_metric([*pair, STATUS[outcome]], count)
            _add(duration, pair, series.duration)
            if any(series.first_token.counts):
                _add(first_token, pair, series.first_token)
        yield from (requests, duration, first_token)

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
        queue = HistogramMetricFamily("hoosh_queue_seconds", "From accept to the start of the handler.", labels=[])
        _add(queue, (), self._metrics.queue)
        yield from (tokens, responses, queue)

    def _gauges(self) -> Iterator[Metric]:
        now = self._metrics.read()
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


def _add(family: HistogramMetricFamily, labels: Sequence[str], distribution: Distribution) -> None:
    family.add_metric(list(labels), buckets=distribution.buckets(), sum_value=distribution.total)
