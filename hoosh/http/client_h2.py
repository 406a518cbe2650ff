"""HTTP/2 as a client: a connection is an actor, and requests never touch its socket.

    request tasks ──begin, credit, abandon: all synchronous──▶ h2 ──frames──▶ [out] ──writer──▶ wire
    request tasks ◀──parts, ended, error: one wake-up each─── h2 ◀──────────────── reader ◀──── wire

So cancelling a request can only ever queue RST_STREAM(CANCEL); it cannot tear a frame or lose the HPACK table.

Flow control (RFC 9113, section 5.2): the upstream may send STREAM_WINDOW_BYTES per stream ahead of its consumer, and
gets that back only for what the consumer took.  The connection's window holds every stream's, so a slow consumer
stops its own stream and no other.  A buffered `read` takes as it comes and is given more (`widen`).

Request bodies are cut into frames as windows allow, one frame a stream in turn, and never more than BACKLOG_BYTES
ahead of the socket.

The life of a connection:

    OPEN ──GOAWAY, suspect──▶ DRAINING (no new streams) ──last stream left──▶ FINISHING (GOAWAY written) ──▶ gone
      └──────────────────────────── EOF, reset, protocol error ────────────────────────────────────────────▶ gone
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio

from hoosh.errors import ConnectionBroke, ProtocolViolation
from hoosh.http.client_h2_stream import H2Response
from hoosh.http.client_response import MAX_HEAD_BYTES, MAX_HEADERS
from hoosh.http.message import Headers, HttpRequest
from hoosh.http.watch import Alarm
from hoosh.http.wire import Wire

__all__ = ["H2Connection"]

STREAM_WINDOW_BYTES = 65_535
CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
BACKLOG_BYTES = 64 * 1024
FLOOD_BYTES = 1024 * 1024
"""More unsent bytes than this are answers to PING and SETTINGS of a peer that does not read."""

GOODBYE_S = 1.0
"""For writing a last GOAWAY."""

SUSPECT_AFTER_S = 2.0
"""A request that waited so long while the whole connection was silent, and gave up, casts doubt on the connection."""

log = logging.getLogger("hoosh.http")

_CODES = h2.settings.SettingCodes
_OPEN = h2.connection.ConnectionState.CLIENT_OPEN

_CONNECTION_HEADERS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""RFC 9113, section 8.2.2: these have no meaning in HTTP/2, and make a message malformed."""


class _StateMachine(h2.connection.H2ConnectionStateMachine):
    """`h2` takes GOAWAY for the end; it only says that there will be no new streams (RFC 9113, section 6.8)."""

    _transitions = {  # noqa: RUF012  (h2 keeps it on the class)
        **h2.connection.H2ConnectionStateMachine._transitions,
        (_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY): (None, _OPEN),
    }


class H2Owner(Protocol):
    """Whoever keeps the connections: the pool."""

    sweeps: int
    """How often it has looked for idle connections: its clock for them."""

    def room_made(self) -> None:
        """There may be room for another stream."""
        ...

    def lost(self, connection: H2Connection) -> None:
        """The connection is gone."""
        ...


