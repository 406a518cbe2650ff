"""An upstream that plays a script: bytes, pauses, cuts.  Over real sockets or in memory, HTTP/1.1 or HTTP/2.

    upstream = FakeUpstream(sse_chat("Salam", " donya"), [*sse_chat("Sal")[:2], Reset()])
    network.listen("api.example:443", upstream.serve_wire)            # in memory
    port = await nursery.start(upstream.serve_tcp)                    # or real

The n-th request gets the n-th script, those after the last script get the last one again; a script may be a function
of the request.  `Head`, `Body` and `End` are said in whichever HTTP version the connection speaks; plain bytes go
out as they are, HTTP/1.1 only, so that any nonsense can be sent.

What it saw is in `requests`; `wait_cancelled(n)` waits until n requests were left before their script was over.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import NoReturn

import httptools
import trio
from msgspec import Struct

from hoosh.errors import ConnectionBroke
from hoosh.http.message import REASONS, HeaderList, Headers
from hoosh.http.wire import SocketWire, Wire
from hoosh.testing.network import MemoryWire

__all__ = [
    "Body",
    "Cut",
    "End",
    "FakeUpstream",
    "Hang",
    "Head",
    "Pause",
    "Received",
    "Reset",
    "Script",
    "Step",
    "error_reply",
    "json_reply",
    "sse_chat",
    "with_pauses",
]


class Head(Struct, frozen=True):
    """Status and headers.  Without `content-length` the body is chunked, over HTTP/1.1."""

    status: int = 200
    headers: HeaderList = ()


class Body(Struct, frozen=True):
    data: bytes


class End(Struct, frozen=True):
    """The response is whole."""


class Pause(Struct, frozen=True):
    seconds: float


class Cut(Struct, frozen=True):
    """FIN: close the connection."""


class Reset(Struct, frozen=True):
    """RST: reset the connection (HTTP/1.1) or the stream (HTTP/2, with this error code)."""

    code: int = 2  # INTERNAL_ERROR


class Hang(Struct, frozen=True):
    """Do nothing for ever, on an open connection."""


DONE = b"data: [DONE]\n\n"
Step = bytes | Head | Body | End | Pause | Cut | Reset | Hang
Script = Sequence[Step]


class Received:
    """A request as the upstream saw it."""

    def __init__(self, method: str, target: str, headers: Headers, body: bytes, connection: int) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.connection = connection
        """Which connection brought it, counted from 0."""
        self.answered = False
        """Its script was played to the end."""
        self.cancelled_at: float | None = None
        """trio.current_time() when the peer left before that."""

    def __repr__(self) -> str:
        return f"Received({self.method} {self.target}, {len(self.body)} bytes, connection {self.connection})"


class FakeUpstream:
    def __init__(self, *scripts: Script | Callable[[Received], Script]) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        """Opened so far."""
        self.closed_by_peer = 0
        self.reset_codes: list[int] = []
        """Error codes of the RST_STREAM frames received, HTTP/2 only."""
        self.open_connections = 0
        self._scripts = scripts or (json_reply({}),)
        self._turn = count()
        self._news = trio.lowlevel.ParkingLot()

    @property
    def cancelled(self) -> int:
        return sum(request.cancelled_at is not None for request in self.requests)

    async def wait_cancelled(self, number: int = 1) -> None:
        """Until `number` requests have been left before their script was over."""
        await self._wait(lambda: self.cancelled >= number)

    async def wait_requests(self, number: int = 1) -> None:
        """Until `number` requests have arrived."""
        await self._wait(lambda: len(self.requests) >= number)

    async def wait_closed(self) -> None:
        """Until no connection is open."""
        await self._wait(lambda: not self.open_connections)

    async def serve_tcp(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Listen on a free loopback port, which is the value of `started`."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port: int = listeners[0].socket.getsockname()[1]

        async def serve(stream: trio.SocketStream) -> None:
            sock = socket.socket(fileno=stream.socket.detach())
            await self.serve_wire(SocketWire(sock, "test"))

        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, serve, listeners)
            task_status.started(port)
        raise AssertionError("serves until cancelled")

    async def serve_wire(self, wire: Wire) -> None:
        """One HTTP/1.1 connection, until it ends."""
        await _serve(self, wire, _H1Conversation(self, wire, self._begin_connection()))

    async def serve_wire_h2(self, wire: Wire) -> None:
        """One HTTP/2 connection (prior knowledge), until it ends."""
        from hoosh.testing.upstream_h2 import H2Conversation

        await _serve(self, wire, H2Conversation(self, wire, self._begin_connection()))

    # For the conversations.

    def script_for(self, request: Received) -> Script:
        self.requests.append(request)
        self.tell()
        script = self._scripts[min(next(self._turn), len(self._scripts) - 1)]
        return script(request) if callable(script) else script

    def left(self, request: Received) -> None:
        if not request.answered and request.cancelled_at is None:
            request.cancelled_at = trio.current_time()
            self.tell()

    def tell(self) -> None:
        self._news.unpark_all()

    def _begin_connection(self) -> int:
        self.connections += 1
        self.open_connections += 1
        return self.connections - 1

    async def _wait(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._news.park()


class _H1Conversation:
    """One HTTP/1.1 connection: reads on while a script is played, so that it sees the peer leave."""

    def __init__(self, upstream: FakeUpstream, wire: Wire, number: int) -> None:
        self._upstream = upstream
        self._wire = wire
        self._number = number
        self._to_answer, self._arrived = trio.open_memory_channel[Received](1000)
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._chunked = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer_all, nursery.cancel_scope)
            while data := await self._wire.receive():
                self._parser.feed_data(data)
            self._upstream.closed_by_peer += 1
            nursery.cancel_scope.cancel(reason="peer left")

    async def _answer_all(self, connection: trio.CancelScope) -> None:
        async for request in self._arrived:
            script = self._upstream.script_for(request)
            try:
                for step in script:
                    await self._play(step, connection)
                request.answered = True
            finally:
                self._upstream.left(request)
            if any(isinstance(step, Cut | Reset) for step in script):
                return

    async def _play(self, step: Step, connection: trio.CancelScope) -> None:
        match step:
            case bytes():
                await self._wire.send(step)
            case Head(status, headers):
                self._chunked = all(name != b"content-length" for name, _ in headers)
                framing = [(b"transfer-encoding", b"chunked")] if self._chunked else []
                await self._wire.send(_h1_head(status, [*headers, *framing]))
            case Body(data):
                await self._wire.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            case End():
                if self._chunked:
                    await self._wire.send(b"0\r\n\r\n")
            case Pause(seconds):
                await trio.sleep(seconds)
            case Hang():
                await trio.sleep_forever()
            case Cut():
                connection.cancel(reason="cut by the script")  # first: nobody reads from what is closed
                self._wire.close()
            case Reset():
                connection.cancel(reason="reset by the script")  # first: nobody reads from what is closed
                _reset(self._wire)

    # httptools' callbacks.

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        headers, self._headers = Headers(self._headers), []
        request = Received(method, self._target.decode(), headers, bytes(self._body), self._number)
        self._target = b""
        self._body.clear()
        self._to_answer.send_nowait(request)


async def _serve(upstream: FakeUpstream, wire: Wire, conversation: object) -> None:
    try:
        await conversation.run()  # type: ignore[attr-defined]
    except* ConnectionBroke:
        upstream.closed_by_peer += 1
    finally:
        wire.close()
        upstream.open_connections -= 1
        upstream.tell()


def _h1_head(status: int, headers: HeaderList) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, REASONS.get(status, b"X"), lines)


def _reset(wire: Wire) -> None:
    if isinstance(wire, MemoryWire):
        wire.reset()
    elif isinstance(wire, SocketWire):
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    else:
        raise TypeError("this wire cannot be reset")


# Ready scripts.


def json_reply(value: object, *, status: int = 200, headers: HeaderList = ()) -> list[Step]:
    body = json.dumps(value).encode()
    length = (b"content-length", b"%d" % len(body))
    return [Head(status, [(b"content-type", b"application/json"), length, *headers]), Body(body), End()]


def error_reply(status: int, message: str = "no", *, code: str | None = None, headers: HeaderList = ()) -> list[Step]:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": "fake_error", "param": None, "code": code}
    return json_reply({"error": error}, status=status, headers=headers)


def sse_chat(*words: str, model: str = "fake", usage: bool = True, done: bool = True) -> list[Step]:
    """A streamed chat reply, one step an event: the head, a chunk for each word, finish, usage, [DONE], the end."""

    def event(**fields: object) -> Body:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, **fields}
        return Body(b"data: %b\n\n" % json.dumps(chunk).encode())

    def choice(delta: dict[str, str], finish: str | None = None) -> list[object]:
        return [{"index": 0, "delta": delta, "finish_reason": finish}]

    steps: list[Step] = [Head(200, [(b"content-type", b"text/event-stream")])]
    steps += [event(choices=choice({"content": word})) for word in words]
    steps.append(event(choices=choice({}, "stop")))
    if usage:
        tokens = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 1 + len(words)}
        steps.append(event(choices=[], usage=tokens))
    if done:
        steps.append(Body(DONE))
    return [*steps, End()]


def with_pauses(script: Iterable[Step], seconds: float) -> list[Step]:
    """The same script with a pause before each body step but OpenAI's terminator: an upstream sends that at once."""
    paused: list[Step] = []
    for step in script:
        paused += [Pause(seconds), step] if isinstance(step, Body) and step.data != DONE else [step]
    return paused
