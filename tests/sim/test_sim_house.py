"""Thousands of requests through the whole house, with everything that can go wrong on their way: the books balance.

`HOOSH_REQUESTS` is the size of a run, `HOOSH_SEEDS` how many there are, `HOOSH_SEED=n` which is the first;
see docs/reliability.md.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from sim_books import check_books
from sim_client import Heard, ask, tokens_told
from sim_schedule import RUN_S, Ask, Jump, Mood, Schedule, Visit, schedule
from sim_trace import traced
from sim_upstream import answers
from sim_world import World, dice, everything, seeds, world
from trio.testing import MockClock

from hoosh.errors import HooshError
from hoosh.gateway.account import Account
from hoosh.gateway.bill import Bill
from hoosh.http.server_h1 import H1Exchange
from hoosh.testing.leftovers import Leftovers
from hoosh.testing.upstream import FakeUpstream
from hoosh.values import Caller, Settlement

REQUESTS = int(os.environ.get("HOOSH_REQUESTS", 1_000))
WARM_UP_S = 300.0
OUTSIDER = Caller("outsider")


@pytest.mark.parametrize("seed", seeds(3))
async def test_the_books_balance_after_thousands_of_requests_with_every_kind_of_trouble(seed, autojump_clock):
    plan = schedule(seed, REQUESTS)
    leftovers = Leftovers(Account, Bill, H1Exchange)
    async with house_of(plan) as sim:
        tasks = trio.lowlevel.current_statistics().tasks_living
        heard = await play(sim, plan)
        with traced(plan, heard):
            rows = await check_books(sim)
            check_answers(heard, plan.moods, rows)
        print(summary(seed, sim, rows))
        sim.witness.seen.clear()
        await trio.sleep(200)  # kept connections are closed by then
        assert trio.lowlevel.current_statistics().tasks_living <= tasks
        assert not leftovers.now(), "nobody holds on to a request that is over"


def test_a_run_can_be_repeated():
    def once() -> list[object]:
        gc.collect()  # what others have left would be collected in the middle of a run, and wake the scheduler
        return trio.run(rows_of, schedule(7, 300), clock=MockClock(autojump_threshold=0))

    assert once() == once()


async def rows_of(plan: Schedule) -> list[object]:
    """What a run comes to, but for the names of its requests."""
    async with house_of(plan) as sim:
        await play(sim, plan)
        rows = await check_books(sim)
        asks = {seen.request_id: seen.ask for seen in sim.witness.seen}
        return [(asks[row.request_id], row.at_ms, row.outcome, row.charge, row.usage) for row in rows.values()]


@asynccontextmanager
async def house_of(plan: Schedule) -> AsyncIterator[World]:
    upstreams = {f"{name}:80": FakeUpstream(answers(plan.moods)) for name in ("one", "two", "claude", "qwen")}
    with dice(plan.seed):
        async with world(
            everything(len(plan.asks) / 1_000), upstreams, begins_at_s=trio.current_time() + WARM_UP_S, seed=plan.seed
        ) as sim:
            yield sim


async def play(sim: World, plan: Schedule) -> list[Heard]:
    heard: list[Heard] = []

    async def client(script: Ask) -> None:
        await trio.sleep(script.at_s)
        heard.append(await ask(sim, script))

    async def jump(script: Jump) -> None:
        await trio.sleep(script.at_s)
        sim.clock.jump(script.by_s)

    async with trio.open_nursery() as nursery:
        for script in plan.asks:
            nursery.start_soon(client, script)
        for visit in plan.visits:
            nursery.start_soon(outsider, sim, visit)
        for moved in plan.jumps:
            nursery.start_soon(jump, moved)
        await trio.sleep(RUN_S)
    await sim.wait_quiet()
    sim.clock.jump(100 * 86_400)  # whatever clocks have done, no reservation lives so long
    await trio.sleep(1)
    return heard


async def outsider(sim: World, script: Visit) -> None:
    await trio.sleep(script.at_s)
    desk = sim.gateway.tokens
    promised = await desk.reserve(OUTSIDER, script.pool, script.amount, script.ttl_s)
    await trio.sleep(script.comes_back_s)
    if promised.id is None or script.then == "forget":
        return
    try:
        if script.then == "report":
            await desk.report(OUTSIDER, script.amount // 2, identity=promised.id)
        else:
            await desk.release(OUTSIDER, promised.id)
    except HooshError:
        pass  # it has expired


def check_answers(heard: list[Heard], moods: Sequence[Mood], rows: dict[str, Settlement]) -> None:
    """What clients were told is what was charged; who was refused has no row."""
    for each in heard:
        row = rows.get(each.request_id)
        told_tokens = tokens_told(each) if moods[each.ask.mood].counts != "never" else None
        if told_tokens is not None and each.cache != "hit":
            assert row is not None
            usage = (row.usage.prompt_tokens, row.usage.completion_tokens)
            assert told_tokens == usage, f"the client was told {told_tokens}: {each} {row}"
        if each.status in (401, 402, 404):
            assert row is None, f"refused and settled: {each} {row}"


def summary(seed: int, sim: World, rows: dict[str, Settlement]) -> str:
    outcomes = Counter(row.outcome for row in rows.values())
    caches = Counter(each.cache for each in sim.witness.seen)
    codes = Counter(each.code for each in sim.witness.seen if each.code)
    return (
        f"\nHOOSH_SEED={seed}: {len(sim.witness.seen)} requests, {len(rows)} rows {dict(outcomes)}, "
        f"cache {dict(caches)}, refused or failed {dict(codes)}"
    )
