"""Model files in the owner's one directory: opened with care, and only their headers read.

Whatever is not a regular file below the directory is not there: outside of it, behind a link that leads out, a device
or a pipe, or missing; whoever asks cannot tell which.  What lies outside by its very name is not even looked at.
"""

from __future__ import annotations

import os
import stat

from hoosh.errors import NoSuchEntry
from hoosh.hardware.formats import format_of
from hoosh.values.placement import ModelFormat

__all__ = ["read_model_file"]

FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_NOCTTY"))


def read_model_file(root: str, path: str) -> ModelFormat:
    """What the file at `path`, an absolute one, is.  Blocks.  Raises NoSuchEntry and NotAModel."""
    try:
        with os.fdopen(_open(root, path), "rb") as file:
            return format_of(file)
    except (OSError, ValueError):
        raise _no_such_file() from None


def _open(root: str, path: str) -> int:
    """Raises NoSuchEntry, OSError, and ValueError where the path cannot be one."""
    path = os.path.normpath(path)
    real_root = os.path.realpath(root, strict=True)
    if not _is_below(path, os.path.normpath(root)) and not _is_below(path, real_root):
        raise _no_such_file()
    real = os.path.realpath(path, strict=True)
    if not _is_below(real, real_root) or not stat.S_ISREG(os.lstat(real).st_mode):
        raise _no_such_file()
    opened = os.open(real, FLAGS)
    try:
        # Between the look and the opening somebody may have put something else there.
        if not stat.S_ISREG(os.fstat(opened).st_mode) or not _is_below(_place_of(opened, real), real_root):
            raise _no_such_file()
    except BaseException:
        os.close(opened)
        raise
    return opened


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root.rstrip(os.sep) + os.sep)


def _place_of(opened: int, real: str) -> str:
    """Where an open file is, as far as the system tells."""
    try:
        return os.readlink(f"/proc/self/fd/{opened}")
    except OSError:
        return real


def _no_such_file() -> NoSuchEntry:
    return NoSuchEntry("There is no such file below this gateway's `models_dir`.", param="path")
