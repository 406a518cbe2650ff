"""A network in memory: listeners by name, wires with bounded buffers, FIN and RST.  No sockets: a mock clock rules.

    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        network.listen("api.example:443", upstream.serve_wire)
        pool = Pool(Origin("http", "api.example", 443), dialer=network.dialer())

A wire buffers `buffer_bytes` each way, like a kernel would: a peer that does not read stops the sender.
Simpler than trio.testing's streams on purpose, and closer to a socket: those buffer without bound and know no RST.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from hoosh.errors import ConnectFailed, ConnectionBroke
from hoosh.http.message import Origin
from hoosh.http.wire import RECEIVE_BYTES, Wire

__all__ = ["MemoryNetwork", "MemoryWire", "wire_pair"]

BUFFER_BYTES = 65536


class MemoryWire:
    """One end of a connection in memory; implements `hoosh.http.wire.Wire`."""

    __slots__ = (
        "_buffer_bytes",
        "_closed",
        "_far",
        "_hung_up",
        "_inbox",
        "_readable",
        "_state",
        "_writable",
        "alpn",
        "peer",
    )

    def __init__(self, peer: str, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.peer = peer
        self.alpn: str | None = None
        self._buffer_bytes = buffer_bytes
        self._inbox = bytearray()
        self._state = "open"  # of the inbox: open, ended (FIN seen) or reset (RST seen)
        self._closed = False
        self._hung_up = trio.Event()
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()
        self._far: MemoryWire

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._inbox and self._state == "open" and not self._closed:
            await self._readable.park()
        if self._closed:
            raise ConnectionBroke("connection closed here")
        if self._state == "reset" and not self._inbox:
            raise ConnectionBroke("connection reset by peer")
        data = bytes(self._inbox[:RECEIVE_BYTES])
        del self._inbox[:RECEIVE_BYTES]
        self._far._writable.unpark_all()
        return data

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        far = self._far
        while rest:
            if self._closed or far._closed or self._state == "reset":
                raise ConnectionBroke("broken pipe")
            room = self._buffer_bytes - len(far._inbox)
            if room > 0:
                far._inbox += rest[:room]
                rest = rest[room:]
                far._readable.unpark_all()
            else:
                await self._writable.park()

    async def wait_hangup(self) -> None:
        await self._hung_up.wait()

    def shutdown(self) -> None:
        """FIN: the far end reads what is there, then b""."""
        self._tell("ended")

    def close(self) -> None:
        """FIN, or RST when there is unread input, as a kernel does."""
        self._shut("reset" if self._inbox else "ended")

    def reset(self) -> None:
        """RST: the far end may still read what had arrived, as on Linux, and then breaks."""
        self._shut("reset")

    def is_quiet(self) -> bool:
        return not self._inbox and self._state == "open" and not self._closed

    def _shut(self, state: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._readable.unpark_all()
        self._writable.unpark_all()
        self._tell(state)

    def _tell(self, state: str) -> None:
        far = self._far
        if far._state == "open" or state == "reset":
            far._state = state
        far._hung_up.set()
        far._readable.unpark_all()
        far._writable.unpark_all()


def wire_pair(*, alpn: str | None = None, buffer_bytes: int = BUFFER_BYTES) -> tuple[MemoryWire, MemoryWire]:
    """Two ends of one connection: the client's and the server's."""
    client, server = MemoryWire("memory-server", buffer_bytes), MemoryWire("memory-client", buffer_bytes)
    client._far, server._far = server, client
    client.alpn = server.alpn = alpn
    return client, server


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
