"""A byte pipe to a peer: a raw non-blocking socket, or any Trio stream (TLS, tests in memory).

Plain sockets are used directly, without `trio.SocketStream`: its lock, its two checkpoints a call and its
conversions cost about as much as the rest of a small request (docs/benchmarks.md).
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import sys
from typing import Protocol

import trio

from hoosh.errors import ConnectionBroke

__all__ = ["RECEIVE_BYTES", "SocketWire", "StreamWire", "Wire", "linger"]

RECEIVE_BYTES = 16 * 1024
"""At once.  A stream that its client does not read holds a few times as much."""
SEND_BYTES = 16384
"""At a time through a Trio stream, which does not tell how far it has come: what must move within `stall_s`."""


class Wire(Protocol):
    """One task may receive and one may send at a time.

    A send that moves nothing for `stall_s` seconds raises ConnectionBroke.
    """

    peer: str
    alpn: str | None

    async def receive(self) -> bytes:
        """What has arrived, b"" at the end.  Waits; raises ConnectionBroke."""
        ...

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all of `data` to the peer.  Waits only when it must; raises ConnectionBroke."""
        ...

    async def wait_hangup(self) -> None:
        """Until the peer has closed or reset, without receiving: for when there is no room for what it sends."""
        ...

    def shutdown(self) -> None:
        """Say that nothing more will be sent (FIN).  At once, where the wire can."""
        ...

    def close(self) -> None:
        """At once, without waiting; unread input makes the kernel send RST."""
        ...

    def is_quiet(self) -> bool:
        """Nothing to read and not ended: an idle connection that may be used again."""
        ...


class SocketWire:
    """A connected stream socket, TCP (with TCP_NODELAY) or unix."""

    __slots__ = ("alpn", "peer", "sock", "stall_s")

    def __init__(self, sock: socket.socket, peer: str, *, stall_s: float = math.inf) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.peer = peer
        self.stall_s = stall_s
        self.alpn: str | None = None

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            try:
                return self.sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise ConnectionBroke(str(error)) from None

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        # The first try does not wait: a receive lies between two sends, so others get their turn there.
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ConnectionBroke(str(error)) from None
        if sent < len(data):
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, rest: memoryview) -> None:
        while rest:
            with trio.move_on_after(self.stall_s) as patience:
                await trio.lowlevel.wait_writable(self.sock)
            if patience.cancelled_caught:
                raise ConnectionBroke("peer stopped reading")
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ConnectionBroke(str(error)) from None

    async def wait_hangup(self) -> None:
        await _wait_hangup(self.sock.fileno())

    def shutdown(self) -> None:
        _shutdown(self.sock)

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    def is_quiet(self) -> bool:
        return _is_quiet(self.sock.fileno())


class StreamWire:
    """Any Trio stream: TLS over a socket, or a pair in memory."""

    __slots__ = ("alpn", "peer", "stall_s", "stream")

    def __init__(
        self, stream: trio.abc.Stream, peer: str, alpn: str | None = None, *, stall_s: float = math.inf
    ) -> None:
        self.stream = stream
        self.peer = peer
        self.stall_s = stall_s
        self.alpn = alpn

    async def receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            raise ConnectionBroke(str(error) or "connection broke") from None

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            piece, rest = rest[:SEND_BYTES], rest[SEND_BYTES:]
            with trio.move_on_after(self.stall_s) as patience:
                try:
                    await self.stream.send_all(piece)
                except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
                    raise ConnectionBroke(str(error) or "connection broke") from None
            if patience.cancelled_caught:
                raise ConnectionBroke("peer stopped reading")

    async def wait_hangup(self) -> None:
        innermost = self._innermost()
        if isinstance(innermost, trio.SocketStream):
            await _wait_hangup(innermost.socket.fileno())
        else:
            await trio.sleep_forever()

    def shutdown(self) -> None:
        innermost = self._innermost()
        if isinstance(innermost, trio.SocketStream):
            _shutdown(innermost.socket)
        elif isinstance(innermost, trio.StapledStream):
            _close_half(innermost.send_stream)

    def close(self) -> None:
        innermost = self._innermost()
        if isinstance(innermost, trio.SocketStream):
            innermost.socket.close()
        elif isinstance(innermost, trio.StapledStream):  # a pair in memory
            _close_half(innermost.send_stream)
            _close_half(innermost.receive_stream)

    def is_quiet(self) -> bool:
        innermost = self._innermost()
        return not isinstance(innermost, trio.SocketStream) or _is_quiet(innermost.socket.fileno())

    def _innermost(self) -> object:
        stream: object = self.stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return stream


async def linger(wire: Wire, *, within_s: float, max_bytes: int) -> None:
    """Say FIN, and read away what the peer still sends, so that closing does not reset our last bytes away.

    Ends at the peer's own FIN, or after `within_s` seconds or `max_bytes` bytes.
    """
    wire.shutdown()
    with trio.move_on_after(within_s):
        try:
            while max_bytes > 0 and (data := await wire.receive()):
                max_bytes -= len(data)
        except ConnectionBroke:
            pass


def _close_half(half: object) -> None:
    """Close one direction of a pair in memory, which unlike Trio streams in general needs no waiting."""
    testing = sys.modules.get("trio.testing")  # slow to import, and without it there is no such pair
    if testing is not None and isinstance(half, testing.MemorySendStream | testing.MemoryReceiveStream):
        half.close()


async def _wait_hangup(fd: int) -> None:
    """Until the peer of socket `fd` has sent FIN or RST.

    Readiness for reading does not tell while unread data is waiting, EPOLLRDHUP does: an epoll set of one socket,
    itself waited for.  Elsewhere than on Linux this sleeps for ever, and the end is seen once reading goes on.
    """
    if not hasattr(select, "epoll") or fd < 0:
        await trio.sleep_forever()
    try:
        hangup = select.epoll()
    except OSError:  # out of file descriptors
        await trio.sleep_forever()
    with hangup:
        hangup.register(fd, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
        await trio.lowlevel.wait_readable(hangup.fileno())


def _shutdown(sock: socket.socket | trio.socket.SocketType) -> None:
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer was faster


def _is_quiet(fd: int) -> bool:
    """True when an idle socket has neither data, nor an end, nor an error waiting.  Never waits."""
    if fd < 0:
        return False
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return not poll.poll(0)
