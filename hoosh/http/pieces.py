"""A request body that is sent piece by piece: what lies in files is read when there is room for it, in a thread.

Nothing is kept open between two pieces, so there is nothing to close, however the exchange ends; and each attempt
begins anew.
"""

from __future__ import annotations

import os

import trio

from hoosh.errors import StorageError
from hoosh.values import FileRange, Pieces

__all__ = ["READ_BYTES", "PieceReader"]

READ_BYTES = 256 * 1024
"""At once: what a body that is on its way takes of memory, two or three times."""
_threads = trio.CapacityLimiter(4)
"""Of all that read: a slow disk shall not take every thread there is."""


class PieceReader:
    """Gives one body, from its beginning to its end."""

    __slots__ = ("_at", "_part", "_parts", "left")

    def __init__(self, body: Pieces) -> None:
        self.left = body.size
        """Bytes that have not been given yet."""
        self._parts = [part for part in body.parts if len(part)]
        self._part = 0
        self._at = 0

    async def next(self) -> bytes:
        """The next piece, b"" at the end.  Waits for the disk; raises StorageError where the file is not whole."""
        if not self.left:
            return b""
        part = self._parts[self._part]
        piece = part if isinstance(part, bytes) else await self._read(part)
        self._at += len(piece)
        self.left -= len(piece)
        if self._at == len(part):
            self._part, self._at = self._part + 1, 0
        return piece

    async def _read(self, part: FileRange) -> bytes:
        size = min(READ_BYTES, part.size - self._at)
        start = part.start + self._at
        piece = await trio.to_thread.run_sync(_read, part.path, start, size, abandon_on_cancel=True, limiter=_threads)
        if not piece:
            raise StorageError("A file that was being sent is gone, or shorter than it was.")
        return piece


def _read(path: str, start: int, size: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(file, size, start)
    except OSError:
        return b""
    finally:
        os.close(file)
