"""A connection without a socket: two wires in memory, with bounded buffers, FIN and RST.

    client, server = wire_pair()

A wire buffers `buffer_bytes` each way, like a kernel would: a peer that does not read stops the sender.
Simpler than trio.testing's streams on purpose, and closer to a socket: those buffer without bound and know no RST.
It carries what a program asks of the gateway in its own process (`api/embed.py`), and the tests.
"""

from __future__ import annotations

import trio

from hoosh.errors import ConnectionBroke
from hoosh.http.wire import RECEIVE_BYTES

__all__ = ["BUFFER_BYTES", "MemoryWire", "wire_pair"]

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
