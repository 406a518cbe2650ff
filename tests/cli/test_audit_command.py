"""`hoosh-trio audit`: whoever has the key and the file needs nothing else."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from hoosh.audit import Audit, SigningKey
from hoosh.cli import main
from hoosh.gateway.trail import AuditTrail
from hoosh.storage.sqlite import SqliteStore
from hoosh.values import Secret

OLD, NEW = "the old key of the house", "the new key of the house"


@asynccontextmanager
async def running(path: Path, settings: Audit) -> AsyncIterator[AuditTrail]:
    """A gateway's audit trail in a database."""
    async with trio.open_nursery() as nursery:
        store = SqliteStore(path)
        await nursery.start(store.run)
        trail = AuditTrail(settings, store.log("audit"), store.table("audit"), lambda: int(time.time() * 1000))
        await trail.open()
        yield trail
        await trail.close()
        nursery.cancel_scope.cancel()


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Six entries: three, a hand-over, and two."""
    path = tmp_path / "hoosh.db"
    old = Audit(enabled=True, signing_key=Secret(OLD))
    for settings, count in ((old, 3), (Audit(enabled=True, signing_key=Secret(NEW), previous_key=Secret(OLD)), 2)):
        async with running(path, settings) as trail:
            for number in range(count):
                trail.note("x", "info", f"number {number}")
    return path


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOSH_AUDIT_KEY", NEW)
    monkeypatch.setenv("OLD_KEY", OLD)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["audit", *map(str, arguments)])
    return code, *capsys.readouterr()


def change(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


DOCS = Path(__file__).parents[2] / "docs" / "audit.md"
ROWS = "(SELECT number << 40 FROM logs WHERE name = 'audit')"


async def test_a_database_is_verified(database: Path, capsys: pytest.CaptureFixture[str]):
    code, out, err = run(capsys, "verify", database, "--key", "$HOOSH_AUDIT_KEY", "--key", "$OLD_KEY")
    assert (code, err) == (0, "")
    assert out.startswith("valid: 6 entries, 1 to 6\nanchor: 6:")
    assert OLD not in out
    code, out, _ = run(capsys, "verify", database)
    assert code == 0
    assert SigningKey(Secret(OLD)).id in out


async def test_an_export_is_verified_as_well(
    database: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code, out, _ = run(capsys, "export", database)
    assert code == 0
    lines = out.splitlines()
    assert [json.loads(line).get("number") for line in lines] == [1, 2, 3, 4, 5, 6, None]
    exported = tmp_path / "audit.jsonl"
    exported.write_text(out)
    assert run(capsys, "verify", exported)[0] == 0
    command = [sys.executable, "-m", "hoosh", "audit", "verify", "-", "--json"]
    done = await trio.run_process(command, stdin=out.encode(), capture_stdout=True)
    assert json.loads(done.stdout)["valid"] is True
    for place in range(len(lines)):
        exported.write_text("\n".join(lines[:place]))
        code, told, _ = run(capsys, "verify", exported)
        assert (code, "no signed checkpoint" in told) == (1, True)
    exported.write_text("\n".join([*lines[:3], lines[4], *lines[5:]]))
    code, told, _ = run(capsys, "verify", exported)
    assert code == 1
    assert told.startswith("first bad entry: number 4 (id aud_")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE rows SET body = replace(body, 'number 1', 'number 7')", "number 2 (id aud_"),
        (f"DELETE FROM rows WHERE id = 3 + {ROWS}", "number 3 (id aud_"),
        (f"DELETE FROM rows WHERE id > 4 + {ROWS}", "number 5: entries 5 to 6 are missing at the end"),
        (f"DELETE FROM rows WHERE id = 6 + {ROWS}", "number 6: entry 6 is missing at the end"),
        (f"DELETE FROM rows WHERE id <= 2 + {ROWS}", "number 1: entries 1 to 2 are missing at the beginning"),
        ("DELETE FROM rows", "number 1: entries 1 to 6 are missing at the end"),
    ],
)
async def test_the_first_bad_entry_is_named(
    database: Path, statement: str, told: str, capsys: pytest.CaptureFixture[str]
):
    change(database, statement)
    code, out, _ = run(capsys, "verify", database, "--key", "$HOOSH_AUDIT_KEY", "--key", "$OLD_KEY")
    assert code == 1
    assert out.startswith(f"first bad entry: {told}"), out


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM entries", "UPDATE entries SET value = replace(value, '6', '5')", "UPDATE entries SET value = 'x'"],
)
async def test_a_bad_checkpoint_is_told(database: Path, statement: str, capsys: pytest.CaptureFixture[str]):
    change(database, statement)
    assert run(capsys, "verify", database)[0] == 1
    code, as_json, _ = run(capsys, "verify", database, "--json")
    assert (code, json.loads(as_json)["valid"]) == (1, False)


async def test_a_chain_is_set_aside_as_documented(database: Path, capsys: pytest.CaptureFixture[str]):
    documented = re.search(r"^sqlite3 hoosh.db \"(.*)\"$", DOCS.read_text(), re.MULTILINE)
    assert documented is not None
    for statement in documented[1].replace('\\"', '"').split(";"):
        change(database, statement)
    other = Secret("the key of somebody new")
    async with running(database, Audit(enabled=True, signing_key=other)) as trail:
        trail.note("x", "info", "y")
        assert (await trail.verify()).entries == 1


async def test_an_anchor_is_looked_for(database: Path, capsys: pytest.CaptureFixture[str]):
    _, out, _ = run(capsys, "verify", database)
    anchor = out.splitlines()[1].removeprefix("anchor: ")
    assert run(capsys, "verify", database, "--anchor", anchor)[0] == 0
    assert run(capsys, "verify", database, "--anchor", f"5{anchor[1:]}")[0] == 1
    assert run(capsys, "verify", database, "--anchor", f"7{anchor[1:]}")[0] == 1


async def test_a_database_is_verified_while_a_gateway_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "hoosh.db"
    async with running(path, Audit(enabled=True, signing_key=Secret(NEW))) as trail, trio.open_nursery() as nursery:
        await nursery.start(trail.run)
        for number in range(5):
            for _ in range(100):
                trail.note("x", "info", "y")
            await trail.verify()
            code, out, _ = run(capsys, "verify", path)
            assert code in (0, 1), out
            assert number == 0 or code == 0, out
            await trio.sleep(0.06)
        nursery.cancel_scope.cancel()
    assert run(capsys, "verify", path)[0] == 0


async def test_keys_are_read_where_they_are(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "audit.key"
    file.write_text(f"{NEW}\n")
    assert run(capsys, "verify", database, "--key-file", file)[0] == 0
    assert run(capsys, "verify", database, "--key", f"file:{file}")[0] == 0
    code, out, _ = run(capsys, "verify", database, "--key", "$OLD_KEY")
    assert (code, SigningKey(Secret(NEW)).id in out) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--key", OLD],
        ["--key", "$NO_SUCH_VARIABLE"],
        ["--key-file", "nowhere.key"],
        ["--key", "$SHORT"],
        ["--anchor", "1"],
        ["--anchor", "1:abc"],
    ],
)
async def test_wrong_usage_exits_2_and_repeats_no_key(
    database: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHORT", "hunter2")
    code, out, err = run(capsys, "verify", database, *arguments)
    assert (code, out) == (2, "")
    assert OLD not in err
    assert "hunter2" not in err


@pytest.mark.parametrize("content", [b"", b"nonsense", b"SQLite format 3\0 nonsense", b"\n\n", b"{}" * 100])
def test_what_is_no_audit_log_is_not_valid(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "file"
    path.write_bytes(content)
    code, out, err = run(capsys, "verify", path)
    assert code == 1
    assert out + err
    assert run(capsys, "export", path)[0] == 1
    assert run(capsys, "verify", tmp_path / "nowhere")[0] == 1
    assert run(capsys, "verify", tmp_path)[0] == 1


def test_a_foreign_database_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE t (x)")
    code, _, err = run(capsys, "verify", path)
    assert (code, "no database of hoosh-trio" in err) == (1, True)
