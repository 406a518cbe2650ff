"""One request on an HTTP/2 connection of the server: what a handler sees of it; see `server_h2` for the rest.

open ──client: END_STREAM──▶ complete          body whole
open ──handler: end──▶ ended                   response whole
any  ──RST_STREAM, either way──▶ gone          nothing more is sent, and sending cancels the handler
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.errors
import trio

from hoosh.errors import BodyTooLarge, RequestTimeout
from hoosh.http.h1 import BODILESS, http_date
from hoosh.http.h2 import FloodGuard, IncomingHead
from hoosh.http.message import HeaderList, Headers

if TYPE_CHECKING:
    from hoosh.http.server_h2 import H2Connection

__all__ = ["H2Stream"]

Codes = h2.errors.ErrorCodes


LINGER_S = 1.0
LINGER_BYTES = 64 * 1024
"""What may still arrive of a request that is answered already."""


class H2Stream:
    """Implements `exchange.Exchange`."""

    __slots__ = (
        "_bodiless",
        "_body",
        "_connection",
        "_head",
        "_length",
        "_unacknowledged",
        "_wanted_bytes",
        "arrived_at",
        "complete",
        "ended",
        "ends",
        "gone",
        "headers",
        "method",
        "nursery",
        "path",
        "peer",
        "pending",
        "progress",
        "query",
        "rest",
        "scheme",
        "sent",
        "shut_since",
        "started",
        "stream_id",
        "torn",
        "version",
    )
    nursery: trio.Nursery
    progress: trio.Event
    """Set when some of the body has come; there once that is waited for."""
    sent: trio.Event
    """Set when nothing is pending any more; there only while that is waited for."""

    def __init__(self, connection: H2Connection, stream_id: int, head: IncomingHead, arrived_at: float) -> None:
        self._connection = connection
        self._head: list[tuple[bytes, bytes]] | None = None
        self._body: bytes | bytearray = b""
        self._unacknowledged = 0
        self._wanted_bytes = -1
        self._bodiless = head.method == b"HEAD"
        self.stream_id = stream_id
        self.method = head.method.decode("latin-1")
        self.path, _, self.query = head.path.decode("latin-1").partition("?")
        self.headers = Headers(head.fields)
        self._length = self.headers.get(b"content-length")  # digits: h2 has checked
        self.version = "2"
        self.peer = connection.wire.peer
        self.scheme = connection.scheme
        self.arrived_at = arrived_at
        self.started = self.ended = self.complete = self.gone = False
        self.torn = False
        """A send was cancelled half-way: what would come after it is not sent."""
        self.rest: memoryview | bytes = b""
        self.ends = False
        self.pending = False
        """`rest`, or at least the end of the stream, is to be sent."""
        self.shut_since = 0.0

    def refusal(self) -> tuple[int, str] | None:
        """Status and message for a request that no handler should see."""
        limits, raw = self._connection.limits, self.headers.raw
        if self.method == "CONNECT":
            return 405, "This is not a forward proxy: CONNECT is not allowed."
        if len(self.path) + len(self.query) > limits.request_line_bytes:
            return 431, "The request target is too long."
        if len(raw) > limits.header_count or sum([len(n) + len(v) + 4 for n, v in raw]) > limits.head_bytes:
            return 431, "The request head is too large."
        if not (self.path[0] == "/" or self.path == "*") or not (self.path + self.query + self.method).isascii():
            return 400, "The request target or method is malformed."
        return None

    # -- the request body ---------------------------------------------------------------------------------------

    def take_body(self, data: bytes, flow_bytes: int) -> None:
        """A DATA frame came.  Its window goes back to the peer once somebody wants the body."""
        if not self._body:
            self._body = data
        elif type(self._body) is bytearray:
            self._body += data
        else:
            self._body = bytearray(self._body) + data
        if len(self._body) <= self._wanted_bytes:
            self._connection.protocol.give_back(self.stream_id, flow_bytes)
        else:
            self._unacknowledged += flow_bytes
        self._note_progress()

    def take_end(self) -> None:
        """END_STREAM came."""
        if self._length is not None and int(self._length) != len(self._body):  # h2 looks at the end of DATA only
            self.stop(Codes.PROTOCOL_ERROR, "the body was not as long as promised")
            return
        self.complete = True
        self._note_progress()

    def _note_progress(self) -> None:
        if self._wanted_bytes >= 0:
            self.progress.set()

    async def body(self, max_bytes: int) -> bytes:
        if not self.complete:
            if self._length is not None and int(self._length) > max_bytes:
                raise BodyTooLarge(max_bytes)
            await self._receive_body(max_bytes)
        if len(self._body) > max_bytes:
            raise BodyTooLarge(max_bytes)
        return bytes(self._body)

    async def receive(self) -> bytes:
        if not (self._body or self.complete):
            await self._receive_body(0)
        piece, self._body = bytes(self._body), b""
        if self._length is not None:
            self._length = b"%d" % (int(self._length) - len(piece))  # what it has promised and has not sent
        self._give_window_back()
        return piece

    async def _receive_body(self, max_bytes: int) -> None:
        """Until the body is whole, or longer than `max_bytes`."""
        connection = self._connection
        expects = self._wanted_bytes < 0 and not (self._body or self.started) and self.headers.get(b"expect")
        if expects and expects.lower() == b"100-continue":
            self._send_head([(b":status", b"100")], end=False)
        self.progress = trio.Event()
        self._wanted_bytes = max_bytes
        self._give_window_back()
        while not self.complete and len(self._body) <= max_bytes:
            self.progress = trio.Event()
            with trio.move_on_after(connection.limits.body_idle_s) as patience:
                await self.progress.wait()
            if patience.cancelled_caught:
                raise RequestTimeout("The request body stopped arriving.")

    def _give_window_back(self) -> None:
        if self._unacknowledged:
            self._connection.protocol.give_back(self.stream_id, self._unacknowledged)
            self._unacknowledged = 0
            self._connection.kick()

    # -- the response -------------------------------------------------------------------------------------------

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        self._begin(status, headers)
        if status not in BODILESS:
            self._head.append((b"content-length", b"%d" % len(body)))  # type: ignore[union-attr]
        await self.end(body)

    async def start(self, status: int, headers: HeaderList) -> None:
        self._begin(status, headers)

    async def send(self, chunk: bytes) -> None:
        await self._check_open()
        self._send_noted_head(end=False)
        if chunk and not self._bodiless:
            await self._connection.send(self, chunk, end=False)

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        await self._check_open()
        final = b"" if self._bodiless else final
        only_head = self._head is not None and not (final or broken)
        self._send_noted_head(end=only_head)
        if not only_head and (final or not broken):
            await self._connection.send(self, final, end=not broken)
        if broken:
            self._reset(Codes.INTERNAL_ERROR)
        self.ended = not self.torn

    def _begin(self, status: int, headers: HeaderList) -> None:
        if self.started:
            raise RuntimeError("the response has begun already")
        self.started = True
        if status in BODILESS:
            self._bodiless = True
        self._head = [(b":status", b"%d" % status), *headers, (b"date", http_date())]

    async def _check_open(self) -> None:
        """Where the handler of a stream that is gone finds its cancellation."""
        if self.gone:
            self.nursery.cancel_scope.cancel(reason="client reset the stream")
            await trio.sleep_forever()
        if self.ended or not self.started:
            raise RuntimeError("the response has ended, or was never begun")

    def _send_noted_head(self, *, end: bool) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._send_head(head, end=end)

    def _send_head(self, head: HeaderList, *, end: bool) -> None:
        if not self.gone:
            self._connection.protocol.send_head(self.stream_id, head, end=end)
            self._connection.kick()

    # -- waiting for the peer's window --------------------------------------------------------------------------

    def pend(self, data: bytes, *, end: bool) -> None:
        """Have `data` to send, and perhaps the end of the stream."""
        self.rest = memoryview(data)
        self.ends = end
        self.pending = True

    async def wait_sent(self) -> None:
        """Until the connection has taken all that is pending."""
        try:
            if self.pending:
                await self.sent.wait()
        finally:
            if self.pending:  # cancelled
                self._drop_pending()
                self.torn = True

    def _drop_pending(self) -> None:
        self.rest = b""
        self.pending = False

    # -- the end ------------------------------------------------------------------------------------------------

    def leave(self, reason: str) -> None:
        """The client does not want this any more: stop whatever is being done for it."""
        self.gone = True
        self._drop_pending()
        self._note_progress()
        nursery = getattr(self, "nursery", None)
        if nursery is not None:
            nursery.cancel_scope.cancel(reason=reason)

    def stop(self, code: h2.errors.ErrorCodes, reason: str) -> None:
        """End this stream from our side, whatever its handler is doing."""
        self._reset(code)
        self.leave(reason)

    def _reset(self, code: h2.errors.ErrorCodes) -> None:
        self._connection.protocol.abandon(self.stream_id, code)
        self._connection.kick()

    async def linger(self) -> None:
        """The answer is out and the request is not all here: let a small rest of it arrive before the reset.

        RFC 9113, section 8.1 lets a server reset at once, but clients that hear of the reset before they have read
        the answer lose it (curl 7.88).
        """
        if self.gone or not self.ended or self.complete or int(self._length or 0) > LINGER_BYTES:
            return
        self._wanted_bytes = LINGER_BYTES
        self._give_window_back()
        with trio.move_on_after(LINGER_S):
            while not (self.complete or self.gone) and len(self._body) <= LINGER_BYTES:
                self.progress = trio.Event()
                await self.progress.wait()

    def finish(self) -> None:
        """The handler is over.  Whatever it left open is closed; never waits."""
        self._give_window_back()
        if not self.gone:
            if not self.ended:
                self._reset(Codes.INTERNAL_ERROR)
            elif not self.complete:
                # RFC 9113, section 8.1: the answer is whole, the rest of the request is not needed.
                self._reset(Codes.NO_ERROR)
            else:
                self._connection.guard.credit(FloodGuard.REQUEST_CREDIT)
        self.gone = True
        self._connection.protocol.forget(self.stream_id)
