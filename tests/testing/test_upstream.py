"""FakeUpstream plays its script, over memory and over real sockets, and sees the peer leave."""

from __future__ import annotations

import json

import pytest
import trio

from hoosh.http.client import Pool, Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.testing.upstream import (
    Body,
    Cut,
    End,
    FakeUpstream,
    Hang,
    Head,
    Pause,
    Reset,
    error_reply,
    json_reply,
    sse_chat,
    with_pauses,
)


async def raw(upstream, data, *, nursery):
    """All bytes that a FakeUpstream on a real socket sends for `data`, until it or we stop."""
    port = await nursery.start(upstream.serve_tcp)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(data)
    got = b""
    try:
        while not got.endswith(b"0\r\n\r\n") and (piece := await stream.receive_some()):
            got += piece
    except trio.BrokenResourceError:
        got += b"<reset>"
    await stream.aclose()
    return got


GET = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_a_script_goes_out_word_for_word(nursery):
    upstream = FakeUpstream([Head(200, [(b"x-id", b"7")]), Body(b"salam"), End()])
    got = await raw(upstream, GET, nursery=nursery)
    assert got == (b"HTTP/1.1 200 OK\r\nx-id: 7\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsalam\r\n0\r\n\r\n")
    assert upstream.requests[0].target == "/v1/models"
    nursery.cancel_scope.cancel()


async def test_a_cut_is_an_end_and_a_reset_is_a_reset(nursery):
    assert await raw(FakeUpstream([b"abc", Cut()]), GET, nursery=nursery) == b"abc"
    assert await raw(FakeUpstream([b"abc", Pause(0.01), Reset()]), GET, nursery=nursery) == b"abc<reset>"
    nursery.cancel_scope.cancel()


async def test_scripts_are_played_in_turn_and_may_depend_on_the_request(nursery):
    def echo(request):
        return json_reply({"you": request.body.decode()})

    upstream = FakeUpstream(error_reply(429, "later", headers=[(b"retry-after", b"2")]), echo)
    port = await nursery.start(upstream.serve_tcp)
    origin = Origin("http", "127.0.0.1", port)
    pool = Pool(origin, dialer=SocketDialer())
    await nursery.start(pool.run)
    request = HttpRequest(RequestHead(origin, "POST", "/"), b"me")
    status, headers, body = await pool.fetch(request, Timeouts(), max_bytes=999)
    assert (status, headers.get(b"retry-after"), json.loads(body)["error"]["message"]) == (429, b"2", "later")
    for _ in range(2):
        assert json.loads((await pool.fetch(request, Timeouts(), max_bytes=999))[2]) == {"you": "me"}
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("script", [[Hang()], [Head(), Body(b"a"), Hang()]])
async def test_the_upstream_notices_when_it_is_left(nursery, script):
    upstream = FakeUpstream(script)
    port = await nursery.start(upstream.serve_tcp)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(GET)
    await upstream.wait_requests(1)
    assert upstream.cancelled == 0
    await stream.aclose()
    await upstream.wait_cancelled(1)
    await upstream.wait_closed()
    assert upstream.requests[0].cancelled_at is not None
    nursery.cancel_scope.cancel()


def test_a_chat_stream_is_what_openai_sends():
    steps = with_pauses(sse_chat("a", "b", model="m"), 1)
    events = [step.data for step in steps if isinstance(step, Body)]
    assert events[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(event[6:]) for event in events[:-1]]
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]] == ["a", "b", None]
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert sum(isinstance(step, Pause) for step in steps) == len(events) - 1
