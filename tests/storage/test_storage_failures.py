"""A running store that cannot write: rows go into the spool, nothing is lost in silence, and all is well afterwards.

Failures are real ones where SQLite lets us have them: a transaction of another connection, a file that may not grow.
Nothing waits for the clock: the store tries again whenever it is asked something (`retry_s = 0`).
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from hoosh.errors import StorageError
from hoosh.storage import SqliteStore, claim, database, spool
from hoosh.storage.handover import Limits, Question
from hoosh.storage.shapes import LOST
from hoosh.storage.spool import Spool
from hoosh.testing.stores import running

AT_ONCE = Limits(busy_s=0.0, retry_s=0.0)
LARGE = b"x" * 20_000


def numbered(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


async def bodies(store: SqliteStore, log: str = "ledger") -> list[bytes]:
    return [row.body for row in await store.log(log).read(0, 10_000)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes, and takes his time."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """From the next connection on, the file may not grow."""

    def connect(path: Path, *, busy_s: float) -> sqlite3.Connection:
        connection = claim.connect(path, busy_s=busy_s)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(database, "connect", connect)
        yield


async def test_while_somebody_locks_the_file_rows_are_kept_in_the_spool(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    async with running(SqliteStore(path, limits=AT_ONCE)) as store:
        ledger, audit, table = store.log("ledger"), store.log("audit"), store.table("t")
        ledger.append(numbered(1, 3))
        await table.put("k", b"before")
        with locked(path):
            await ledger.wait_kept(ledger.append(numbered(4, 5)))
            audit.append([b"a"])
            await ledger.wait_kept(ledger.append(numbered(6, 400)))
            await audit.wait_kept(1)
            state = store.statistics()
            assert (state.status, state.spooled_rows, state.waiting_rows) == ("spooling", 398, 398)
            assert "another program keeps it locked" in (state.last_error or "")
            for ask in (table.put("k", b"never"), store.counter("c").take("k", 1, 1), ledger.read(), ledger.trim(2)):
                with pytest.raises(StorageError, match="keeps it locked"):
                    await ask
            assert await table.get("k") == b"before"
        await table.put("k", b"after")
        assert await bodies(store) == numbered(1, 400)
        assert await bodies(store, "audit") == [b"a"]
        state = store.statistics()
        assert (state.status, state.spooled_rows, state.waiting_rows, state.written_rows) == ("ok", 0, 0, 401)
        assert state.last_error is None
        assert not (tmp_path / "hoosh.db.spool").exists()


async def test_while_the_disk_is_full_rows_are_kept_in_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "hoosh.db"
    async with running(SqliteStore(path, limits=AT_ONCE)) as store:
        ledger = store.log("ledger")
        ledger.append([b"first"])
        with full_disk(monkeypatch):
            with locked(path):  # it takes one failure to make the store connect anew
                await ledger.wait_kept(ledger.append([LARGE]))
            for _ in range(20):
                await ledger.wait_kept(ledger.append([LARGE]))
            assert "the disk is full. Free some space" in (store.statistics().last_error or "")
            with locked(path):
                await ledger.wait_kept(ledger.append([b"last"]))
        assert await bodies(store) == [b"first", *[LARGE] * 21, b"last"]


async def test_what_is_in_the_spool_at_the_end_is_the_first_thing_the_next_start_writes(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    with locked_later(path) as lock:
        async with running(SqliteStore(path, limits=AT_ONCE)) as store:
            store.log("ledger").append(numbered(1, 2))
            await store.table("t").put("k", b"v")
            lock()
            store.log("ledger").append(numbered(3, 9))  # nobody waits: the end of the house writes it down
            store.log("new").append([b"n"])
    async with running(SqliteStore(path)) as store:
        assert (store.log("ledger").position, store.log("new").position) == (9, 1)
        state = store.statistics()
        assert (state.waiting_rows, state.spooled_rows, state.written_rows) == (0, 0, 8)
        store.log("ledger").append([b"10"])
        assert await bodies(store) == numbered(1, 10)
        assert await bodies(store, "new") == [b"n"]


@contextmanager
def locked_later(path: Path):
    """A lock that is taken in the middle and outlives the store."""
    other: list[sqlite3.Connection] = []

    def lock() -> None:
        other.append(sqlite3.connect(path, isolation_level=None))
        other[0].execute("BEGIN IMMEDIATE")

    yield lock
    other[0].close()


async def spooled(path: Path, *batches: list[bytes]) -> None:
    """A database whose spool holds these batches, one record each, in the log `ledger`."""
    async with running(SqliteStore(path, limits=AT_ONCE)) as store:
        ledger = store.log("ledger")
        await ledger.wait_kept(ledger.append([b"in the database"]))
        with locked(path):
            for batch in batches:
                await ledger.wait_kept(ledger.append(batch))
            for name in ("", ".spool"):
                shutil.copy(f"{path}{name}", f"{path}{name}.kept")
            shutil.copy(f"{path}-wal", f"{path}.kept-wal")
    os.replace(f"{path}.spool.kept", f"{path}.kept.spool")


async def test_a_torn_spool_gives_its_whole_records_and_keeps_the_rest_aside(tmp_path: Path):
    await spooled(tmp_path / "a.db", [b"1", b"2"], [b"3"])
    path, torn = tmp_path / "a.db.kept.spool", tmp_path / "a.db.kept.spool.torn"
    whole = path.read_bytes()
    magic = len(spool._MAGIC)
    first = magic + spool._HEAD.size + int.from_bytes(whole[magic : magic + 4], "big")
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        torn.unlink(missing_ok=True)
        file = Spool(path, max_bytes=1000)
        note = file.recover()
        expected = [[], [b"1", b"2"], [b"1", b"2", b"3"]][(cut >= first) + (cut == len(whole))]
        assert [body for _, _, found in file.records() for body in found] == expected, cut
        end = first if cut >= first else magic if cut == magic else 0
        rest = whole[end:cut] if cut < len(whole) else b""
        assert (torn.read_bytes() if torn.exists() else b"") == rest, cut
        assert (note is not None) == bool(rest), cut
        file.append([("ledger", 9, [b"later"])])
        assert [found for _, _, found in file.records()][-1] == [b"later"], cut
        file.close()


async def test_a_start_says_what_was_torn(tmp_path: Path):
    await spooled(tmp_path / "a.db", [b"1", b"2"], [b"3"])
    path = tmp_path / "a.db.kept.spool"
    os.truncate(path, path.stat().st_size - 1)
    async with running(SqliteStore(tmp_path / "a.db.kept")) as store:
        assert await bodies(store) == [b"in the database", b"1", b"2"]
        assert "The end of the spool file was torn by a crash" in (store.statistics().last_error or "")


async def test_a_flipped_bit_in_the_spool_is_seen_and_nothing_is_thrown_away(tmp_path: Path):
    await spooled(tmp_path / "a.db", [b"1", b"2"], [b"3"])
    path = tmp_path / "a.db.kept.spool"
    whole = bytearray(path.read_bytes())
    whole[30] ^= 1
    path.write_bytes(whole)
    async with running(SqliteStore(tmp_path / "a.db.kept")) as store:
        assert await bodies(store) == [b"in the database"]
    assert (tmp_path / "a.db.kept.spool.torn").read_bytes() == whole


async def test_a_spool_that_is_read_twice_doubles_nothing(tmp_path: Path):
    await spooled(tmp_path / "a.db", [b"1", b"2"], [b"3"])
    path = tmp_path / "a.db.kept"
    shutil.copy(f"{path}.spool", tmp_path / "again")
    async with running(SqliteStore(path)) as store:
        await store.log("ledger").trim(3)
    shutil.copy(tmp_path / "again", f"{path}.spool")
    async with running(SqliteStore(path)) as store:
        assert await bodies(store) == [b"2", b"3"]


async def test_a_spool_of_another_time_is_refused(tmp_path: Path):
    await spooled(tmp_path / "a.db", [b"1"])
    async with running(SqliteStore(tmp_path / "b.db")):
        pass
    shutil.copy(tmp_path / "a.db.kept.spool", tmp_path / "b.db.spool")
    with pytest.raises(StorageError, match=r"does not continue the log `ledger`.*Move the spool file away"):
        async with running(SqliteStore(tmp_path / "b.db")):
            pass
    assert (tmp_path / "b.db.spool").exists()


async def test_when_memory_and_spool_are_full_the_store_says_so_and_counts_what_it_loses(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    limits = Limits(busy_s=0.0, retry_s=0.0, memory_rows=10, spool_bytes=200)
    async with running(SqliteStore(path, limits=limits)) as store:
        ledger = store.log("ledger")
        await ledger.wait_kept(ledger.append(numbered(1, 1)))
        with locked(path):
            await ledger.wait_kept(ledger.append(numbered(2, 20)))
            ledger.append([b"x" * 200])  # does not fit the spool's bound any more
            with pytest.raises(StorageError, match="Nor can rows be put aside: the spool file has reached its bound"):
                await ledger.wait_kept(ledger.position)
            await ledger.wait_kept(20)  # these are
            assert store.statistics().status == "spooling"
            assert ledger.append([b"y"] * 19) == 40
            assert store.statistics().status == "full"
            assert ledger.append([b"lost", b"too"]) == LOST
            assert "2 rows were lost" in (store.statistics().last_error or "")
            with pytest.raises(StorageError):
                await ledger.wait_kept(LOST)
        await store.table("t").put("k", b"v")
        assert await bodies(store) == [*numbered(1, 20), b"x" * 200, *[b"y"] * 19]
        assert ledger.append([b"next"]) == 41
        with pytest.raises(StorageError):
            await ledger.wait_kept(LOST)
        state = store.statistics()
        assert (state.status, state.last_error) == ("ok", "2 rows were lost: there was no room for them.")


async def test_a_spool_that_cannot_be_written_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "hoosh.db"

    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with running(SqliteStore(path, limits=AT_ONCE)) as store:
        ledger = store.log("ledger")
        await ledger.wait_kept(ledger.append(numbered(1, 1)))
        with locked(path):
            await ledger.wait_kept(ledger.append(numbered(2, 2)))
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", fail)
                with pytest.raises(StorageError, match="the spool file cannot be used: the disk is full"):
                    await ledger.wait_kept(ledger.append(numbered(3, 3)))
            await ledger.wait_kept(ledger.append(numbered(4, 4)))
            assert store.statistics().spooled_rows == 3
        assert await bodies(store) == numbered(1, 4)


async def test_rows_that_can_be_kept_nowhere_are_not_lost_in_silence(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    store = SqliteStore(path, limits=Limits(busy_s=0.0, retry_s=0.0, spool_bytes=0))

    async def end_while_locked(lock: Callable[[], None]) -> None:
        async with running(store):
            await store.table("t").put("k", b"v")
            lock()
            store.log("ledger").append(numbered(1, 3))

    with locked_later(path) as lock, pytest.raises(StorageError, match="3 rows could not be written"):
        await end_while_locked(lock)


async def test_the_end_of_the_house_writes_what_was_appended(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    async with trio.open_nursery() as nursery:
        store = SqliteStore(path)
        await nursery.start(store.run)
        nursery.cancel_scope.cancel()
        store.log("ledger").append(numbered(1, 1000))
    assert store.log("ledger").append([b"too late"]) == LOST
    assert "1 rows were lost" in (store.statistics().last_error or "")
    for ask in (store.table("t").get("k"), store.log("ledger").read(), store.log("ledger").wait_kept(1001)):
        with pytest.raises(StorageError, match=r"closed|not in the log"):
            await ask
    async with running(SqliteStore(path)) as store:
        assert await bodies(store) == numbered(1, 1000)


async def test_a_store_that_does_not_run_yet_says_so(tmp_path: Path):
    store = SqliteStore(tmp_path / "hoosh.db")
    with pytest.raises(RuntimeError, match="not running"):
        store.log("ledger").append([b"x"])
    with pytest.raises(RuntimeError, match="not running"):
        await store.table("t").get("k")


class Gate:
    """Holds the writer's thread."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def pass_through(self, _: object) -> None:
        self.entered.set()
        self.opened.wait(20)

    async def hold(self, store: SqliteStore, nursery: trio.Nursery) -> None:
        nursery.start_soon(store.ask, Question(self.pass_through))
        while not self.entered.is_set():
            await trio.lowlevel.checkpoint()


