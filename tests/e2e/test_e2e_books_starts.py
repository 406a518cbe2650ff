"""A gateway whose books cannot be used does not start: one line says why and what to do, and the exit code is 1.

Nor does it touch what it has found.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from books_house import BookedHouse, hoosh, rows_of
from e2e_house import CLIENT_KEY, OpenAIServer, accepts, ask, fetch, fetch_json


@pytest.fixture
def house(tmp_path: Path, upstream: OpenAIServer) -> BookedHouse:
    return BookedHouse(tmp_path / "house", upstream)


def live(house: BookedHouse, config: str | None = None) -> None:
    """A life with one request."""
    with house.life(config) as gateway:
        fetch(f"{gateway.base_url}/chat/completions", json.dumps(ask("tiny-chat")).encode(), key=CLIENT_KEY)
        assert gateway.stop() == 0


def refusal(house: BookedHouse, config: str | None = None) -> str:
    """Start a gateway that must refuse.  Returns its line."""
    said_before = house.last.stderr if house.last else ""
    with house.life(config, wait=False) as gateway:
        assert gateway.wait() == 1
    assert not accepts(gateway.address)
    said = gateway.stderr.removeprefix(said_before)
    assert said.count("\n") == 1, said
    return said.rstrip("\n")


def test_books_that_another_gateway_keeps(house: BookedHouse, tmp_path: Path, upstream: OpenAIServer) -> None:
    config = house.config()
    with house.life(config) as first:
        second = BookedHouse(tmp_path / "second", upstream)
        line = refusal(second, second.config(storage=f'url = "sqlite:///{house.database}"'))
        assert f"{house.database} is in use by another gateway (process {first.pid}). Stop that one, or" in line
        assert fetch_json(f"{first.base_url}/health", key=CLIENT_KEY)["status"] == "ok"
        first.kill()
    live(house)  # the lock goes with its process, however that ends


def no_database(path: Path) -> None:
    path.write_bytes(b"these are not the books\n" * 1000)


def anothers_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine (words TEXT)")
    database.close()


def a_newer_one(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def damaged(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + bytes([0xA5]) * (len(whole) - 8192))


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def a_spool_of_another_time(path: Path) -> None:
    """Somebody has restored an older database, and left the spool of a newer one beside it."""
    from hoosh.storage.spool import Spool

    spool = Spool(path.with_name(f"{path.name}.spool"), max_bytes=1 << 20)
    spool.append([("ledger", 1_000_000, [b"{}"])])
    spool.close()


SPOILT: list[tuple[Callable[[Path], None], bool, str]] = [
    (no_database, False, "hoosh.db is not an SQLite database, or its beginning is damaged. Move it away or"),
    (anothers_database, False, "hoosh.db is another program's database. Give [storage].url a file of its own."),
    (a_folder, False, "hoosh.db cannot be used: it is a folder. Name a file."),
    (a_newer_one, True, "was written by a newer hoosh-trio (schema 99, this one knows 1). Use that version again"),
    (damaged, True, "hoosh.db cannot be used: it is damaged. Move it away and restore a backup"),
    (a_spool_of_another_time, True, "does not continue the log `ledger` of the database: was that restored from a"),
]


@pytest.mark.parametrize(("spoil", "is_lived_in", "words"), SPOILT, ids=[each[0].__name__ for each in SPOILT])
def test_books_that_cannot_be_used(
    house: BookedHouse, spoil: Callable[[Path], None], is_lived_in: bool, words: str
) -> None:
    if is_lived_in:
        live(house)
    house.database.parent.mkdir(exist_ok=True)
    spoil(house.database)
    spoilt = house.database.with_name("hoosh.db.spool") if spoil is a_spool_of_another_time else house.database
    found = spoilt.is_file() and spoilt.read_bytes()
    line = refusal(house)
    assert line.startswith("hoosh-trio: ")
    assert words in line
    assert (spoilt.is_file() and spoilt.read_bytes()) == found, "it has been changed"


def test_a_folder_that_is_none(house: BookedHouse) -> None:
    house.database.parent.write_text("a file in the way")
    line = refusal(house)
    assert f"The folder {house.database.parent} cannot be used: " in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_may_not_be_written(house: BookedHouse, is_there: bool) -> None:
    if is_there:
        live(house)
    folder = house.database.parent
    folder.mkdir(exist_ok=True)
    folder.chmod(0o500)
    try:
        assert "the gateway's user has no right to use it" in refusal(house)
    finally:
        folder.chmod(0o700)


# -- the audit key -------------------------------------------------------------------------------------------------

OLD = 'signing_key = "file:old-audit.key"'
NEW = 'signing_key = "file:audit.key"'
HANDING_OVER = f'{NEW}\nprevious_key = "file:old-audit.key"'


def test_an_audit_log_that_was_sealed_with_another_key_is_not_gone_on_with_unless_the_old_one_hands_over(
    house: BookedHouse,
) -> None:
    live(house, house.config(audit=OLD))
    line = refusal(house)
    assert "The audit log was sealed with another key" in line
    assert "Set [audit].previous_key to the old key, so that it can hand over" in line
    live(house, house.config(audit=HANDING_OVER))
    live(house)  # the old key is not needed any more
    events = [json.loads(row.body)["event"] for row in rows_of(house.database, "audit")]
    assert events.count("audit.key_handover") == 1
    old = ("--key-file", str(house.folder / "old-audit.key"))
    both = house.verify_audit(*old)
    assert both.is_valid
    assert "not given" not in both.words
    only_new = house.verify_audit()
    assert only_new.is_valid
    assert "sealed with keys that were not given, held by later entries" in only_new.words
    only_old = hoosh("audit", "verify", str(house.database), *old)
    assert only_old.returncode == 1
    assert "checkpoint is signed with a key that was not given" in only_old.stdout


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        ("", 'write signing_key = "$HOOSH_AUDIT_KEY" and set that variable to what `openssl rand -hex 32` prints'),
        ('signing_key = "$E2E_NOT_SET"', "E2E_NOT_SET"),
        ('signing_key = "short"', "audit"),
        ('signing_key = "file:nowhere.key"', "nowhere.key"),
    ],
)
def test_an_audit_log_without_a_proper_key(house: BookedHouse, audit: str, words: str) -> None:
    line = refusal(house, house.config(audit=audit))
    assert words in line
    assert "short" not in line.replace("too short", "").replace("shorter", "")
    assert not house.database.exists()


def test_an_audit_log_that_has_lost_its_end_or_was_changed_there(house: BookedHouse) -> None:
    live(house)
    with sqlite3.connect(house.database) as database:
        found = "SELECT number FROM logs WHERE name = 'audit'"
        database.execute(f"DELETE FROM rows WHERE id = (SELECT max(id) FROM rows WHERE id >> 40 = ({found}))")
    database.close()
    line = refusal(house)
    assert "The audit log is broken: entries " in line
    assert "are missing at the end" in line
    assert "Run `hoosh-trio audit verify` on the database; docs/audit.md says how to go on" in line
