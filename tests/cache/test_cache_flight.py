"""Flights: one call, many members; who leaves, who lags, what fails."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from hoosh.cache import Flight, Flights, Head
from hoosh.cache.flight import AHEAD_BYTES
from hoosh.errors import HooshError, Unavailable, UpstreamBroke
from hoosh.testing.seeds import seed_of_run

KEY = b"k" * 32
HEAD = Head(200, (), is_stream=True)
BLOCKS = [b"sa", b"lam", b" ", b"don", b"ya"]


@asynccontextmanager
async def flights_open(**limits: int) -> AsyncIterator[Flights[str]]:
    crashes: list[BaseException] = []
    flights = Flights[str](
        flight_bytes=limits.get("flight_bytes", 10**6),
        total_bytes=limits.get("total_bytes", 10**7),
        on_crash=crashes.append,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(flights.run)
        yield flights
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert not flights.is_running
    left = flights.statistics()
    assert (left.flights, left.members, left.buffered_bytes) == (0, 0, 0)
    assert crashes == []


async def work(flight: Flight[str], *, blocks: list[bytes] = BLOCKS, every_s: float = 1.0, error=None) -> None:
    flight.begin(HEAD)
    for block in blocks:
        await trio.sleep(every_s)
        await flight.bring(block)
    if error is not None:
        raise error
    flight.finish(b"!")


async def say_nothing(flight: Flight[str]) -> None:
    await trio.sleep(1)


async def read(flight: Flight[str], got: list[bytes], *, pause_s: float = 0.0, at_most: int = 10**9) -> None:
    said = b""
    with flight.board() as member:
        while not member.is_done and len(said) < at_most:
            said += await member.take()
            await trio.sleep(pause_s)
    got.append(said)


async def test_whoever_comes_in_the_middle_gets_the_whole(autojump_clock):
    got: list[bytes] = []
    async with flights_open() as flights, trio.open_nursery() as nursery:
        flight = flights.launch(KEY, "ada", work)
        for after_s in (0, 0, 1.5, 3.5, 5.0):
            nursery.start_soon(partial(later, after_s, flight, got))
        await trio.sleep(2)
        assert flights.find(KEY) is flight
        assert flights.find(b"other") is None
        assert flight.payer == "ada"
    assert got == [b"salam donya!"] * 5
    assert flights.find(KEY) is None


async def later(after_s: float, flight: Flight[str], got: list[bytes]) -> None:
    await trio.sleep(after_s)
    await read(flight, got)


@pytest.mark.parametrize("stays", [0.5, 1.5, 2.5, 3.5, 4.5])
async def test_the_first_may_leave_at_any_block_and_the_others_finish(stays, autojump_clock):
    got: list[bytes] = []
    async with flights_open() as flights, trio.open_nursery() as nursery:
        flight = flights.launch(KEY, "ada", work)
        with trio.move_on_after(stays):
            nursery.start_soon(later, 0.2, flight, got)
            await read(flight, [])
    assert got == [b"salam donya!"]


@pytest.mark.parametrize("stays", [0, 0.5, 1.5, 4.5])
async def test_when_the_last_one_leaves_the_call_is_stopped_at_once(stays, autojump_clock):
    stopped: list[float] = []

    async def watched(flight: Flight[str]) -> None:
        try:
            await work(flight)
        finally:
            stopped.append(trio.current_time())

    async with flights_open() as flights:
        flight = flights.launch(KEY, "ada", watched)
        async with trio.open_nursery() as nursery:
            for leaves in (stays, stays / 2):
                nursery.start_soon(give_up, flight, leaves)
        left_at = trio.current_time()
        assert flights.find(KEY) is None  # nobody joins what is being stopped
        await trio.sleep(0.1)
    assert stopped in ([left_at], [])  # [] where it had not begun
    assert flight.kept_blocks() == ()


async def give_up(flight: Flight[str], after_s: float) -> None:
    with trio.move_on_after(after_s):
        await read(flight, [])


async def test_leaving_a_whole_answer_does_not_stop_what_still_has_to_be_settled(autojump_clock):
    settled = False

    async def slow_to_settle(flight: Flight[str]) -> None:
        nonlocal settled
        await work(flight)
        await trio.sleep(0.5)
        settled = True

    async with flights_open() as flights:
        await read(flights.launch(KEY, "ada", slow_to_settle), [])
        await read(flights.find(KEY), got := [])  # it can be joined to the end
    assert settled
    assert got == [b"salam donya!"]


@pytest.mark.parametrize("blocks", [[], BLOCKS], ids=["before the first byte", "in the middle"])
async def test_an_error_reaches_every_member_behind_the_last_block(blocks, autojump_clock):
    error = UpstreamBroke("it broke", provider="mock")
    heard: list[tuple[bytes, HooshError]] = []

    async def listen(flight: Flight[str]) -> None:
        said = b""
        with flight.board() as member:
            try:
                while True:
                    said += await member.take()
            except UpstreamBroke as broke:
                heard.append((said, broke))

    async with flights_open() as flights:
        flight = flights.launch(KEY, "ada", partial(work, blocks=blocks, error=error))
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(listen, flight)
    assert heard == [(b"".join(blocks), error)] * 5
    assert flight.kept_blocks() == ()


async def test_a_bug_is_its_members_business_and_nobody_elses(autojump_clock):
    got: list[bytes] = []
    async with flights_open() as flights, trio.open_nursery() as nursery:
        nursery.start_soon(read, flights.launch(b"good", "ada", work), got)
        with pytest.raises(ZeroDivisionError):
            await read(flights.launch(b"bad", "ada", partial(work, blocks=[b"x"], error=ZeroDivisionError())), [])
        with pytest.raises(RuntimeError, match="no whole answer"):
            await read(flights.launch(b"none", "ada", say_nothing), [])
    assert got == [b"salam donya!"]


async def test_a_bug_after_the_end_is_heard_of(autojump_clock):
    crashes: list[BaseException] = []
    bug = ZeroDivisionError()

    async def breaks(flight: Flight[str]) -> None:
        flight.begin(HEAD)
        flight.finish(b"whole")
        await trio.sleep(0.5)
        raise bug

    async with flights_open() as flights:
        flights.on_crash = crashes.append
        await read(flights.launch(KEY, "ada", breaks), got := [])
    assert got == [b"whole"]
    assert crashes == [bug]


async def test_a_slow_member_stops_nobody_and_the_fastest_sets_the_pace(autojump_clock):
    blocks = [b"x" * 10_000] * 50
    got: list[bytes] = []
    async with flights_open() as flights, trio.open_nursery() as nursery:
        flight = flights.launch(KEY, "ada", partial(work, blocks=blocks, every_s=0.0))
        nursery.start_soon(partial(read, flight, [], pause_s=1000.0))
        await trio.sleep(5)
        assert flight.total_bytes <= 2 * AHEAD_BYTES  # nobody reads
        started = trio.current_time()
        await read(flight, got)
        assert trio.current_time() == started
    assert got == [b"x" * 500_000 + b"!"]


async def test_beyond_the_limit_nobody_joins_and_memory_stays_bounded(autojump_clock):
    blocks = [b"x" * 10_000] * 100
    got: list[bytes] = []
    async with flights_open(flight_bytes=200_000) as flights, trio.open_nursery() as nursery:
        flight = flights.launch(KEY, "ada", partial(work, blocks=blocks, every_s=0.01))
        nursery.start_soon(read, flight, got)
        nursery.start_soon(partial(read, flight, got, pause_s=1.0))
        most = 0
        while not flight.is_whole:
            await trio.sleep(0.01)
            most = max(most, flight.buffered_bytes)
        assert flight.is_crowded
        assert flights.find(KEY) is None
    assert got == [b"x" * 1_000_000 + b"!"] * 2
    assert most <= 210_000
    assert flight.kept_blocks() == ()


async def test_all_flights_together_are_bounded(autojump_clock):
    blocks = [b"x" * 10_000] * 100
    got: list[bytes] = []
    async with flights_open(total_bytes=500_000) as flights, trio.open_nursery() as nursery:
        for number in range(10):
            flight = flights.launch(b"%d" % number, "ada", partial(work, blocks=blocks, every_s=0.01))
            nursery.start_soon(partial(read, flight, got, pause_s=0.1))
        most = 0
        while len(got) < 10:
            await trio.sleep(0.01)
            most = max(most, flights.buffered_bytes)
    assert got == [b"x" * 1_000_000 + b"!"] * 10
    assert most <= 500_000 + 10 * 2 * AHEAD_BYTES


async def test_a_member_can_be_interrupted_alone(autojump_clock):
    got: list[bytes] = []
    error = Unavailable("closing")
    async with flights_open() as flights, trio.open_nursery() as nursery:
        flight = flights.launch(KEY, "ada", work)
        nursery.start_soon(read, flight, got)
        with flight.board() as member:
            await member.take()
            member.interrupt(error)
            with pytest.raises(Unavailable) as told:
                await member.take()
        assert told.value is error
    assert got == [b"salam donya!"]


async def test_flights_in_the_air_fail_when_the_service_ends(autojump_clock):
    flights = Flights[str](flight_bytes=100, total_bytes=100)
    told: list[BaseException] = []

    async def listen(flight: Flight[str]) -> None:
        try:
            await read(flight, [])
        except Unavailable as closing:
            told.append(closing)

    async with trio.open_nursery() as nursery, trio.open_nursery() as services:
        await services.start(flights.run)
        nursery.start_soon(listen, flights.launch(KEY, "ada", work))
        await trio.sleep(1.5)
        services.cancel_scope.cancel()
    assert len(told) == 1
    assert flights.statistics().flights == 0


async def test_a_fresh_flight_is_the_one_to_join(autojump_clock):
    async with flights_open() as flights, trio.open_nursery() as nursery:
        old = flights.launch(KEY, "ada", work)
        nursery.start_soon(read, old, [])
        await trio.sleep(3)
        new = flights.launch(KEY, "bob", work)
        nursery.start_soon(read, new, [])
        alone = flights.launch(KEY, "eve", work, joinable=False)
        nursery.start_soon(read, alone, [])
        await trio.sleep(3.5)  # the old one has landed
        assert flights.find(KEY) is new


@pytest.mark.parametrize("seed", [seed_of_run() + n for n in range(3)], ids=["1", "2", "3"])
async def test_nothing_is_left_after_random_members_at_random_moments(seed, autojump_clock):
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = 0

    async def one(flights: Flights[str]) -> None:
        nonlocal whole
        await trio.sleep(chance.uniform(0, 60))
        key = b"%d" % chance.randrange(5)
        flight = flights.find(key)
        if flight is None:
            error = chance.choice([None, None, UpstreamBroke("broke", provider="mock"), ZeroDivisionError()])
            blocks = [b"x" * chance.choice([1, 5000, 50_000])] * chance.randrange(8)
            flight = flights.launch(key, "ada", partial(work, blocks=blocks, every_s=chance.random(), error=error))
        with trio.move_on_after(chance.choice([0, chance.uniform(0, 4), 100])):
            try:
                await read(flight, got := [], pause_s=chance.choice([0, 0.3]))
                whole += got[0].endswith(b"!")
            except (UpstreamBroke, ZeroDivisionError):
                pass

    crashes: list[BaseException] = []
    async with flights_open(flight_bytes=100_000, total_bytes=200_000) as flights:
        flights.on_crash = crashes.append
        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(one, flights)
    assert whole > 50
