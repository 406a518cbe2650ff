"""The terminal: another screen and raw keys while the block runs, and everything as it was when it is left.

    with Terminal() as terminal:       no echo, keys at once, an empty screen of our own, no cursor
        await terminal.draw(lines)
    # here it is restored, however the block was left

Ctrl-C stays a signal, so that it works whatever we do; Ctrl-Z would leave the screen as it is, so it is a key that
means nothing, and Ctrl-S stops nothing.  Sources: termios(3); xterm, "Control Sequences" (DECSET 25, 1049).
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
from collections.abc import Sequence
from typing import Any

import trio

__all__ = ["Terminal", "is_terminal"]

ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
FALLBACK = (80, 24)
READ_BYTES = 1024
RESTORE_WITHIN_S = 0.5


def is_terminal() -> bool:
    """May a screen be drawn here, and keys be read?"""
    try:
        return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "") not in ("", "dumb")
    except OSError:
        return False


class Terminal:
    """Standard input and output, which are a terminal."""

    def __init__(self) -> None:
        self.encoding = sys.stdout.encoding or "ascii"
        self._before: list[Any] | None = None
        self._writer = trio.CapacityLimiter(1)
        self._writing = threading.Lock()
        """A frame that a cancelled `draw` has left behind in its thread must not follow our last words."""

    def __enter__(self) -> Terminal:
        sys.stdout.flush()
        self._before = termios.tcgetattr(0)
        try:
            self.take()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def take(self) -> None:
        """Make it ours: at the beginning, and after somebody had stopped us."""
        settings = termios.tcgetattr(0)
        settings[0] &= ~(termios.IXON | termios.ICRNL)
        settings[3] &= ~(termios.ECHO | termios.ICANON)
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
        settings[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(0, termios.TCSANOW, settings)
        os.write(1, ENTER.encode())

    def _restore(self) -> None:
        is_ours = self._writing.acquire(timeout=RESTORE_WITHIN_S)
        before, self._before = self._before, None
        if is_ours:
            self._writing.release()
        if before is None:
            return
        try:
            termios.tcsetattr(0, termios.TCSANOW, before)
            if select.select([], [1], [], RESTORE_WITHIN_S)[1]:  # one that takes nothing must not keep us
                os.write(1, LEAVE.encode())
        except (OSError, termios.error):  # it is gone
            pass

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(1)
        except OSError:
            return FALLBACK
        return columns or FALLBACK[0], lines or FALLBACK[1]

    async def read(self) -> bytes:
        """Wait for keys.  b"" when the terminal is gone."""
        await trio.lowlevel.wait_readable(0)
        try:
            return os.read(0, READ_BYTES)
        except OSError:
            return b""

    async def draw(self, lines: Sequence[str]) -> None:
        """Put `lines` on the screen, from its top.  A terminal that takes nothing holds up nobody but this."""
        text = "\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J"
        data = text.encode(self.encoding, "replace")
        await trio.to_thread.run_sync(self._write, data, abandon_on_cancel=True, limiter=self._writer)

    def _write(self, data: bytes) -> None:
        """In the thread."""
        with self._writing:
            while data and self._before is not None:
                try:
                    data = data[os.write(1, data) :]
                except OSError:  # it is gone; the keys tell it, too
                    return
