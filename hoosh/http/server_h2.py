"""One HTTP/2 connection of the server, as an actor: a reader, a writer, and a task a stream.

    reader    receives, feeds `h2`, starts and cancels streams, opens windows
    writer    the only task that sends; takes all that has gathered since its last send
    streams   each runs the handler in a nursery of its own; never touches the socket, so that cancelling it
              cannot tear a frame

Back-pressure: `send` returns once the peer's window and our small output buffer had room for the chunk; a stream
with a shut window waits alone.  Streams that wait take turns, one frame each.

A request ends with its stream: RST_STREAM cancels its nursery, FIN, RST or a GOAWAY with an error cancel all of
them.  A GOAWAY without an error only says that no more requests will come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio

from hoosh.errors import BodyTooLarge, ConnectionBroke, RequestTimeout
from hoosh.http.exchange import Handler
from hoosh.http.h1 import http_date
from hoosh.http.h2 import PREFACE, FloodGuard, send_goaway, server_connection
from hoosh.http.message import HeaderList, Headers, Limits
from hoosh.http.server_h1 import ErrorPage
from hoosh.http.wire import Wire

__all__ = ["PREFACE", "H2Connection"]

Codes = h2.errors.ErrorCodes

OUTPUT_BYTES = 64 * 1024
"""Gathered for the writer before streams must wait."""
TURN_BYTES = 16 * 1024
"""What a waiting stream may send in its turn."""
LAST_WORDS_S = 1.0
"""For a GOAWAY to go out before the close."""


class H2Connection:
    """Serves one connection until either side ends it."""

    def __init__(
        self, wire: Wire, handler: Handler, limits: Limits, error_page: ErrorPage, *, scheme: str, accepted_at: float
    ) -> None:
        self.wire = wire
        self.scheme = scheme
        self.limits = limits
        self.h2 = server_connection(limits)
        self.guard = FloodGuard(limits.flood, now=accepted_at)
        self.streams: dict[int, H2Stream] = {}
        self._handler = handler
        self._error_page = error_page
        self._arrival = accepted_at
        self._idle_since = accepted_at
        self._head_since: float | None = None
        self._closing = False
        """No new streams; the connection ends when the last one has."""
        self._finished = False
        """The writer sends what is queued, and ends."""
        self._kicked = trio.Event()
        self._unsent_bytes = 0
        self._turns: deque[H2Stream] = deque()
        self._shut: set[H2Stream] = set()
        """Streams with something to send and no window for it."""
        self._nursery: trio.Nursery
        self._on: dict[type[h2.events.Event], Callable[[Any], None]] = {
            h2.events.RequestReceived: self._on_request,
            h2.events.DataReceived: self._on_data,
            h2.events.StreamEnded: self._on_end,
            h2.events.StreamReset: self._on_reset,
            h2.events.WindowUpdated: self._on_window,
            h2.events.RemoteSettingsChanged: self._on_settings,
            h2.events.ConnectionTerminated: self._on_goaway,
        }

    async def run(self, first: bytes) -> None:
        """Serve until the end.  `first` has been received already, to tell the protocols apart."""
        try:
            async with trio.open_nursery() as connection:
                connection.start_soon(self._write)
                async with trio.open_nursery() as streams:
                    self._nursery = streams
                    await self._read(first)
                    streams.cancel_scope.cancel(reason="client left")
                await self._last_words(connection)
        finally:
            self.wire.close()

    def drain(self) -> None:
        """GOAWAY; streams that run go on, new ones are refused; closed when none is left."""
        if not self._closing:
            self._closing = True
            send_goaway(self.h2, Codes.NO_ERROR)
            self._close_if_done()
            self.kick()

    def sweep(self, now: float) -> None:
        """End what has taken too long: an idle connection, half a head, a stream whose window stays shut."""
        limits = self.limits
        if not self.guard.head_frame_open:
            self._head_since = None
        elif self._head_since is None:
            self._head_since = now
        elif now - self._head_since > limits.head_s:
            self._give_up(Codes.ENHANCE_YOUR_CALM)
        if not self.streams and now - self._idle_since > limits.keepalive_s:
            self.drain()
        for stream in list(self._shut):
            if now - stream.shut_since > limits.send_idle_s:
                stream.stop(Codes.CANCEL, "peer stopped reading")

    # -- the reader task ----------------------------------------------------------------------------------------

    async def _read(self, data: bytes) -> None:
        try:
            while data and not self._finished:
                now = trio.current_time()
                self._arrival = now
                self.guard.feed(data[len(PREFACE) :] if data.startswith(PREFACE) else data, now=now)
                if not self._take(data):
                    return
                self.kick()
                data = await self.wire.receive()
        except ConnectionBroke:
            pass

    def _take(self, data: bytes) -> bool:
        """Act on what one receive brought.  False: the peer broke the protocol or our patience, stop reading."""
        if self.guard.is_exhausted():
            self._give_up(Codes.ENHANCE_YOUR_CALM)
            return False
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._finished = True  # h2 has queued the GOAWAY with its code
            return False
        for event in events:
            act = self._on.get(type(event))
            if act is not None:
                act(event)
        if self.guard.is_exhausted():
            self._give_up(Codes.ENHANCE_YOUR_CALM)
            return False
        return True

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        if self._closing or len(self.streams) >= self.limits.streams:
            self.h2.reset_stream(stream_id, Codes.REFUSED_STREAM)
            self.guard.charge()
            return
        stream = H2Stream(self, stream_id, event.headers, self._arrival)
        self.streams[stream_id] = stream
        self._nursery.start_soon(self._serve, stream)

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            self._acknowledge(event.stream_id, event.flow_controlled_length)
        else:
            stream.take_body(event.data, event.flow_controlled_length)

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.complete = True
            stream.progress.set()

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None or not stream.started:
            self.guard.charge()  # rapid reset: work asked for, and thrown away before an answer
        if stream is not None:
            stream.leave("client reset the stream")

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        if event.stream_id:
            stream = self.streams.get(event.stream_id)
            if stream in self._shut:
                self._shut.discard(stream)
                self._turns.append(stream)
        else:
            self._reopen()
        self._pump()

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        self._reopen()
        self._pump()

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        if event.error_code != Codes.NO_ERROR:
            self._finished = True
            return
        # h2 has closed its state machine; the streams that run may finish all the same (RFC 9113, section 6.8).
        self.h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
        self._closing = True
        self._close_if_done()

    def _acknowledge(self, stream_id: int, size: int) -> None:
        """Give `size` bytes of window back to the peer."""
        if size:
            try:
                self.h2.acknowledge_received_data(size, stream_id)
            except h2.exceptions.ProtocolError:  # the stream is gone: its share of the connection's window is not
                self.h2.increment_flow_control_window(size)

    # -- streams ------------------------------------------------------------------------------------------------

    async def _serve(self, stream: H2Stream) -> None:
        try:
            if not stream.gone and stream.is_acceptable():
                async with trio.open_nursery() as stream.nursery:  # the request's own
                    await self._handler(stream)
                    if stream.nursery.child_tasks:
                        stream.nursery.cancel_scope.cancel(reason="request answered")
        finally:
            stream.finish()
            self._turns_without(stream)
            del self.streams[stream.stream_id]
            self._idle_since = trio.current_time()
            self._close_if_done()
            self.kick()

    def _turns_without(self, stream: H2Stream) -> None:
        self._shut.discard(stream)
        if stream.rest:
            stream.rest = memoryview(b"")  # a turn that comes up empty is skipped

    def refuse(self, stream: H2Stream, status: int, message: str) -> None:
        """Answer a request that is not fit for a handler."""
        headers, body = self._error_page(status, message)
        stream.started = stream.ended = True
        self.h2.send_headers(stream.stream_id, [(b":status", b"%d" % status), *headers])
        self.h2.send_data(stream.stream_id, body[:TURN_BYTES], end_stream=True)

    def _close_if_done(self) -> None:
        if self._closing and not self.streams:
            self._finished = True
            self.kick()

    def _give_up(self, code: h2.errors.ErrorCodes) -> None:
        """GOAWAY and close, whatever runs."""
        if not self._finished:
            send_goaway(self.h2, code)
            self._finished = True
            self.kick()
            self._nursery.cancel_scope.cancel(reason=f"connection given up: {code.name}")

    # -- sending ------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                data = self.h2.data_to_send()
                if data:
                    await self.wire.send(data)
                    self._unsent_bytes = 0
                    self._pump()
                elif self._finished:
                    break
                else:
                    self._kicked = trio.Event()
                    await self._kicked.wait()
        except ConnectionBroke:
            pass
        self._finished = True
        self._nursery.cancel_scope.cancel(reason="connection closed")

    def kick(self) -> None:
        """There is something to send."""
        self._kicked.set()

    async def _last_words(self, connection: trio.Nursery) -> None:
        """The streams are over: let the writer finish, but not for long."""
        self._finished = True
        self.kick()
        connection.cancel_scope.deadline = trio.current_time() + LAST_WORDS_S

    async def send(self, stream: H2Stream, data: bytes, *, end: bool = False) -> None:
        """Queue `data` on `stream`; waits for the peer's window and for room in the output."""
        if not self._turns and self._unsent_bytes < OUTPUT_BYTES:
            size = len(data)
            if size <= TURN_BYTES and size <= self.h2.local_flow_control_window(stream.stream_id):
                self.h2.send_data(stream.stream_id, data, end_stream=end)
                self._unsent_bytes += size
                self.guard.credit(2.0)
                self.kick()
                return
        stream.rest, stream.rest_ends = memoryview(data), end
        self._turns.append(stream)
        self._pump()
        while stream.rest:
            stream.drained = trio.Event()
            await stream.drained.wait()

    def _reopen(self) -> None:
        self._turns.extend(self._shut)
        self._shut.clear()

    def _pump(self) -> None:
        """Give each waiting stream its turn while the output has room."""
        turns = self._turns
        while turns and self._unsent_bytes < OUTPUT_BYTES:
            stream = turns.popleft()
            if not stream.rest or stream.gone:
                continue
            size = self._send_turn(stream)
            if size == 0:
                stream.shut_since = trio.current_time()
                self._shut.add(stream)
            elif stream.rest:
                turns.append(stream)
            else:
                stream.drained.set()
        self.kick()

    def _send_turn(self, stream: H2Stream) -> int:
        window = self.h2.local_flow_control_window(stream.stream_id)
        wanted = min(len(stream.rest), TURN_BYTES, self.h2.max_outbound_frame_size)
        size = min(wanted, window)
        if size <= 0:
            return 0
        ends = stream.rest_ends and size == len(stream.rest)
        self.h2.send_data(stream.stream_id, bytes(stream.rest[:size]), end_stream=ends)
        stream.rest = stream.rest[size:]
        self._unsent_bytes += size
        self.guard.sent_data(size, cut_by_window=size < wanted)
        return size


