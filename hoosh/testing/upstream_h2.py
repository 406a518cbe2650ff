"""The HTTP/2 side of FakeUpstream: enough to see streams come, be answered and be reset.  Respects windows."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import trio

from hoosh.http.message import Headers
from hoosh.http.wire import Wire
from hoosh.testing.upstream import Body, Cut, End, FakeUpstream, Hang, Head, Pause, Received, Reset, Step

__all__ = ["H2Conversation"]


class _Stream:
    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self.body = bytearray()
        self.scope = trio.CancelScope()
        self.request: Received | None = None


class H2Conversation:
    """One connection: this task reads, a writer writes, each request's script is a task."""

    def __init__(self, upstream: FakeUpstream, wire: Wire, number: int) -> None:
        self._upstream = upstream
        self._wire = wire
        self._number = number
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self._streams: dict[int, _Stream] = {}
        self._changed = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        self._h2.initiate_connection()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            while data := await self._wire.receive():
                for event in self._h2.receive_data(data):
                    self._handle(event, nursery)
                self._changed.unpark_all()
            self._upstream.closed_by_peer += 1
            nursery.cancel_scope.cancel(reason="peer left")

    async def _write(self) -> None:
        while True:
            if data := self._h2.data_to_send():
                await self._wire.send(data)
            else:
                await self._changed.park()

    def _handle(self, event: h2.events.Event, nursery: trio.Nursery) -> None:
        match event:
            case h2.events.RequestReceived():
                self._streams[event.stream_id] = _Stream([(bytes(n), bytes(v)) for n, v in event.headers])
            case h2.events.DataReceived():
                if stream := self._streams.get(event.stream_id):
                    stream.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                nursery.start_soon(self._answer, event.stream_id, nursery.cancel_scope)
            case h2.events.StreamReset():
                self._upstream.reset_codes.append(int(event.error_code))
                if stream := self._streams.get(event.stream_id):
                    stream.scope.cancel(reason="stream reset")

    async def _answer(self, stream_id: int, connection: trio.CancelScope) -> None:
        stream = self._streams[stream_id]
        pseudo = dict(stream.raw[:4])
        headers = Headers([header for header in stream.raw if not header[0].startswith(b":")])
        method, target = pseudo[b":method"].decode(), pseudo[b":path"].decode()
        request = Received(method, target, headers, bytes(stream.body), self._number)
        script = self._upstream.script_for(request)
        try:
            with stream.scope:
                for step in script:
                    await trio.lowlevel.checkpoint()  # the stream may have been reset meanwhile
                    await self._play(step, stream_id, connection)
                    self._changed.unpark_all()
                request.answered = True
        finally:
            self._upstream.left(request)
            del self._streams[stream_id]

    async def _play(self, step: Step, stream_id: int, connection: trio.CancelScope) -> None:
        match step:
            case Head(status, headers):
                self._h2.send_headers(stream_id, [(b":status", b"%d" % status), *headers])
            case Body(data):
                await self._send(stream_id, data)
            case End():
                self._h2.end_stream(stream_id)
            case Pause(seconds):
                await trio.sleep(seconds)
            case Hang():
                await trio.sleep_forever()
            case Reset(code):
                self._h2.reset_stream(stream_id, code)
            case Cut():
                connection.cancel(reason="cut by the script")  # first: nobody reads from what is closed
                self._wire.close()
            case bytes():
                raise TypeError("plain bytes are for HTTP/1.1; use Head, Body, End")

    async def _send(self, stream_id: int, data: bytes) -> None:
        while data:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                await self._changed.park()
                continue
            self._h2.send_data(stream_id, data[:room])
            data = data[room:]
            self._changed.unpark_all()
