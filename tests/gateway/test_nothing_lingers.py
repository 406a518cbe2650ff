"""A request that is written down is gone at once: it does not wait for a collection of garbage with its body."""

from __future__ import annotations

import gc
import weakref

import pytest
from gateway_house import ASK, CHAT, config, house_with

from hoosh.config import Budget
from hoosh.gateway.account import Account
from hoosh.gateway.recorder import Recorder
from hoosh.testing.upstream import FakeUpstream, json_reply

WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
}


@pytest.mark.parametrize("budgets", [(), (Budget(name="default", capacity=100_000),)], ids=["no ceiling", "a pool"])
async def test_an_account_that_is_written_down_is_freed(budgets, monkeypatch, autojump_clock):
    closed: list[weakref.ref[Account]] = []
    put = Recorder.put

    def noting(self: Recorder, account: Account) -> None:
        closed.append(weakref.ref(account))
        put(self, account)

    monkeypatch.setattr(Recorder, "put", noting)
    async with house_with(FakeUpstream(json_reply(WHOLE)), config(budgets=budgets)) as house:
        await house.post(CHAT, ASK)  # whatever is made once
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await house.post(CHAT, ASK))[0] == 200
            house.gateway.flush()
            alive = [account() for account in closed[:-1] if account() is not None]
        finally:
            gc.enable()
    assert len(closed) == 4
    assert alive == []
