"""Before a database is used: it is there, nobody else's, whole, and can be written.

    folder → lock → file → header → connection (WAL, synchronous=FULL) → check → migrate → first write

Each step refuses with a StorageError that names the file and says what to do; a file that was found is not changed
until all checks have passed.  `PATH.lock` keeps a second gateway out (`flock`: it goes with the process, however that
ends) and holds the process's number; readers such as the `sqlite3` program do not ask for it.

These functions block.  They belong to the writer's thread.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from hoosh.errors import StorageError
from hoosh.storage.advice import WriteFailure, storage_error
from hoosh.storage.migrations import check_ours, migrate

__all__ = ["claim", "connect", "open_database"]

_MAGIC = b"SQLite format 3\0"
_CHECKED_BYTES = 64 * 1024 * 1024
"""A larger file is not read through at each start (a second or so for each GiB): SQLite finds damage as it meets it."""
_WAL_BYTES = 64 * 1024 * 1024
"""What is left of a write-ahead log that had to grow."""


def claim(path: Path) -> int:
    """Make the folder, take the lock.  Returns the lock's file descriptor: closing it gives the lock back."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error(error, f"The folder {path.parent}") from error
    try:
        _lock(lock, path)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise StorageError(
            f"{path} is in use by another gateway (process {holder}). Stop that one, or give this one its own file "
            "in [storage].url."
        ) from None
    except OSError as error:
        raise StorageError(
            f"The file system of {path} cannot lock files ({error.strerror}). Use a local disk."
        ) from error
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        raise storage_error(error, str(path)) from error


def open_database(path: Path, *, busy_s: float) -> sqlite3.Connection:
    """The database at `path`, made if there is none, checked, up to date and written to once.  Raises StorageError."""
    try:
        _find_or_make(path)
        database = connect(path, busy_s=busy_s)
        try:
            _check(database, path)
            check_ours(database, str(path))
            _use_wal(database, path)
            migrate(database)
            # A full disk or a read-only file shows now and not at the first request.
            database.execute("UPDATE openings SET count = count + 1")
        except BaseException:
            database.close()
            raise
    except WriteFailure as error:
        raise storage_error(error, str(path)) from error
    return database


def connect(path: Path, *, busy_s: float) -> sqlite3.Connection:
    """A connection to a file that is there.  Transactions are ours to begin."""
    uri = f"file:{quote(str(path.absolute()))}?mode=rw"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_s)
    database.execute("PRAGMA page_size = 8192")  # of a new file: half as many calls to write the same rows
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    return database


def _find_or_make(path: Path) -> None:
    try:
        # SQLite would make it for all to read; its companions (-wal, -shm) get the rights of this one.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        with open(path, "rb") as file:
            header = file.read(len(_MAGIC))
        if header not in (b"", _MAGIC):
            raise StorageError(
                f"{path} is not an SQLite database, or its beginning is damaged. Move it away or name another file in "
                "[storage].url; it has not been changed."
            ) from None
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            raise StorageError(
                f"{path} or its folder is read-only. Give the gateway's user the right to write both."
            ) from None


def _check(database: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > _CHECKED_BYTES:
        return
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise storage_error(_corrupt(verdict), str(path))


def _corrupt(verdict: str) -> sqlite3.DatabaseError:
    """The error that SQLite would have raised, had it met the damage otherwise."""
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _use_wal(database: sqlite3.Connection, path: Path) -> None:
    (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(f"The file system of {path} cannot share memory between programs. Use a local disk.")
