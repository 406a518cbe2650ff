"""A client that leaves cancels what was being done for it: every way of leaving, at every moment, on real sockets.

Real, because FIN, RST and EPOLLRDHUP behind unread data are the kernel's.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import hpack
import pytest
import trio
from serving import HOST, OPENING, TEXT, error_page, frame

from hoosh.http.exchange import Exchange
from hoosh.http.server import HttpServer, listen_tcp
from hoosh.http.server_h1 import UNREAD_BYTES

HEADERS, RST_STREAM, GOAWAY = 1, 3, 7
MOMENTS = ["before the answer", "mid-stream", "reading the body"]
PATIENCE_S = 60.0


class Watched:
    """A handler that stays at one moment of a request until it is cancelled."""

    def __init__(self) -> None:
        self.there = trio.Event()
        self.cancelled = trio.Event()
        self.reason = ""

    async def __call__(self, exchange: Exchange) -> None:
        try:
            await self._stay(exchange)
        except trio.Cancelled as cancelled:
            self.reason = cancelled.reason or ""
            self.cancelled.set()
            raise

    async def _stay(self, exchange: Exchange) -> None:
        if exchange.path == "/mid-stream":
            await exchange.start(200, TEXT)
            await exchange.send(b"begun")
        self.there.set()
        if exchange.path == "/reading":
            await exchange.body(1 << 20)
        await trio.sleep_forever()


class Client:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    def fin(self) -> None:
        self.stream.socket.close()

    def half_close(self) -> None:
        self.stream.socket.shutdown(socket.SHUT_WR)

    def rst(self) -> None:
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[Watched, Client]]:
    """A client of a real server.  Afterwards no connection may be left, and nothing may have crashed."""
    handler = Watched()
    crashes: list[BaseException] = []
    server = HttpServer(handler, error_page=error_page, on_crash=crashes.append)
    listeners = listen_tcp("127.0.0.1", 0)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, listeners)
            client = Client(await trio.open_tcp_stream(*listeners[0].getsockname()))
            yield handler, client
            await handler.cancelled.wait()
            client.stream.socket.close()
            server.drain()
    assert server.statistics().open_connections == 0
    assert not crashes
    assert handler.reason


def h1_request(moment: str) -> bytes:
    if moment == "reading the body":
        return b"POST /reading HTTP/1.1\r\n%bContent-Length: 100\r\n\r\npart" % HOST
    return b"GET /%b HTTP/1.1\r\n%b\r\n" % (moment.replace(" ", "-").encode(), HOST)


def h2_request(moment: str) -> bytes:
    flags, path = 5, b"/" + moment.replace(" ", "-").encode()
    if moment == "reading the body":
        flags, path = 4, b"/reading"
    head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"here")]
    return OPENING + frame(HEADERS, flags, 1, hpack.Encoder().encode(head))


async def fin(client: Client) -> None:
    client.fin()


async def rst(client: Client) -> None:
    client.rst()


async def half_close(client: Client) -> None:
    client.half_close()


async def pipelined_then_fin(client: Client) -> None:
    await client.send(b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n")
    client.fin()


async def many_pipelined_then_fin(client: Client) -> None:
    await client.send((b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n") * 100)
    client.fin()


async def stray_line_end_then_fin(client: Client) -> None:
    await client.send(b"\r\n")
    client.fin()


async def garbage_then_fin(client: Client) -> None:
    await client.send(b"GARBAGE\r\n\r\n")
    client.fin()


async def partial_second_head_then_fin(client: Client) -> None:
    await client.send(b"POST /second HT")
    client.fin()


async def rst_stream(client: Client) -> None:
    await client.send(frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))


async def goaway_with_an_error(client: Client) -> None:
    await client.send(frame(GOAWAY, 0, 0, bytes(7) + b"\2"))


async def a_broken_protocol(client: Client) -> None:
    await client.send(frame(9, 0, 1))


Leaving = Callable[[Client], Awaitable[None]]
H1_WAYS: list[Leaving] = [fin, rst, half_close]
H1_WAYS_AFTER_A_WHOLE_REQUEST: list[Leaving] = [
    pipelined_then_fin,
    many_pipelined_then_fin,
    stray_line_end_then_fin,
    garbage_then_fin,
    partial_second_head_then_fin,
]
H2_WAYS: list[Leaving] = [fin, rst, half_close, rst_stream, goaway_with_an_error, a_broken_protocol]


def name(way: Leaving) -> str:
    return getattr(way, "__name__", "").replace("_", " ")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", H1_WAYS, ids=name)
async def test_leaving_cancels_an_http_1_request(way: Leaving, moment: str) -> None:
    async with watched() as (handler, client):
        await client.send(h1_request(moment))
        await handler.there.wait()
        await way(client)


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != "reading the body"])
@pytest.mark.parametrize("way", H1_WAYS_AFTER_A_WHOLE_REQUEST, ids=name)
async def test_leaving_with_more_on_the_way_cancels_an_http_1_request(way: Leaving, moment: str) -> None:
    async with watched() as (handler, client):
        await client.send(h1_request(moment))
        await handler.there.wait()
        await way(client)


@pytest.mark.parametrize("way", [fin, half_close], ids=name)
async def test_leaving_behind_a_body_that_nobody_reads_is_seen_past_the_unread_bytes(way: Leaving) -> None:
    """The reader has stopped, so that readiness for reading would not tell; the rest stays in the kernel.

    In ours, that is: a FIN behind more than our kernel takes does not leave the client's.
    """
    async with watched() as (handler, client):
        await client.send(b"POST / HTTP/1.1\r\n%bContent-Length: 100000000\r\n\r\n" % HOST)
        await handler.there.wait()
        await client.send(b"x" * (UNREAD_BYTES + 40_000))
        await way(client)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", H2_WAYS, ids=name)
async def test_leaving_cancels_an_http_2_request(way: Leaving, moment: str) -> None:
    async with watched() as (handler, client):
        await client.send(h2_request(moment))
        await handler.there.wait()
        await way(client)
