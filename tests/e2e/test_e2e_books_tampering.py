"""An audit log that somebody has worked on: `hoosh-trio audit verify` names the first bad entry.

Told twice, of the gateway's own database, changed with `sqlite3`, and of an export, changed with an editor.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from books_house import AUDIT_KEY, BOB_KEY, AuditVerdict, BookedHouse, hoosh, rows_of
from e2e_house import OpenAIServer, ask, fetch

Lines = list[bytes]
"""Entries, the first at 0.  Of an export the last line is the signed checkpoint, which is put back behind them."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, upstream: OpenAIServer) -> Iterator[BookedHouse]:
    """Two lives and some requests: a log of twelve entries or more."""
    house = BookedHouse(tmp_path_factory.mktemp("tampering"), upstream)
    for _ in range(2):
        with house.life() as gateway:
            for number in range(4):
                body = json.dumps(ask("tiny-chat", f"word {number}")).encode()
                fetch(f"{gateway.base_url}/chat/completions", body, key=BOB_KEY)
            assert gateway.stop() == 0
    assert house.verify_audit().is_valid
    yield house
    assert house.verify_audit().is_valid, "no test has changed the original"


def one_word(lines: Lines) -> Lines:
    assert b'"caller":"bob"' in lines[4]
    lines[4] = lines[4].replace(b'"caller":"bob"', b'"caller":"eve"')
    return lines


def one_number(lines: Lines) -> Lines:
    return [line.replace(b'"number":5,', b'"number":6,') for line in lines]


def one_timestamp(lines: Lines) -> Lines:
    entry = json.loads(lines[4])
    was = f'"timestamp":{entry["timestamp"]}'.encode()
    lines[4] = lines[4].replace(was, f'"timestamp":{entry["timestamp"] + 1}'.encode())
    return lines


def not_as_written(lines: Lines) -> Lines:
    """The same JSON with a blank more."""
    lines[4] = lines[4].replace(b",", b", ", 1)
    return lines


def no_json(lines: Lines) -> Lines:
    lines[4] = b"\xff\x00 nothing"
    return lines


def signed_with_another_key(lines: Lines) -> Lines:
    """Changed, and sealed again by somebody who has a key, and gives it the name of the right one."""
    lines[4] = sealed_again(lines[4].replace(b'"caller":"bob"', b'"caller":"eve"'), b"another key, as long as this")
    return lines


def sealed_again(line: bytes, key: bytes) -> bytes:
    entry = json.loads(line)
    signature = entry["integrity"]["signature"].encode()
    canonical = line.replace(b'"signature":"' + signature + b'",', b"")
    digest = hashlib.sha256(canonical).hexdigest()
    sealed = hmac.new(key, f"hoosh-audit-entry:{digest}".encode(), hashlib.sha256).hexdigest()
    return line.replace(signature, sealed.encode())


def signed_again_with_the_right_key(lines: Lines) -> Lines:
    """Even who has the key must write all later entries anew."""
    lines[4] = sealed_again(lines[4].replace(b'"caller":"bob"', b'"caller":"eve"'), AUDIT_KEY.encode())
    return lines


def two_swapped(lines: Lines) -> Lines:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def one_removed(lines: Lines) -> Lines:
    return [*lines[:4], *lines[5:]]


def one_repeated(lines: Lines) -> Lines:
    return [*lines[:5], lines[4], *lines[5:]]


def cut_in_the_middle_of_a_line(lines: Lines) -> Lines:
    lines[4] = lines[4][:-20]
    return lines


def without_its_end(lines: Lines) -> Lines:
    return lines[:-3]


def without_its_beginning(lines: Lines) -> Lines:
    return lines[2:]


def without_anything(lines: Lines) -> Lines:
    return []


TAMPERED: list[tuple[Callable[[Lines], Lines], int | None]] = [
    (one_word, 5),
    (one_number, 5),
    (one_timestamp, 5),
    (not_as_written, 5),
    (no_json, 5),
    (signed_with_another_key, 5),
    (signed_again_with_the_right_key, 6),
    (two_swapped, 5),
    (one_removed, 5),
    (one_repeated, 6),
    (cut_in_the_middle_of_a_line, 5),
    (without_its_end, None),
    (without_its_beginning, 1),
    (without_anything, None),
]
each_tampering = pytest.mark.parametrize(("tamper", "first_bad"), TAMPERED, ids=[each[0].__name__ for each in TAMPERED])