class H2Stream:
    """One request on an HTTP/2 connection; see `exchange.Exchange`."""

    __slots__ = (
        "_connection",
        "_head",
        "_unacknowledged",
        "arrived_at",
        "body_bytes",
        "complete",
        "drained",
        "ended",
        "gone",
        "headers",
        "method",
        "nursery",
        "path",
        "peer",
        "pieces",
        "progress",
        "query",
        "rest",
        "rest_ends",
        "scheme",
        "shut_since",
        "started",
        "stream_id",
        "version",
        "wanted_bytes",
    )
    nursery: trio.Nursery

    def __init__(self, connection: H2Connection, stream_id: int, raw: HeaderList, arrived_at: float) -> None:
        self._connection = connection
        self._head: list[tuple[bytes, bytes]] | None = None
        self._unacknowledged = 0
        self.stream_id = stream_id
        self.version = "2"
        self.peer = connection.wire.peer
        self.scheme = connection.scheme
        self.arrived_at = arrived_at
        self.started = self.ended = self.complete = self.gone = False
        self.pieces: list[bytes] = []
        self.body_bytes = 0
        self.wanted_bytes = -1
        self.progress = trio.Event()
        self.rest = memoryview(b"")
        self.rest_ends = False
        self.drained = trio.Event()
        self.shut_since = 0.0
        self._read_head(raw)

    def _read_head(self, raw: HeaderList) -> None:
        method = path = b""
        fields: list[tuple[bytes, bytes]] = []
        for name, value in raw:
            if name == b":path":
                path = value
            elif name == b":method":
                method = value
            elif name == b":authority":
                fields.append((b"host", value))
            elif name[:1] != b":":
                fields.append((name, value))
        self.headers = Headers(fields)
        self.method = method.decode("latin-1")
        self.path, _, self.query = path.decode("latin-1").partition("?")

    def is_acceptable(self) -> bool:
        """Check what `h2` does not; a request that fails is answered here."""
        limits, raw = self._connection.limits, self.headers.raw
        if len(self.path) + len(self.query) > limits.request_line_bytes:
            refusal = 431, "The request target is too long."
        elif len(raw) > limits.header_count or sum(len(n) + len(v) + 4 for n, v in raw) > limits.head_bytes:
            refusal = 431, "The request head is too large."
        elif self.method == "CONNECT":
            refusal = 405, "This is not a forward proxy: CONNECT is not allowed."
        elif not (self.path.startswith("/") or self.path == "*") or not (self.path + self.method).isascii():
            refusal = 400, "The request target or method is malformed."
        else:
            return True
        self._connection.refuse(self, *refusal)
        return False

    # -- the request body ---------------------------------------------------------------------------------------

    def take_body(self, data: bytes, flow_bytes: int) -> None:
        """A DATA frame came.  Its window goes back to the peer once somebody wants the body."""
        self.body_bytes += len(data)
        if data:
            self.pieces.append(data)
        if 0 <= self.body_bytes <= self.wanted_bytes:
            self._connection._acknowledge(self.stream_id, flow_bytes)
        else:
            self._unacknowledged += flow_bytes
        self.progress.set()

    async def body(self, max_bytes: int) -> bytes:
        if not self.complete:
            await self._receive_body(max_bytes)
        if self.body_bytes > max_bytes:
            raise BodyTooLarge(max_bytes)
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    async def _receive_body(self, max_bytes: int) -> None:
        length = self.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > max_bytes:
            raise BodyTooLarge(max_bytes)
        connection = self._connection
        if not self.body_bytes and (self.headers.get(b"expect") or b"").lower() == b"100-continue":
            connection.h2.send_headers(self.stream_id, [(b":status", b"100")])
        self.wanted_bytes = max_bytes
        self._give_window_back()
        while not self.complete and self.body_bytes <= max_bytes:
            self.progress = trio.Event()
            with trio.move_on_after(connection.limits.body_idle_s) as patience:
                await self.progress.wait()
            if patience.cancelled_caught:
                raise RequestTimeout("The request body stopped arriving.")

    def _give_window_back(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        self._connection._acknowledge(self.stream_id, size)
        self._connection.kick()

    # -- the response -------------------------------------------------------------------------------------------

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        self.started = True
        head = [(b":status", b"%d" % status), *headers, (b"content-length", b"%d" % len(body)), (b"date", http_date())]
        if self.method == "HEAD" or not body:
            self._send_head(head, end=True)
        else:
            self._send_head(head)
            await self._connection.send(self, body, end=True)
        self.ended = True

    async def start(self, status: int, headers: HeaderList) -> None:
        self.started = True
        self._head = [(b":status", b"%d" % status), *headers, (b"date", http_date())]

    async def send(self, chunk: bytes) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._send_head(head)
        if chunk and self.method != "HEAD":
            await self._connection.send(self, chunk)

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        final = b"" if self.method == "HEAD" else final
        if self._head is not None:
            head, self._head = self._head, None
            self._send_head(head, end=not (final or broken))
            if not (final or broken):
                self.ended = True
                return
        if final or not broken:
            await self._connection.send(self, final, end=not broken)
        if broken:
            self._reset(Codes.INTERNAL_ERROR)
        self.ended = True

    def _send_head(self, head: list[tuple[bytes, bytes]], *, end: bool = False) -> None:
        if not self.gone:
            self._connection.h2.send_headers(self.stream_id, head, end_stream=end)
            self._connection.kick()

    # -- the end ------------------------------------------------------------------------------------------------

    def leave(self, reason: str) -> None:
        """The client does not want this any more: stop whatever is being done for it."""
        self.gone = True
        self.progress.set()
        nursery = getattr(self, "nursery", None)
        if nursery is not None:
            nursery.cancel_scope.cancel(reason=reason)

    def stop(self, code: h2.errors.ErrorCodes, reason: str) -> None:
        """End this stream from our side, whatever its handler is doing."""
        self._reset(code)
        self.leave(reason)

    def _reset(self, code: h2.errors.ErrorCodes) -> None:
        if not self.gone:
            self.ended = True
            try:
                self._connection.h2.reset_stream(self.stream_id, code)
            except h2.exceptions.ProtocolError:
                pass  # closed already
            self._connection.kick()

    def finish(self) -> None:
        """The handler is over.  Whatever it left open is closed; never waits."""
        if not self.gone:
            if not self.ended:
                self._reset(Codes.INTERNAL_ERROR)
            elif not self.complete:
                # RFC 9113, section 8.1: the answer is whole, the rest of the request is not needed.
                self._reset(Codes.NO_ERROR)
            else:
                self._connection.guard.credit(FloodGuard.REQUEST_CREDIT)
        self._give_window_back()
