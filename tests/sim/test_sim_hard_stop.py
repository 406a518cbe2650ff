"""The hard stop: streams that would go on for ever, on a budget that does not."""

from __future__ import annotations

from random import Random

import pytest
import trio
from sim_books import check_books
from sim_streams import PIECE_MICRO_USD, WIRES, Endless, Told, config_of, stream
from sim_world import World, dice, seeds, world

from hoosh.config import Budget, Key
from hoosh.testing.upstream import FakeUpstream, Received
from hoosh.values import Secret

STREAMS = 200
HELD_AT_FIRST = 270
"""A prompt and a slice, or a little more."""


def endless(chance: Random, *, first_after_s: float = 0.0) -> FakeUpstream:
    return FakeUpstream(lambda request: _talk(request, chance, first_after_s))  # type: ignore[arg-type,return-value]


def _talk(request: Received, chance: Random, first_after_s: float) -> Endless:
    return Endless(chance.randrange(10**9), wire=WIRES[request.target], first_after_s=first_after_s)


@pytest.mark.parametrize("seed", seeds(5, "HOOSH_HARD_STOPS"))
async def test_streams_that_never_end_spend_no_more_than_one_chunk_each_beyond_the_budget(seed, autojump_clock):
    chance = Random(seed)
    unit, ends = ("tokens", "usd")[seed // 2 % 2], ("stop", "finish")[seed % 2]
    tokens = STREAMS * HELD_AT_FIRST + chance.randrange(-20_000, 5_000)
    capacity = tokens if unit == "tokens" else tokens * PIECE_MICRO_USD / 1e6
    pool = Budget(name="shared", capacity=capacity, unit=unit, on_exhausted=ends)
    ones, twos = endless(chance, first_after_s=1), endless(chance, first_after_s=1)  # when all are there
    told: list[Told] = []
    with dice(seed):
        begins_at_s = trio.current_time() + 300
        async with world(config_of(pool), {"one:80": ones, "two:80": twos}, begins_at_s=begins_at_s, seed=seed) as sim:

            async def client(patience_s: float) -> None:
                language, model = chance.choice(["chat", "messages"]), chance.choice(["oai-1", "claude-1"])
                is_h2 = chance.random() < 0.5
                told.append(
                    await stream(
                        sim, language=language, model=model, pool="shared", http2=is_h2, leaves_after_s=patience_s
                    )
                )

            async with trio.open_nursery() as nursery:
                for _ in range(STREAMS):
                    leaves = chance.random() < 0.1
                    nursery.start_soon(client, chance.uniform(0, 3) if leaves else float("inf"))
            await sim.wait_quiet()
            rows = await check_books(sim)
            state = sim.gateway.books.ledger.pool("shared", 0)
    spent, chunk = sum(row.charge for row in rows.values()), 1 if unit == "tokens" else PIECE_MICRO_USD
    print(f"\nHOOSH_SEED={seed}: {ends}, {unit}: {len(rows)} streams spent {spent} of {state.capacity}")
    assert state.capacity is not None
    assert spent <= state.capacity + chunk * len(rows)
    given_back = (
        sum(each.has_left for each in told) * 2 * HELD_AT_FIRST
    )  # at most, and maybe when no other ran any more
    assert spent >= state.capacity - chunk * (len(rows) + given_back), "they have stopped too early"
    for upstream in (ones, twos):
        assert all(request.cancelled_at is not None for request in upstream.requests)
    check_ends(told, ends)
    for each in told:
        row = rows.get(each.request_id)
        if row is not None and not each.has_left:
            assert abs(each.pieces - row.usage.completion_tokens) <= 1


def check_ends(told: list[Told], ends: str) -> None:
    """What each client that has stayed was told at the end."""
    for each in told:
        if each.has_left or each.status != 200:
            assert each.status in (None, 200, 402, 429)
            continue
        seen = each.seen()
        if ends == "finish":
            assert (seen.is_ended, seen.finish, seen.error) == (True, "length", None), each.body[-300:]
        else:
            assert not seen.is_ended, each.body[-300:]
            assert seen.error is not None
            assert "shared" in seen.error
    assert sum(each.status == 200 for each in told) > STREAMS / 3


@pytest.mark.parametrize("ends", ["stop", "finish"])
@pytest.mark.parametrize(("unit", "refused"), [("tokens", 429), ("usd", 402)])
async def test_two_keys_run_a_pool_dry_in_mid_stream_and_go_on_when_its_window_does(
    unit, refused, ends, autojump_clock
):
    pool = Budget(name="family", capacity=1_000 if unit == "tokens" else 0.004, unit=unit, window="hour",
                  on_exhausted=ends)  # fmt: skip
    keys = tuple(Key(name=name, key=Secret(f"{name}-key"), pool="family") for name in ("ada", "bob"))
    upstream = endless(Random(1))
    async with world(config_of(pool, keys=keys), {"one:80": upstream}) as sim:
        first = await two_at_once(sim)
        check_ends_of_two(first, ends)
        late = [await stream(sim, key=f"{name}-key") for name in ("ada", "bob")]
        assert [each.status for each in late] == [refused, refused]
        assert all(b"budget_exceeded" in each.body for each in late)
        now_s = sim.clock()
        left_s = 3_600 - now_s % 3_600
        assert all(abs(int(each.retry_after or 0) - left_s) <= 2 for each in late)
        sim.clock.jump(left_s - 1.5)
        assert (await stream(sim, key="ada-key")).status == refused
        sim.clock.jump(1.5)
        check_ends_of_two(await two_at_once(sim), ends)
        await sim.wait_quiet()
        rows = await check_books(sim)
    assert {row.caller for row in rows.values()} == {"ada", "bob"}
    assert len(rows) == 4


async def two_at_once(sim: World) -> list[Told]:
    told: list[Told] = []

    async def client(name: str) -> None:
        told.append(await stream(sim, key=f"{name}-key"))

    async with trio.open_nursery() as nursery:
        for name in ("ada", "bob"):
            nursery.start_soon(client, name)
    return told


def check_ends_of_two(told: list[Told], ends: str) -> None:
    assert [each.status for each in told] == [200, 200]
    for each in told:
        seen = each.seen()
        assert each.pieces > 100, "they share it"
        assert (seen.is_ended, seen.error is None) == ((True, True) if ends == "finish" else (False, False))
