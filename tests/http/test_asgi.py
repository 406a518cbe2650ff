"""Both ways between our Exchange and ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import h2.connection
import h2.events
import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.trio import serve

from hoosh.errors import BodyTooLarge, RequestTimeout
from hoosh.http.asgi import (
    AsgiHost,
    Message,
    Receive,
    ResponseBroken,
    Scope,
    Send,
    run_handler,
    run_lifespan,
)
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.message import HeaderList
from hoosh.testing.exchange import MemoryExchange


def http_scope(**more: Any) -> Scope:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/x y",
        "raw_path": b"/v1/x%20y",
        "query_string": b"a=1",
        "http_version": "1.1",
        "scheme": "https",
        "headers": [(b"Host", b"here"), (b"x-one", b"1")],
        "client": ("10.1.2.3", 55),
    }
    return scope | more


class Server:
    """The far side of one ASGI request: hands out messages, keeps what is sent."""

    def __init__(self, *messages: Message) -> None:
        self.sent: list[Message] = []
        self._give, self._take = trio.open_memory_channel[Message](100)
        for message in messages:
            self._give.send_nowait(message)

    def say(self, kind: str, **more: Any) -> None:
        self._give.send_nowait({"type": kind, **more})

    async def receive(self) -> Message:
        return await self._take.receive()

    async def send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message["more_body"]:
            self.say("http.disconnect")  # as Hypercorn does


def piece(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


# -- our handlers inside somebody's server --------------------------------------------------------------------------


async def test_a_handler_sees_the_request_of_an_asgi_server() -> None:
    seen: list[Exchange] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.respond(201, [(b"x-a", b"b")], await exchange.body(100))

    server = Server(piece(b"ab", more=True), piece(b"cd"))
    await run_handler(handler, http_scope(), server.receive, server.send)
    (exchange,) = seen
    assert (exchange.method, exchange.path, exchange.query) == ("POST", "/v1/x%20y", "a=1")
    assert (exchange.version, exchange.scheme, exchange.peer) == ("1.1", "https", "10.1.2.3")
    assert exchange.headers.get(b"host") == b"here"
    assert server.sent == [
        {"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"b"), (b"content-length", b"4")]},
        {"type": "http.response.body", "body": b"abcd", "more_body": False},
    ]


async def test_a_streamed_response_sends_its_head_with_the_first_chunk() -> None:
    server = Server(piece(b""))

    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, [])
        assert not server.sent
        await exchange.send(b"one")
        assert len(server.sent) == 2
        await exchange.end(b"two")

    await run_handler(handler, http_scope(), server.receive, server.send)
    assert [message.get("body") for message in server.sent] == [None, b"one", b"two"]
    assert [message.get("more_body") for message in server.sent] == [None, True, False]


async def test_head_sends_the_length_and_no_body() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"12345")

    server = Server(piece(b""))
    await run_handler(handler, http_scope(method="HEAD"), server.receive, server.send)
    assert server.sent[0]["headers"] == [(b"content-length", b"5")]
    assert server.sent[1]["body"] == b""


@pytest.mark.parametrize("length", [True, False], ids=["announced", "unannounced"])
async def test_a_body_over_the_limit_is_refused(length: bool) -> None:
    async def handler(exchange: Exchange) -> None:
        with pytest.raises(BodyTooLarge):
            await exchange.body(10)
        await exchange.respond(413, [], b"")

    headers = [(b"content-length", b"11")] if length else []
    server = Server(piece(b"123456", more=True), piece(b"12345", more=True))
    await run_handler(handler, http_scope(headers=headers), server.receive, server.send)
    assert server.sent[0]["status"] == 413


async def test_a_body_that_stops_arriving_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(exchange: Exchange) -> None:
        with pytest.raises(RequestTimeout):
            await exchange.body(10)
        await exchange.respond(408, [], b"")

    server = Server(piece(b"1", more=True))
    await run_handler(handler, http_scope(), server.receive, server.send)
    assert server.sent[0]["status"] == 408


async def test_a_client_that_leaves_during_the_body_cancels_the_handler() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.body(10)
        pytest.fail("the body is not whole")

    server = Server(piece(b"1", more=True), {"type": "http.disconnect"})
    await run_handler(handler, http_scope(), server.receive, server.send)
    assert not server.sent


async def test_a_client_that_leaves_cancels_the_handler_and_its_children(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ended: list[str] = []
    server = Server(piece(b""))

    async def wait(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(name)

    async def handler(exchange: Exchange) -> None:
        exchange.nursery.start_soon(wait, "child")
        await exchange.start(200, [])
        await exchange.send(b"one")
        server.say("http.disconnect")
        await wait("handler")

    await run_handler(handler, http_scope(), server.receive, server.send)
    assert sorted(ended) == ["child", "handler"]


async def test_the_servers_disconnect_after_the_last_byte_cancels_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settled = False

    async def handler(exchange: Exchange) -> None:
        nonlocal settled
        await exchange.respond(200, [], b"done")
        await trio.sleep(5)
        settled = True

    server = Server(piece(b""))
    await run_handler(handler, http_scope(), server.receive, server.send)
    assert settled


async def test_a_broken_end_makes_the_app_fail_so_that_the_server_aborts() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.end(b"error", broken=True)

    server = Server(piece(b""))
    with pytest.raises(ResponseBroken):
        await run_handler(handler, http_scope(), server.receive, server.send)
    assert server.sent[-1] == {"type": "http.response.body", "body": b"error", "more_body": True}


async def test_a_response_without_an_end_is_a_broken_one() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.send(b"one")

    server = Server(piece(b""))
    with pytest.raises(ResponseBroken):
        await run_handler(handler, http_scope(), server.receive, server.send)


async def test_a_body_nobody_asks_for_is_not_hoarded(autojump_clock: trio.testing.MockClock) -> None:
    given = 0

    async def receive() -> Message:
        nonlocal given
        given += 1
        return piece(b"x" * 65536, more=True)

    async def send(message: Message) -> None: ...

    async def handler(exchange: Exchange) -> None:
        await trio.sleep(10)
        assert given < 10
        nursery.cancel_scope.cancel()
        await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        await run_handler(handler, http_scope(), receive, send)


# -- the same over a real Hypercorn ---------------------------------------------------------------------------------


def app_of(handler: Handler, notes: list[str] | None = None) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await run_handler(handler, scope, receive, send)

    return app


class Hypercorn:
    """Serves an app on a loopback port for the length of a block."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], nursery: trio.Nursery) -> None:
        self._app, self._nursery = app, nursery
        self._stop = trio.Event()
        self._clients: list[trio.SocketStream] = []
        self.port = 0

    async def __aenter__(self) -> Hypercorn:
        config = Config()
        config.bind = ["127.0.0.1:0"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 60  # a lost connection fails its test: nothing here needs the grace

        async def run(task_status: trio.TaskStatus[list[str]]) -> None:
            await serve(self._app, config, shutdown_trigger=self._stop.wait, task_status=task_status)  # type: ignore[arg-type]

        (bind,) = await self._nursery.start(run)
        self.port = int(bind.rpartition(":")[2])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.stop()
        for client in self._clients:
            client.socket.close()

    def stop(self) -> None:
        self._stop.set()

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self._clients.append(stream)
        return stream


REQUEST = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"


async def read_all(stream: trio.SocketStream) -> bytes:
    data = b""
    while chunk := await stream.receive_some(65536):
        data += chunk
    return data


@pytest.mark.parametrize("streaming", [True, False], ids=["mid-stream", "before the head"])
async def test_on_hypercorn_an_h1_client_that_leaves_cancels_the_handler(streaming: bool) -> None:
    begun, cancelled = trio.Event(), trio.Event()

    async def handler(exchange: Exchange) -> None:
        assert await exchange.body(10) == b"hi"
        if streaming:
            await exchange.start(200, [])
            await exchange.send(b"one")
        begun.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.set()
            raise

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, Hypercorn(app_of(handler), nursery) as server:
            stream = await server.connect()
            await stream.send_all(REQUEST)
            await begun.wait()
            await stream.aclose()
            await cancelled.wait()


async def test_on_hypercorn_a_kept_connection_serves_again_and_times_out_when_idle() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], await exchange.body(10))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, Hypercorn(app_of(handler), nursery) as server:
            stream = await server.connect()
            for _ in range(3):
                await stream.send_all(REQUEST)
                data = b""
                while not data.endswith(b"hi"):
                    data += await stream.receive_some(65536)
            server.stop()  # an idle timer that were lost would leave the connection open here
            assert await read_all(stream) == b""


