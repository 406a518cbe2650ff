"""A request body taken piece by piece: all of it comes, and never much more than has been taken, by every carrier."""

from __future__ import annotations

import hashlib

import pytest
import trio
from serving import HOST, TEXT, H2Client, read_until, serving, settle

from hoosh.errors import ConnectionBroke, RequestTimeout
from hoosh.http.asgi import run_handler
from hoosh.testing.exchange import MemoryExchange

BODY = bytes(range(256)) * 4000
"""A million bytes: more than any window and any buffer."""
AHEAD_BYTES = 300_000


class Taker:
    """A handler that takes a piece when it is let, and tells what it got."""

    def __init__(self, *, at_once=True):
        self.may_take = trio.Event()
        self.taken = bytearray()
        if at_once:
            self.may_take.set()

    async def __call__(self, exchange):
        await self.may_take.wait()
        while piece := await exchange.receive():
            self.taken += piece
        assert await exchange.receive() == b""
        await exchange.respond(200, TEXT, hashlib.sha256(self.taken).hexdigest().encode())


DIGEST = hashlib.sha256(BODY).hexdigest().encode()


@pytest.mark.parametrize("chunked", [False, True])
async def test_over_http1(autojump_clock, nursery, chunked):
    taker = Taker(at_once=False)
    framing = b"transfer-encoding: chunked\r\n" if chunked else b"content-length: %d\r\n" % len(BODY)
    sent = 0

    async def send():
        nonlocal sent
        for at in range(0, len(BODY), 10_000):
            piece = BODY[at : at + 10_000]
            await client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            sent += len(piece)
        if chunked:
            await client.send(b"0\r\n\r\n")

    async with serving(taker) as served:
        client = served.connect()
        await client.send(b"POST / HTTP/1.1\r\n" + HOST + framing + b"\r\n")
        nursery.start_soon(send)
        await settle()
        assert sent < AHEAD_BYTES + 70_000  # what the wire itself holds
        taker.may_take.set()
        assert DIGEST in await read_until(client, DIGEST)
        await client.send(b"POST /next HTTP/1.1\r\ncontent-length: 2\r\n" + HOST + b"\r\nhi")  # it can be used again
        await read_until(client, hashlib.sha256(BODY + b"hi").hexdigest().encode())


async def test_over_http1_to_who_expects_100(autojump_clock):
    async with serving(Taker()) as served:
        client = served.connect()
        await client.send(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n" + HOST + b"\r\n")
        await read_until(client, b"100 Continue\r\n\r\n")
        await client.send(b"hi")
        await read_until(client, hashlib.sha256(b"hi").hexdigest().encode())


@pytest.mark.parametrize("says_length", [False, True])
async def test_over_http2_a_window_opens_by_what_is_taken(autojump_clock, nursery, says_length):
    taker = Taker(at_once=False)
    async with serving(taker) as served:
        client = H2Client(served.connect())
        extra = [(b"content-length", b"%d" % len(BODY))] if says_length else []
        stream = client.request(method="POST", end=False, extra=extra)
        await client.flush()
        sent = 0
        while size := min(client.h2.local_flow_control_window(stream), 16384, len(BODY) - sent):
            client.h2.send_data(stream, BODY[sent : sent + size])
            sent += size
            await client.flush()
        with trio.move_on_after(5):
            await client.receive()  # settings
            await client.until(lambda: False)
        assert sent == 65_535
        assert client.h2.local_flow_control_window(stream) == 0
        taker.may_take.set()
        while sent < len(BODY):
            size = min(client.h2.local_flow_control_window(stream), 16384, len(BODY) - sent)
            if size:
                client.h2.send_data(stream, BODY[sent : sent + size], end_stream=sent + size == len(BODY))
                sent += size
                await client.flush()
            else:
                assert await client.receive()
        await client.until(lambda: client.is_over(stream))
        assert client.body(stream) == DIGEST
        await settle()
        [connection] = served.server._connections
        assert connection.protocol.inbound_flow_control_window >= 65_535 * 64


async def test_over_http2_a_body_that_is_not_as_long_as_promised_is_still_noticed(autojump_clock):
    async with serving(Taker()) as served:
        client = H2Client(served.connect())
        stream = client.request(method="POST", end=False, extra=[(b"content-length", b"30")])
        await client.flush()
        client.h2.send_data(stream, b"x" * 20)
        await client.flush()
        await settle()
        client.h2.send_headers(stream, [("x-trailer", "1")], end_stream=True)
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.reset_code(stream) == 1  # PROTOCOL_ERROR


async def test_over_an_asgi_server(autojump_clock):
    given = 0

    async def receive():
        nonlocal given
        await trio.lowlevel.checkpoint()
        if given == len(BODY):
            await trio.sleep_forever()
        piece = BODY[given : given + 50_000]
        given += len(piece)
        return {"type": "http.request", "body": piece, "more_body": given < len(BODY)}

    async def send(message):
        sent.append(message)

    async def let():
        await trio.sleep(1)
        assert given < AHEAD_BYTES + 50_000
        taker.may_take.set()

    sent, taker = [], Taker(at_once=False)
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(let)
        await run_handler(taker, scope, receive, send)
    assert sent[-1]["body"] == DIGEST


async def test_in_memory(autojump_clock):
    exchange, taker = MemoryExchange("POST", body=BODY), Taker()
    await exchange.run(taker)
    assert exchange.content == DIGEST


@pytest.mark.parametrize("http2", [False, True])
async def test_one_that_stops_arriving_is_given_up(autojump_clock, http2):
    async def handler(exchange):
        assert await exchange.receive() == b"x"
        with pytest.raises(RequestTimeout):
            await exchange.receive()
        await exchange.respond(408, TEXT, b"slow")

    async with serving(handler) as served:
        if http2:
            client = H2Client(served.connect())
            stream = client.request(method="POST", body=b"x", end=False)
            await client.flush()
            await client.until(lambda: client.is_over(stream))
            assert client.body(stream) == b"slow"
        else:
            wire = served.connect()
            await wire.send(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n" + HOST + b"\r\nx")
            await read_until(wire, b"slow")


@pytest.mark.parametrize("http2", [False, True])
async def test_a_client_that_leaves_in_the_middle_cancels_who_takes(autojump_clock, http2):
    left = trio.Event()

    async def handler(exchange):
        try:
            while await exchange.receive():
                pass
            pytest.fail("the body is not whole")
        except trio.Cancelled:
            left.set()
            raise

    async with serving(handler) as served:
        wire = served.connect()
        if http2:
            client = H2Client(wire)
            stream = client.request(method="POST", body=b"x" * 1000, end=False)
            await client.flush()
            await settle()
            client.h2.reset_stream(stream)
            await client.flush()
        else:
            await wire.send(b"POST / HTTP/1.1\r\ncontent-length: 5000\r\n" + HOST + b"\r\n" + b"x" * 1000)
            await settle()
            wire.close()
        with trio.fail_after(5):
            await left.wait()
        try:
            wire.close()
        except ConnectionBroke:
            pass
