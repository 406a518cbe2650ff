"""Our app on stock Hypercorn over HTTP/2, and a client that sends frame by frame: early answers, leaving, chats.

Hypercorn alone does not survive an answer that comes before the end of its request: `test_what_hypercorn_alone_does`
shows it, so that the day is seen on which `WholeRequest` is no longer needed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import h2.connection
import h2.errors
import h2.events
import pytest
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve
from test_app import StubGateway

from hoosh.api import passage
from hoosh.api.app import build_app
from hoosh.api.passage import WholeRequest
from hoosh.api.serve import create_app
from hoosh.config import Config, Discovery, Key, Server
from hoosh.http.asgi import App, Message, Scope
from hoosh.http.exchange import Exchange
from hoosh.values import Secret

KEY = "sk-test-0123456789abcdef"
CHAT = "/v1/chat/completions"
BODY_BYTES = 100_000
ASK = {"model": "echo", "messages": [{"role": "user", "content": "salam donya"}]}
PIECE = b"x" * 10_000
WAIT_S = 60.0


class Answer:
    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.ended = self.was_reset = False


class Client:
    """One connection.  Its window is as large as it may be, so that only the peer decides how much is sent."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection()
        self.answers: dict[int, Answer] = {}
        self.is_closed = False
        self.h2.initiate_connection()

    async def flush(self) -> None:
        await self.stream.send_all(self.h2.data_to_send())

    async def begin(self, path: str, *, key: str | None = None, length: int | None = None, method: str = "POST") -> int:
        number = self.h2.get_next_available_stream_id()
        self.answers[number] = Answer()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "gateway")]
        headers += [("content-type", "application/json")] if method == "POST" else []
        headers += [] if key is None else [("authorization", f"Bearer {key}")]
        headers += [] if length is None else [("content-length", str(length))]
        self.h2.send_headers(number, headers, end_stream=method == "GET")
        await self.flush()
        return number

    async def say(self, number: int, data: bytes, *, end: bool = False) -> None:
        while data or end:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if data and not room:
                await self.hear()
                continue
            piece, data = data[:room], data[room:]
            self.h2.send_data(number, piece, end_stream=end and not data)
            await self.flush()
            if not data:
                return

    async def leave(self, number: int) -> None:
        self.h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        await self.flush()

    async def hear(self) -> None:
        data = await self.stream.receive_some(65_536)
        self.is_closed = not data
        for event in self.h2.receive_data(data) if data else ():
            answer = self.answers.get(getattr(event, "stream_id", 0) or 0, Answer())
            if isinstance(event, h2.events.ResponseReceived):
                answer.status = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                answer.ended = True
            elif isinstance(event, h2.events.StreamReset):
                answer.was_reset = True
        await self.flush()

    async def until(self, number: int, is_so: Callable[[Answer], bool]) -> Answer:
        answer = self.answers[number]
        with trio.fail_after(WAIT_S):
            while not is_so(answer):
                assert not self.is_closed, "the connection has been closed"
                await self.hear()
        return answer

    async def ask(self, path: str, body: Any = None, *, key: str | None = KEY) -> Answer:
        number = await self.begin(path, key=key, method="GET" if body is None else "POST")
        if body is not None:
            await self.say(number, json.dumps(body).encode(), end=True)
        return await self.until(number, lambda answer: answer.ended)


def has_spoken(answer: Answer) -> bool:
    return answer.status != 0 and answer.body.endswith(b"}")


@asynccontextmanager
async def on_hypercorn(app: App) -> AsyncIterator[Callable[[], Any]]:
    config = HypercornConfig()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve, app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]

        async def connect(*, http2: bool = True) -> Client:
            client = Client(await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])))
            if http2:
                await client.flush()
            clients.append(client)
            return client

        clients: list[Client] = []
        try:
            yield connect
        finally:
            for client in clients:
                client.stream.socket.close()
        stop.set()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[], Any]]:
    settings = Config(
        server=Server(max_body_bytes=BODY_BYTES),
        keys=(Key(name="me", key=Secret(KEY)),),
        discovery=Discovery(local=False, environment=False),
    )
    async with on_hypercorn(create_app(settings)) as connect:
        yield connect


async def test_chats_and_streams_side_by_side_on_one_connection(connect):
    client = await connect()
    first = await client.begin(CHAT, key=KEY)
    second = await client.begin(CHAT, key=KEY)
    await client.say(second, json.dumps({**ASK, "stream": True}).encode(), end=True)
    await client.say(first, json.dumps(ASK).encode(), end=True)
    whole = await client.until(first, lambda answer: answer.ended)
    streamed = await client.until(second, lambda answer: answer.ended)
    assert json.loads(whole.body)["choices"][0]["message"]["content"] == "salam donya"
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    assert (await client.ask("/v1/models")).status == 200


EARLY = {
    "no key, hot": (CHAT, None, None, 401),
    "no key, cold": ("/v1/tokens/pools", None, None, 401),
    "no such path": ("/v1/nothing", KEY, None, 404),
    "too long, as announced": (CHAT, KEY, BODY_BYTES * 5, 413),
    "too long, as it turns out": (CHAT, KEY, None, 413),
}


