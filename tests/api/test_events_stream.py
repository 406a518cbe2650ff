"""The stream of events over real sockets: behind our own listener and on Hypercorn a client that leaves ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve as hypercorn_serve

from hoosh.api.serve import create_app, serve
from hoosh.config import Config, Discovery, Logging, Server
from hoosh.events import RateLimited
from hoosh.gateway.gateway import Gateway
from hoosh.http.client import Pool, UpstreamExchange
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, Origin, RequestHead, Response
from hoosh.values import Outcome, Record

CONFIG = Config(
    server=Server(port=0), discovery=Discovery(local=False, environment=False), logging=Logging(level="error")
)
Carried = Callable[[], AbstractAsyncContextManager[tuple[str, Gateway]]]


@asynccontextmanager
async def behind_our_listener() -> AsyncIterator[tuple[str, Gateway]]:
    async with trio.open_nursery() as nursery:
        gateway = await nursery.start(serve, CONFIG)
        yield gateway.address, gateway
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def on_hypercorn() -> AsyncIterator[tuple[str, Gateway]]:
    settings, stop = HypercornConfig(), trio.Event()
    settings.bind = ["127.0.0.1:0"]
    settings.accesslog = settings.errorlog = None
    settings.graceful_timeout = 60  # nothing here needs it
    app: Any = create_app(CONFIG)
    async with trio.open_nursery() as nursery:
        start = partial(hypercorn_serve, app, settings, shutdown_trigger=stop.wait, mode="asgi")
        (url,) = await nursery.start(start)
        yield url, app.gateway
        stop.set()


class Client:
    """Asks over real sockets, and reads streams."""

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        self.origin = Origin("http", split.hostname or "", split.port or 80)
        self.pool = Pool(self.origin, dialer=SocketDialer(), http2="off")

    def exchange(self, target: str, method: str = "GET") -> UpstreamExchange:
        return self.pool.exchange(HttpRequest(RequestHead(self.origin, method, target)), Timeouts())


@asynccontextmanager
async def asked_by_a_client(carried: Carried) -> AsyncIterator[tuple[Client, Gateway]]:
    with trio.fail_after(60):
        async with carried() as (url, gateway), trio.open_nursery() as nursery:
            client = Client(url)
            await nursery.start(client.pool.run)
            yield client, gateway
            nursery.cancel_scope.cancel()


async def until(response: Response, words: bytes) -> bytes:
    got = b""
    while words not in got:
        piece = await response.receive()
        assert piece, got
        got += piece
    return got


async def until_true(question: Callable[[], object]) -> None:
    while not question():
        await trio.sleep(0.01)


@pytest.mark.parametrize("carried", [behind_our_listener, on_hypercorn])
async def test_a_client_that_leaves_ends_its_stream_and_a_drain_ends_the_others(carried: Carried):
    async with asked_by_a_client(carried) as (client, gateway):
        records: list[Record] = []
        write = gateway.recorder.write

        def keep(record: Record, details: Any = None) -> None:
            records.append(record)
            write(record, details)

        gateway.recorder.write = keep  # type: ignore[method-assign]
        async with client.exchange("/v1/events/stream?topic=providers/*") as response:
            await until(response, b"retry: 3000")
            gateway.events.publish(RateLimited("ada"))
            await until(response, b'"provider":"ada"')
        await until_true(lambda: not gateway.events.statistics().guests and records)
        assert (records[0].outcome, records[0].status) == (Outcome.CLIENT_LEFT, 200)
        async with client.exchange("/v1/events/stream") as response:
            await until(response, b"retry: 3000")
            gateway.begin_draining()
            await until(response, b"event: gateway_stopping")
            assert await response.receive() == b""
        await until_true(lambda: not gateway.events.statistics().guests and len(records) > 1)
        assert records[1].outcome is Outcome.OK


@pytest.mark.parametrize("carried", [behind_our_listener, on_hypercorn])
async def test_a_look_at_the_head_alone_takes_no_seat(carried: Carried):
    async with asked_by_a_client(carried) as (client, gateway):
        async with client.exchange("/v1/events/stream", "HEAD") as response:
            assert response.status == 200
            assert response.headers.get(b"content-type") == b"text/event-stream"
        assert gateway.events.statistics().guests == 0
