"""httpx over our pools: the same calls, our sockets, httpx's errors."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from client_house import ORIGIN, open_house

from hoosh.http.httpx_transport import PoolTransport
from hoosh.testing.upstream import Body, Cut, End, Hang, Head, Pause, json_reply

URL = "http://api.example/v1/x?a=b"


@asynccontextmanager
async def open_client(*scripts, connect_s=0.0, http2="off"):
    async with open_house(*scripts, connect_s=connect_s, http2=http2) as house:
        asked = []

        def pool_for(origin):
            asked.append(origin)
            return house.pool

        async with httpx.AsyncClient(transport=PoolTransport(pool_for)) as client:
            yield house, client
        assert set(asked) <= {ORIGIN}


async def test_a_call_through_httpx_arrives_and_is_answered(autojump_clock):
    async with open_client(json_reply({"a": 1}, status=201)) as (house, client):
        response = await client.post(URL, json={"q": 1}, headers={"x-id": "7"})
        assert (response.status_code, response.json()) == (201, {"a": 1})
        (seen,) = house.upstream.requests
        assert (seen.method, seen.target, seen.body) == ("POST", "/v1/x?a=b", b'{"q":1}')
        assert seen.headers.get(b"x-id") == b"7"
        assert seen.headers.all(b"host") == [b"api.example"]
        assert seen.headers.all(b"accept-encoding") == [b"identity"]
        assert house.pool.statistics().idle == 1


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_closing_a_streamed_response_leaves_the_exchange(autojump_clock, http2):
    async with open_client([Head(), Body(b"a"), Hang()], http2=http2) as (house, client):
        async with client.stream("GET", URL) as response:
            assert response.status_code == 200
            assert house.pool.statistics().active == 1
        await house.upstream.wait_cancelled()
        assert house.pool.statistics().active == 0


async def test_a_streamed_response_comes_piece_by_piece(autojump_clock):
    script = [Head(), Body(b"a"), Pause(1), Body(b"b"), Pause(1), End()]
    async with open_client(script) as (_, client), client.stream("GET", URL) as response:
        assert [piece async for piece in response.aiter_raw()] == [b"a", b"b"]


async def test_a_response_may_outlive_the_block_it_was_asked_in(autojump_clock):
    async with open_client([Head(), Body(b"a"), Pause(1), End()]) as (_, client):
        with trio.move_on_after(10):
            response = await client.send(client.build_request("GET", URL), stream=True)
        assert await response.aread() == b"a"


@pytest.mark.parametrize(
    ("script", "connect_s", "error"),
    [
        ([Hang()], 0, httpx.ReadTimeout),
        ([Head(), Body(b"a"), Hang()], 0, httpx.ReadTimeout),
        ([Hang()], 60, httpx.ConnectTimeout),
        ([Cut()], 0, httpx.ReadError),
        ([Head(), Body(b"a"), Cut()], 0, httpx.ReadError),
        ([b"nonsense\r\n\r\n"], 0, httpx.RemoteProtocolError),
    ],
)
async def test_our_errors_become_httpx_errors(autojump_clock, script, connect_s, error):
    async with open_client(script, connect_s=connect_s) as (house, client):
        with pytest.raises(error):
            await client.get(URL, timeout=5)
        assert house.network.still_open() == 0


async def test_a_refused_connection_is_a_connect_error(autojump_clock):
    async with open_client() as (house, client):
        house.network.stop(ORIGIN)
        with pytest.raises(httpx.ConnectError):
            await client.get(URL)


async def test_cancelling_a_call_leaves_nothing_open(autojump_clock):
    async with open_client([Hang()]) as (house, client):
        with trio.move_on_after(1):
            await client.get(URL, timeout=None)
        assert house.network.still_open() == 0
