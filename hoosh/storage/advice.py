"""What a failure of the disk means, and what to do about it, in a sentence or two."""

from __future__ import annotations

import errno
import sqlite3

from hoosh.errors import StorageError

__all__ = ["WriteFailure", "storage_error"]

WriteFailure = (sqlite3.Error, OSError)
"""What the disk may throw at whoever reads or writes."""

_FULL = "the disk is full. Free some space"
_LOCKED = "another program keeps it locked. End that program's transaction"
_READ_ONLY = "it is read-only. Give the gateway's user the right to write the file and its folder"
_CORRUPT = (
    "it is damaged. Move it away and restore a backup, or save what can be read with "
    "`sqlite3 FILE .recover`; it has not been changed"
)
_FORBIDDEN = "the gateway's user has no right to use it. Change the owner or the rights of the file and its folder"

_BY_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened. See that the file and its folder are there and may be written",
    sqlite3.SQLITE_IOERR: "the disk reports an error. Look into the system's log",
}
_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the disk quota is used up. Free some space",
    errno.EROFS: "the file system is read-only. Use another place",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENOTDIR: "part of its path is no folder. Correct the path",
    errno.EISDIR: "it is a folder. Name a file",
}


def storage_error(error: Exception, place: str) -> StorageError:
    """`error` as one that says what is wrong with `place`, and what helps."""
    if isinstance(error, StorageError):
        return error
    advice = None
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        advice = None if code is None else _BY_SQLITE.get(code & 0xFF)
    elif isinstance(error, OSError):
        advice = _BY_ERRNO.get(error.errno or 0)
    if advice is None:
        advice = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return StorageError(f"{place} cannot be used: {advice}.")
