"""One HTTP/1.1 connection of the server: two tasks, for as long as the connection lives.

    reader   receives, parses, and notices the client leaving, at any moment
    server   answers requests in the order they came, each in a nursery of its own

The client leaving cancels the connection's scope, and with it the request being answered.  Only the server task
writes.  A client that runs ahead (many pipelined requests, a body nobody has asked for) is not read from until
there is room; its leaving is still seen (`Wire.wait_hangup`).

    idle ──first byte──▶ in head ──blank line──▶ answering ──last byte──▶ idle       closed from any of them
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from hoosh.errors import BodyTooLarge, ConnectionBroke, InvalidRequest, RequestTimeout
from hoosh.http.exchange import Handler
from hoosh.http.h1 import CONTINUE, LAST_CHUNK, IncomingRequest, RequestReader, encode_chunk, encode_head
from hoosh.http.message import HeaderList, Limits
from hoosh.http.wire import Wire

__all__ = ["ErrorPage", "H1Connection"]

ErrorPage = Callable[[int, str], tuple[HeaderList, bytes]]
"""(status, message) → headers and body of an answer to a request that is not HTTP enough to reach a handler."""

UNREAD_BYTES = 256 * 1024
"""Of a body that no handler has asked for yet."""
LINGER_S = 2.0
LINGER_BYTES = 1024 * 1024
"""What a refused client may still send before the close: closing on unread bytes would reset our answer away."""


class H1Connection:
    """Serves one connection until either side ends it.  `idle_since` is for the server's sweeper."""

    def __init__(
        self, wire: Wire, handler: Handler, limits: Limits, error_page: ErrorPage, *, scheme: str, accepted_at: float
    ) -> None:
        self.wire = wire
        self.scheme = scheme
        self.limits = limits
        self.idle_since: float | None = accepted_at
        """None while a request is being answered."""
        self.closing = False
        """No further request is answered: draining, or the last response said so."""
        self._handler = handler
        self._error_page = error_page
        self._reader = RequestReader(limits)
        self._arrival = accepted_at
        self._progress = trio.Event()
        self._room = trio.Event()
        self._scope: trio.CancelScope | None = None

    async def run(self, first: bytes) -> None:
        """Serve until the end.  `first` has been received already, to tell the protocols apart."""
        self._reader.feed(first)
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._read)
                await self._serve()
                await self._linger()
                nursery.cancel_scope.cancel(reason="connection done")
        finally:
            self.wire.close()

    def drain(self) -> None:
        """Answer what is being answered, then close; an idle connection at once."""
        self.closing = True
        self._progress.set()

    def sweep(self, now: float) -> None:
        """End a connection that has been idle, or busy with one head, for too long.  Called now and then."""
        if self.idle_since is None:
            return
        if self._reader.in_head:
            if now - self._arrival > self.limits.head_s:
                self._reader.fail(408, "The request head took too long to arrive.")
                self._progress.set()
        elif now - self.idle_since > self.limits.keepalive_s:
            self.drain()

    # -- the reader task ----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        reader = self._reader
        discarded = 0
        try:
            while True:
                if self._is_ahead():
                    await self._wait_room()
                data = await self.wire.receive()
                if not data:
                    break
                if reader.failure is not None:
                    discarded += len(data)
                    if discarded > LINGER_BYTES:
                        break
                    continue
                if not reader.in_head:
                    self._arrival = trio.current_time()
                reader.feed(data)
                self._progress.set()
        except ConnectionBroke:
            pass
        self.leave("client left")

    def _is_ahead(self) -> bool:
        reader = self._reader
        if len(reader.requests) >= self.limits.pipelined:
            return True
        request = reader.receiving
        return request is not None and request.body_bytes > max(UNREAD_BYTES, request.wanted_bytes)

    async def _wait_room(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_hangup)
            while self._is_ahead() and self._reader.failure is None:
                self._room = trio.Event()
                await self._room.wait()
            nursery.cancel_scope.cancel()

    async def _watch_hangup(self) -> None:
        await self.wire.wait_hangup()
        self.leave("client left")

    def leave(self, reason: str) -> None:
        """The client is gone: stop whatever was being done for it."""
        if self._scope is not None:
            self._scope.cancel(reason=reason)

    # -- the server task ----------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        requests = self._reader.requests
        while True:
            if requests:
                await self._answer(requests.popleft())
                self._room.set()
                if self.closing:
                    return
            elif self._reader.failure is not None:
                await self._refuse()
                return
            elif self.closing:
                return
            else:
                await self.wait_progress()

    async def wait_progress(self) -> None:
        """Until the reader has brought something, or somebody wants attention."""
        self._progress = trio.Event()
        await self._progress.wait()

    async def _answer(self, request: IncomingRequest) -> None:
        self.idle_since = None
        exchange = H1Exchange(self, request, self._arrival)
        try:
            async with trio.open_nursery() as nursery:  # the request's own
                exchange.nursery = nursery
                await self._handler(exchange)
                if nursery.child_tasks:
                    nursery.cancel_scope.cancel(reason="request answered")
        finally:
            if not (exchange.ended and request.complete and exchange.keep_alive):
                self.closing = True
            self.idle_since = trio.current_time()

    async def _refuse(self) -> None:
        failure = self._reader.failure
        assert failure is not None
        self.closing = True
        headers, body = self._error_page(failure.status, failure.message)
        framing = b"content-length: %d\r\nconnection: close\r\n" % len(body)
        await self.write(encode_head(failure.status, headers, framing) + body)

    async def write(self, data: bytes) -> None:
        """Send, or find that the client has left: then this is where its cancellation arrives."""
        try:
            await self.wire.send(data)
        except ConnectionBroke:
            self.leave("client left")
            await trio.sleep_forever()

    async def _linger(self) -> None:
        """Let our last answer arrive before the close (nginx's lingering close).

        Needed only where the client may still be sending: the reader goes on, and throws away what it reads.
        """
        reader = self._reader
        is_whole = not (reader.failure or reader.receiving or reader.requests or reader.in_head)
        if is_whole:
            return
        reader.fail(400, "connection is closing")
        self._room.set()
        self.wire.shutdown()
        with trio.move_on_after(LINGER_S):
            await trio.sleep_forever()  # the reader cancels us at the client's FIN, or past LINGER_BYTES


