"""A terminal of one's own, and `hoosh-trio top` in it: what it shows, as a person would see it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

from e2e_house import CLIENT_KEY, ROOT, environment, wait_until

__all__ = ["RESTORED", "Screen"]

AT_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("hoosh", run_name="__main__")
"""
"""The command with its terminal as the controlling one, as a shell would start it: then Ctrl-C is a signal."""

RESTORED = "\x1b[?25h\x1b[?1049l"


class Screen:
    """A pty, and `top` in it: what it shows as a person would see it."""

    def __init__(self, *argv: str, size: tuple[int, int] = (24, 100), **env: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.slave)
        self.written = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, "top", "--every", "0.1", *argv],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True, cwd=ROOT,
            env=environment(**{"TERM": "xterm-256color", "HOOSH_API_KEY": CLIENT_KEY, "LANG": "C.UTF-8", **env}),
        )  # fmt: skip

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def _read(self) -> None:
        while select.select([self.master], [], [], 0)[0]:
            self.written += os.read(self.master, 65536).decode(errors="replace")

    def frame(self) -> list[str]:
        """The last whole frame."""
        self._read()
        frames = self.written.split("\x1b[H")[1:]
        whole = [frame for frame in frames if "\x1b[J" in frame]
        text = whole[-1].partition("\x1b[J")[0] if whole else ""
        return re.sub(r"\x1b\[[0-9;]*[mK]|\r", "", text).split("\n")

    def wait_for(self, seen: Callable[[list[str]], object], what: str) -> list[str]:
        def ask() -> list[str] | None:
            assert self.process.poll() is None, f"{what}: it has ended\n{self.written}"
            frame = self.frame()
            return frame if seen(frame) else None

        return wait_until(ask, what)

    def wait_words(self, *words: str) -> list[str]:
        return self.wait_for(lambda frame: all(word in "\n".join(frame) for word in words), f"the screen shows {words}")

    def wait_end(self) -> int:
        code = wait_until(self._ended, "it ends")
        self._read()
        return code - 1000

    def _ended(self) -> int | None:
        self._read()  # it must be able to write its last words
        code = self.process.poll()
        return None if code is None else code + 1000

    def is_restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before and self.written.rstrip().endswith(RESTORED)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
