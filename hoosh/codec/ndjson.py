r"""Newline-delimited JSON: bytes of an `application/x-ndjson` body in, whole lines out, wherever the bytes are cut.

    bytes --hold back the unfinished line--> a block of whole lines, as they came --split_lines--> lines

A line ends with LF, or CR LF: neither occurs inside JSON text but between its tokens, and writers put none there.
What comes out is a *block*, not a list: most blocks are decoded, or passed on, in one call.  `is_regular` says when
that is sound: every line end lies between two objects, so as many objects as lines means one object a line.

Source: the NDJSON specification 1.0.0.  JSON itself is the reader's business.
"""

from __future__ import annotations

from hoosh.codec.sse import EventTooLarge

__all__ = ["LINE_BYTES_MAX", "NdjsonBlocks", "is_regular", "split_lines"]

LINE_BYTES_MAX = 1 << 20


class NdjsonBlocks:
    """Bytes in, blocks of whole lines out.  Raises EventTooLarge on a line of more than `max_line_bytes`, without its
    LF, finished or not."""

    __slots__ = ("_held", "_held_bytes", "max_line_bytes")

    def __init__(self, *, max_line_bytes: int = LINE_BYTES_MAX) -> None:
        self.max_line_bytes = max_line_bytes
        self._held: list[bytes] = []  # pieces of the line that is not finished yet: joined once
        self._held_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes; b"" for none."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return b""
        block = data if end == len(data) else data[:end]
        if self._held:
            block = b"".join((*self._held, block))
            self._held.clear()
            self._held_bytes = 0
        if len(block) > self.max_line_bytes:
            self._measure(block)
        if end != len(data):
            self._hold(data[end:])
        return block

    def close(self) -> bytes:
        """The body is over: the line that has no end, b"" for none."""
        rest = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return rest

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > self.max_line_bytes:
            raise EventTooLarge(self.max_line_bytes)
        if piece:
            self._held.append(piece)

    def _measure(self, block: bytes) -> None:
        if max(map(len, block.split(b"\n"))) > self.max_line_bytes:
            raise EventTooLarge(self.max_line_bytes)


def is_regular(block: bytes) -> int:
    """How many lines a block has, if it looks like `{…}⏎{…}⏎` throughout; 0 where it does not.

    If it then decodes to that many objects, each is a line of its own: `}⏎{` cannot lie inside an object.
    """
    count = block.count(b"\n")
    if block.endswith(b"}\n") and block.count(b"}\n{") == count - 1:
        return count
    if block.endswith(b"}\r\n") and block.count(b"}\r\n{") == count - 1:
        return count
    return 0


def split_lines(block: bytes) -> list[bytes]:
    """The lines of a block, without their ends; blank ones are left out."""
    return [line for piece in block.split(b"\n") if (line := piece.strip(b" \t\r"))]