@pytest.mark.parametrize("case", EARLY)
async def test_an_early_answer_is_told_at_once_and_whoever_goes_on_sending_harms_nobody(connect, case):
    path, key, length, status = EARLY[case]
    client, other = await connect(), await connect()
    number = await client.begin(path, key=key, length=length)
    sent = 0
    while "turns out" in case and sent <= BODY_BYTES:
        await client.say(number, PIECE)
        sent += len(PIECE)
    early = await client.until(number, has_spoken)
    assert early.status == status
    assert not early.ended
    while sent < BODY_BYTES * 5:
        await client.say(number, PIECE)
        sent += len(PIECE)
    await client.say(number, b"", end=True)  # as many clients end: with a frame of its own, empty
    assert (await client.until(number, lambda answer: answer.ended)).status == status
    assert (await client.ask(CHAT, ASK)).status == 200
    assert (await other.ask(CHAT, ASK)).status == 200


async def test_one_who_leaves_in_the_middle_of_a_body_that_was_refused_harms_nobody(connect):
    client, gone = await connect(), await connect()
    number = await client.begin(CHAT)
    await client.until(number, has_spoken)
    await client.say(number, PIECE)
    await client.leave(number)
    also = await gone.begin(CHAT)
    await gone.until(also, has_spoken)
    await gone.stream.aclose()
    assert (await client.ask(CHAT, ASK)).status == 200
    assert (await (await connect()).ask(CHAT, ASK)).status == 200


async def test_one_who_leaves_before_the_answer_harms_nobody(connect):
    client = await connect()
    number = await client.begin(CHAT, key=KEY)
    await client.say(number, b'{"model":')
    await client.leave(number)
    assert (await client.ask(CHAT, ASK)).status == 200


async def test_leaving_a_stream_cancels_its_handler_and_no_other():
    left = trio.Event()

    async def never_ends(exchange: Exchange) -> None:
        await exchange.body(100)
        await exchange.start(200, [])
        await exchange.send(b"{}")
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    async def ends(exchange: Exchange) -> None:
        await exchange.respond(200, [], await exchange.body(100))

    gateway: Any = StubGateway()
    app = build_app(gateway, hot={("POST", "/never"): never_ends, ("POST", "/ends"): ends})
    async with on_hypercorn(app) as connect:
        client = await connect()
        other = await client.begin("/ends")
        number = await client.begin("/never")
        await client.say(number, b"{}", end=True)
        await client.until(number, has_spoken)
        await client.leave(number)
        with trio.fail_after(WAIT_S):
            await left.wait()
        await client.say(other, b"{}", end=True)
        assert (await client.until(other, lambda answer: answer.ended)).body == b"{}"


async def test_many_who_are_refused_at_once_on_one_connection_are_all_answered(connect):
    client = await connect()
    numbers = [await client.begin(CHAT, key=None if n % 2 else KEY) for n in range(40)]
    for number in numbers:
        await client.say(number, json.dumps(ASK).encode())
    for number in numbers:
        await client.say(number, b"", end=True)
    statuses = [(await client.until(number, lambda answer: answer.ended)).status for number in numbers]
    assert statuses == [200, 401] * 20


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})
        return
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})


async def test_what_hypercorn_alone_does_at_data_behind_an_early_answer():
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with on_hypercorn(refuse) as connect:
            client = await connect()
            number = await client.begin(CHAT)
            await client.until(number, lambda answer: answer.ended)
            await client.say(number, PIECE)
            with trio.move_on_after(WAIT_S):
                await trio.sleep_forever()  # the server's end cancels this


# -- WholeRequest by itself ------------------------------------------------------------------------------------------

LAST = {"type": "http.response.body", "body": b"no", "more_body": False}
SCOPE: Scope = {"http_version": "2", "headers": []}


def part(more: bool) -> Message:
    return {"type": "http.request", "body": b"x", "more_body": more}


async def test_a_response_behind_its_request_goes_out_as_it_is():
    sent: list[Message] = []

    async def receive() -> Message:
        return part(False)

    async def send(message: Message) -> None:
        sent.append(message)

    whole = WholeRequest(SCOPE, receive, send)
    await whole.receive()
    await whole.send(LAST)
    await whole.finish()
    assert sent == [LAST]


@pytest.mark.parametrize("end", [part(False), {"type": "http.disconnect"}])
async def test_an_early_end_waits_for_the_request_or_the_client_that_leaves(end):
    coming, sent = [end, part(True), part(True)], list[Message]()

    async def receive() -> Message:
        return coming.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    whole = WholeRequest(SCOPE, receive, send)
    await whole.send(LAST)
    assert sent == [{**LAST, "more_body": True}]
    await whole.finish()
    assert coming == []
    assert sent[1:] == [{**LAST, "body": b""}]


@pytest.mark.parametrize(("version", "limit_s"), [("2", passage.REST_S), ("1.1", passage.REST_ALONE_S)])
async def test_a_request_that_never_ends_is_waited_for_with_a_limit(autojump_clock, version, limit_s):
    scope = {"http_version": version, "headers": [(b"transfer-encoding", b"chunked")]}
    sent: list[Message] = []

    async def receive() -> Message:
        await trio.sleep(10)
        return part(True)

    async def send(message: Message) -> None:
        sent.append(message)

    whole = WholeRequest(scope, receive, send)
    await whole.send(LAST)
    await whole.finish()
    assert trio.current_time() == pytest.approx(limit_s, abs=1)
    assert not sent[-1]["more_body"]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
async def test_a_request_that_is_said_to_have_no_body_is_not_waited_for(headers):
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    whole = WholeRequest({"http_version": "1.1", "headers": headers}, trio.sleep_forever, send)
    await whole.send(LAST)
    await whole.finish()
    assert sent == [LAST]