async def test_on_hypercorn_a_broken_h1_response_has_no_last_chunk() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.send(b"one")
        await exchange.end(broken=True)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, Hypercorn(app_of(handler), nursery) as server:
            stream = await server.connect()
            await stream.send_all(REQUEST)
            data = await read_all(stream)
            assert data.endswith(b"3\r\none\r\n")


async def test_on_hypercorn_an_upload_that_is_refused_does_not_hold_the_connection() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.nursery.start(wait_full)
        await exchange.respond(401, [], b"")

    async def wait_full(task_status: trio.TaskStatus[None]) -> None:
        await trio.testing.wait_all_tasks_blocked()  # every queue on the way is full now
        task_status.started()

    size = 64 * 1024 * 1024
    head = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, Hypercorn(app_of(handler), nursery) as server:
            stream = await server.connect()
            try:
                await stream.send_all(head + bytes(size))
            except trio.BrokenResourceError:
                pass  # it is closed


async def h2_until(stream: trio.SocketStream, peer: h2.connection.H2Connection, count: int) -> list[h2.events.Event]:
    """Events until `count` pieces of DATA have come, or the stream has ended."""
    events: list[h2.events.Event] = []
    while True:
        events += peer.receive_data(await stream.receive_some(65536))
        await stream.send_all(peer.data_to_send())
        data = [event for event in events if isinstance(event, h2.events.DataReceived)]
        if len(data) >= count or any(isinstance(event, h2.events.StreamEnded) for event in events):
            return events


