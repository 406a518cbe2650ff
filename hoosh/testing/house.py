"""The whole house in memory: fake upstreams, gateway, server and client on one network without sockets.

    async with MemoryHouse(config) as house:
        house.network.listen("mock:80", upstream.serve_wire)
        status, headers, body = await house.post("/v1/chat/completions", {"model": "m", "messages": [...]})

Nothing in it looks at the wall clock, so under `autojump_clock` an hour passes at once.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import msgspec
import trio

from hoosh.api.serve import build_server
from hoosh.config import Config
from hoosh.gateway.assembly import OpenGateway, open_gateway
from hoosh.gateway.gateway import Gateway
from hoosh.http.client import Pool, UpstreamExchange
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HeaderList, Headers, HttpRequest, Origin, RequestHead
from hoosh.http.server import HttpServer
from hoosh.testing.network import MemoryNetwork

__all__ = ["GATEWAY", "MemoryHouse"]

GATEWAY = Origin("http", "gateway", 80)
PATIENCE = Timeouts(connect_s=3600.0, first_byte_s=3600.0, idle_s=3600.0, total_s=None)
BODY_BYTES = 1 << 30


class MemoryHouse:
    """Open it with `async with`; `http2=True` makes the client speak HTTP/2 with prior knowledge."""

    gateway: Gateway
    network: MemoryNetwork
    server: HttpServer
    client: Pool

    def __init__(self, config: Config, *, http2: bool = False) -> None:
        self._config = config
        self._http2 = http2
        self._nurseries = trio.open_nursery()
        self._nursery: trio.Nursery
        self._context: OpenGateway

    async def __aenter__(self) -> MemoryHouse:
        self._nursery = nursery = await self._nurseries.__aenter__()
        self.network = MemoryNetwork(nursery)
        self._context = open_gateway(self._config, dialer=self.network.dialer(), environ={})
        self.gateway = await self._context.__aenter__()
        self.server, cold = build_server(self.gateway)
        await nursery.start(cold.run)
        nursery.start_soon(self.server.sweep)
        self.network.listen(GATEWAY, self.server.serve_wire)
        self.client = Pool(GATEWAY, dialer=self.network.dialer(), http2="prior" if self._http2 else "off")
        await nursery.start(self.client.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        await self._context.__aexit__(None, None, None)
        self._nursery.cancel_scope.cancel(reason="house closed")
        return await self._nurseries.__aexit__(kind, error, traceback)

    def exchange(
        self, path: str, body: Any = None, *, method: str = "POST", headers: HeaderList = ()
    ) -> UpstreamExchange:
        """A request of the client, as an async context manager that gives the response."""
        encoded = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        kind = ((b"content-type", b"application/json"),) if encoded else ()
        return self.client.exchange(HttpRequest(RequestHead(GATEWAY, method, path, (*kind, *headers)), encoded), PATIENCE)

    async def post(self, path: str, body: Any, *, headers: HeaderList = ()) -> tuple[int, Headers, bytes]:
        """A whole response."""
        async with self.exchange(path, body, headers=headers) as response:
            return response.status, response.headers, await response.read(BODY_BYTES)

    async def get(self, path: str, *, headers: HeaderList = ()) -> tuple[int, Headers, bytes]:
        async with self.exchange(path, method="GET", headers=headers) as response:
            return response.status, response.headers, await response.read(BODY_BYTES)
