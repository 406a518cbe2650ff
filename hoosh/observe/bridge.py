"""Python's own logging, as lines of ours: rooms deep in the house say what they have to say to `hoosh.ROOM`.

    logging.getLogger("hoosh.http").debug(…)  ──▶ Bridge.emit ──▶ AccessLog.keep       any thread
                                                                    └─ wake, on the event loop

A stack is told as the house tells it (`values/stack.py`); a handler of an embedder's own has the exception itself.

One bridge a process: `logging` is the process's, and with two houses in it the first that runs gets the lines.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import ClassVar, Protocol

import trio

__all__ = ["Bridge"]

LOGGER = logging.getLogger("hoosh")
LEVELS = (10, 20, 30, 40)


class Lines(Protocol):
    @property
    def lowest(self) -> int: ...

    def keep(self, level: int, room: str, message: str, fields: Mapping[str, object]) -> bool: ...

    def wake(self) -> None: ...

    def stack_of(self, error: BaseException) -> str: ...


class Bridge(logging.Handler):
    """A handler of the logger `hoosh`, from `open` to `close`.  Handlers of an embedder get the lines as well."""

    current: ClassVar[Bridge | None] = None

    def __init__(self, lines: Lines, token: trio.lowlevel.TrioToken) -> None:
        super().__init__()
        self._lines = lines
        self._token = token
        self._loop_thread = threading.get_ident()
        self._level_before = logging.NOTSET

    def open(self) -> None:
        """Does nothing where another is open."""
        if Bridge.current is None:
            Bridge.current = self
            self._level_before = LOGGER.level
            LOGGER.addHandler(self)
            Bridge.adjust(self._lines)

    def close(self) -> None:
        if Bridge.current is self:
            Bridge.current = None
            LOGGER.removeHandler(self)
            LOGGER.setLevel(self._level_before)
        super().close()

    @classmethod
    def adjust(cls, lines: Lines) -> None:
        """The levels of `lines` have changed."""
        if cls.current is not None and cls.current._lines is lines:
            LOGGER.setLevel(lines.lowest)

    def emit(self, record: logging.LogRecord) -> None:
        """One line.  Its stack, where it has one, is a field."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            fields = {} if error is None else {"stack": self._lines.stack_of(error)}
            level = max((each for each in LEVELS if each <= record.levelno), default=LEVELS[0])
            _, _, room = record.name.partition(".")
            if not self._lines.keep(level, room.partition(".")[0] or "gateway", record.getMessage(), fields):
                return
            if threading.get_ident() == self._loop_thread:
                self._lines.wake()
            else:
                self._token.run_sync_soon(self._lines.wake, idempotent=True)
        except trio.RunFinishedError:
            pass
        except Exception as failure:  # Python's own `handleError` would print what was to be said
            self._lines.keep(LEVELS[-1], "observe", "a log line failed", {"error": type(failure).__name__})
