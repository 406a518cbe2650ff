"""A network in memory: listeners by name, wires with bounded buffers, FIN and RST.  No sockets: a mock clock rules.

    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        network.listen("api.example:443", upstream.serve_wire)
        pool = Pool(Origin("http", "api.example", 443), dialer=network.dialer())

The wires are those of `http/memory.py`.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from hoosh.errors import ConnectFailed, ConnectionBroke
from hoosh.http.memory import BUFFER_BYTES, MemoryWire, wire_pair
from hoosh.http.message import Origin
from hoosh.http.wire import Wire

__all__ = ["BUFFER_BYTES", "MemoryNetwork", "MemoryWire", "wire_pair"]


class _Listener(Struct, frozen=True):
    handler: Callable[[Wire], Awaitable[None]]
    alpn: str | None
    connect_s: float


class MemoryNetwork:
    """Listeners by `host:port` or unix path.  Handlers run in the nursery given."""

    def __init__(self, nursery: trio.Nursery, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.dialled = 0
        """Connections made so far."""
        self.open: list[MemoryWire] = []
        """The client's ends of all connections made, closed ones included."""
        self._nursery = nursery
        self._buffer_bytes = buffer_bytes
        self._listeners: dict[str, _Listener] = {}

    def listen(
        self,
        name: Origin | str,
        handler: Callable[[Wire], Awaitable[None]],
        *,
        alpn: str | None = None,
        connect_s: float = 0.0,
    ) -> None:
        """Hand connections to `name` to `handler`, `connect_s` after each was asked for; `alpn` is what TLS chose."""
        self._listeners[_name(name)] = _Listener(handler, alpn, connect_s)

    def stop(self, name: Origin | str) -> None:
        """Refuse further connections to `name`."""
        self._listeners.pop(_name(name), None)

    def dialer(self) -> MemoryDialer:
        return MemoryDialer(self)

    async def connect(self, origin: Origin) -> MemoryWire:
        await trio.lowlevel.checkpoint()
        listener = self._listeners.get(_name(origin))
        if listener is None:
            raise ConnectFailed("connection refused")
        if listener.connect_s:
            await trio.sleep(listener.connect_s)
        client, server = wire_pair(alpn=listener.alpn, buffer_bytes=self._buffer_bytes)
        self.dialled += 1
        self.open.append(client)
        self._nursery.start_soon(self._serve, listener, server)
        return client

    def still_open(self) -> int:
        """Connections that the client has not closed."""
        return sum(not wire._closed for wire in self.open)

    @staticmethod
    async def _serve(listener: _Listener, wire: MemoryWire) -> None:
        try:
            await listener.handler(wire)
        except ConnectionBroke:
            pass
        finally:
            wire.close()


class MemoryDialer:
    """`hoosh.http.dial.Dialer` over a MemoryNetwork; the TLS context is ignored."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    async def dial(self, origin: Origin, tls: ssl.SSLContext | None) -> Wire:
        return await self._network.connect(origin)


def _name(name: Origin | str) -> str:
    if isinstance(name, str):
        return name
    return name.unix_path or f"{name.host}:{name.port}"
