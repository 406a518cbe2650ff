"""Reading a log out of a database file without being its gateway: for people who verify, move or mourn.

It takes no lock and changes nothing; a gateway may be writing at the same time.  Rows that wait in a spool file are
not seen.  This blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from hoosh.errors import StorageError
from hoosh.storage.advice import storage_error
from hoosh.storage.contract import Row
from hoosh.storage.migrations import APPLICATION_ID

__all__ = ["rows_of", "value_of"]

# Cast, because whoever edits a database may leave values of other types in it.
_FIND = "SELECT number FROM logs WHERE name = ?"
_VALUE = 'SELECT CAST(value AS BLOB) FROM entries WHERE "table" = ? AND key = ?'
_ROWS = "SELECT id & 0xffffffffff, CAST(body AS BLOB) FROM rows WHERE id > ?1 << 40 AND id < (?1 + 1) << 40 ORDER BY id"


def rows_of(path: Path, log: str) -> Iterator[Row]:
    """The rows of `log`, oldest first, as they are when this is begun.  Raises StorageError."""
    with _reading(path) as database:
        found = database.execute(_FIND, (log,)).fetchone()
        if found is None:
            raise StorageError(f"{path} has no log `{log}`: no gateway has written one there.")
        for position, body in database.execute(_ROWS, found):
            yield Row(position, body)


def value_of(path: Path, table: str, key: str) -> bytes | None:
    """What `table` holds under `key`, dead or alive.  Raises StorageError."""
    with _reading(path) as database:
        found: tuple[bytes] | None = database.execute(_VALUE, (table, key)).fetchone()
        return None if found is None else found[0]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)
        try:
            if database.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
                raise StorageError(f"{path} is no database of hoosh-trio.")
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise storage_error(error, str(path)) from error
