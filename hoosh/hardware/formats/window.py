"""A view that moves forwards over a file that nobody trusts: what is read is bounded, and lengths are checked first."""

from __future__ import annotations

import io
from struct import Struct as Packed
from typing import BinaryIO

from hoosh.errors import InvalidRequest

__all__ = ["MAX_HEADER_BYTES", "MAX_NUMBER", "CutShort", "NotAModel", "Window"]

MAX_HEADER_BYTES = 32 * 1024 * 1024
"""Read of one file.  The largest headers there are, with vocabularies of half a million words, have some 15 MiB."""
MAX_NUMBER = 2**63 - 1
"""Larger numbers of parameters are nobody's."""
CHUNK_BYTES = 64 * 1024
AFTER_SKIP_BYTES = 4 * 1024
"""Who has passed over something may want to pass over the next thing, too."""
MAX_SKIP = 2**50

_LENGTH = {"<": Packed("<Q"), ">": Packed(">Q")}


class NotAModel(InvalidRequest):
    """The file is none of the kinds of model files that are known here."""

    code = "unknown_model_format"

    def __init__(self) -> None:
        super().__init__("This is not a model in the format SafeTensors, GGUF, ONNX or PyTorch.")


class CutShort(Exception):  # not an error by itself: what was read until there counts
    """The file, or what may be read of it, ends before what it announces."""


class Window:
    """Every method raises CutShort, and OSError."""

    def __init__(self, file: BinaryIO, limit_bytes: int = MAX_HEADER_BYTES) -> None:
        self._file = file
        self._buffer = b""
        self._at = 0
        self._left = limit_bytes
        self._chunk = CHUNK_BYTES
        self._before = 0
        """Where in the file the buffer begins."""

    @property
    def position(self) -> int:
        return self._before + self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        self._fill(count)
        taken = self._buffer[self._at : self._at + count]
        self._at += count
        return taken

    def skip(self, count: int) -> None:
        """Move on by `count` bytes, perhaps beyond the end; they are not read."""
        if not 0 <= count <= MAX_SKIP:
            raise CutShort
        here = len(self._buffer) - self._at
        if count <= here:
            self._at += count
            return
        self._before += len(self._buffer) + count - here
        self._buffer, self._at, self._chunk = b"", 0, AFTER_SKIP_BYTES
        self._file.seek(count - here, io.SEEK_CUR)

    def skip_strings(self, count: int, order: str) -> None:
        """Move on over `count` strings, each with its length (64 bits in `order`, `<` or `>`) before it."""
        length = _LENGTH[order]
        while count:
            self._fill(8)
            buffer, at, end = self._buffer, self._at, len(self._buffer) - 8
            while count and at <= end:
                at += 8 + length.unpack_from(buffer, at)[0]
                count -= 1
            self._at, beyond = min(at, len(buffer)), at - len(buffer)
            if beyond > 0:
                self.skip(beyond)

    def unpack(self, packed: Packed) -> int:
        value: int = packed.unpack(self.take(packed.size))[0]
        return value

    def _fill(self, count: int) -> None:
        """Have at least `count` bytes in the buffer."""
        missing = count - (len(self._buffer) - self._at)
        if missing <= 0:
            return
        if missing > self._left:
            raise CutShort
        chunk = self._file.read(min(self._left, max(self._chunk, missing)))
        self._chunk = min(CHUNK_BYTES, 2 * self._chunk)
        self._left -= len(chunk)
        self._before += self._at
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        if len(chunk) < missing:
            raise CutShort
