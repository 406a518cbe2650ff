"""One HTTP/2 connection of the server, as an actor: a reader, a writer, and a task a stream.

    reader    receives, feeds `h2`, starts and cancels streams, opens windows
    writer    the only task that sends; takes all that has gathered since its last send
    streams   each runs the handler in a nursery of its own; never touches the socket, so that cancelling it
              cannot tear a frame

Back-pressure: `send` returns once the peer's window and our small output buffer had room for the chunk; a stream
with a shut window waits alone.  Streams that wait take turns, one frame each.  A peer that reads nothing is not
read from either, once our answers to its frames pile up.

A request ends with its stream: RST_STREAM cancels its nursery, FIN, RST or a GOAWAY with an error cancel all of
them.  A GOAWAY without an error only says that no more requests will come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import trio

from hoosh.errors import ConnectionBroke
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.h2 import PREFACE, FloodGuard, MalformedHead, ServerProtocol, read_head
from hoosh.http.server_h1 import SENDS_AT_ONCE, Service, apologise, run_handler
from hoosh.http.stream_h2 import H2Stream
from hoosh.http.wire import Wire, linger

__all__ = ["H2Connection"]

Codes = h2.errors.ErrorCodes

OUTPUT_BYTES = 64 * 1024
"""Gathered for the writer before streams must wait."""
BACKLOG_BYTES = 2 * OUTPUT_BYTES
"""Before the reader must: acknowledgements, refusals and heads wait for nobody's window."""
TURN_BYTES = 16 * 1024
"""What a waiting stream may send in its turn: a frame that any peer takes."""
LAST_WORDS_S = 1.0
"""For the last frames to go out before the close, and for the peer's own FIN after that."""
LINGER_BYTES = 1024 * 1024


