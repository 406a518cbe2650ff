"""The supervisor on a mock clock."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from health_desk import Desk, answer, unconnected

from hoosh.errors import HooshError
from hoosh.health import Health, Supervisor


class Member:
    local = True

    def __init__(self, name: str, does: HooshError | Exception | float | None = None) -> None:
        self.name = name
        self.does = does
        """What a probe raises, or how long it takes."""
        self.asked_s: list[float] = []

    async def probe(self) -> None:
        self.asked_s.append(trio.current_time())
        await trio.sleep(self.does if isinstance(self.does, float) else 0.01)
        if isinstance(self.does, Exception):
            raise self.does


@asynccontextmanager
async def supervised(members: list[Member], interval_s: float = 30.0, seed: int = 7) -> AsyncIterator[Desk]:
    settings = Health(interval_secs=interval_s)
    desk = Desk(settings)
    supervisor = Supervisor(desk.board, lambda: members, settings, random.Random(seed))
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        yield desk
        nursery.cancel_scope.cancel()


def status(desk: Desk, name: str) -> str:
    return desk.board.state(name, trio.current_time()).status


async def test_everybody_is_probed_soon_apart_and_at_least_once_an_interval(autojump_clock):
    members = [Member(f"m{number}") for number in range(20)]
    started_s = trio.current_time()
    async with supervised(members):
        await trio.sleep(300)
    firsts = {member.asked_s[0] - started_s for member in members}
    assert max(firsts) <= 2.1
    assert len(firsts) > 10
    for member in members:
        gaps = [later - before for before, later in pairwise(member.asked_s)]
        assert min(gaps) > 20
        assert max(gaps) < 28.1


async def test_nobody_who_answers_is_ever_suspect(autojump_clock):
    member = Member("a", 2.0)
    async with supervised([member]) as desk:
        await trio.sleep(6)
        for _ in range(1000):
            await trio.sleep(0.5)
            assert desk.board.heartbeats.node("a", "a", trio.current_time()).status == "online"


async def test_one_that_hangs_delays_nobody_and_is_a_failure_after_its_deadline(autojump_clock):
    members = [Member(f"hangs{number}", 1e6) for number in range(15)] + [Member("well")]
    async with supervised(members, 10.0) as desk:
        await trio.sleep(6.5)
        assert status(desk, "well") == "healthy"
        await trio.sleep(60)
        assert status(desk, "hangs0") == "unhealthy"
        assert desk.board.state("hangs0", trio.current_time()).last_error == "first_byte"
    assert len(members[-1].asked_s) >= 6


async def test_members_join_and_leave_and_come_back_well(autojump_clock):
    first, late = Member("first", unconnected()), Member("late")
    members = [first]
    async with supervised(members, 5.0) as desk:
        await trio.sleep(20)
        assert status(desk, "first") == "unhealthy"
        members.append(late)
        await trio.sleep(3.1)
        assert late.asked_s
        first.does = None
        await trio.sleep(5)
        assert status(desk, "first") == "healthy"
        members.remove(late)
        desk.board.forget("late")
        asked = len(late.asked_s)
        await trio.sleep(60)
        assert len(late.asked_s) == asked


async def test_a_probe_that_ends_after_its_member_has_left_says_nothing(autojump_clock):
    member = Member("a", 4.0)
    members = [member]
    async with supervised(members) as desk:
        await trio.sleep(3)
        assert member.asked_s
        members[:] = [Member("b")]
        desk.board.forget("a")
        await trio.sleep(3)
        assert status(desk, "a") == "unknown"


async def test_a_probe_that_crashes_is_that_ones_failure(autojump_clock, caplog: pytest.LogCaptureFixture):
    members = [Member("bug", ZeroDivisionError("oops")), Member("ill", answer(500)), Member("well")]
    with caplog.at_level(logging.ERROR, "hoosh.health"):
        async with supervised(members, 5.0) as desk:
            await trio.sleep(20)
            met = [status(desk, member.name) for member in members]
    assert met == ["unhealthy", "unhealthy", "healthy"]
    assert "a probe ended in a bug" in caplog.text


async def test_an_interval_of_nought_probes_nobody_until_there_is_one(autojump_clock):
    member, desk = Member("a"), Desk()
    supervisor = Supervisor(desk.board, lambda: [member], Health(interval_secs=0), random.Random(7))
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await trio.sleep(1000)
        assert status(desk, "a") == "unknown"
        assert not member.asked_s
        supervisor.configure(Health(interval_secs=10))
        await trio.sleep(30)
        assert status(desk, "a") == "healthy"
        supervisor.configure(Health(interval_secs=0))
        await trio.sleep(20)
        asked = len(member.asked_s)
        await trio.sleep(1000)
        assert 3 <= len(member.asked_s) == asked
        nursery.cancel_scope.cancel()