async def open_h2(server: Hypercorn) -> tuple[trio.SocketStream, h2.connection.H2Connection]:
    stream = await server.connect()
    peer = h2.connection.H2Connection()
    peer.initiate_connection()
    head = {":method": "GET", ":scheme": "http", ":authority": "a", ":path": "/x"}
    peer.send_headers(1, list(head.items()), end_stream=True)
    await stream.send_all(peer.data_to_send())
    return stream, peer


async def test_on_hypercorn_an_h2_reset_cancels_the_handler() -> None:
    cancelled = trio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.send(b"one")
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.set()
            raise

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, Hypercorn(app_of(handler), nursery) as server:
            stream, peer = await open_h2(server)
            await h2_until(stream, peer, 1)
            peer.reset_stream(1)
            await stream.send_all(peer.data_to_send())
            await cancelled.wait()


async def test_on_hypercorn_a_broken_h2_response_does_not_end_well() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.send(b"one")
        await exchange.end(broken=True)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, Hypercorn(app_of(handler), nursery) as server:
            stream, peer = await open_h2(server)
            events = await h2_until(stream, peer, 1)
            assert not any(isinstance(event, h2.events.StreamEnded) for event in events)


# -- an ASGI app behind our listener --------------------------------------------------------------------------------


def on_error(error: BaseException, exchange: Exchange) -> tuple[int, HeaderList, bytes]:
    return 500, [(b"x-error", type(error).__name__.encode())], b"sorry"


def host_of(app: Callable[[Scope, Receive, Send], Awaitable[None]], **more: Any) -> AsgiHost:
    return AsgiHost(app, on_error=on_error, **more)