class H2Connection:
    """Serves one connection until either side ends it."""

    def __init__(self, wire: Wire, service: Service, *, scheme: str, accepted_at: float) -> None:
        self.wire = wire
        self.service = service
        self.scheme = scheme
        self.limits = service.limits
        self.protocol = ServerProtocol(self.limits)
        self.guard = FloodGuard(self.limits.flood, now=accepted_at)
        self.streams: dict[int, H2Stream] = {}
        self._arrival = accepted_at
        self._idle_since = accepted_at
        self._head_since: float | None = None
        self._closing = False
        """No new streams; the connection ends when the last one has."""
        self._finished = False
        """The writer sends what is queued, and ends."""
        self._left = False
        """Nobody is there to read what we send."""
        self._kicked = trio.Event()
        self._room = trio.Event()
        self._sending_bytes = 0
        self._sends = 0
        self._turns: deque[H2Stream] = deque()
        self._shut: dict[H2Stream, None] = {}
        """Streams with something to send and no window for it, oldest first."""
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
        self._idle_since = trio.current_time()
        try:
            async with trio.open_nursery() as connection:
                connection.start_soon(self._write)
                async with trio.open_nursery() as streams:
                    self._nursery = streams
                    await self._read(first)
                    streams.cancel_scope.cancel(reason="client left")
                self._finished = True
                self.kick()
                connection.cancel_scope.deadline = trio.current_time() + LAST_WORDS_S
            if not self._left:
                await linger(self.wire, within_s=LAST_WORDS_S, max_bytes=LINGER_BYTES)
        finally:
            self.wire.close()

    def drain(self) -> None:
        """GOAWAY; streams that run go on, new ones are refused; closed when none is left."""
        if not (self._closing or self._finished):
            self._closing = True
            self.protocol.send_goaway(Codes.NO_ERROR)
            self._close_if_done()
            self.kick()

    def sweep(self, now: float) -> None:
        """End what has taken too long: an idle connection, half a head, a stream whose window stays shut."""
        limits = self.limits
        if not self.guard.head_open:
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
        frames = data[len(PREFACE) :] if data.startswith(PREFACE) else data
        try:
            while data and not self._finished:
                self._arrival = trio.current_time()
                self.guard.feed(frames, now=self._arrival)
                if not self._take(data):
                    return
                if self._backlog_bytes:
                    self.kick()
                    if self._backlog_bytes > BACKLOG_BYTES:
                        await self._wait_room()
                frames = data = await self.wire.receive()
        except ConnectionBroke:
            pass
        self._left = not self._finished

    def _take(self, data: bytes) -> bool:
        """Act on what one receive brought.  False: the peer broke the protocol or our patience, stop reading."""
        try:
            if not self.guard.verdict():
                for event in self.protocol.receive_data(data):
                    act = self._on.get(type(event))
                    if act is not None:
                        act(event)
        except h2.exceptions.ProtocolError:
            self._finished = True  # h2 has queued the GOAWAY with its code
            return False
        verdict = self.guard.verdict()
        if verdict is not None:
            self._give_up(verdict)
        return verdict is None

    async def _wait_room(self) -> None:
        """Until the writer has caught up.  The peer's leaving is still seen."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_hangup)
            while self._backlog_bytes > BACKLOG_BYTES:
                self._room = trio.Event()
                await self._room.wait()
            nursery.cancel_scope.cancel()

    async def _watch_hangup(self) -> None:
        await self.wire.wait_hangup()
        self._leave()

    def _leave(self) -> None:
        """The peer is gone: stop whatever was being done for it."""
        self._left = self._closing = self._finished = True
        self.kick()
        self._nursery.cancel_scope.cancel(reason="client left")

    # -- what the reader brings ---------------------------------------------------------------------------------

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        if self._closing or len(self.streams) >= self.limits.streams:
            self._refuse(stream_id, Codes.REFUSED_STREAM)
            return
        try:
            head = read_head(event.headers)
        except MalformedHead:
            self._refuse(stream_id, Codes.PROTOCOL_ERROR)
            return
        stream = H2Stream(self, stream_id, head, self._arrival)
        self.streams[stream_id] = stream
        self._nursery.start_soon(self._serve, stream)

    def _refuse(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        self.guard.charge()
        self.protocol.abandon(stream_id, code)
        self.protocol.forget(stream_id)

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            self.protocol.give_back(event.stream_id, event.flow_controlled_length)
        else:
            stream.take_body(event.data, event.flow_controlled_length)

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.take_end()

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        if stream.started:
            self.guard.credit(1.0)  # a change of mind
        else:
            self.guard.charge()  # rapid reset: work asked for, and thrown away before an answer
        stream.leave("client reset the stream")

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        stream = self.streams.get(event.stream_id)
        if not event.stream_id:
            self._reopen()
        elif stream in self._shut:
            del self._shut[stream]
            self._turns.append(stream)
        self._pump()

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        self.protocol.settle_table()
        self._reopen()
        self._pump()

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        if event.error_code == Codes.NO_ERROR:
            self._closing = True
            self._close_if_done()
        else:
            self._leave()

    # -- streams ------------------------------------------------------------------------------------------------

    async def _serve(self, stream: H2Stream) -> None:
        try:
            if not stream.gone:
                refusal = stream.refusal()
                handler = self.service.handler if refusal is None else _refuser(self.service, *refusal)
                await self._run_in_nursery(handler, stream)
                await stream.linger()
        finally:
            stream.finish()
            self._shut.pop(stream, None)
            del self.streams[stream.stream_id]
            self._idle_since = trio.current_time()
            self._close_if_done()

    async def _run_in_nursery(self, handler: Handler, stream: H2Stream) -> None:
        try:
            async with trio.open_nursery() as nursery:  # the request's own
                stream.nursery = nursery
                await run_handler(handler, stream, self.service)  # which opens another, to apologise in
                if nursery.child_tasks:
                    nursery.cancel_scope.cancel(reason="request answered")
        except* Exception as bugs:
            await apologise(stream, bugs, self.service)

    def _close_if_done(self) -> None:
        if self._closing and not self.streams:
            self._finished = True
            self.kick()

    def _give_up(self, code: h2.errors.ErrorCodes) -> None:
        """GOAWAY and close, whatever runs."""
        if not self._finished:
            self.protocol.send_goaway(code)
            self._finished = True
            self.kick()
            self._nursery.cancel_scope.cancel(reason=f"connection given up: {code.name}")

    # -- sending ------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                data = self.protocol.data_to_send()
                if data:
                    self._sending_bytes = len(data)
                    await self.wire.send(data)
                    self._sending_bytes = 0
                    self._room.set()
                    self._pump()
                elif self._finished:
                    break
                else:
                    self._kicked = trio.Event()
                    await self._kicked.wait()
        except ConnectionBroke:
            self._left = True
        self._finished = True
        self._nursery.cancel_scope.cancel(reason="connection closed")

    def kick(self) -> None:
        """There is something to send."""
        self._kicked.set()

    @property
    def _backlog_bytes(self) -> int:
        return self._sending_bytes + self.protocol.queued_bytes

    async def send(self, stream: H2Stream, data: bytes, *, end: bool) -> None:
        """Queue `data` on an open `stream`; waits for the peer's window and for room in the output."""
        self._sends += 1
        if self._sends % SENDS_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        if stream.gone or stream.torn:
            return
        stream.pend(data, end=end)
        if self._turns or self._backlog_bytes >= OUTPUT_BYTES or not self._send_turn(stream) or stream.pending:
            stream.sent = trio.Event()
            self._turns.append(stream)
            self._pump()
            await stream.wait_sent()
        else:
            self.kick()

    def _reopen(self) -> None:
        self._turns.extend(self._shut)
        self._shut.clear()

    def _pump(self) -> None:
        """Give each waiting stream its turn while the output has room."""
        turns = self._turns
        while turns and self._backlog_bytes < OUTPUT_BYTES:
            stream = turns.popleft()
            if stream.gone or stream.torn:
                continue  # it was reset, or its handler has given up waiting
            if not self._send_turn(stream):
                stream.shut_since = trio.current_time()
                self._shut[stream] = None
            elif stream.pending:
                turns.append(stream)
            else:
                stream.sent.set()
        if self.protocol.queued_bytes:
            self.kick()

    def _send_turn(self, stream: H2Stream) -> bool:
        """Queue one frame of what `stream` has to send.  False: its window is shut."""
        wanted = min(len(stream.rest), TURN_BYTES)
        size = max(0, min(wanted, self.protocol.window(stream.stream_id)))
        if wanted and not size:
            return False
        piece, stream.rest = stream.rest[:size], stream.rest[size:]
        stream.pending = bool(stream.rest)
        self.protocol.send_body(stream.stream_id, piece, end=stream.ends and not stream.pending)
        self.guard.sent_data(size, cut_by_window=size < wanted)
        return True


def _refuser(service: Service, status: int, message: str) -> Callable[[Exchange], Any]:
    """A handler for requests that are not fit for the real one."""

    async def refuse(exchange: Exchange) -> None:
        await exchange.respond(status, *service.error_page(status, message, exchange.path))

    return refuse
