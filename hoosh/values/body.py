"""Bodies that are not held in memory: pieces of bytes, and ranges of files that are read when they are sent."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["FileRange", "Pieces"]


class FileRange(Struct, frozen=True, gc=False):
    """`size` bytes of the file at `path`, from `start` on.  Whoever made it keeps the file until nobody needs it."""

    path: str
    size: int
    start: int = 0

    def __len__(self) -> int:
        return self.size


class Pieces(Struct, frozen=True):
    """A body of known length, in order.  It may be read any number of times."""

    parts: tuple[bytes | FileRange, ...]
    size: int

    @classmethod
    def of(cls, parts: Iterable[bytes | FileRange]) -> Pieces:
        parts = tuple(parts)
        return cls(parts, sum(map(len, parts)))

    def __len__(self) -> int:
        return self.size
