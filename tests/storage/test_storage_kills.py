"""`kill -9` at any moment: what was reported as kept is there, rows are a prefix without a gap, and order holds.

A handful of kills in each run; `HOOSH_KILLS=200 pytest tests/storage/test_storage_kills.py` for a long look.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from hoosh.storage import SqliteStore
from hoosh.testing.stores import running

KILLS = int(os.environ.get("HOOSH_KILLS", "4"))

CHILD = """
import os
import sys
from pathlib import Path
import trio
from hoosh.storage import SqliteStore
from hoosh.storage.handover import Limits

async def say(log, position, taken):
    if waits:
        await log.wait_kept(position)
    os.write(1, b"%d %d\\n" % (position, taken))

async def snapshots(store, log):
    while True:
        await store.table("snapshot").put("ledger", b"%d" % log.position)

async def main():
    store = SqliteStore(Path(sys.argv[1]), limits=Limits(busy_s=0.0, retry_s=0.01))
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        ledger, audit, taken = store.log("ledger"), store.log("audit"), 0
        if not is_locked:
            nursery.start_soon(snapshots, store, ledger)
        while True:
            last = ledger.position
            count = last % 7 + 1
            position = ledger.append([b"%d" % (last + 1 + n) for n in range(count)])
            audit.append([b"%d" % (audit.position + 1)])
            if not is_locked and position % 5 == 0:
                taken = await store.counter("c").take("k", 1, 1_000_000)
            await say(ledger, position, taken)
            if not waits:
                await trio.sleep(0.001)

waits, is_locked = sys.argv[2] == "sync", sys.argv[3] == "locked"
trio.run(main)
"""


async def killed(path: Path, mode: str, lock: str, lines: int) -> tuple[int, int]:
    """Let a child append until it has said so many lines, and kill it.  Returns the last thing it said."""
    command = [sys.executable, "-c", CHILD, str(path), mode, lock]
    child = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    said = b""
    try:
        while said.count(b"\n") < lines:
            data = await child.stdout.receive_some()
            assert data, "the child has ended by itself"
            said += data
    finally:
        child.kill()
        await child.wait()
    while data := await child.stdout.receive_some():
        said += data
    await child.stdout.aclose()
    position, taken = said[: said.rindex(b"\n")].rpartition(b"\n")[2].split()
    return int(position), int(taken)


@pytest.mark.parametrize("seed", range(KILLS))
async def test_after_a_kill_all_that_was_kept_is_there_in_its_order(seed: int, tmp_path: Path):
    random = Random(seed)
    path = tmp_path / "hoosh.db"
    mode = ("sync", "batched")[seed % 2]
    async with running(SqliteStore(path)):
        pass
    for _ in range(2):
        lock = random.choice(("free", "locked"))
        position, taken = await _run_child(path, mode, lock, random.randrange(1, 60))
        await check(path, position if mode == "sync" else 0, taken, seed)


async def _run_child(path: Path, mode: str, lock: str, lines: int) -> tuple[int, int]:
    """`locked`: from the child's first word on, somebody else writes, so that rows go into its spool."""
    other = sqlite3.connect(path, isolation_level=None)
    run = partial(killed, path, mode, lock, lines)
    try:
        if lock == "free":
            return await run()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_lock_once_it_is_taken, path, other)
            return await run()
    finally:
        other.close()


async def _lock_once_it_is_taken(path: Path, other: sqlite3.Connection) -> None:
    (before,) = other.execute("SELECT count FROM openings").fetchone()
    while other.execute("SELECT count FROM openings").fetchone() == (before,):
        await trio.lowlevel.checkpoint()
    other.execute("PRAGMA busy_timeout = 5000")
    other.execute("BEGIN IMMEDIATE")


async def check(path: Path, kept: int, taken: int, seed: int) -> None:
    async with running(SqliteStore(path)) as store:
        for name in ("ledger", "audit"):
            rows = await store.log(name).read(0, 100_000)
            assert [row.position for row in rows] == list(range(1, len(rows) + 1)), f"seed {seed}"
            assert all(row.body == b"%d" % row.position for row in rows), f"seed {seed}"
            assert store.log(name).position == len(rows)
        assert store.log("ledger").position >= kept, f"seed {seed}"
        snapshot = await store.table("snapshot").get("ledger") or b"0"
        assert int(snapshot) <= store.log("ledger").position, f"seed {seed}"
        assert await store.counter("c").value("k") >= taken, f"seed {seed}"
