"""HTTP/1.1 as a client: one exchange at a time on a connection, read with httptools (llhttp in its strict mode).

    H1Connection ── H1Response.open: one send, then receive until the head is whole
                    H1Response.receive: one receive a wake-up, all body bytes it brought
                    H1Response.leave: back to the pool if the message is complete and nothing is left over, else closed

This is the path of every chat token: no task, no lock, no extra scope, no log line.

What llhttp lets pass and we do not: heads beyond MAX_HEAD_BYTES or MAX_HEADERS, 101 (we never ask for an upgrade), a
transfer coding other than `chunked`, and bytes after the end of a message (the connection is then not used again).
Informational heads (RFC 9110, section 15.2) are skipped.  How a body ends: RFC 9112, section 6.3.
"""

from __future__ import annotations

from typing import Protocol

import httptools
import trio

from hoosh.errors import ConnectionBroke, HooshError, ProtocolViolation
from hoosh.http.client_response import MAX_HEAD_BYTES, MAX_HEADERS, read_body
from hoosh.http.message import Headers, HttpRequest
from hoosh.http.pieces import PieceReader
from hoosh.http.watch import Alarm
from hoosh.http.wire import Wire
from hoosh.values import Pieces

__all__ = ["H1Connection", "H1Response", "encode_request"]

JOIN_BYTES = 128 * 1024
"""Up to here head and body are joined for one send; copying more costs as much as a second system call."""

_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class H1Owner(Protocol):
    """Whoever keeps the connections: the pool."""

    def settle(self, connection: H1Connection, *, reusable: bool) -> None: ...


class H1Connection:
    """A connection that carries one exchange after the other."""

    __slots__ = ("idle_since", "owner", "used", "wire")

    def __init__(self, wire: Wire, owner: H1Owner) -> None:
        self.wire = wire
        self.owner = owner
        self.used = False
        """An exchange has been completed on it, so the peer may have closed it since."""
        self.idle_since = 0
        """By the pool's count of sweeps."""

    def begin(self, request: HttpRequest, alarm: Alarm) -> H1Response:
        return H1Response(self, request.head.method == "HEAD", alarm)