async def test_an_app_sees_the_request_of_our_listener() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-A", b"b")]})
        await send({"type": "http.response.body", "body": message["body"], "more_body": False})

    exchange = MemoryExchange(
        "POST", "/caf%C3%A9%2Fx", query="q=%20", headers=[(b"host", b"h")], body=b"hi", version="2", scheme="https"
    )
    state = {"started": True}
    await exchange.run(host_of(app, state=state, server=("127.0.0.1", 80)))
    (scope,) = scopes
    assert scope["path"] == "/café/x"
    assert scope["raw_path"] == b"/caf%C3%A9%2Fx"
    assert scope["query_string"] == b"q=%20"
    assert (scope["method"], scope["scheme"], scope["http_version"]) == ("POST", "https", "2")
    assert scope["headers"] == [(b"host", b"h")]
    assert (scope["client"], scope["server"]) == (("127.0.0.1", 0), ("127.0.0.1", 80))
    assert scope["state"] == state
    assert scope["state"] is not state
    assert (exchange.status, exchange.content, exchange.header("x-a")) == (200, b"hi", "b")
    assert exchange.header("content-length") == "2"


async def test_a_small_body_goes_out_whole_however_the_app_cuts_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-length", b"3"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    exchange = MemoryExchange()
    await exchange.run(host_of(app))
    assert exchange.pieces == [b"abc"]
    assert exchange.is_whole
    assert exchange.header("connection") is None


async def test_a_stream_is_passed_on_piece_by_piece() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            assert exchange.pieces[-1] == b"%d" % number
        await send({"type": "http.response.body"})

    exchange = MemoryExchange()
    await exchange.run(host_of(app))
    assert exchange.content == b"012"
    assert exchange.is_whole


async def test_head_and_304_have_the_length_of_the_body_they_do_not_send() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    exchange = MemoryExchange("HEAD")
    await exchange.run(host_of(app))
    assert (exchange.header("content-length"), exchange.content, exchange.is_whole) == ("3", b"", True)


async def test_an_app_that_fails_before_its_head_is_answered_for() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("x")

    exchange = MemoryExchange()
    await exchange.run(host_of(app))
    assert (exchange.status, exchange.content, exchange.header("x-error")) == (500, b"sorry", "KeyError")


async def test_an_app_that_says_nothing_is_answered_for() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    exchange = MemoryExchange()
    await exchange.run(host_of(app))
    assert (exchange.status, exchange.header("x-error")) == (500, "RuntimeError")


@pytest.mark.parametrize("fails", [True, False])
async def test_an_app_that_stops_on_the_way_breaks_the_response(fails: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if fails:
            raise KeyError("x")

    exchange = MemoryExchange()
    await exchange.run(host_of(app))
    assert (exchange.status, exchange.content) == (200, b"a")
    assert exchange.is_broken


async def test_a_body_too_large_for_the_app_never_reaches_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pytest.fail("the app was called")

    exchange = MemoryExchange("POST", body=b"x" * 11)
    await exchange.run(host_of(app, max_body_bytes=10))
    assert exchange.header("x-error") == "BodyTooLarge"


async def test_an_app_whose_client_leaves_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    cancelled = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cancelled
        await receive()
        try:
            await receive()
        except trio.Cancelled:
            cancelled = True
            raise

    exchange = MemoryExchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run, host_of(app))
        await trio.testing.wait_all_tasks_blocked()
        exchange.leave()
    assert cancelled
    assert not exchange.started


# -- lifespan -------------------------------------------------------------------------------------------------------


async def test_a_lifespan_starts_the_app_and_lets_it_shut_down_when_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    notes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for kind in ("startup", "shutdown"):
            notes.append((await receive())["type"])
            await trio.sleep(1)
            scope["state"][kind] = True
            await send({"type": f"lifespan.{kind}.complete"})

    state: dict[str, Any] = {}
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[None]) -> None:
            await run_lifespan(app, state=state, task_status=task_status)

        await nursery.start(run)
        assert state == {"startup": True}
        nursery.cancel_scope.cancel()
    assert notes == ["lifespan.startup", "lifespan.shutdown"]
    assert state == {"startup": True, "shutdown": True}


async def test_an_app_that_will_not_shut_down_is_left_after_a_while(autojump_clock: trio.testing.MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await trio.sleep_forever()

    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[None]) -> None:
            await run_lifespan(app, shutdown_s=3, task_status=task_status)

        await nursery.start(run)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == 3


async def test_a_startup_that_fails_says_why() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no ledger"})

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="no ledger")):
        await run_lifespan(app)
