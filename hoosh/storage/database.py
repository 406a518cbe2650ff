"""The three shapes in SQLite: what is asked of the file, and nothing about when.

All methods block, and all belong to one thread.  They raise what `sqlite3` raises.

Python's sqlite3 lets other threads run during each step of a statement and may then wait 5 ms for its turn beside a
busy event loop.  So many rows go in with one statement, of a few fixed sizes that stay prepared, padded with NULLs
(executemany is one step for each row); and many rows come out as one text.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hoosh.storage.claim import claim, connect, open_database
from hoosh.storage.contract import Row
from hoosh.storage.entries import Count, Sweeps, after_prefix, given, is_alive, taken

__all__ = ["MOST_ROWS", "Database", "LogRows"]

LogRows = tuple[str, int, Sequence[bytes]]
"""Rows for one log: its name, the position of the first, the bodies."""

_POSITION_BITS = 40
_LAST_POSITION = (1 << _POSITION_BITS) - 1


def _insert(rows: int) -> str:
    values = ",".join(["(?,?)"] * rows)
    return f"INSERT INTO rows WITH given (id, body) AS (VALUES {values}) SELECT id, body FROM given WHERE id NOTNULL"


MOST_ROWS = 256
"""In one statement."""

_INSERTS = [(size, _insert(size)) for size in (1, 8, 32, 64, 128, MOST_ROWS)]

_READ_SLICE = 128
_READ = """SELECT CAST(id & 0xffffffffff AS BLOB) AS a, body AS b FROM rows
    WHERE id > :after AND id <= :last ORDER BY id LIMIT :limit"""

_GET = 'SELECT value, expires_s FROM entries WHERE "table" = ? AND key = ?'
_PUT = 'INSERT OR REPLACE INTO entries ("table", key, value, expires_s) VALUES (?, ?, ?, ?)'
_DELETE = 'DELETE FROM entries WHERE "table" = ? AND key = ?'
_ITEMS = """SELECT CAST(key AS BLOB) AS a, value AS b FROM entries
    WHERE "table" = :table AND key >= :prefix AND (:after = '' OR key > :after) AND (:end IS NULL OR key < :end)
    AND (expires_s IS NULL OR expires_s > :now) ORDER BY key LIMIT :limit"""

_COUNT = "SELECT value, expires_s FROM counts WHERE counter = ? AND key = ?"
_SET_COUNT = "INSERT OR REPLACE INTO counts (counter, key, value, expires_s) VALUES (?, ?, ?, ?)"
_FORGET_COUNT = "DELETE FROM counts WHERE counter = ? AND key = ?"


class Database:
    """One open file, with its lock.  Raises StorageError when it cannot be opened."""

    def __init__(self, path: Path, *, busy_s: float) -> None:
        self._path = path
        self._busy_s = busy_s
        self._sweeps = Sweeps()
        self._lock = claim(path)
        try:
            self._connection = open_database(path, busy_s=busy_s)
        except BaseException:
            os.close(self._lock)
            raise
        self._numbers: dict[str, int] = dict(self._connection.execute("SELECT name, number FROM logs"))

    def close(self) -> None:
        try:
            self._connection.close()
        finally:
            os.close(self._lock)

    def reconnect(self) -> None:
        """After a failure: some of SQLite's are remembered by the connection."""
        self._connection.close()
        self._connection = connect(self._path, busy_s=self._busy_s)

    def probe(self) -> None:
        """Write a page, to see whether that is possible again."""
        self._connection.execute("UPDATE openings SET count = count")

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[None]:
        """All or nothing."""
        database = self._connection
        database.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            yield
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    # Logs

    def positions(self) -> dict[str, int]:
        """The last position of each log."""
        return {name: self._last(name) for name in self._numbers}

    def know(self, names: Iterable[str]) -> None:
        """Give each of these logs its number.  Outside of a transaction, lest a rollback take it away again."""
        for name in names:
            if name not in self._numbers:
                cursor = self._connection.execute("INSERT INTO logs (name) VALUES (?)", (name,))
                self._numbers[name] = cursor.lastrowid or 0

    def append(self, batch: Iterable[LogRows]) -> None:
        """Add the rows.  Without a transaction around it, up to MOST_ROWS are one of their own."""
        ids: list[int | None] = []
        bodies: list[bytes | None] = []
        for name, first, rows in batch:
            start = (self._numbers[name] << _POSITION_BITS) + first
            ids.extend(range(start, start + len(rows)))
            bodies.extend(rows)
        for at in range(0, len(ids), MOST_ROWS):
            self._insert(ids[at : at + MOST_ROWS], bodies[at : at + MOST_ROWS])

    def _insert(self, ids: list[int | None], bodies: list[bytes | None]) -> None:
        count = len(ids)
        size, statement = next(insert for insert in _INSERTS if insert[0] >= count)
        values: list[int | bytes | None] = [None] * (2 * size)
        values[0 : 2 * count : 2] = ids
        values[1 : 2 * count : 2] = bodies
        # Once for one list of values: `execute` would let go of the interpreter once more, to ask for the last id.
        self._connection.executemany(statement, (values,))

    def missing(self, rows: LogRows) -> LogRows:
        """Those of `rows` that the log has not.  After a crash a spool is read again from its beginning."""
        name, first, bodies = rows
        known = self._last(name) + 1 - first
        return (name, first + known, bodies[known:]) if known > 0 else rows

    def follows(self, rows: LogRows) -> bool:
        """Do they continue their log without a gap?"""
        return rows[1] <= self._last(rows[0]) + 1

    def read(self, name: str, after: int, limit: int) -> list[Row]:
        number = self._numbers.get(name)
        found: list[Row] = []
        while number is not None and len(found) < limit:
            wanted = min(_READ_SLICE, limit - len(found))
            some = self._read_slice(number << _POSITION_BITS, max(0, after), wanted)
            found += some
            if len(some) < wanted:
                break
            after = some[-1].position
        return found

    def _read_slice(self, base: int, after: int, limit: int) -> list[Row]:
        asked = {"after": base + min(after, _LAST_POSITION), "last": base + _LAST_POSITION, "limit": limit}
        found = [Row(int(position), body) for position, body in self._pairs(_READ, asked)]
        return sorted(found, key=lambda row: row.position)

    def trim(self, name: str, before: int) -> int:
        last = self._last(name)
        before = min(before, last + 1)
        if before <= 1:
            return 0
        number = self._numbers[name]
        base = number << _POSITION_BITS
        trimmed = self._connection.execute("DELETE FROM rows WHERE id > ? AND id < ?", (base, base + before)).rowcount
        self._connection.execute("UPDATE logs SET trimmed = max(trimmed, ?) WHERE number = ?", (before - 1, number))
        return trimmed

    def _last(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            return 0
        base = number << _POSITION_BITS
        query = "SELECT max(trimmed, coalesce((SELECT max(id) FROM rows WHERE id > ? AND id <= ?), 0) - ?)"
        bounds = (base, base + _LAST_POSITION, base, number)
        return int(self._connection.execute(f"{query} FROM logs WHERE number = ?", bounds).fetchone()[0])

    # Tables

    def get(self, table: str, key: str, now_s: float) -> bytes | None:
        value, expires_s = self._connection.execute(_GET, (table, key)).fetchone() or (None, None)
        return value if is_alive(expires_s, now_s) else None

    def put(self, table: str, key: str, value: bytes, expires_s: float | None, now_s: float) -> None:
        self._sweep(now_s)
        self._connection.execute(_PUT, (table, key, value, expires_s))

    def delete(self, table: str, key: str) -> None:
        self._connection.execute(_DELETE, (table, key))

    def items(self, table: str, prefix: str, after: str, limit: int, now_s: float) -> list[tuple[str, bytes]]:
        asked: dict[str, object] = {
            "table": table,
            "prefix": prefix,
            "end": after_prefix(prefix),
            "after": after,
            "now": now_s,
        }
        pairs = self._pairs(_ITEMS, asked | {"limit": min(max(0, limit), _LAST_POSITION)})
        return sorted((key.decode(), value) for key, value in pairs)

    # Counters

    def take(
        self, counter: str, key: str, amount: int, ceiling: int, expires_s: float | None, now_s: float
    ) -> int | None:
        self._sweep(now_s)
        count = taken(self._count(counter, key), amount, ceiling, expires_s, now_s=now_s)
        if count is None:
            return None
        self._connection.execute(_SET_COUNT, (counter, key, count.value, count.expires_s))
        return count.value

    def give(self, counter: str, key: str, amount: int, now_s: float) -> int:
        count = given(self._count(counter, key), amount, now_s=now_s)
        if count is None:
            self._connection.execute(_FORGET_COUNT, (counter, key))
            return 0
        self._connection.execute(_SET_COUNT, (counter, key, count.value, count.expires_s))
        return count.value

    def value(self, counter: str, key: str, now_s: float) -> int:
        count = self._count(counter, key)
        return count.value if count is not None and is_alive(count.expires_s, now_s) else 0

    def _count(self, counter: str, key: str) -> Count | None:
        found = self._connection.execute(_COUNT, (counter, key)).fetchone()
        return None if found is None else Count(*found)

    def _sweep(self, now_s: float) -> None:
        if self._sweeps.is_due(now_s):
            for table in ("entries", "counts"):
                self._connection.execute(f"DELETE FROM {table} WHERE expires_s <= ?", (now_s,))

    def _pairs(self, select: str, asked: Mapping[str, object]) -> list[tuple[bytes, bytes]]:
        """The columns a and b of `select`, in one step.  SQLite keeps their order then, but does not promise to."""
        at_once = f"SELECT group_concat(hex(a) || ' ' || hex(b)) FROM ({select})"
        try:
            (text,) = self._connection.execute(at_once, asked).fetchone()
        except sqlite3.DataError:  # together they are longer than a text may be
            return self._connection.execute(select, asked).fetchall()
        pairs = [pair.split(" ") for pair in text.split(",")] if text else []
        return [(bytes.fromhex(a), bytes.fromhex(b)) for a, b in pairs]
