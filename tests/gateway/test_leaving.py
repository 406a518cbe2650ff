"""A client that leaves stops the work upstream, at any moment, and nothing of its request stays behind."""

from __future__ import annotations

import random

import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, FakeUpstream, config, house_with, records_of

from hoosh.errors import TransportError
from hoosh.gateway.account import Account
from hoosh.http.server_h1 import H1Exchange
from hoosh.http.stream_h2 import H2Stream
from hoosh.testing.leftovers import Leftovers
from hoosh.testing.seeds import seed_of_run
from hoosh.testing.upstream import Hang, error_reply, json_reply, sse_chat, with_pauses
from hoosh.values import Outcome

ANSWER = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}


@pytest.fixture(params=[False, True], ids=["h1", "h2"])
def http2(request) -> bool:
    return request.param


async def settled(house) -> None:
    """Until the house has no request in flight."""
    while house.gateway.in_flight:
        await trio.sleep(0.01)


async def leave_after(house, body, seconds: float) -> None:
    """Ask, and go away `seconds` later, whatever has come by then."""
    with trio.move_on_after(seconds):
        async with house.exchange(CHAT, body) as response:
            while await response.receive():
                pass


async def test_leaving_before_the_first_byte_of_a_whole_answer_stops_the_upstream(http2, autojump_clock):
    upstream = FakeUpstream([Hang()])
    async with house_with(upstream, http2=http2) as house:
        records = records_of(house)
        await leave_after(house, ASK, 3)
        await upstream.wait_cancelled()
        assert trio.current_time() - upstream.requests[0].cancelled_at < 1
        await settled(house)
    assert [(r.outcome, r.status) for r in records] == [(Outcome.CLIENT_LEFT, 499)]


async def test_leaving_in_the_middle_of_a_stream_stops_the_upstream(http2, autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam")[:3], Hang()])
    async with house_with(upstream, http2=http2) as house:
        records = records_of(house)
        await leave_after(house, STREAM, 3)
        await upstream.wait_cancelled()
        await settled(house)
    assert [r.outcome for r in records] == [Outcome.CLIENT_LEFT]
    assert records[0].chunks == 2


async def test_leaving_while_the_upstream_is_still_being_dialled_stops_the_dialling(http2, autojump_clock):
    upstream = FakeUpstream(json_reply(ANSWER))
    async with house_with(upstream, http2=http2) as house:
        house.network.listen("mock:80", upstream.serve_wire, connect_s=4)
        await leave_after(house, ASK, 1)
        await settled(house)
        assert house.gateway.fleet["mock"].statistics().open == 0
        await trio.sleep(10)
    assert upstream.connections == 0


async def test_one_leaver_does_not_disturb_the_others_on_its_connection(autojump_clock):
    upstream = FakeUpstream(with_pauses(sse_chat(*"salam"), 1))
    async with house_with(upstream, http2=True) as house:
        replies: list[bytes] = []

        async def stay() -> None:
            replies.append((await house.post(CHAT, STREAM))[2])

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(stay)
                nursery.start_soon(leave_after, house, STREAM, 2.5)
        await settled(house)
        assert upstream.cancelled == 5
    assert len(replies) == 5
    assert all(reply.endswith(b"data: [DONE]\n\n") for reply in replies)


async def test_an_http2_upstream_gets_a_reset_and_keeps_its_connection(autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam")[:3], Hang()])
    async with house_with(upstream, config(provider={"http2": "prior"})) as house:
        house.network.listen("mock:80", upstream.serve_wire_h2)
        for _ in range(150):  # more than the streams that a connection may have at once
            await leave_after(house, STREAM, 1)
        await settled(house)
        await upstream.wait_cancelled(150)
        assert upstream.connections == 1
    assert set(upstream.reset_codes) == {8}  # CANCEL


@pytest.mark.parametrize("seed", [seed_of_run() + n for n in range(2)], ids=["1", "2"])
async def test_thousands_of_requests_aborted_at_random_moments_leave_nothing_behind(seed, autojump_clock):
    """D1: in the pool's queue, dialling, waiting for the head, in mid-stream, after the last byte."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    scripts = [
        [Hang()],
        with_pauses(json_reply(ANSWER), 0.5),
        with_pauses(sse_chat("sa", "lam", "don", "ya"), 0.4),
        [*sse_chat("sa", "lam")[:2], Hang()],
        error_reply(503),
    ]
    upstream = FakeUpstream(lambda request: chance.choice(scripts))
    leftovers = Leftovers(Account, H1Exchange, H2Stream)
    for http2 in (False, True):
        async with house_with(upstream, config(provider={"max_connections": 40}), http2=http2) as house:
            house.network.listen("mock:80", upstream.serve_wire, connect_s=0.3)
            records = records_of(house)
            await house.get("/livez")  # the app behind the hot routes is up then
            await leave_after(house, ASK, 1)
            await settled(house)
            await trio.sleep(200)
            baseline = tasks_now()

            async def one() -> None:
                await trio.sleep(chance.uniform(0, 60))
                try:
                    await leave_after(house, chance.choice([ASK, STREAM]), chance.choice([0, chance.uniform(0, 3)]))
                except TransportError:
                    pass

            async with trio.open_nursery() as nursery:
                for _ in range(2500):
                    nursery.start_soon(one)
            await settled(house)
            await trio.sleep(200)  # kept connections are closed by then
            assert tasks_now() <= baseline
            assert not leftovers.now()
            pool = house.gateway.fleet["mock"].statistics()
            assert (pool.open, pool.active, pool.waiting) == (0, 0, 0)
            assert house.gateway.silence.waiting == set()
            assert len({r.request_id for r in records}) == len(records)
            kinds = {r.outcome for r in records}
            assert kinds >= {Outcome.CLIENT_LEFT, Outcome.OK, Outcome.ERROR}
        await upstream.wait_closed()


def tasks_now() -> int:
    return trio.lowlevel.current_statistics().tasks_living
