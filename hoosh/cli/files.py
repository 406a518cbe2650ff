"""Files that commands write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from hoosh.cli.failure import Failure

__all__ = ["written_whole"]


@contextmanager
def written_whole(target: str) -> Iterator[BinaryIO]:
    """A file that is there once the block has ended well: half of it is never taken for the whole.  Raises Failure."""
    partial = f"{target}.part"
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, target)
    except BaseException as error:
        with suppress(OSError):  # it was never there, or nobody may take it away
            os.unlink(partial)
        if isinstance(error, OSError):
            raise Failure(f"{target} cannot be written: {error.strerror}") from None
        raise
