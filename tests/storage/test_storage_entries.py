"""Times to live beside a clock that jumps, what is thrown out, and what is too large for one text."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hoosh.errors import StorageError
from hoosh.storage import MemoryStore, SqliteStore, Store
from hoosh.storage.contract import Row
from hoosh.storage.entries import Sweeps, expiry
from hoosh.storage.handover import Question
from hoosh.storage.shapes import MAX_BYTES
from hoosh.testing.stores import Clock, running


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path):
    def make(clock: Clock) -> Store:
        return MemoryStore(now=clock) if request.param == "memory" else SqliteStore(tmp_path / "x.db", now=clock)

    return make


async def test_when_the_clock_goes_back_entries_live_longer(make):
    clock = Clock(1000.0)
    async with running(make(clock)) as store:
        table, counter = store.table("t"), store.counter("c")
        await table.put("k", b"v", ttl_s=60)
        await counter.take("k", 1, 1, ttl_s=60)
        for now_s, is_there in ((400.0, True), (1059.9, True), (1060.0, False)):
            clock.now_s = now_s
            assert await table.get("k") == (b"v" if is_there else None)
            assert await counter.value("k") == is_there


async def test_what_is_dead_is_thrown_out_once_a_minute(tmp_path: Path):
    clock, memory = Clock(), MemoryStore()
    memory._now = clock
    async with running(SqliteStore(tmp_path / "x.db", now=clock)) as store:
        for each in (store, memory):
            for number in range(50):
                await each.table("t").put(str(number), b"v", ttl_s=1)
                await each.counter("c").take(str(number), 1, 1, ttl_s=1)
        clock.now_s += 61
        for each in (store, memory):
            await each.table("t").put("new", b"v")
            await each.counter("c").take("new", 1, 1)
        assert len(memory.table("t")._entries) == len(memory.counter("c")._counts) == 1
    database = sqlite3.connect(tmp_path / "x.db")
    for table in ("entries", "counts"):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
    database.close()


def test_sweeps_come_once_a_minute_wherever_the_clock_jumps():
    sweeps = Sweeps()
    assert [sweeps.is_due(now_s) for now_s in (1e9, 1e9 + 59, 1e9 + 60, 1e9 + 61, 5.0, 64.0, 65.0)] == [
        *(True, False, True, False),
        *(True, False, True),
    ]


@pytest.mark.parametrize("ttl_s", [-1, float("nan"), -0.1])
def test_a_time_to_live_below_nothing_is_a_mistake(ttl_s: float):
    with pytest.raises(ValueError, match="a time to live of"):
        expiry(ttl_s, 0.0)


async def test_rows_and_values_too_large_for_one_text_are_read_one_by_one(tmp_path: Path):
    async with running(SqliteStore(tmp_path / "x.db")) as store:
        large = b"x" * 30_000
        store.log("l").append([large] * 5)
        for key in "abc":
            await store.table("t").put(key, large)
        await store.ask(Question(lambda it: it._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)))
        assert await store.log("l").read(1) == [Row(position, large) for position in range(2, 6)]
        assert await store.table("t").items("", after="a") == [("b", large), ("c", large)]
        assert store.statistics().status == "ok"


async def test_a_value_that_no_database_takes_is_refused_at_once(tmp_path: Path):
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_BYTES + 1

    async with running(SqliteStore(tmp_path / "x.db")) as store:
        with pytest.raises(StorageError, match="too large"):
            await store.table("t").put("k", Huge())
        store.log("l").append([Huge()])
        assert "1 rows were lost" in (store.statistics().last_error or "")
        assert store.log("l").position == 0
