"""Answers out of the cache in the books: a row each, which costs nothing, says what was saved, and is kept in time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from gateway_house import CHAT, FakeUpstream, config, house_with

from hoosh.cost import PriceOverride
from hoosh.storage.settings import Storage
from hoosh.testing.upstream import Pause, json_reply, sse_chat

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "salam"}], "temperature": 0}
STREAM: dict[str, Any] = {**ASK, "stream": True}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "fake",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42},
}
PRICES = (PriceOverride(model="m", input=1000.0, output=1000.0),)
each_shape = pytest.mark.parametrize(
    ("body", "script"), [(ASK, json_reply(ANSWER)), (STREAM, sse_chat("sa", "lam"))], ids=["whole", "stream"]
)


@pytest.mark.parametrize("durability", ["batched", "sync"])
async def test_what_hits_have_saved_is_counted_kept_ones_and_those_out_of_the_air(durability, autojump_clock):
    settings = config(prices=PRICES, storage=Storage(durability=durability))
    async with house_with(FakeUpstream([Pause(1), *json_reply(ANSWER)]), settings) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.post, CHAT, ASK)
            nursery.start_soon(house.post, CHAT, ASK)
        await trio.sleep(1)
        await house.post(CHAT, ASK)
        await trio.sleep(1)
        total = house.gateway.books.totals.total()
        assert (total.requests, total.requests_cached, total.saved_tokens) == (3, 2, 84)
        assert (total.prompt_tokens, total.completion_tokens, total.cost_micro_usd) == (30, 12, 42_000)
        (pool,) = house.gateway.books.ledger.pools(0)
        assert pool.used == 42


@each_shape
async def test_where_answers_wait_for_the_disk_so_do_those_out_of_the_cache(body, script, autojump_clock, monkeypatch):
    async with house_with(FakeUpstream(script), config(storage=Storage(durability="sync"))) as house:
        await house.post(CHAT, body)
        await trio.sleep(1)
        books, written, answers = house.gateway.books, trio.Event(), []

        async def wait_kept(position: int) -> None:
            assert position == 2, "the row of the hit has been handed over"
            await written.wait()

        monkeypatch.setattr(books, "wait_kept", wait_kept)

        async def ask() -> None:
            answers.append(await house.post(CHAT, body))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(60)
            assert not answers
            written.set()
        assert answers[0][1].text(b"x-hoosh-cache") == "hit"
        await trio.sleep(1)
        _, totals = await books.replayed()
        assert totals.total().requests == 2


async def test_a_client_that_leaves_while_its_hit_is_being_written_has_one_row(autojump_clock, monkeypatch):
    async with house_with(FakeUpstream(json_reply(ANSWER)), config(storage=Storage(durability="sync"))) as house:
        await house.post(CHAT, ASK)
        await trio.sleep(1)

        async def wait_kept(position: int) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(house.gateway.books, "wait_kept", wait_kept)
        with trio.move_on_after(10):
            await house.post(CHAT, ASK)
        await trio.sleep(1)
        assert house.gateway.books.totals.total().requests == 2
