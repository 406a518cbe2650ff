"""Rows that the database cannot take now, in a file beside it.

    hoosh.db.spool      b"hoosh spool 1\\n", then records of   length (u32)  CRC-32 (u32)  MessagePack

A record is `[log, position of the first row, [body, …]]`, numbers big-endian.  A group of records is written with one
`write` and one `fsync`; if that fails, the file is cut back to what it was.  So only the end of the file can be torn,
by a crash, and what is torn had not been promised to anybody: reading ends there, and `recover` puts the rest aside
as `PATH.torn` all the same.  Positions make it safe to read a spool twice.

These methods block.  They belong to the writer's thread; they raise OSError, and `append` SpoolFull.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from hoosh.errors import StorageError

__all__ = ["Spool", "SpoolFull"]

_MAGIC = b"hoosh spool 1\n"
_HEAD = struct.Struct(">II")
_LogRows = tuple[str, int, list[bytes]]
_decode = msgspec.msgpack.Decoder(_LogRows).decode


class SpoolFull(StorageError):
    """The spool has reached its bound."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the spool file has reached its bound of {max_bytes >> 20} MiB")


class Spool:
    """`rows` are in the file, and on the disk."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.rows = 0
        self._max_bytes = max_bytes
        self._file = -1
        self._size = 0

    def recover(self) -> str | None:
        """Find what an earlier process has left.  Returns a sentence about what was torn, if anything was."""
        if not self.path.exists():
            return None
        self._size = 0
        for record, end in self._scan():
            self.rows += len(record[2])
            self._size = end
        with open(self.path, "rb") as file:
            file.seek(self._size)
            rest = file.read()
        if not rest or rest == _MAGIC:
            return None
        torn = self.path.with_name(f"{self.path.name}.torn")
        with open(torn, "ab", opener=_private) as file:
            file.write(rest)
        os.truncate(self.path, self._size)
        return f"The end of the spool file was torn by a crash; its {len(rest)} bytes are in {torn.name}."

    def append(self, batch: Collection[tuple[str, int, Sequence[bytes]]]) -> None:
        """Write and fsync, all or nothing."""
        records = [msgspec.msgpack.encode(record) for record in batch]
        data = b"".join(_HEAD.pack(len(record), zlib.crc32(record)) + record for record in records)
        if self._size + len(data) > self._max_bytes:
            raise SpoolFull(self._max_bytes)
        if self._file < 0:
            self._open()
        try:
            _write_all(self._file, data, self._size)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self.rows += sum(len(bodies) for _, _, bodies in batch)

    def records(self) -> Iterator[_LogRows]:
        """What is in the file, oldest first."""
        return (record for record, _ in self._scan())

    def clear(self) -> None:
        """All of it is in the database now."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.rows = self._size = 0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self._size == 0:
            os.ftruncate(self._file, 0)
            _write_all(self._file, _MAGIC, 0)
            self._size = len(_MAGIC)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # else the file itself may be gone after a power cut
            finally:
                os.close(folder)

    def _scan(self) -> Iterator[tuple[_LogRows, int]]:
        """Whole records, each with the offset behind it; ends at the first that is not whole."""
        with open(self.path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                data = file.read(length) if length <= self._max_bytes else b""
                if len(data) != length or zlib.crc32(data) != checksum:
                    return
                yield _decode(data), file.tell()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_all(file: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written
