"""What a scrape of an open house shows of its limits, and what its network says to whoever listens."""

from __future__ import annotations

import logging

from gateway_house import ASK, CHAT, Key, Secret, config, house_with

from hoosh.gateway.readings import readings_of
from hoosh.testing.house import memory_house
from hoosh.testing.upstream import FakeUpstream, json_reply

WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}]}


async def test_limits_are_shown_with_what_counts_against_them(autojump_clock):
    keys = (Key(name="ada", key=Secret("sk-ada"), rpm=1, max_concurrent=4),)
    async with house_with(FakeUpstream(json_reply(WHOLE)), config(keys=keys)) as house:
        for _ in range(3):
            await house.post(CHAT, ASK, headers=((b"authorization", b"Bearer sk-ada"),))
        now, text = readings_of(house.gateway), house.gateway.metrics_text().decode()
    assert ("key", "ada", "requests", 1, 1) in now.limits
    assert ("key", "ada", "running", 0, 4) in now.limits
    assert ("key", "ada", 2) in now.limit_refusals
    assert 'hoosh_limit_refusals_total{kind="key",name="ada"} 2.0' in text
    assert "sk-ada" not in text


async def test_who_wants_to_know_hears_of_connections(autojump_clock, caplog):
    caplog.set_level(logging.DEBUG, "hoosh.http")
    async with house_with(FakeUpstream(json_reply(WHOLE))) as house:
        caplog.set_level(logging.DEBUG, "hoosh.http")
        await house.post(CHAT, ASK)
    assert "connected to mock:80" in caplog.messages
    async with memory_house(config()) as house:
        caplog.set_level(logging.DEBUG, "hoosh.http")
        await house.post(CHAT, ASK)
    assert any(message.startswith("no connection to mock:80") for message in caplog.messages)
