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
from msgspec import Struct

from hoosh.errors import BodyTooLarge, ConnectionBroke, InvalidRequest, RequestTimeout
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.h1 import BODILESS, CONTINUE, LAST_CHUNK, IncomingRequest, RequestReader, encode_chunk, encode_head
from hoosh.http.message import HeaderList, Limits
from hoosh.http.wire import Wire

__all__ = ["SENDS_AT_ONCE", "ErrorPage", "H1Connection", "Service", "apologise", "run_handler"]

ErrorPage = Callable[[int, str, str], tuple[HeaderList, bytes]]
"""(status, message, path as far as it is known) → headers and body, for what is not HTTP enough for a handler."""


class Service(Struct, frozen=True):
    """What every connection of a server has in common."""

    handler: Handler
    error_page: ErrorPage
    limits: Limits
    on_crash: Callable[[BaseException], None]
    """Hears of a handler's bug.  It has failed its own request, and nothing else."""


CRASHED = "Something went wrong in the server."
SENDS_AT_ONCE = 16
"""Writes that did not have to wait, before others get their turn: a handler may have nothing else to wait for."""
UNREAD_BYTES = 256 * 1024
"""Of a body that no handler has asked for yet."""
LINGER_S = 2.0
LINGER_BYTES = 1024 * 1024
"""What a refused client may still send before the close: closing on unread bytes would reset our answer away."""


class H1Connection:
    """Serves one connection until either side ends it.  `idle_since` is for the server's sweeper."""

    def __init__(self, wire: Wire, service: Service, *, scheme: str, accepted_at: float) -> None:
        self.wire = wire
        self.service = service
        self.scheme = scheme
        self.limits = service.limits
        self.idle_since: float | None = accepted_at
        """None while a request is being answered."""
        self.closing = False
        """No further request is answered: draining, or the last response said so."""
        self.reader = RequestReader(service.limits)
        self._arrival = accepted_at
        self._progress = trio.Event()
        self._room = trio.Event()
        self._scope: trio.CancelScope | None = None
        self._torn = False
        """A write is under way, or was cancelled half-way: what is written after that would be taken for its rest."""
        self._writes = 0

    async def run(self, first: bytes) -> None:
        """Serve until the end.  `first` has been received already, to tell the protocols apart."""
        self.idle_since = trio.current_time()
        self.reader.feed(first)
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
        if self.reader.in_head:
            if now - max(self._arrival, self.idle_since) > self.limits.head_s:
                self.reader.fail(408, "The request head took too long to arrive.")
                self._progress.set()
        elif now - self.idle_since > self.limits.keepalive_s:
            self.drain()

    # -- the reader task ----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        reader = self.reader
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
        reader = self.reader
        if len(reader.requests) >= self.limits.pipelined:
            return True
        request = reader.receiving
        return request is not None and len(request.body) > max(UNREAD_BYTES, request.wanted_bytes)

    async def wait_progress(self) -> None:
        """Until the reader has brought something, or somebody wants attention."""
        self._progress = trio.Event()
        await self._progress.wait()

    def make_room(self) -> None:
        """Something was taken off the reader's hands: it may go on."""
        self._room.set()

    async def _wait_room(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_hangup)
            while self._is_ahead() and self.reader.failure is None:
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
        """Answer requests in the order they came, each in a nursery of its own.

        A nursery that a request leaves as it found it goes to the next: closing one and opening another takes a turn
        of the scheduler, a fifth of a small request (docs/benchmarks.md).
        """
        while not self.closing:
            exchange: H1Exchange | None = None
            try:
                async with trio.open_nursery() as nursery:
                    while not (self.closing or nursery.child_tasks or nursery.cancel_scope.cancel_called):
                        request = await self._next_request()
                        if request is None:
                            return
                        exchange = H1Exchange(self, request, self._arrival, nursery)
                        await self._answer(exchange)
                    nursery.cancel_scope.cancel(reason="request answered")
            except* Exception as bugs:
                await apologise(exchange, bugs, self.service)

    async def _next_request(self) -> IncomingRequest | None:
        """The next in line; None when there will be none.  What broke the protocol has been answered then."""
        requests = self.reader.requests
        while not requests:
            if self.reader.failure is not None:
                await self._refuse()
                return None
            if self.closing:
                return None
            await self.wait_progress()
        return requests.popleft()

    async def _answer(self, exchange: H1Exchange) -> None:
        self.idle_since = None
        try:
            await run_handler(self.service.handler, exchange, self.service)
        finally:
            if self._torn or not exchange.leaves_connection_clean():
                self.closing = True
            self.idle_since = trio.current_time()
            self.make_room()

    async def _refuse(self) -> None:
        failure = self.reader.failure
        assert failure is not None
        self.closing = True
        headers, body = self.service.error_page(failure.status, failure.message, failure.path)
        framing = b"content-length: %d\r\nconnection: close\r\n" % len(body)
        await self.write(encode_head(failure.status, headers, framing) + body)

    async def write(self, data: bytes) -> None:
        """Send, or find that the client has left: then this is where its cancellation arrives."""
        self._writes += 1
        if self._writes % SENDS_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        if self._torn:
            return
        self._torn = True
        try:
            await self.wire.send(data)
        except ConnectionBroke:
            self.leave("client left")
            await trio.sleep_forever()
        self._torn = False

    async def _linger(self) -> None:
        """Let our last answer arrive before the close (nginx's lingering close).

        Needed only where the client may still be sending: the reader goes on, and throws away what it reads.
        """
        reader = self.reader
        is_whole = not (reader.failure or reader.receiving or reader.requests or reader.in_head)
        if is_whole:
            return
        reader.fail(400, "connection is closing")
        self.make_room()
        self.wire.shutdown()
        with trio.move_on_after(LINGER_S):
            await trio.sleep_forever()  # the reader cancels us at the client's FIN, or past LINGER_BYTES


