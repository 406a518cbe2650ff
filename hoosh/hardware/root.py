"""The machine's files (`/proc`, `/sys`, `/dev`) below a directory: `/`, or a copy of somebody's machine in tests.

Blocks: a driver that hangs holds whoever reads its files, so this is for worker threads.  What cannot be read is None
or empty, whatever the reason; what is read is bounded.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["Root"]

FILE_BYTES = 64 * 1024
NAMES_MAX = 4096


class Root:
    """Paths are written as on the machine: `/sys/class/drm`."""

    def __init__(self, directory: str | Path = "/") -> None:
        self._directory = str(directory).rstrip("/")

    def text(self, path: str) -> str | None:
        """The first 64 KiB of an ordinary file, without blanks around."""
        try:
            file = os.open(self._directory + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return None
            parts = []
            left = FILE_BYTES
            while left and (part := os.read(file, left)):  # /proc gives a page at a time
                parts.append(part)
                left -= len(part)
        except OSError:
            return None
        finally:
            os.close(file)
        return b"".join(parts).decode("utf-8", "replace").strip()

    def whole(self, path: str) -> int | None:
        """Of a file that holds one whole number, at most 20 digits of it."""
        text = self.text(path)
        if text is None or len(text) > 20:
            return None
        try:
            return int(text)
        except ValueError:
            return None

    def names(self, path: str) -> list[str]:
        """What is in a directory, in the order of numbers in the names."""
        try:
            names = os.listdir(self._directory + path)[:NAMES_MAX]
        except OSError:
            return []
        return sorted(names, key=lambda name: (int("".join(filter(_is_digit, name)) or 0), name))

    def target(self, path: str) -> str:
        """The last part of what a symbolic link points at: the name of a device's driver."""
        try:
            return os.path.basename(os.readlink(self._directory + path))
        except OSError:
            return ""

    def real(self, path: str) -> str:
        """The last part of a path once links are followed: a device's address on its bus."""
        return os.path.basename(os.path.realpath(self._directory + path))

    def exists(self, path: str) -> bool:
        return os.path.exists(self._directory + path)


def _is_digit(sign: str) -> bool:
    return sign.isascii() and sign.isdigit()
