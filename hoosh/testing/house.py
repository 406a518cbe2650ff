"""The whole house in memory: fake upstreams, gateway, server and client on one network without sockets.

    async with memory_house(config) as house:
        house.network.listen("mock:80", upstream.serve_wire)
        status, headers, body = await house.post("/v1/chat/completions", {"model": "m", "messages": [...]})

Nothing in it waits for the wall clock, so under `autojump_clock` an hour passes at once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import trio

from hoosh.api.serve import build_server
from hoosh.config import Config, Health, Retry
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.gateway import Gateway
from hoosh.http.client import Pool, UpstreamExchange
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HeaderList, Headers, HttpRequest, Origin, RequestHead
from hoosh.http.server import HttpServer
from hoosh.testing.machines import FakeMachine
from hoosh.testing.network import MemoryNetwork

__all__ = ["GATEWAY", "ONE_TRY", "MemoryHouse", "memory_house"]

GATEWAY = Origin("http", "gateway", 80)
ONE_TRY: dict[str, Any] = {
    "health": Health(
        interval_secs=0, open_s=0.001, denied_s=0.001, failure_threshold=1_000_000, min_requests=1_000_000
    ),
    "retry": Retry(max_retries=0),
}
"""For `Config`: upstreams are not probed, none is left alone for its failures, and none is asked twice."""
PATIENCE = Timeouts(connect_s=3600.0, first_byte_s=3600.0, idle_s=3600.0, total_s=None)
BODY_BYTES = 1 << 30


@asynccontextmanager
async def memory_house(
    config: Config,
    *,
    http2: bool = False,
    wall_s: Callable[[], float] = time.time,
    machine: FakeMachine | None = None,
) -> AsyncIterator[MemoryHouse]:
    """An open house.  `http2` makes its client speak HTTP/2, with prior knowledge; `wall_s` is the books' clock.

    It stands on `machine`, by default one without any accelerator.
    """
    looks = machine or FakeMachine(wall_s=wall_s)
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        async with open_gateway(
            config, dialer=network.dialer(), environ={}, wall_s=wall_s, chance=Random(0), looks=looks
        ) as gateway:
            server, cold = build_server(gateway)
            await nursery.start(cold.run)
            nursery.start_soon(server.sweep)
            network.listen(GATEWAY, server.serve_wire)
            client = Pool(GATEWAY, dialer=network.dialer(), http2="prior" if http2 else "off")
            await nursery.start(client.run)
            yield MemoryHouse(gateway, network, server, client)
        nursery.cancel_scope.cancel(reason="house closed")


class MemoryHouse:
    """What a test holds of an open house."""

    def __init__(self, gateway: Gateway, network: MemoryNetwork, server: HttpServer, client: Pool) -> None:
        self.gateway = gateway
        self.network = network
        self.server = server
        self.client = client

    def exchange(
        self, path: str, body: Any = None, *, method: str = "POST", headers: HeaderList = ()
    ) -> UpstreamExchange:
        """A request of the client, as an async context manager that gives the response.  JSON, unless `headers` say."""
        encoded = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        is_json = encoded and not any(name == b"content-type" for name, _ in headers)
        kind = ((b"content-type", b"application/json"),) if is_json else ()
        return self.client.exchange(
            HttpRequest(RequestHead(GATEWAY, method, path, (*kind, *headers)), encoded), PATIENCE
        )

    async def post(self, path: str, body: Any, *, headers: HeaderList = ()) -> tuple[int, Headers, bytes]:
        """A whole response."""
        async with self.exchange(path, body, headers=headers) as response:
            return response.status, response.headers, await response.read(BODY_BYTES)

    async def get(self, path: str, *, headers: HeaderList = ()) -> tuple[int, Headers, bytes]:
        async with self.exchange(path, method="GET", headers=headers) as response:
            return response.status, response.headers, await response.read(BODY_BYTES)
