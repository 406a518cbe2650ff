"""HTTP/1.1 responses, wherever their bytes are cut, and what becomes of the connection."""

from __future__ import annotations

import gzip
import zlib

import pytest
import trio
from client_house import ORIGIN, TIMEOUTS, open_house, request

from hoosh.errors import ConnectionBroke, ProtocolViolation, ResponseTooLarge
from hoosh.http.client_h1 import encode_request
from hoosh.http.message import HttpRequest, RequestHead
from hoosh.testing.upstream import Body, Cut, End, Head, Pause, Reset, json_reply

OK = b"HTTP/1.1 200 OK\r\n"


async def fetch(*script, method="POST", max_bytes=1 << 20):
    """(status, body, connections still open in the pool) of one exchange against a scripted upstream."""
    async with open_house(list(script)) as house:
        status, _, body = await house.pool.fetch(request(method=method), TIMEOUTS, max_bytes=max_bytes)
        return status, body, house.pool.statistics().open


async def test_a_response_with_content_length_is_read_and_the_connection_kept(autojump_clock):
    assert await fetch(OK + b"Content-Length: 5\r\n\r\nsalam") == (200, b"salam", 1)


async def test_a_chunked_response_is_read_and_the_connection_kept(autojump_clock):
    wire = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nsa\r\n3;ext=1\r\nlam\r\n0\r\nx-trailer: 1\r\n\r\n"
    assert await fetch(wire) == (200, b"salam", 1)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        + OK
        + b"content-length: 1\r\n\r\na",
        OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ],
)
async def test_a_response_cut_at_any_byte_reads_the_same(autojump_clock, wire):
    for cut in range(len(wire) + 1):
        assert await fetch(wire[:cut], Pause(0), wire[cut:]) == (200, b"a", 1)


async def test_informational_heads_are_skipped_and_their_headers_with_them(autojump_clock):
    wire = b"HTTP/1.1 103 Early Hints\r\nx-early: 1\r\n\r\n" + OK + b"x-late: 1\r\ncontent-length: 0\r\n\r\n"
    async with open_house([wire]) as house:
        _, headers, _ = await house.pool.fetch(request(), TIMEOUTS, max_bytes=9)
        assert [name for name, _ in headers] == [b"x-late", b"content-length"]


@pytest.mark.parametrize(
    ("method", "wire"),
    [
        ("HEAD", OK + b"content-length: 500\r\n\r\n"),
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n"),
    ],
)
async def test_responses_without_a_body_end_with_their_head(autojump_clock, method, wire):
    _, body, still_open = await fetch(wire, method=method)
    assert body == b""
    assert still_open == 1


async def test_trailers_are_not_headers(autojump_clock):
    wire = OK + b"transfer-encoding: chunked\r\n\r\n0\r\nset-cookie: 1\r\n\r\n"
    async with open_house([wire]) as house:
        _, headers, _ = await house.pool.fetch(request(), TIMEOUTS, max_bytes=9)
        assert headers.get(b"set-cookie") is None


async def test_a_body_without_length_ends_with_the_connection(autojump_clock):
    assert await fetch(OK + b"\r\nsal", b"am", Cut()) == (200, b"salam", 0)


@pytest.mark.parametrize("end", [Cut(), Reset()])
@pytest.mark.parametrize(
    "framing", [b"content-length: 9\r\n\r\nsalam", b"transfer-encoding: chunked\r\n\r\n5\r\nsalam"]
)
async def test_a_body_cut_short_is_never_taken_for_whole(autojump_clock, framing, end):
    async with open_house([OK + framing, Pause(1), end]) as house:
        async with house.pool.exchange(request(), TIMEOUTS) as response:
            assert await response.receive() == b"salam"
            with pytest.raises(ConnectionBroke):
                await response.receive()
        assert house.pool.statistics().open == 0


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\na",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"x: " + b"y" * 70_000,
        OK + b"x: y\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
    ],
    ids=range(10),
)
async def test_what_is_not_http_is_a_violation(autojump_clock, wire):
    async with open_house([wire]) as house:
        with pytest.raises(ProtocolViolation):
            await house.pool.fetch(request(), TIMEOUTS, max_bytes=9)
        assert house.network.still_open() == 0


async def test_chunk_extensions_without_end_are_a_violation(autojump_clock):
    async with open_house([OK + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 200_000]) as house:
        with pytest.raises(ProtocolViolation):
            await house.pool.fetch(request(), TIMEOUTS, max_bytes=9)


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"content-length: 1\r\nconnection: close\r\n\r\na",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na",
        OK + b"content-length: 1\r\n\r\na" + OK,
        OK + b"content-length: 1\r\n\r\nagarbage",
        b"HTTP/1.1 204 No Content\r\n\r\nabc",
    ],
)
async def test_a_connection_that_ends_or_says_too_much_is_not_used_again(autojump_clock, wire):
    _, _, still_open = await fetch(wire)
    assert still_open == 0


async def test_bytes_that_arrive_between_two_exchanges_end_the_connection(autojump_clock):
    async with open_house(
        [OK + b"content-length: 1\r\n\r\na", Pause(1), OK + b"content-length: 4\r\n\r\nevil"]
    ) as house:
        await house.pool.fetch(request(), TIMEOUTS, max_bytes=9)
        await trio.sleep(2)
        _, _, body = await house.pool.fetch(request(), TIMEOUTS, max_bytes=9)
        assert body == b"a"
        assert house.upstream.connections == 2


async def test_receive_gives_all_that_one_wake_up_brought(autojump_clock):
    script = [Head(), b"1\r\na\r\n1\r\nb\r\n", Pause(1), b"1\r\nc\r\n0\r\n\r\n"]
    async with open_house(script) as house, house.pool.exchange(request(), TIMEOUTS) as response:
        assert await response.receive() == b"ab"
        assert not response.ended
        assert await response.receive() == b"c"
        assert response.ended
        assert await response.receive() == b""


