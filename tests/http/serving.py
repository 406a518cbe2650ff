"""A server on wires in memory, and small clients that speak to it byte by byte: what the server tests stand on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import trio

from hoosh.errors import ConnectionBroke
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.h2 import PREFACE
from hoosh.http.message import HeaderList, Limits
from hoosh.http.server import Connection, HttpServer
from hoosh.http.server_h1 import H1Connection
from hoosh.http.server_h2 import H2Connection
from hoosh.testing.network import BUFFER_BYTES, MemoryWire, wire_pair

Codes = h2.errors.ErrorCodes
TEXT = [(b"content-type", b"text/plain")]
HOST = b"host: here\r\n"


def error_page(status: int, message: str, path: str) -> tuple[HeaderList, bytes]:
    return [(b"content-type", b"application/json")], json.dumps(
        {"error": {"code": status, "message": message}}
    ).encode()


class Serving:
    """A server, and what became of the requests and connections it was given."""

    def __init__(self, handler: Handler, limits: Limits, nursery: trio.Nursery) -> None:
        self.server = HttpServer(handler, error_page=error_page, limits=limits, on_crash=self._note)
        self.crashes: list[BaseException] = []
        self.expects_crashes = False
        self.live = 0
        self._nursery = nursery

    def _note(self, bug: BaseException) -> None:
        self.crashes.append(bug)

    def connect(self, *, buffer_bytes: int = BUFFER_BYTES) -> MemoryWire:
        client, far = wire_pair(buffer_bytes=buffer_bytes)
        self.live += 1
        self._nursery.start_soon(self._serve, far)
        return client

    async def _serve(self, wire: MemoryWire) -> None:
        try:
            await self.server.serve_wire(wire)
        finally:
            self.live -= 1
            assert wire._closed

    def connection(self) -> Connection:
        """The only connection's own object."""
        (connection,) = self.server._connections
        return connection

    def h1(self) -> H1Connection:
        connection = self.connection()
        assert isinstance(connection, H1Connection)
        return connection

    def h2(self) -> H2Connection:
        connection = self.connection()
        assert isinstance(connection, H2Connection)
        return connection


@asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None, *, sweep: bool = False) -> AsyncIterator[Serving]:
    """A server in memory.  At the end every client has left, and then nothing of it may be left."""
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as connections:
            served = Serving(handler, limits or Limits(), connections)
            if sweep:
                nursery.start_soon(served.server.sweep)
            clients: list[MemoryWire] = []
            make = served.connect

            def connect(*, buffer_bytes: int = BUFFER_BYTES) -> MemoryWire:
                clients.append(make(buffer_bytes=buffer_bytes))
                return clients[-1]

            served.connect = connect  # type: ignore[method-assign]
            yield served
            for client in clients:
                client.close()
            with trio.fail_after(60):
                while served.live:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not served.server._connections
    assert served.expects_crashes or not served.crashes, served.crashes


async def settle() -> None:
    """Until nobody has anything to do but wait."""
    await trio.testing.wait_all_tasks_blocked()


async def read_to_end(wire: MemoryWire) -> bytes:
    """All the server sends until it closes."""
    got = bytearray()
    try:
        while data := await wire.receive():
            got += data
    except ConnectionBroke:
        pass
    return bytes(got)


async def read_until(wire: MemoryWire, end: bytes) -> bytes:
    got = bytearray()
    while not got.endswith(end):
        data = await wire.receive()
        assert data, bytes(got)
        got += data
    return bytes(got)


async def hello(exchange: Exchange) -> None:
    """Reads the body, answers with what it saw."""
    body = await exchange.body(1 << 20)
    await exchange.respond(200, TEXT, b"%s %s %d" % (exchange.method.encode(), exchange.path.encode(), len(body)))


class H2Client:
    """An HTTP/2 client over one wire: queues frames, sends them when told, keeps the events that came."""

    def __init__(self, wire: MemoryWire, *, window: int | None = None) -> None:
        self.wire = wire
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            )
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []
        self.ended = False
        self.acknowledges = True
        """Gives the window back of what it has received."""

    def request(
        self,
        path: str = "/",
        *,
        body: bytes | None = None,
        end: bool = True,
        method: str = "GET",
        extra: HeaderList = (),
    ) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        head: list[Any] = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "here"), *extra]
        self.h2.send_headers(stream_id, head, end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream_id, body, end_stream=end)
        return stream_id

    async def flush(self) -> None:
        await self.wire.send(self.h2.data_to_send())

    async def raw(self, data: bytes) -> None:
        await self.flush()
        await self.wire.send(data)

    async def receive(self) -> bool:
        """One receive.  False at the end."""
        try:
            data = await self.wire.receive()
        except ConnectionBroke:
            data = b""
        if not data:
            self.ended = True
            return False
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived) and self.acknowledges:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        await self.flush()
        return True

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            assert await self.receive(), self.events

    async def read_to_end(self) -> None:
        while await self.receive():
            pass

    def of(self, kind: type[h2.events.Event], stream_id: int | None = None) -> list[h2.events.Event]:
        return [
            event
            for event in self.events
            if isinstance(event, kind) and (stream_id is None or getattr(event, "stream_id", None) == stream_id)
        ]

    def is_over(self, stream_id: int) -> bool:
        return bool(self.of(h2.events.StreamEnded, stream_id) or self.of(h2.events.StreamReset, stream_id))

    def body(self, stream_id: int) -> bytes:
        return b"".join(event.data for event in self.of(h2.events.DataReceived, stream_id))  # type: ignore[attr-defined]

    def head(self, stream_id: int) -> dict[bytes, bytes]:
        (event,) = self.of(h2.events.ResponseReceived, stream_id)
        return dict(event.headers)  # type: ignore[attr-defined]

    def reset_code(self, stream_id: int) -> int | None:
        events = self.of(h2.events.StreamReset, stream_id)
        return events[0].error_code if events else None  # type: ignore[attr-defined]

    def goaway_code(self) -> int | None:
        events = self.of(h2.events.ConnectionTerminated)
        return events[0].error_code if events else None  # type: ignore[attr-defined]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


SETTINGS = frame(4, 0, 0)
OPENING = PREFACE + SETTINGS
