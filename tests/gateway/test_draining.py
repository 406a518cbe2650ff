"""A house that closes lets what runs finish, then says goodbye in the stream; each account is written down once."""

from __future__ import annotations

import json

import trio
from gateway_house import ASK, CHAT, STREAM, FakeUpstream, events_of, house_with, records_of, text_of

from hoosh.errors import TransportError, Unavailable
from hoosh.testing.upstream import Hang, json_reply, sse_chat, with_pauses
from hoosh.values import Outcome

ANSWER = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}


async def read_all(house, replies: list[bytes]) -> None:
    got = b""
    try:
        async with house.exchange(CHAT, STREAM) as response:
            while piece := await response.receive():
                got += piece
    except TransportError:
        pass
    replies.append(got)


async def test_streams_that_run_may_finish_while_draining(autojump_clock):
    async with house_with(FakeUpstream(with_pauses(sse_chat(*"salam"), 1))) as house:
        replies: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, house, replies)
            await trio.sleep(2)
            house.gateway.begin_draining()
            house.server.drain()
        assert text_of(replies[0]) == "salam"
        assert events_of(replies[0])[-1] == "[DONE]"


async def test_what_is_interrupted_gets_an_error_event_and_stops_its_upstream(autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam")[:3], Hang()])
    async with house_with(upstream) as house:
        records = records_of(house)
        replies: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, house, replies)
            await trio.sleep(2)
            assert house.gateway.interrupt_all(Unavailable("The gateway is shutting down.", retry_after_s=1.0)) == 1
        await upstream.wait_cancelled()
    events = events_of(replies[0])
    assert text_of(replies[0]) == "salam"
    assert events[-1]["error"]["code"] == "service_unavailable"
    assert "[DONE]" not in events
    assert [r.outcome for r in records] == [Outcome.CUT]


async def test_a_draining_house_says_503_to_new_requests_and_is_not_ready(autojump_clock):
    async with house_with(FakeUpstream(json_reply(ANSWER))) as house:
        assert (await house.get("/readyz"))[0] == 200
        house.gateway.begin_draining()
        status, headers, body = await house.post(CHAT, ASK)
        assert status == 503
        assert headers.get(b"retry-after") == b"1"
        assert json.loads(body)["error"]["code"] == "service_unavailable"
        assert (await house.get("/readyz"))[0] == 503
        assert (await house.get("/livez"))[0] == 200


async def test_counts_are_exact_when_they_are_read(autojump_clock):
    async with house_with(FakeUpstream(json_reply(ANSWER))) as house:
        for _ in range(60):
            await house.post(CHAT, ASK)
        metrics = (await house.get("/metrics"))[2].decode()
        assert 'hoosh_requests_total{model="m",provider="mock",status="success"} 60.0' in metrics
        assert "hoosh_in_flight_requests 0.0" in metrics


async def test_accounts_that_wait_to_be_written_are_written_when_the_house_closes():
    async with house_with(FakeUpstream(json_reply(ANSWER))) as house:
        gateway = house.gateway
        await house.post(CHAT, ASK)
    assert b'status="success"} 1.0' in gateway.metrics_text()
