"""The server: listeners, TLS, which protocol a connection speaks, ceilings, drain.

    listener ──accept──▶ (TLS, ALPN) ──first bytes──▶ H1Connection | H2Connection ──▶ handler, in the request's nursery

Every connection is a task of the server's own nursery, behind an exception barrier: what goes wrong in one ends that
one, is counted and logged, and never reaches another.  Draining stops the accepting, lets each connection finish
what it is answering, and ends when the last one is gone; the caller sets the limit.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import trio
from msgspec import Struct

from hoosh.errors import ConnectionBroke
from hoosh.http.exchange import Handler
from hoosh.http.h1 import encode_head
from hoosh.http.h2 import PREFACE
from hoosh.http.message import Limits
from hoosh.http.server_h1 import ErrorPage, H1Connection, Service
from hoosh.http.server_h2 import H2Connection
from hoosh.http.wire import RECEIVE_BYTES, SocketWire, StreamWire, Wire

__all__ = ["HttpServer", "ServerStatistics", "listen_tcp", "listen_unix"]

BACKLOG = 4096
ACCEPT_AT_ONCE = 64
"""Connections taken in one wake-up, before others get their turn."""
FULL_TABLE_PAUSE_S = 0.1
"""How long to wait after accept said that file descriptors have run out."""
SWEEP_S = 1.0


class ServerStatistics(Struct, frozen=True):
    """Counts since the start, and how many connections are open now."""

    open_connections: int
    accepted: int
    refused: int
    crashed: int


class Connection(Protocol):
    async def run(self, first: bytes) -> None: ...

    def drain(self) -> None: ...

    def sweep(self, now: float) -> None: ...


class HttpServer:
    """Serves HTTP/1.1 and HTTP/2 with one handler.

    `on_crash` hears of bugs: a handler's, which failed its own request, or ours, which ended its own connection.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        error_page: ErrorPage,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        http2: bool = True,
        on_crash: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self.limits = limits or Limits()
        self.draining = False
        self._tls = tls
        self._http2 = http2
        self._on_crash = on_crash
        self._service = Service(handler, error_page, self.limits, self._note_crash)
        self._connections: set[Connection] = set()
        self._silent: set[trio.CancelScope] = set()
        """Waits for the first bytes of connections that have sent none."""
        self._sockets = 0
        self._accepted = self._refused = self._crashed = 0
        self._accepting = trio.CancelScope()

    async def run(
        self,
        listeners: Sequence[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve on `listeners` (listening, closed at the end) until drained or cancelled.  Ready once accepting."""
        async with trio.open_nursery() as house:
            house.start_soon(self.sweep)
            async with trio.open_nursery() as connections:
                with self._accepting:
                    try:
                        async with trio.open_nursery() as doors:
                            for listener in listeners:
                                listener.setblocking(False)
                                doors.start_soon(self._accept, listener, connections)
                            task_status.started()
                    finally:
                        for listener in listeners:
                            trio.lowlevel.notify_closing(listener)
                            listener.close()
            house.cancel_scope.cancel(reason="drained")

    def drain(self) -> None:
        """Accept no more; close each connection after what it is answering.  `run` returns when all are gone."""
        self.draining = True
        self._accepting.cancel(reason="draining")
        for silence in self._silent:
            silence.cancel(reason="draining")
        for connection in list(self._connections):
            connection.drain()

    def configure(self, limits: Limits) -> None:
        """From now on these are the limits: of new connections, and of how many there may be."""
        self.limits = limits
        self._service = Service(self._service.handler, self._service.error_page, limits, self._note_crash)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What it speaks TLS with; None where it does not."""
        return self._tls

    def renew_tls(self, context: ssl.SSLContext | None) -> None:
        """Connections accepted from now on are shown `context`'s certificate; those that are open keep theirs.

        `context` comes from `tls.server_context`, which has read its files: nothing here can fail half-way.  Raises
        ValueError where TLS would begin or end: what a port speaks does not change while it is open.
        """
        if self._tls is None or context is None:
            raise ValueError("this server speaks no TLS, or no longer")
        self._tls = context

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(self._sockets, self._accepted, self._refused, self._crashed)

    async def serve_wire(self, wire: Wire, *, scheme: str = "http") -> None:
        """Serve one connected wire to its end: a socket from a listener, or a pair in memory."""
        accepted_at = trio.current_time()
        try:
            first = await self._first_bytes(wire)
            if first:
                connection = self._connection(first, wire, scheme, accepted_at)
                self._connections.add(connection)
                try:
                    await connection.run(first)
                finally:
                    self._connections.discard(connection)
        except* ConnectionBroke:
            pass
        except* Exception as bugs:
            self._note_crash(bugs)
        finally:
            wire.close()

    # -- the way of a connection ---------------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket, connections: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            for _ in range(ACCEPT_AT_ONCE):
                try:
                    sock, address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        await trio.sleep(FULL_TABLE_PAUSE_S)
                    break  # the connection died in the queue: the next one may not have
                self._accepted += 1
                if self._sockets >= self.limits.connections:
                    self._turn_away(sock)
                    continue
                self._sockets += 1
                connections.start_soon(self._serve_socket, sock, _peer_name(address))

    def _turn_away(self, sock: socket.socket) -> None:
        """Say 503 if the socket takes it at once, and close: a full house spends nothing more on a stranger.

        What has come of the request is read before the close: closing on unread bytes would reset the answer away.
        """
        self._refused += 1
        headers, body = self._service.error_page(503, "Too many connections.", "")
        framing = b"content-length: %d\r\nconnection: close\r\n" % len(body)
        try:
            sock.setblocking(False)
            if self._tls is None:
                sock.send(encode_head(503, headers, framing) + body)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(RECEIVE_BYTES)
        except OSError:
            pass
        finally:
            sock.close()

    async def _serve_socket(self, sock: socket.socket, peer: str) -> None:
        try:
            if self._tls is None:
                await self.serve_wire(SocketWire(sock, peer, stall_s=self.limits.send_idle_s))
            else:
                await self._serve_tls(sock, peer, self._tls)
        except OSError:
            pass  # it died between the accept and here
        finally:
            self._sockets -= 1
            sock.close()

    async def _serve_tls(self, sock: socket.socket, peer: str, context: ssl.SSLContext) -> None:
        transport = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        stream = trio.SSLStream(transport, context, server_side=True, https_compatible=True)
        wire = StreamWire(stream, peer, stall_s=self.limits.send_idle_s)
        try:
            with trio.fail_after(self.limits.handshake_s):
                await stream.do_handshake()
        except (trio.BrokenResourceError, trio.TooSlowError, ssl.SSLError):
            return  # a scanner, an old client, somebody who left: nothing to answer in
        else:
            wire.alpn = stream.selected_alpn_protocol()
            await self.serve_wire(wire, scheme="https")
        finally:
            wire.close()

    async def _first_bytes(self, wire: Wire) -> bytes:
        """Enough of the connection to tell HTTP/2 (its preface, RFC 9113 section 3.4) from HTTP/1.1.

        b"" when nothing came, and nothing is to be answered: the client left, kept silent, or we are draining.
        """
        data = b""
        with trio.move_on_after(self.limits.keepalive_s) as silence:
            self._silent.add(silence)
            try:
                if self.draining:
                    return b""
                data = await wire.receive()
                silence.deadline = trio.current_time() + self.limits.head_s
                while data and len(data) < len(PREFACE) and self._http2 and PREFACE.startswith(data):
                    more = await wire.receive()
                    if not more:
                        return b""
                    data += more
            finally:
                self._silent.discard(silence)
        return data

    def _connection(self, first: bytes, wire: Wire, scheme: str, accepted_at: float) -> Connection:
        speaks_h2 = self._http2 and (wire.alpn == "h2" or first.startswith(PREFACE))
        kind = H2Connection if speaks_h2 else H1Connection
        connection = kind(wire, self._service, scheme=scheme, accepted_at=accepted_at)
        if self.draining:
            connection.drain()
        return connection

    def _note_crash(self, bug: BaseException) -> None:
        self._crashed += 1
        self._on_crash(bug)

    async def sweep(self) -> None:
        """Find connections that have outstayed a time limit.

        One task for all: a timer a connection would cost more than the rest of a small request.
        """
        while True:
            await trio.sleep(SWEEP_S)
            now = trio.current_time()
            for connection in list(self._connections):
                connection.sweep(now)


# -- listeners ---------------------------------------------------------------------------------------------------


def listen_tcp(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Listening sockets for every address that `host` stands for.  Raises OSError.  Does not wait, but for DNS."""
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(listeners) > 1:  # one number for all of them
                address = (address[0], listeners[0].getsockname()[1], *address[2:])
            listener.bind(address)
            listener.listen(BACKLOG)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def listen_unix(path: str) -> socket.socket:
    """A listening unix socket at `path`; a socket file that nobody answers at is replaced.  Raises OSError."""
    if _is_stale_socket(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _is_stale_socket(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _peer_name(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) and address else "unix"
