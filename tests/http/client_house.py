"""A pool and a fake upstream on a network in memory: what the client tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from hoosh.http.client import Http2, Pool, PoolLimits, Timeouts
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import FakeUpstream, Received, Script

ORIGIN = Origin("http", "api.example", 80)
TIMEOUTS = Timeouts()
JSON = (b"content-type", b"application/json")


def request(
    body: bytes = b"{}", *, method: str = "POST", extra: tuple[tuple[bytes, bytes], ...] = (), origin: Origin = ORIGIN
) -> HttpRequest:
    return HttpRequest(RequestHead(origin, method, "/v1/x", [JSON]), body, extra)


class House:
    def __init__(self, pool: Pool, upstream: FakeUpstream, network: MemoryNetwork, nursery: trio.Nursery) -> None:
        self.pool = pool
        self.upstream = upstream
        self.network = network
        self.nursery = nursery


@asynccontextmanager
async def open_house(
    *scripts: Script | Callable[[Received], Script],
    http2: Http2 = "off",
    limits: PoolLimits | None = None,
    connect_s: float = 0.0,
) -> AsyncIterator[House]:
    """`http2="prior"` makes both sides speak HTTP/2."""
    upstream = FakeUpstream(*scripts)
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        serve = upstream.serve_wire if http2 == "off" else upstream.serve_wire_h2
        network.listen(ORIGIN, serve, connect_s=connect_s)
        pool = Pool(ORIGIN, dialer=network.dialer(), http2=http2, limits=limits or PoolLimits())
        await nursery.start(pool.run)
        yield House(pool, upstream, network, nursery)
        nursery.cancel_scope.cancel()