async def test_a_buffered_body_stops_at_its_ceiling(autojump_clock):
    async with open_house([Head(), Body(b"x" * 100), Body(b"x" * 100), End()]) as house:
        _, _, body = await house.pool.fetch(request(), TIMEOUTS, max_bytes=200)
        assert len(body) == 200
        with pytest.raises(ResponseTooLarge):
            await house.pool.fetch(request(), TIMEOUTS, max_bytes=199)


async def test_an_answer_given_before_the_request_was_read_is_heard(autojump_clock):
    async def refuse(wire):
        await wire.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno")
        await trio.sleep(1)
        wire.close()  # with most of the request unread: RST

    async with open_house() as house:
        house.network.listen(ORIGIN, refuse)
        async with house.pool.exchange(request(b"x" * 1_000_000), TIMEOUTS) as response:
            assert response.status == 413


async def test_leaving_early_closes_the_connection_at_once(autojump_clock):
    async with open_house([Head(), Body(b"a"), Pause(100), End()]) as house:
        async with house.pool.exchange(request(), TIMEOUTS) as response:
            await response.receive()
            assert house.network.still_open() == 1
        assert house.network.still_open() == 0
        await house.upstream.wait_cancelled()


def test_the_request_is_encoded_as_http_1_1():
    head = RequestHead(ORIGIN, "POST", "/v1/x?a=b", [(b"authorization", b"Bearer k")])
    assert encode_request(HttpRequest(head, b"abc", [(b"x-request-id", b"1")])) == (
        b"POST /v1/x?a=b HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer k\r\nx-request-id: 1\r\n"
        b"content-length: 3\r\n\r\n"
    )
    assert (
        encode_request(HttpRequest(RequestHead(ORIGIN, "GET", "/"))) == b"GET / HTTP/1.1\r\nhost: api.example\r\n\r\n"
    )


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\ny", b"a\rb"])
async def test_a_header_with_a_line_break_is_not_sent(autojump_clock, value):
    async with open_house() as house:
        with pytest.raises(ValueError, match="line break"):
            await house.pool.fetch(request(extra=((b"x", value),)), TIMEOUTS, max_bytes=9)
        assert house.network.still_open() == 0


@pytest.mark.parametrize("size", [1, 200_000])
async def test_the_upstream_receives_what_was_sent(autojump_clock, size):
    async with open_house(json_reply({"ok": True})) as house:
        await house.pool.fetch(request(b"x" * size, extra=((b"x-id", b"7"),)), TIMEOUTS, max_bytes=99)
        (received,) = house.upstream.requests
        assert received.body == b"x" * size
        assert received.headers.get(b"x-id") == b"7"
        assert received.headers.get(b"host") == b"api.example"


# Content codings that nobody asked for.

TEXT = b"salam donya " * 1000


def raw_deflate(data):
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize(
    ("coding", "coded"),
    [
        (b"gzip", gzip.compress(TEXT)),
        (b"X-Gzip", gzip.compress(TEXT[:5000]) + gzip.compress(TEXT[5000:])),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
        (b"identity", TEXT),
    ],
    ids=["gzip", "two members", "zlib", "raw deflate", "identity"],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_a_coded_body_is_decoded_wherever_it_is_cut(autojump_clock, coding, coded, piece):
    pieces = [Body(coded[i : i + piece]) for i in range(0, len(coded), piece)]
    async with open_house([Head(200, [(b"content-encoding", coding)]), *pieces, End()]) as house:
        _, headers, body = await house.pool.fetch(request(), TIMEOUTS, max_bytes=1 << 20)
        assert body == TEXT
        assert headers.get(b"content-encoding") in (None, b"identity")
        assert house.pool.statistics().idle == 1


async def test_a_compressed_stream_gives_each_event_when_it_comes(autojump_clock):
    squeeze = zlib.compressobj(wbits=31)
    first = squeeze.compress(b"data: 1\n\n") + squeeze.flush(zlib.Z_SYNC_FLUSH)
    second = squeeze.compress(b"data: 2\n\n") + squeeze.flush()
    script = [Head(200, [(b"content-encoding", b"gzip")]), Body(first), Pause(1), Body(second), End()]
    async with open_house(script) as house, house.pool.exchange(request(), TIMEOUTS) as response:
        assert await response.receive() == b"data: 1\n\n"
        assert await response.receive() == b"data: 2\n\n"
        assert await response.receive() == b""


async def test_a_decompression_bomb_stops_at_the_ceiling(autojump_clock):
    bomb = gzip.compress(bytes(100_000_000))
    async with open_house([Head(200, [(b"content-encoding", b"gzip")]), Body(bomb), End()]) as house:
        with pytest.raises(ResponseTooLarge):
            await house.pool.fetch(request(), TIMEOUTS, max_bytes=1 << 20)


@pytest.mark.parametrize(
    ("coding", "coded", "error"),
    [
        (b"gzip", gzip.compress(TEXT)[:-9], ConnectionBroke),
        (b"gzip", b"not gzip", ProtocolViolation),
        (b"deflate", zlib.compress(TEXT) + b"more", ProtocolViolation),
        (b"br", b"whatever", ProtocolViolation),
    ],
    ids=["cut", "no gzip", "more", "unknown"],
)
async def test_a_coded_body_that_is_cut_or_unreadable_is_an_error(autojump_clock, coding, coded, error):
    async with open_house([Head(200, [(b"content-encoding", coding)]), Body(coded), End()]) as house:
        with pytest.raises(error):
            await house.pool.fetch(request(), TIMEOUTS, max_bytes=1 << 20)