@each_tampering
def test_a_database_that_was_changed(
    house: BookedHouse, tmp_path: Path, tamper: Callable[[Lines], Lines], first_bad: int | None
) -> None:
    path = tmp_path / "hoosh.db"
    shutil.copy(house.database, path)
    rewrite(path, tamper([row.body for row in rows_of(path, "audit")]))
    check(verdict_on(house, path), first_bad)


@each_tampering
def test_an_export_that_was_changed(
    house: BookedHouse, tmp_path: Path, tamper: Callable[[Lines], Lines], first_bad: int | None
) -> None:
    path = tmp_path / "audit.jsonl"
    *entries, checkpoint = exported(house)
    path.write_bytes(b"".join(line + b"\n" for line in (*tamper(entries), checkpoint)))
    check(verdict_on(house, path), first_bad)


def check(verdict: AuditVerdict, first_bad: int | None) -> None:
    assert verdict.exit_code == 1, verdict.words
    if first_bad is not None:
        assert re.match(f"first bad entry: number {first_bad}\\b", verdict.words), verdict.words
    else:
        assert verdict.words.startswith(("first bad entry: ", "the log as a whole is bad: ")), verdict.words


def verdict_on(house: BookedHouse, path: Path | str, *more: str) -> AuditVerdict:
    return AuditVerdict.of(hoosh("audit", "verify", str(path), "--key-file", str(house.key_file), *more))


def exported(house: BookedHouse) -> Lines:
    done = hoosh("audit", "export", str(house.database))
    assert done.returncode == 0
    return done.stdout.encode().splitlines()


def rewrite(path: Path, lines: Lines) -> None:
    """Put other rows in place of the log's, as somebody would with `sqlite3`."""
    with sqlite3.connect(path) as database:
        (number,) = database.execute("SELECT number FROM logs WHERE name = 'audit'").fetchone()
        database.execute("DELETE FROM rows WHERE id >> 40 = ?", (number,))
        rows = [((number << 40) + position, line) for position, line in enumerate(lines, 1)]
        database.executemany("INSERT INTO rows VALUES (?, ?)", rows)
    database.close()


def test_an_export_that_was_not_changed_is_valid_from_a_file_and_from_stdin(house: BookedHouse, tmp_path: Path) -> None:
    path, whole = tmp_path / "audit.jsonl", b"\n".join(exported(house))
    path.write_bytes(whole)
    assert verdict_on(house, path).is_valid
    key = ("--key-file", str(house.key_file))
    assert AuditVerdict.of(hoosh("audit", "verify", "-", *key, stdin=whole)).is_valid
    assert AuditVerdict.of(hoosh("audit", "verify", str(path), HOOSH_AUDIT_KEY=AUDIT_KEY)).is_valid


def test_an_old_copy_of_the_whole_is_told_by_an_anchor(house: BookedHouse, tmp_path: Path) -> None:
    words = house.verify_audit().words
    anchor = next(line for line in words.splitlines() if line.startswith("anchor: ")).removeprefix("anchor: ")
    number, _, head = anchor.partition(":")
    assert house.verify_audit("--anchor", anchor).is_valid
    assert house.verify_audit("--anchor", f"{number}:{'0' * 64}").exit_code == 1
    assert house.verify_audit("--anchor", f"{int(number) + 1}:{head}").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["audit", "verify"], 2, "FILE"),
        (["audit", "verify", "nowhere.db", "--key", "a key itself"], 2, "--key says where a key is"),
        (
            ["audit", "verify", "nowhere.db", "--key-file", "audit.key", "--anchor", "5"],
            2,
            "--anchor: write NUMBER:HASH",
        ),
        (["audit", "verify", "nowhere.db"], 2, "the audit key: the environment variable HOOSH_AUDIT_KEY is not set"),
        (["audit", "export", "nowhere.db"], 1, "nowhere.db cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_is_2_and_what_cannot_be_read_is_1(
    house: BookedHouse, arguments: list[str], exit_code: int, words: str
) -> None:
    done = hoosh(*[str(house.key_file) if word == "audit.key" else word for word in arguments])
    assert done.returncode == exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_or_something_else_is_1(house: BookedHouse, tmp_path: Path) -> None:
    assert verdict_on(house, tmp_path / "nowhere.db").exit_code == 1
    assert verdict_on(house, tmp_path).exit_code == 1
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (words TEXT)")
    database.close()
    assert "other.db is no database of hoosh-trio." in verdict_on(house, other).words
