"""Hedging: the first content wins, the loser is left at once, both are paid, an error never wins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, config, records_of, text_of

from hoosh.config import Budget, Routing
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream, Head, Pause, error_reply, json_reply, sse_chat, with_pauses

WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
}
QUICK = json_reply(WHOLE)
SLOW = [Pause(2.0), *QUICK]
SECOND = {"type": "openai-compatible", "name": "second", "base_url": "http://second:80"}


@asynccontextmanager
async def two(first: FakeUpstream, second: FakeUpstream, **routing: Any) -> AsyncIterator[MemoryHouse]:
    from hoosh.config import Provider

    settings = config(
        more=(Provider(**SECOND),),
        routing=Routing(hedge_after_ms=100, **{"hedge_max_ratio": 1.0, **routing}),
        budgets=(Budget(name="default", capacity=10**9),),
    )
    async with memory_house(settings) as house:
        house.network.listen("mock:80", first.serve_wire)
        house.network.listen("second:80", second.serve_wire)
        yield house


@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_wins_where_the_first_is_slow_and_the_first_is_left_at_once(stream, autojump_clock):
    said = sse_chat(*"salam")
    silent = [Head(200, [(b"content-type", b"text/event-stream")]), Pause(5), *said[1:]]
    first = FakeUpstream(silent if stream else SLOW)
    second = FakeUpstream(with_pauses(said, 0.1) if stream else QUICK)
    async with two(first, second) as house:
        records = records_of(house)
        began = trio.current_time()
        status, headers, body = await house.post(CHAT, STREAM if stream else ASK)
        assert status == 200
        assert trio.current_time() - began < 1.5
        assert headers.text(b"x-hoosh-provider") == "second"
        assert headers.text(b"x-hoosh-attempts") == "2"
        assert (text_of(body) if stream else b"salam" in body) in ("salam", True)
        await first.wait_cancelled()
        (record,) = records
        assert [(each.provider, each.reason) for each in record.tried] == [("mock", "hedged")]
        pool = house.gateway.books.ledger.pool("default", house.gateway.books.now_ms())
        assert pool.held == 0
        assert pool.used > (0 if stream else 21), "the loser is paid, too"


async def test_who_answers_in_time_runs_alone(autojump_clock):
    first, second = FakeUpstream(QUICK), FakeUpstream(QUICK)
    async with two(first, second) as house:
        _, headers, _ = await house.post(CHAT, ASK)
        assert (headers.text(b"x-hoosh-provider"), headers.text(b"x-hoosh-attempts")) == ("mock", "1")
    assert not second.requests


async def test_an_error_never_wins_while_another_lives(autojump_clock):
    first, second = FakeUpstream(SLOW), FakeUpstream([Pause(0.5), *error_reply(500, "no")])
    async with two(first, second) as house:
        status, headers, _ = await house.post(CHAT, ASK)
        assert (status, headers.text(b"x-hoosh-provider")) == (200, "mock")
    first, second = FakeUpstream([Pause(0.5), *error_reply(500, "no")]), FakeUpstream(SLOW)
    async with two(first, second) as house:
        status, headers, _ = await house.post(CHAT, ASK)
        assert (status, headers.text(b"x-hoosh-provider")) == (200, "second")


async def test_where_both_fail_the_first_error_is_told(autojump_clock):
    first = FakeUpstream([Pause(0.5), *error_reply(503, "full")])
    second = FakeUpstream([Pause(0.1), *error_reply(400, "what?")])
    async with two(first, second) as house:
        status, _, body = await house.post(CHAT, ASK)
        assert status in (400, 503), body
        assert house.gateway.books.ledger.pool("default", house.gateway.books.now_ms()).used == 0


async def test_a_client_that_leaves_stops_both(autojump_clock):
    first, second = FakeUpstream([Pause(50), *QUICK]), FakeUpstream([Pause(50), *QUICK])
    async with two(first, second) as house:
        with trio.move_on_after(1):
            await house.post(CHAT, ASK)
        await first.wait_cancelled()
        await second.wait_cancelled()
        await trio.sleep(1)
        assert not house.gateway.in_flight
        assert house.gateway.books.ledger.pool("default", house.gateway.books.now_ms()).held == 0


async def test_d3_one_of_twenty_is_slow(autojump_clock):
    """Times are those of a mock clock: a p99 below 300 ms, at most 7 % more requests than were asked."""
    turns = [[Pause(2.0 if number % 20 == 0 else 0.05), *QUICK] for number in range(400)]
    first, second = FakeUpstream(*turns), FakeUpstream([Pause(0.05), *QUICK])
    async with two(first, second, hedge_max_ratio=0.07) as house:
        took = []
        for _ in range(400):
            began = trio.current_time()
            status, _, _ = await house.post(CHAT, ASK)
            took.append(trio.current_time() - began)
            assert status == 200
    assert sorted(took)[395] < 0.3
    assert len(first.requests) + len(second.requests) <= 400 * 1.07
