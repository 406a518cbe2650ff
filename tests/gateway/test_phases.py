"""Where the time of a request went: the phases add up, whatever became of it."""

from __future__ import annotations

import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, config, house_with, records_of

from hoosh.config import Cache, Provider, Retry, Routing, Server
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import End, FakeUpstream, Pause, Reset, error_reply, json_reply, sse_chat, with_pauses
from hoosh.values import PHASES, Record

WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
}
QUICK = json_reply(WHOLE)
SECOND = Provider(type="openai-compatible", name="second", base_url="http://second:80")


def phases_of(record: Record) -> dict[str, float]:
    """To the hundredth of a second; they must add up."""
    phases = dict(zip(PHASES, record.phases, strict=True))
    assert min(phases.values()) >= 0
    return {name: round(seconds, 2) for name, seconds in phases.items() if round(seconds, 2)}


def only(records: list[Record], *, waited_s: float = 0.0) -> Record:
    (record,) = records
    assert sum(record.phases) + waited_s == pytest.approx(record.duration_s)
    return record


async def test_a_stream_waits_for_its_first_content_and_is_relayed(autojump_clock):
    script = sse_chat(*"salam", usage=True)
    upstream = FakeUpstream([Pause(2.0), *with_pauses(script, 0.5)])
    async with house_with(upstream) as house:
        records = records_of(house)
        await house.post(CHAT, STREAM)
    record = only(records)
    phases = phases_of(record)
    assert set(phases) == {"ttft", "relay"}
    assert phases["ttft"] == round(record.first_token_s or 0, 2) >= 2.5
    assert phases["relay"] >= 2.0


async def test_a_whole_answer_is_waited_for(autojump_clock):
    async with house_with(FakeUpstream([Pause(2.0), *QUICK])) as house:
        records = records_of(house)
        await house.post(CHAT, ASK)
    assert phases_of(only(records)) == {"ttft": 2.0}


async def test_earlier_attempts_are_the_retry(autojump_clock):
    upstream = FakeUpstream([Pause(1.0), *error_reply(503)], [Pause(2.0), *QUICK])
    settings = config(retry=Retry(max_retries=1, base_delay_ms=1, max_delay_ms=1))
    async with house_with(upstream, settings) as house:
        records = records_of(house)
        status, _, _ = await house.post(CHAT, ASK)
        assert status == 200
    assert phases_of(only(records)) == {"retry": 1.0, "ttft": 2.0}


async def test_what_cannot_be_reached_is_connecting(autojump_clock):
    async with memory_house(config()) as house:
        records = records_of(house)
        await house.post(CHAT, ASK)
    assert set(phases_of(only(records))) <= {"connect"}


async def test_a_refusal_of_the_upstream_is_its_time(autojump_clock):
    async with house_with(FakeUpstream([Pause(1.0), *error_reply(400)])) as house:
        records = records_of(house)
        await house.post(CHAT, ASK)
    assert phases_of(only(records)) == {"ttft": 1.0}


async def test_a_hedge_counts_from_the_winners_beginning(autojump_clock):
    settings = config(more=(SECOND,), routing=Routing(hedge_after_ms=500, hedge_max_ratio=1.0))
    async with memory_house(settings) as house:
        house.network.listen("mock:80", FakeUpstream([Pause(9.0), *QUICK]).serve_wire)
        house.network.listen("second:80", FakeUpstream([Pause(0.25), *QUICK]).serve_wire)
        records = records_of(house)
        await house.post(CHAT, ASK)
    assert phases_of(only(records)) == {"retry": 0.5, "ttft": 0.25}


async def test_a_rescue_is_relaying(autojump_clock):
    settings = config(more=(SECOND,))
    async with memory_house(settings) as house:
        broken = [*sse_chat("sa", "lam")[:2], Pause(1.0), Reset()]
        house.network.listen("mock:80", FakeUpstream(broken).serve_wire)
        house.network.listen("second:80", FakeUpstream([Pause(2.0), *sse_chat("sa", "lam")]).serve_wire)
        records = records_of(house)
        await house.post(CHAT, STREAM)
    record = only(records)
    assert record.rescued
    assert phases_of(record) == {"retry": 1.0, "relay": 2.0}


async def test_the_wait_for_a_turn_is_not_the_route(autojump_clock):
    upstream = FakeUpstream([Pause(3.0), *QUICK])
    async with house_with(upstream, config(server=Server(max_concurrent=1))) as house:
        records = records_of(house)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(house.post, CHAT, ASK)
    for record in records:
        assert phases_of(record) == {"ttft": 3.0}
    assert sorted(round(record.queue_s) for record in records) == [0, 3]


async def test_a_client_that_leaves_is_counted_to_its_end(autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam")[:2], Pause(100.0), End()])
    async with house_with(upstream) as house:
        records = records_of(house)
        with trio.move_on_after(2.0):
            await house.post(CHAT, STREAM)
        await upstream.wait_cancelled()
        await trio.sleep(1)
    assert phases_of(only(records)) == {"relay": 2.0}


async def test_who_asks_nobody_has_none(autojump_clock):
    upstream = FakeUpstream(QUICK)
    async with house_with(upstream, config(cache=Cache())) as house:
        records = records_of(house)
        await ask_twice(house)
    assert [bool(record.phases) for record in records] == [True, False]
    assert records[0].duration_s == pytest.approx(sum(records[0].phases))


async def ask_twice(house: MemoryHouse) -> None:
    for _ in range(2):
        await house.post(CHAT, {**ASK, "temperature": 0})
