"""Outsiders who reserve, beside requests that run on the same pool."""

from __future__ import annotations

import pytest
import trio
from sim_books import check_books, settlements_of
from sim_streams import config_of, stream
from sim_upstream import CHAT
from sim_world import World, world

from hoosh.config import Budget
from hoosh.errors import NoSuchEntry
from hoosh.testing.upstream import Body, End, FakeUpstream, Head, Pause
from hoosh.values import Caller

OUTSIDER = Caller("outsider")
POOL = Budget(name="shared", capacity=1_000)
PIECES = 20


def slow() -> FakeUpstream:
    pieces = [step for _ in range(PIECES) for step in (Body(CHAT.piece(None)), Pause(1))]
    head = Head(200, [(b"content-type", CHAT.stream_type)])
    return FakeUpstream([head, *pieces, *map(Body, CHAT.finish(PIECES)), Body(CHAT.terminator), End()])


def free(sim: World) -> int | None:
    return sim.gateway.books.ledger.free("shared", sim.gateway.books.now_ms())


async def test_what_an_outsider_has_reserved_no_request_gets_and_the_other_way_round(autojump_clock):
    async with world(config_of(POOL), {"one:80": slow()}) as sim:
        desk = sim.gateway.tokens
        promised = await desk.reserve(OUTSIDER, "shared", 1_000, 3_600)
        assert promised.reserved
        refused = await stream(sim, pool="shared")
        assert (refused.status, await settlements_of(sim)) == (429, {})
        await desk.report(OUTSIDER, 100, identity=promised.id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: stream(sim, pool="shared"))
            await trio.sleep(5)
            assert not (await desk.reserve(OUTSIDER, "shared", 900, 60)).reserved
            beside = await desk.reserve(OUTSIDER, "shared", 300, 60)
            assert beside.reserved
        await sim.wait_quiet()
        rows = await check_books(sim, reserved=300)
        (row,) = rows.values()
        assert free(sim) == 1_000 - 100 - 300 - row.charge
        await desk.release(OUTSIDER, beside.id or "")
        await check_books(sim)


@pytest.mark.parametrize("jumps", [False, True], ids=["in time", "when the clock jumps"])
async def test_what_is_forgotten_expires_and_is_free_again(jumps, autojump_clock):
    async with world(config_of(POOL), {"one:80": slow()}) as sim:
        desk = sim.gateway.tokens
        promised = await desk.reserve(OUTSIDER, "shared", 1_000, 60)
        assert (await stream(sim, pool="shared")).status == 429
        if jumps:
            sim.clock.jump(61)
            await trio.sleep(0.2)
        else:
            await trio.sleep(61)
        assert free(sim) == 1_000
        with pytest.raises(NoSuchEntry):
            await desk.report(OUTSIDER, 1, identity=promised.id)
        told = await stream(sim, pool="shared")
        assert (told.status, told.pieces) == (200, PIECES)
        await sim.wait_quiet()
        await check_books(sim)


async def test_a_stream_goes_on_with_what_an_outsider_gives_back(autojump_clock):
    pool = Budget(name="shared", capacity=40, on_exhausted="finish")
    async with world(config_of(pool), {"one:80": slow()}) as sim:
        desk = sim.gateway.tokens
        promised = await desk.reserve(OUTSIDER, "shared", 15, 3_600)

        async def give_back() -> None:
            await trio.sleep(5)
            await desk.release(OUTSIDER, promised.id or "")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_back)
            told = await stream(sim, pool="shared")
        assert (told.pieces, told.seen().finish) == (PIECES, "stop")
        await sim.wait_quiet()
        await check_books(sim)
