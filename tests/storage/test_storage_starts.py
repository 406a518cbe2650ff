"""A start that cannot be good is refused: the text says what is wrong and what to do, the file stays as it was."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from hoosh.errors import StorageError
from hoosh.storage import SqliteStore, claim
from hoosh.storage.migrations import STEPS, migrate
from hoosh.storage.reading import rows_of
from hoosh.testing.stores import running


async def fill(path: Path, rows: int = 2000) -> None:
    async with running(SqliteStore(path)) as store:
        store.log("ledger").append([b"row %d " % number + b"x" * 50 for number in range(rows)])
        await store.table("t").put("k", b"v")


def overwrite(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def run_sql(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def foreign(path: Path) -> None:
    path.unlink()
    run_sql(path, "CREATE TABLE theirs (x)")


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_bytes(b"not a database" * 100), "is not an SQLite database.*Move it away"),
    "a spoiled beginning": (lambda path: overwrite(path, 0, b"\0" * 16), "is not an SQLite database"),
    "a cut file": (lambda path: os.truncate(path, 8192 * 3), "damaged.*restore a backup"),
    "a cut page": (lambda path: os.truncate(path, path.stat().st_size - 100), "damaged.*restore a backup"),
    "a flipped page": (lambda path: overwrite(path, 8192 * 5, os.urandom(8192)), "damaged.*restore a backup"),
    "a spoiled schema": (lambda path: overwrite(path, 100, b"\xff" * 2000), "damaged.*restore a backup"),
    "a newer version": (lambda path: run_sql(path, "PRAGMA user_version = 99"), "newer hoosh-trio.*schema 99"),
    "another program's": (foreign, "another program's database.*a file of its own"),
}


@pytest.mark.parametrize("name", SPOILED)
async def test_a_file_that_cannot_be_used_is_named_and_left_as_it_was(name: str, tmp_path: Path):
    spoil, advice = SPOILED[name]
    path = tmp_path / "hoosh.db"
    await fill(path)
    spoil(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StorageError, match=advice) as caught:
            async with running(SqliteStore(path)):
                pass
        assert str(path) in str(caught.value)
        assert path.read_bytes() == before


async def test_a_second_gateway_is_kept_out_until_the_first_has_gone(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    async with running(SqliteStore(path)):
        with pytest.raises(StorageError, match=rf"in use by another gateway \(process {os.getpid()}\).*own file"):
            async with running(SqliteStore(path)):
                pass
    async with running(SqliteStore(path)):
        pass


async def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"The folder .*file/below cannot be used: part of its path is no folder"):
        async with running(SqliteStore(tmp_path / "file" / "below" / "hoosh.db")):
            pass
    with pytest.raises(StorageError, match="it is a folder"):
        async with running(SqliteStore(tmp_path)):
            pass


async def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "hoosh.db"
    await fill(path, 1)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # to root everything may be written
    with pytest.raises(StorageError, match=r"read-only. Give the gateway's user the right to write"):
        async with running(SqliteStore(path)):
            pass


async def test_a_full_disk_is_seen_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    connect = claim.connect

    def connect_to_full_disk(path: Path, *, busy_s: float) -> sqlite3.Connection:
        database = connect(path, busy_s=busy_s)
        database.execute("PRAGMA max_page_count = 2")
        return database

    monkeypatch.setattr(claim, "connect", connect_to_full_disk)
    with pytest.raises(StorageError, match=r"the disk is full. Free some space"):
        async with running(SqliteStore(tmp_path / "hoosh.db")):
            pass
    monkeypatch.undo()
    await fill(tmp_path / "hoosh.db", 1)  # what was begun does no harm


async def test_a_file_that_somebody_writes_to_is_refused(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    await fill(path, 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="another program keeps it locked"):
        async with running(SqliteStore(path)):
            pass
    other.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    await fill(path)
    database = sqlite3.connect(path, isolation_level=None)
    before = list(database.iterdump())
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        migrate(database, (*STEPS, ("DELETE FROM rows", "CREATE TABLE new (x)"), ("nonsense",)))
    assert list(database.iterdump()) == before
    migrate(database, (*STEPS, ("CREATE TABLE new (x)",)))
    assert database.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)
    database.close()


async def test_a_store_that_is_cancelled_as_it_opens_closes_its_file(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(SqliteStore(path).run)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await fill(path, 1)


async def test_others_may_read_while_the_gateway_writes(tmp_path: Path):
    path = tmp_path / "hoosh.db"
    async with running(SqliteStore(path)) as store:
        store.log("audit").append([b"1", b"2"])
        await store.log("ledger").wait_kept(store.log("ledger").append([b"3"]))
        assert [(row.position, row.body) for row in rows_of(path, "audit")] == [(1, b"1"), (2, b"2")]
        database = sqlite3.connect(path)
        found = database.execute("SELECT position, body FROM log WHERE name = 'audit' ORDER BY position").fetchall()
        assert found == [(1, b"1"), (2, b"2")]
        copy = sqlite3.connect(tmp_path / "copy.db")
        database.backup(copy)
        copy.close(), database.close()
    assert [row.body for row in rows_of(tmp_path / "copy.db", "ledger")] == [b"3"]
    with pytest.raises(StorageError, match="has no log `x`"):
        list(rows_of(path, "x"))
    with pytest.raises(StorageError, match="cannot be opened"):
        list(rows_of(tmp_path / "nowhere", "x"))
