"""An httpx client's way into a gateway of the same process: HTTP/1.1 in memory, through the same server and door."""

from __future__ import annotations

import ssl

import httpx
import trio

from hoosh.api.serve import build_server
from hoosh.errors import ConnectFailed
from hoosh.gateway.gateway import Gateway
from hoosh.http.client import Pool
from hoosh.http.httpx_transport import PoolTransport
from hoosh.http.memory import wire_pair
from hoosh.http.message import Origin
from hoosh.http.server import HttpServer
from hoosh.http.wire import Wire

__all__ = ["transport"]


def transport(gateway: Gateway) -> httpx.AsyncBaseTransport:
    """A transport whose every URL is `gateway`.  It works while the gateway is open."""
    return InnerTransport(gateway)


class InnerTransport(httpx.AsyncBaseTransport):
    """Starts its connections in the gateway's own nursery, at the first request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._started = trio.Lock()
        self._inner: PoolTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._started:
            if self._inner is None:
                self._inner = await self._start()
        return await self._inner.handle_async_request(request)

    async def _start(self) -> PoolTransport:
        nursery = self._gateway.services
        if nursery is None:
            raise httpx.ConnectError("the gateway is not open")
        server, cold = build_server(self._gateway)
        await nursery.start(cold.run)
        pool = Pool(Origin("http", "gateway", 80), dialer=InnerDialer(nursery, server), http2="off")
        await nursery.start(pool.run)
        return PoolTransport(lambda origin: pool)


class InnerDialer:
    """Dials the server of the same process; see `http/dial.py`."""

    def __init__(self, nursery: trio.Nursery, server: HttpServer) -> None:
        self._nursery = nursery
        self._server = server

    async def dial(self, origin: Origin, tls: ssl.SSLContext | None) -> Wire:
        await trio.lowlevel.checkpoint()
        if self._nursery.cancel_scope.cancel_called:
            raise ConnectFailed("the gateway is closed")
        client, server = wire_pair()
        self._nursery.start_soon(self._server.serve_wire, server)
        return client