class H1Exchange:
    """One request on an HTTP/1.1 connection; see `exchange.Exchange`."""

    __slots__ = (
        "_connection",
        "_head",
        "_request",
        "arrived_at",
        "chunked",
        "ended",
        "headers",
        "keep_alive",
        "method",
        "nursery",
        "path",
        "peer",
        "query",
        "scheme",
        "started",
        "version",
    )
    nursery: trio.Nursery

    def __init__(self, connection: H1Connection, request: IncomingRequest, arrived_at: float) -> None:
        self._connection = connection
        self._request = request
        self._head = b""
        self.method = request.method
        self.path = request.path
        self.query = request.query
        self.headers = request.headers
        self.version = request.version
        self.peer = connection.wire.peer
        self.scheme = connection.scheme
        self.arrived_at = arrived_at
        self.keep_alive = request.keep_alive
        self.started = False
        self.ended = False
        self.chunked = False

    async def body(self, max_bytes: int) -> bytes:
        request = self._request
        if request.content_length is not None and request.content_length > max_bytes:
            raise BodyTooLarge(max_bytes)
        if not request.complete:
            await self._receive_body(max_bytes)
        if request.body_bytes > max_bytes:
            raise BodyTooLarge(max_bytes)
        pieces = request.pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _receive_body(self, max_bytes: int) -> None:
        connection, request = self._connection, self._request
        if request.expects_continue and not request.body_bytes:
            await connection.write(CONTINUE)
        request.wanted_bytes = max_bytes
        connection._room.set()
        while not request.complete and request.body_bytes <= max_bytes:
            if connection._reader.failure is not None:
                raise InvalidRequest(connection._reader.failure.message)
            with trio.move_on_after(connection.limits.body_idle_s) as patience:
                await connection.wait_progress()
            if patience.cancelled_caught:
                raise RequestTimeout("The request body stopped arriving.")

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        self.started = self.ended = True
        head = encode_head(status, headers, b"content-length: %d\r\n%b" % (len(body), self._persistence()))
        await self._connection.write(head if self.method == "HEAD" else head + body)

    async def start(self, status: int, headers: HeaderList) -> None:
        self.started = True
        bodiless = self.method == "HEAD" or status in (204, 304)
        if self.version == "1.1" and not bodiless:
            self.chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b""
            self.keep_alive = self.keep_alive and bodiless  # else the close ends the body
        self._head = encode_head(status, headers, framing + self._persistence())

    async def send(self, chunk: bytes) -> None:
        if self.method == "HEAD":
            return
        head, self._head = self._head, b""
        if self.chunked and chunk:
            chunk = encode_chunk(chunk)
        await self._connection.write(head + chunk if head else chunk)

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        self.ended = not broken
        rest, self._head = self._head, b""
        if final and self.method != "HEAD":
            rest += encode_chunk(final) if self.chunked else final
        if self.chunked and not broken:
            rest += LAST_CHUNK
        if rest:
            await self._connection.write(rest)

    def _persistence(self) -> bytes:
        if self._connection.closing or not self._request.complete:
            self.keep_alive = False
        if not self.keep_alive:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self.version == "1.0" else b""
