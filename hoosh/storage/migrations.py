"""The database's shape, and how an older one becomes today's.

`PRAGMA user_version` says how many of the steps a file has behind it.  All missing steps are one transaction: a step
that fails leaves the file as it was.  A step that has been released is never changed, only followed by another.

Why one table for the rows of all logs: a batch is then one statement and its own transaction.  Python's sqlite3 gives
the interpreter lock away at each statement and may wait 5 ms to have it back beside a busy event loop, so fewer
statements are what makes the writer fast.  A row's id is `log number << 40 | position`; the view `log` shows it in
words:

    sqlite3 hoosh.db "select position, body from log where name = 'audit' order by position"
"""

from __future__ import annotations

import sqlite3

from hoosh.errors import StorageError

__all__ = ["APPLICATION_ID", "STEPS", "check_ours", "migrate"]

APPLICATION_ID = 0x686F6F73
"""`hoos`: so that no other program's database is taken for ours."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        "CREATE TABLE logs (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, trimmed INTEGER NOT NULL DEFAULT 0)",
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        "CREATE VIEW log AS SELECT logs.name, rows.id & 0xffffffffff AS position, rows.body FROM logs "
        "JOIN rows ON rows.id BETWEEN logs.number << 40 AND (logs.number << 40) + 0xffffffffff",
        'CREATE TABLE entries ("table" TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires_s REAL, '
        'PRIMARY KEY ("table", key))',
        "CREATE INDEX entries_by_expiry ON entries (expires_s) WHERE expires_s IS NOT NULL",
        "CREATE TABLE counts (counter TEXT NOT NULL, key TEXT NOT NULL, value INTEGER NOT NULL, expires_s REAL, "
        "PRIMARY KEY (counter, key)) WITHOUT ROWID",
        "CREATE INDEX counts_by_expiry ON counts (expires_s) WHERE expires_s IS NOT NULL",
        "CREATE TABLE openings (number INTEGER PRIMARY KEY CHECK (number = 1), count INTEGER NOT NULL)",
        "INSERT INTO openings VALUES (1, 0)",
    ),
)


def check_ours(database: sqlite3.Connection, place: str, known: int = len(STEPS)) -> None:
    """Raises StorageError for a database that is not ours, or of a newer version."""
    version = _version(database)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (version or tables) and application != APPLICATION_ID:
        raise StorageError(f"{place} is another program's database. Give [storage].url a file of its own.")
    if version > known:
        raise StorageError(
            f"{place} was written by a newer hoosh-trio (schema {version}, this one knows {known}). "
            "Use that version again, or give [storage].url another file."
        )


def migrate(database: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Bring the schema up to date."""
    version = _version(database)
    if version == len(steps):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in step:
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {len(steps)}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