async def test_a_take_whose_caller_has_gone_is_given_back(tmp_path: Path):
    async with running(SqliteStore(tmp_path / "hoosh.db")) as store, trio.open_nursery() as nursery:
        counter, gate = store.counter("c"), Gate()
        await counter.take("k", 1, 9)
        # Begun when he leaves: the first question of its batch holds the thread, with the take behind it.
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as callers:
                callers.start_soon(store.ask, Question(gate.pass_through))
                callers.start_soon(counter.take, "k", 5, 9)
                while not gate.entered.is_set():
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        gate.opened.set()
        await counter.take("other", 1, 1)
        assert await counter.value("k") == 1
        # Not begun: it never happens.
        gate = Gate()
        await gate.hold(store, nursery)
        await cancelled(counter.take, "k", 5, 9)
        gate.opened.set()
        assert await counter.value("k") == 1


async def cancelled(function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Call it, and go away while it waits."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *args)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_waiter_that_is_cancelled_leaves_nothing_behind(tmp_path: Path):
    async with running(SqliteStore(tmp_path / "hoosh.db")) as store, trio.open_nursery() as nursery:
        ledger, gate = store.log("ledger"), Gate()
        await gate.hold(store, nursery)
        position = ledger.append([b"x"])
        for _ in range(3):
            await cancelled(ledger.wait_kept, position)
        assert ledger._waiters == []
        gate.opened.set()
        await ledger.wait_kept(position)


async def test_a_disk_that_hangs_does_not_hold_the_end_of_the_house_for_ever(tmp_path: Path):
    gate = Gate()
    store = SqliteStore(tmp_path / "hoosh.db", limits=Limits(close_s=0.0))

    async def end_while_it_hangs() -> None:
        async with running(store), trio.open_nursery() as nursery:
            await gate.hold(store, nursery)
            nursery.cancel_scope.cancel()

    with pytest.raises(StorageError, match="The disk hangs"):
        await end_while_it_hangs()
    gate.opened.set()


@pytest.mark.filterwarnings("default")
async def test_a_bug_in_the_writer_stops_the_house_and_rescues_the_rows(tmp_path: Path):
    path = tmp_path / "hoosh.db"

    def fail(_: object) -> None:
        raise TypeError("a bug")

    async def meet_a_bug(store: SqliteStore) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            store.log("ledger").append(numbered(1, 5))
            with trio.CancelScope(shield=True), pytest.raises(StorageError, match="closed"):
                await store.ask(Question(fail))

    with pytest.raises(ExceptionGroup) as caught:
        await meet_a_bug(SqliteStore(path))
    assert caught.group_contains(TypeError, match="a bug")
    async with running(SqliteStore(path)) as again:
        assert await bodies(again) == numbered(1, 5)
