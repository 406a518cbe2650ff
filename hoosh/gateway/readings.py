"""What the metrics show of this moment: asked for when somebody scrapes, and of no cost else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from hoosh.admission import GateStatistics
from hoosh.observe.logs import LogStatistics
from hoosh.observe.metrics import Readings

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["readings_of"]


def readings_of(gateway: Gateway) -> Readings:
    lag, cache, store = gateway.lag.statistics(), gateway.cache.statistics(), gateway.store.statistics()
    inventory = gateway.hardware.inventory
    connections = []
    for upstream in gateway.fleet:
        pool = upstream.statistics()
        if pool is not None:
            connections += [(upstream.name, "idle", pool.idle), (upstream.name, "active", pool.active)]
    return Readings(
        pools=gateway.books.pool_readings(),
        cache_entries=cache.entries,
        cache_bytes=cache.bytes,
        store_waiting_rows=store.waiting_rows,
        store_ok=store.status == "ok",
        **_traffic(gateway),
        **_telling(gateway),
        accelerators=() if inventory is None else inventory.accelerators,
        in_flight=len(gateway.in_flight),
        connections=0 if gateway.server is None else gateway.server.statistics().open_connections,
        providers_configured=len(gateway.fleet),
        upstream_connections=connections,
        loop_lag_s=lag.last_s,
        loop_lag_max_s=lag.max_s,
    )


def _traffic(gateway: Gateway) -> dict[str, Any]:
    """On the ways to upstreams."""
    now_s, queue = trio.current_time(), gateway.turnstile.statistics()
    conditions = [(upstream.name, gateway.board.state(upstream.name, now_s)) for upstream in gateway.fleet]
    return {
        "breakers": [(name, model, state) for name, each in conditions for model, state in each.breakers.items()],
        "queue_waiting": queue.queued,
        "queue_running": queue.running,
        "queue_refused": queue.refused,
        **_limits(gateway.books.admission.gate.statistics(now_s)),
        "retry_budget": gateway.dispatcher.budget.left(now_s),
        "loads": [
            (load.provider, load.model, load.in_flight, load.first_content_s) for load in gateway.loads.statistics()
        ],
    }


def _telling(gateway: Gateway) -> dict[str, Any]:
    """Of log, traces and events themselves."""
    traces, events = gateway.traces.statistics(), gateway.events.statistics()
    return {
        "log_lines": _lines(gateway.log.statistics()),
        "traces": {"exported": traces.exported, "dropped": traces.dropped},
        "traces_waiting": traces.waiting,
        "events_published": events.published,
        "event_listeners": events.listeners,
        "events_lost": events.lost,
        "webhook_deliveries": gateway.webhooks.statistics(),
    }


def _limits(gate: GateStatistics) -> dict[str, Any]:
    limits = [
        (scope.kind, scope.name, what, used, limit)
        for scope in gate.scopes
        for what, used, limit in (
            ("requests", scope.requests, scope.limits.rpm),
            ("tokens", scope.tokens, scope.limits.tpm),
            ("running", scope.running, scope.limits.max_concurrent),
        )
        if limit
    ]
    return {"limits": limits, "limit_refusals": [(each.kind, each.name, each.refused) for each in gate.scopes]}


def _lines(log: LogStatistics) -> dict[str, int]:
    return {"written": log.written, "dropped": log.dropped, "sampled_out": log.sampled_out}
