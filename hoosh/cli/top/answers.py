"""What the gateway's routes say, as far as it is shown.  What they say besides is passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.cli.top.samples import Samples, parse

__all__ = [
    "SOURCES",
    "Cache",
    "Health",
    "Heartbeat",
    "Node",
    "Pool",
    "PoolList",
    "Provider",
    "Queue",
    "Reading",
    "Running",
    "RunningPage",
    "understand",
]


class Health(Struct, frozen=True):
    status: str
    version: str


class Provider(Struct, frozen=True):
    provider: str
    status: str = ""
    breakers: Mapping[str, str] = {}
    consecutive_failures: int = 0


class Node(Struct, frozen=True):
    id: str
    status: str


class Heartbeat(Struct, frozen=True):
    nodes: list[Node]


class Queue(Struct, frozen=True):
    queued: int
    processing: int
    max_concurrent: int | None = None
    longest_wait_s: float | None = None
    refused: int = 0


class Pool(Struct, frozen=True):
    name: str
    capacity: int | None = None
    used: int = 0
    reserved: int = 0
    available: int | None = None
    unit: str = "tokens"


class PoolList(Struct, frozen=True):
    pools: list[Pool]


class Cache(Struct, frozen=True):
    entries: int
    hits: int = 0
    misses: int = 0
    shared: int = 0
    hit_rate: float | None = None
    enabled: bool = True


class Running(Struct, frozen=True):
    """A request that is being answered."""

    id: str
    phase: str
    age_s: float
    key: str | None = None
    pool: str | None = None
    model: str | None = None
    provider: str | None = None
    attempts: int = 0
    sent_bytes: int = 0
    chunks: int = 0


class RunningPage(Struct, frozen=True):
    data: list[Running]
    total: int


class Reading(Struct, frozen=True):
    """All that was read in one go.  A part that could not be had is None, and `missing` says why."""

    at_s: float
    """On the clock of whoever reads."""
    clock: str
    """The time of day, for people."""
    health: Health
    providers: list[Provider] | None = None
    heartbeat: Heartbeat | None = None
    queue: Queue | None = None
    pools: PoolList | None = None
    cache: Cache | None = None
    requests: RunningPage | None = None
    metrics: Samples | None = None
    missing: Mapping[str, str] = {}


SOURCES: Mapping[str, tuple[str, Any]] = {
    "health": ("/v1/health", Health),
    "providers": ("/v1/health/providers", list[Provider]),
    "heartbeat": ("/v1/health/heartbeat", Heartbeat),
    "queue": ("/v1/queue/status", Queue),
    "pools": ("/v1/tokens/pools", PoolList),
    "cache": ("/v1/cache/stats", Cache),
    "requests": ("/v1/admin/requests?limit=1000", RunningPage),
    "metrics": ("/metrics", None),
}
"""Path and form of each part of a reading; metrics are text."""


def understand(source: str, body: bytes) -> Any:
    """The body of a source as its value.  Raises ValueError."""
    form = SOURCES[source][1]
    if form is None:
        return parse(body.decode("utf-8", "replace"))
    return msgspec.json.decode(body, type=form, strict=False)
