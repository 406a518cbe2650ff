"""Counting tokens for an upstream that cannot: the estimate that a budget would hold, and it learns."""

from __future__ import annotations

import json
from typing import Any

import trio
from gateway_house import house_with

from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import FakeUpstream, json_reply

ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "Tell me of the sea. " * 50}],
}
COUNTED = 450
ANSWER = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": COUNTED, "completion_tokens": 1, "total_tokens": COUNTED + 1},
}


async def count(house: MemoryHouse) -> int:
    status, headers, body = await house.post("/v1/messages/count_tokens", ASKED)
    assert status == 200, body
    assert headers.get(b"x-hoosh-estimated") == b"true"
    tokens: int = json.loads(body)["input_tokens"]
    return tokens


async def test_what_upstreams_count_is_learnt_for_those_who_ask(autojump_clock: object):
    async with house_with(FakeUpstream(json_reply(ANSWER))) as house:
        assert 240 < await count(house) < 280
        for _ in range(5):
            assert (await house.post("/v1/messages", ASKED))[0] == 200
            await trio.sleep(1)
        assert abs(await count(house) - COUNTED) < COUNTED / 10