class H2Connection:
    """The actor: `run` it in a nursery that outlives the requests."""

    def __init__(self, wire: Wire, owner: H2Owner, *, max_streams: int) -> None:
        self.reads = 0
        """How often something has been received."""
        self.begun = 0
        """How many streams there have been."""
        self.idle_since = owner.sweeps
        self.streams: dict[int, H2Response] = {}
        self._wire = wire
        self._owner = owner
        self._max_streams = max_streams
        self._reserved = 0
        self._draining = False
        self._finishing = False
        self._suspected_at_read = -1
        self._unsent: dict[int, H2Response] = {}
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._something_to_write = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self._ending = "connection closed by the upstream"
        self._h2 = _client_connection()
        self._handlers: dict[type[h2.events.Event], Callable[[Any], None]] = {
            h2.events.DataReceived: self._on_data,
            h2.events.ResponseReceived: self._on_head,
            h2.events.StreamEnded: self._on_end,
            h2.events.StreamReset: self._on_reset,
            h2.events.ConnectionTerminated: self._on_goaway,
        }
        self._flush()

    # For requests and the pool: nothing here waits.

    def reserve(self) -> bool:
        """Take a place for one stream, to be used by `begin` before anything else is awaited."""
        if self._draining or self.is_suspect():
            return False
        if len(self.streams) + self._reserved >= min(
            self._max_streams, self._h2.remote_settings.max_concurrent_streams
        ):
            return False
        self._reserved += 1
        return True

    def is_unused(self) -> bool:
        return not self.streams and not self._reserved

    def is_suspect(self) -> bool:
        """In doubt since a request gave up, and nothing has been heard since."""
        return self._suspected_at_read == self.reads

    def takes_none(self) -> bool:
        """The peer allows no streams at all for now."""
        return not self._draining and not self._h2.remote_settings.max_concurrent_streams

    def begin(self, request: HttpRequest, alarm: Alarm) -> H2Response:
        """Send the request in the place reserved for it.  What goes wrong is raised by the response."""
        self._reserved -= 1
        response = H2Response(self, alarm)
        self.begun += 1
        if self._draining:
            response.fail(ConnectionBroke("connection is closing", request_lost=True))
            return response
        try:
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, _head(request), end_stream=not request.body)
        except h2.exceptions.ProtocolError as error:
            # No stream ids are left, or the peer has just lowered its limit.
            self._draining = isinstance(error, h2.exceptions.NoAvailableStreamIDError)
            response.fail(ConnectionBroke("connection takes no more streams", request_lost=True))
            return response
        response.stream_id = stream_id
        self.streams[stream_id] = response
        if not isinstance(request.body, bytes):
            response.withheld = True
        elif request.body:
            response.unsent = memoryview(request.body)
            self._unsent[stream_id] = response
        self._pump()
        return response

    def push(self, response: H2Response, piece: bytes, *, is_last: bool) -> None:
        """Send the next piece of a body; `response.wants_more` when it is gone.

        Reading the piece took time, and the stream may have failed meanwhile: then nothing is sent into it.
        """
        if response.error is None and response.stream_id in self.streams and not self._finishing:
            response.unsent = memoryview(piece)
            response.withheld = not is_last
            self._unsent[response.stream_id] = response
            self._pump()

    def credit(self, response: H2Response) -> None:
        """The consumer took what had arrived: let the peer send as much again."""
        taken, response.untaken_bytes = response.untaken_bytes, 0
        if not self._finishing:
            self._h2.acknowledge_received_data(taken, response.stream_id)
            self._flush()

    def widen(self, response: H2Response, window_bytes: int) -> None:
        """Let the peer send further ahead on a stream whose consumer takes everything at once."""
        if window_bytes > STREAM_WINDOW_BYTES and response.stream_id in self.streams and response.error is None:
            self._h2.increment_flow_control_window(window_bytes - STREAM_WINDOW_BYTES, response.stream_id)
            self._flush()

    def abandon(self, response: H2Response, *, silent_s: float) -> None:
        """Leave a stream.  Resets it unless both sides are done with it; a second time does nothing."""
        if self.streams.pop(response.stream_id, None) is None:
            return
        if response.error is None and (not response.ended or response.unsent or response.withheld):
            self._reset(response, h2.errors.ErrorCodes.CANCEL)
            if self.reads == response.reads_before and silent_s >= SUSPECT_AFTER_S:
                self._suspect()
        self._unsent.pop(response.stream_id, None)
        if response.untaken_bytes:
            self.credit(response)  # what nobody will take still counts in the connection's window
        self._flush()
        self.idle_since = self._owner.sweeps
        self._check_room()

    def retire(self) -> None:
        """Say GOAWAY, write it, close.  For a connection without streams."""
        self._finish(h2.errors.ErrorCodes.NO_ERROR)

    # The actor.

    async def run(self) -> None:
        """Until the connection ends or this is cancelled; then every stream that is left fails."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
        except Exception:  # one connection's misfortune is not its neighbours'
            log.exception("HTTP/2 connection failed")
            self._ending = "connection failed"
        finally:
            self._draining = self._finishing = True
            self._wire.close()
            self._fail_streams()
            self._owner.lost(self)

    async def _read(self) -> None:
        while True:
            try:
                data = await self._wire.receive()
            except ConnectionBroke as error:
                self._ending = str(error)
                break
            if not data:
                break
            self.reads += 1
            if self.reads == 1 and data[3:4] not in (_SETTINGS, b""):  # RFC 9113, section 3.4
                self._ending = "the upstream does not speak HTTP/2"
                break
            try:
                self._take(data)
            except h2.exceptions.ProtocolError as error:
                # The type says enough; the message may repeat what the peer sent.
                self._ending = f"HTTP/2 violation by the upstream: {type(error).__name__}"
                self._finish(None)  # h2 has queued GOAWAY
                await trio.sleep_forever()
        self._scope.cancel(reason="connection ended")

    def _take(self, data: bytes) -> None:
        events = self._h2.receive_data(data)
        self._queue(_without_echoes(self._h2.data_to_send()))
        for event in events:
            if (handler := self._handlers.get(type(event))) is not None:
                handler(event)
        self._pump()
        self._check_room()

    async def _write(self) -> None:
        while True:
            if self._out:
                data = b"".join(self._out)
                self._out.clear()
                self._out_bytes = 0
                try:
                    await self._wire.send(data)
                except ConnectionBroke as error:
                    self._ending = str(error)
                    self._scope.cancel(reason="connection broke")
                self._pump()
            elif self._finishing:
                self._scope.cancel(reason="connection finished")
                await trio.sleep_forever()
            else:
                await self._something_to_write.park()

    def _finish(self, code: h2.errors.ErrorCodes | None) -> None:
        """Write what is queued, GOAWAY(`code`) last, within GOODBYE_S; then end."""
        if self._finishing:
            return
        self._draining = self._finishing = True
        if code is not None:
            self._h2.close_connection(code)
        self._fail_streams()
        self._flush()
        self._something_to_write.unpark()
        self._scope.deadline = trio.current_time() + GOODBYE_S

    def _check_room(self) -> None:
        """A stream was left, or something was received: there may be room for a request, or nothing left to do."""
        if self._draining and not self.streams:
            self._finish(h2.errors.ErrorCodes.NO_ERROR)
        self._owner.room_made()

    def _fail_streams(self) -> None:
        for response in self.streams.values():
            response.fail(ConnectionBroke(self._ending))
        self.streams.clear()
        self._unsent.clear()

    def _suspect(self) -> None:
        """No new streams until something is heard; PING asks for a sign of life (RFC 9113, section 6.7)."""
        if not self.is_suspect() and not self._finishing:
            self._suspected_at_read = self.reads
            self._h2.ping(b"hoosh-up")

    def _pump(self) -> None:
        """Queue request bodies as far as windows and the backlog allow, one frame a stream in turn; then flush."""
        moved = True
        while moved and self._unsent and self._out_bytes < BACKLOG_BYTES:
            moved = False
            for response in list(self._unsent.values()):
                if self._out_bytes < BACKLOG_BYTES and self._push_frame(response):
                    moved = True
                    self._flush()
        self._flush()

    def _push_frame(self, response: H2Response) -> bool:
        stream_id = response.stream_id
        room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
        if room <= 0:
            return False
        piece, response.unsent = response.unsent[:room], response.unsent[room:]
        self._h2.send_data(stream_id, bytes(piece), end_stream=not (response.unsent or response.withheld))
        if not response.unsent:
            del self._unsent[stream_id]
            if response.withheld:
                response.wants_more()
        return True

    def _flush(self) -> None:
        """Move what h2 has to say to the writer."""
        self._queue(self._h2.data_to_send())

    def _queue(self, data: bytes) -> None:
        if not data:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        self._something_to_write.unpark()
        if self._out_bytes > FLOOD_BYTES:
            self._ending = "HTTP/2 flood by the upstream"
            self._scope.cancel(reason="HTTP/2 flood")

    # Events of h2.

    def _on_data(self, event: h2.events.DataReceived) -> None:
        response = self.streams.get(event.stream_id)
        size = event.flow_controlled_length
        if response is None:  # left: the bytes were on their way
            self._h2.acknowledge_received_data(size, event.stream_id)
            return
        response.untaken_bytes += size
        response.body_arrived(event.data)
        if not event.data:  # only padding: there is nothing for the consumer to take
            self.credit(response)

    def _on_head(self, event: h2.events.ResponseReceived) -> None:
        response = self.streams.get(event.stream_id)
        if response is None:
            return
        raw = [(bytes(name), bytes(value)) for name, value in event.headers]
        status = next((value for name, value in raw if name == b":status"), b"")
        headers = Headers([header for header in raw if not header[0].startswith(b":")])
        if len(raw) > MAX_HEADERS or not (status.isdigit() and 200 <= int(status) <= 999):
            self._reject(response, "response head is not acceptable")
        else:
            response.head_arrived(int(status), headers)

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        if (response := self.streams.get(event.stream_id)) is not None:
            response.end_arrived()

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        response = self.streams.get(event.stream_id)
        if response is None:
            return
        self._unsent.pop(event.stream_id, None)
        response.unsent, response.withheld = memoryview(b""), False
        code = event.error_code
        lost = code == h2.errors.ErrorCodes.REFUSED_STREAM
        response.fail(ConnectionBroke(f"stream reset by the upstream: {_name(code)}", request_lost=lost))

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        self._draining = True
        last = event.last_stream_id or 0
        self._ending = f"connection closed by the upstream: {_name(event.error_code)}"
        for response in list(self.streams.values()):
            if response.stream_id > last:
                self._unsent.pop(response.stream_id, None)
                response.fail(ConnectionBroke("upstream is closing the connection", request_lost=True))

    def _reject(self, response: H2Response, message: str) -> None:
        self._reset(response, h2.errors.ErrorCodes.PROTOCOL_ERROR)
        response.fail(ProtocolViolation(message))

    def _reset(self, response: H2Response, code: h2.errors.ErrorCodes) -> None:
        self._unsent.pop(response.stream_id, None)
        try:
            self._h2.reset_stream(response.stream_id, code)
        except h2.exceptions.StreamClosedError:
            pass  # its end has just been received


def _client_connection() -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(
        client_side=True,
        header_encoding=None,
        validate_outbound_headers=False,  # what we send is our own, lower-case and clean
        normalize_outbound_headers=False,
    )
    connection = h2.connection.H2Connection(config)
    connection.state_machine = _StateMachine()
    connection.local_settings = h2.settings.Settings(
        client=True,
        initial_values={
            _CODES.ENABLE_PUSH: 0,
            _CODES.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            _CODES.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
        },
    )
    connection.decoder.max_header_list_size = MAX_HEAD_BYTES
    connection.initiate_connection()
    connection.increment_flow_control_window(CONNECTION_WINDOW_BYTES - STREAM_WINDOW_BYTES)
    return connection


def _head(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    head = request.head
    fields = [
        (b":method", head.method.encode("ascii")),
        (b":scheme", head.origin.scheme.encode("ascii")),
        (b":authority", head.origin.authority),
        (b":path", head.target.encode("ascii")),
    ]
    fields += [header for header in head.headers if header[0] not in _CONNECTION_HEADERS]
    fields += [header for header in request.extra if header[0] not in _CONNECTION_HEADERS]
    if request.body:
        fields.append((b"content-length", b"%d" % len(request.body)))
    return fields


def _without_echoes(data: bytes) -> bytes:
    """Drop RST_STREAM(STREAM_CLOSED) frames, with which h2 answers each frame of a stream that we have reset.

    They were on their way when we left, and RFC 9113, section 5.1 says to ignore them; answering every one looks like
    a flood to the upstream.
    """
    if _RST_STREAM not in data:
        return data
    kept = []
    position = 0
    while position < len(data):
        end = position + 9 + int.from_bytes(data[position : position + 3], "big")
        if not (data[position : position + 5] == _RST_STREAM and data[end - 4 : end] == _STREAM_CLOSED):
            kept.append(data[position:end])
        position = end
    return b"".join(kept)


_SETTINGS = b"\x04"
_RST_STREAM = b"\x00\x00\x04\x03\x00"
_STREAM_CLOSED = h2.errors.ErrorCodes.STREAM_CLOSED.to_bytes(4, "big")


def _name(code: h2.errors.ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, h2.errors.ErrorCodes) else str(code)