class H1Response:
    """One response being read.  Also the protocol object of its llhttp parser: the `on_` methods are callbacks."""

    __slots__ = (
        "_alarm",
        "_connection",
        "_error",
        "_excess",
        "_head_bytes",
        "_is_head",
        "_keep",
        "_parser",
        "_parts",
        "_raw",
        "_refusal",
        "_status",
        "ended",
        "headers",
        "stale",
        "status",
    )

    def __init__(self, connection: H1Connection, is_head: bool, alarm: Alarm) -> None:
        self.status = 0
        self.headers = _NONE
        self.ended = False
        self.stale = connection.used
        self._connection = connection
        self._alarm = alarm
        self._is_head = is_head
        self._status = 0  # of the head being read, which may be an informational one
        self._raw: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._keep = False
        self._excess = False
        self._error: HooshError | None = None
        self._refusal: ProtocolViolation | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    async def open(self, request: HttpRequest) -> None:
        wire = self._connection.wire
        try:
            await self._send(request)
        except (ConnectionBroke, trio.ClosedResourceError):
            # The peer may have answered, say with 413, before it stopped reading: what it said is still to be had.
            # Or we were interrupted: the next line but one raises that.
            self._excess = True
        try:
            while not self.status and self._error is None:
                data = await wire.receive()
                if not data:
                    raise ConnectionBroke("connection closed before the response head was complete")
                self.stale = False
                self._head_bytes += len(data)
                self._feed(data)
                if not self.status and self._head_bytes > MAX_HEAD_BYTES:
                    raise ProtocolViolation(f"response head is larger than {MAX_HEAD_BYTES} bytes")
        except (ConnectionBroke, trio.ClosedResourceError):
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    async def receive(self) -> bytes:
        parts = self._parts
        if not parts:
            if self.ended:
                return b""
            alarm = self._alarm
            if alarm.due == alarm.total_at:  # else it runs since an earlier wait, which was given up: one silence
                alarm.arm("idle")
            await self._receive_more()
            alarm.rest()
            if not parts:
                return b""
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return body

    async def read(self, max_bytes: int) -> bytes:
        return await read_body(self, max_bytes)

    def interrupt(self, error: HooshError) -> None:
        if not self.ended:
            self._error = error
            self._parts.clear()
            self._connection.wire.close()  # wakes whoever waits on it

    def leave(self) -> None:
        self._parser = None  # it holds our methods: without this cycle we are freed at once
        connection = self._connection
        connection.owner.settle(connection, reusable=self.ended and self._keep and not self._excess)

    async def _send(self, request: HttpRequest) -> None:
        wire = self._connection.wire
        head = encode_request(request)
        body = request.body
        if len(body) <= JOIN_BYTES and isinstance(body, bytes):
            await wire.send(head + body if body else head)
            return
        await wire.send(head)
        if isinstance(body, bytes):
            await wire.send(body)
        else:
            await self._send_pieces(body)
        self._alarm.arm("first_byte")  # a large body takes its time, and the phase begins when it is gone

    async def _send_pieces(self, body: Pieces) -> None:
        reader = PieceReader(body)
        while (piece := await reader.next()) and self._error is None:
            await self._connection.wire.send(piece)
            self._alarm.arm("first_byte")  # whoever takes it is there

    async def _receive_more(self) -> None:
        """Wait for body bytes or the end.  Flat: every layer of `await` costs at every chunk."""
        wire = self._connection.wire
        idle_bytes = 0  # of chunk heads, extensions, trailers
        try:
            while not self._parts and not self.ended and self._error is None:
                data = await wire.receive()
                if data:
                    self._feed(data)
                else:
                    self._end_of_input()
                idle_bytes += len(data)
                if idle_bytes > MAX_HEAD_BYTES and not self._parts:
                    raise ProtocolViolation("response framing without a body")
        except (ConnectionBroke, trio.ClosedResourceError):
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        assert parser is not None, "the exchange has been left"
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.ended and self._refusal is None:
                self._excess = True  # the message is whole; what follows it is not ours to understand
            else:
                raise self._refusal or ProtocolViolation(f"malformed HTTP/1.1 response: {error}") from None

    def _end_of_input(self) -> None:
        if self._ends_with_connection():
            self.ended = True
        else:
            raise ConnectionBroke("connection closed in the middle of the response body")

    def _ends_with_connection(self) -> bool:
        return self.headers.get(b"transfer-encoding") is None and self.headers.get(b"content-length") is None

    # llhttp's callbacks.  Raising in one stops the parser; `_feed` raises what was meant.

    def on_message_begin(self) -> None:
        if self.ended:
            self._excess = True
            raise ValueError("bytes after the end of the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        raw = self._raw
        raw.append((name.lower(), value))
        if len(raw) > MAX_HEADERS:
            self._refuse(f"response has more than {MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = self._status = parser.get_status_code()
        if status < 200:
            if status == 101:
                self._refuse("response switches protocols, which was not asked for")
            self._raw = []
            return
        self.headers, self._raw = Headers(self._raw), []  # what follows is trailers, which nobody reads
        self.status = status
        coding = self.headers.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            self._refuse("response has a transfer coding other than chunked")
        if self._is_head or status == 204 or status == 304:
            self._keep = parser.should_keep_alive()
            self.ended = True

    def on_body(self, body: bytes) -> None:
        if self.ended:
            self._excess = True  # a body where none may be
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:
            return
        self.ended = True
        parser = self._parser
        assert parser is not None
        self._keep = parser.should_keep_alive()

    def _refuse(self, message: str) -> None:
        self._refusal = ProtocolViolation(message)
        raise self._refusal


_NONE = Headers()


def encode_request(request: HttpRequest) -> bytes:
    """The head as bytes, final blank line included.  Raises ValueError for an extra header with a line break in it."""
    head = request.head.h1
    extra = request.extra
    if extra:
        lines = b"".join([b"%b: %b\r\n" % header for header in extra])
        if lines.count(b"\n") != len(extra) or lines.count(b"\r") != len(extra):
            raise ValueError("a request header holds a line break")
        head += lines
    if request.body or request.head.method not in _BODILESS:
        return b"%bcontent-length: %d\r\n\r\n" % (head, len(request.body))
    return head + b"\r\n"