async def run_handler(handler: Handler, exchange: Exchange, service: Service) -> None:
    """Let `handler` answer, behind a barrier: its bug costs the client a 500, or the rest of a response that has begun.

    `exchange.nursery` is open around this; what its tasks raise comes out there: see `apologise`.
    """
    try:
        await handler(exchange)
    except Exception as bug:
        await apologise(exchange, bug, service)
    else:
        if not exchange.started:
            await apologise(exchange, RuntimeError("the handler gave no answer"), service)


async def apologise(exchange: Exchange | None, bug: Exception, service: Service) -> None:
    """Report a bug, and answer in place of the handler where that is still possible."""
    service.on_crash(bug)
    if exchange is not None and not exchange.started:
        async with trio.open_nursery() as exchange.nursery:
            await exchange.respond(500, *service.error_page(500, CRASHED, exchange.path))


class H1Exchange:
    """One request on an HTTP/1.1 connection; see `exchange.Exchange`."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_connection",
        "_head",
        "_request",
        "arrived_at",
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

    def __init__(
        self, connection: H1Connection, request: IncomingRequest, arrived_at: float, nursery: trio.Nursery
    ) -> None:
        self.nursery = nursery
        self._connection = connection
        self._request = request
        self._head = b""
        self._chunked = False
        self._bodiless = request.method == "HEAD"
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

    def leaves_connection_clean(self) -> bool:
        """Both messages are whole, and both sides want to go on."""
        return self.ended and self._request.complete and self.keep_alive

    # -- the request body ---------------------------------------------------------------------------------------

    async def body(self, max_bytes: int) -> bytes:
        request = self._request
        if request.content_length is not None and request.content_length > max_bytes:
            raise BodyTooLarge(max_bytes)
        if not request.complete:
            await self._receive_body(max_bytes)
        if len(request.body) > max_bytes:
            raise BodyTooLarge(max_bytes)
        return bytes(request.body)

    async def receive(self) -> bytes:
        request = self._request
        if not (request.body or request.complete):
            await self._receive_body(0)
        piece, request.body = bytes(request.body), b""
        self._connection.make_room()
        return piece

    async def _receive_body(self, max_bytes: int) -> None:
        """Until the body is whole, or longer than `max_bytes`."""
        connection, request = self._connection, self._request
        if request.expects_continue and not (request.body or self.started):
            request.expects_continue = False
            await connection.write(CONTINUE)
        request.wanted_bytes = max_bytes
        connection.make_room()
        while not request.complete and len(request.body) <= max_bytes:
            if connection.reader.failure is not None:
                raise InvalidRequest(connection.reader.failure.message)
            with trio.move_on_after(connection.limits.body_idle_s) as patience:
                await connection.wait_progress()
            if patience.cancelled_caught:
                raise RequestTimeout("The request body stopped arriving.")

    # -- the response -------------------------------------------------------------------------------------------

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        self._begin(status)
        length = b"" if status in BODILESS else b"content-length: %d\r\n" % len(body)
        head = encode_head(status, headers, length + self._persistence())
        await self._connection.write(head if self._bodiless else head + body)
        self.ended = True

    async def start(self, status: int, headers: HeaderList) -> None:
        self._begin(status)
        framing = b""
        if self.version == "1.1" and not self._bodiless:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        elif not self._bodiless:
            self.keep_alive = False  # the close ends the body
        self._head = encode_head(status, headers, framing + self._persistence())

    async def send(self, chunk: bytes) -> None:
        self._check_open()
        data = self._take_head()
        if chunk and not self._bodiless:
            data += encode_chunk(chunk) if self._chunked else chunk
        await self._connection.write(data)

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        self._check_open()
        data = self._take_head()
        if final and not self._bodiless:
            data += encode_chunk(final) if self._chunked else final
        if broken:
            self.keep_alive = False
        elif self._chunked:
            data += LAST_CHUNK
        await self._connection.write(data)
        self.ended = True

    def _begin(self, status: int) -> None:
        if self.started:
            raise RuntimeError("the response has begun already")
        self.started = True
        if status in BODILESS:
            self._bodiless = True

    def _check_open(self) -> None:
        if self.ended or not self.started:
            raise RuntimeError("the response has ended, or was never begun")

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _persistence(self) -> bytes:
        if self._connection.closing or not self._request.complete:
            self.keep_alive = False
        if not self.keep_alive:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self.version == "1.0" else b""
