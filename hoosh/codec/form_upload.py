"""A form that ends with a file, written as it is read: what a client sends, and never holds.

    for block in FormUpload(fields, FormPart("file", b"", "a.wav"), partial(open, path, "rb"), size): send(block)

Each iteration opens the file anew.  Reading blocks where the file does: who must not wait asks for each block in a
thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from hoosh.codec.multipart import form_frame, form_type, new_boundary
from hoosh.values import FormPart

__all__ = ["FormUpload"]

BLOCK_BYTES = 64 * 1024


class FormUpload:
    """`length` is that of the whole form, `content_type` its type."""

    def __init__(
        self,
        fields: Iterable[FormPart],
        file: FormPart,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        size: int | None,
    ) -> None:
        """`file` is named, and empty; `size` is how much of what `opened` gives is sent, None for all there is."""
        boundary = new_boundary()
        self._before, self._behind = form_frame(fields, file, boundary)
        self._opened = opened
        self._size = size
        self.content_type = form_type(boundary).decode()
        self.length = None if size is None else len(self._before) + size + len(self._behind)

    def __iter__(self) -> Iterator[bytes]:
        """Raises OSError."""
        yield self._before
        with self._opened() as file:
            left = self._size
            while left != 0 and (block := file.read(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES))):
                yield block
                left = None if left is None else left - len(block)
        yield self._behind
