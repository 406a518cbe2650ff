"""One line a finished request, and the few words that operation needs, in JSON or text.

    write(record), info("…", field=…)  ──▶ bounded queue ──▶ the writer service ──▶ a thread ──▶ stderr
      (never waits)                                           (in groups)

A full queue drops lines and says later how many.  A stream that blocks (a pipe nobody reads) holds up a thread of
its own and nothing else; one that is gone loses its lines silently, for there is nowhere left to say so.

What a line looks like says `lines.py`.  Each line is of a room: requests of `access`, what the house says itself of the
room that it is about.  A level is kept for each.  Of requests that went well and were quick a sample may do; those that
did not always have their line.  While it runs, what is said to Python's own logger `hoosh` comes here as well.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import NoReturn, Protocol

import trio
from msgspec import Struct

from hoosh.observe.bridge import Bridge
from hoosh.observe.lines import Level, json_line, json_request, level_of, text_line, text_request
from hoosh.observe.settings import Logging
from hoosh.values import Outcome, Record, stack_of

__all__ = ["AccessLog", "Level", "LogStatistics", "Stream"]

CAPACITY = 10_000
GROUP_LINES = 1000
BITE_LINES = 25
GATHER_S = 0.05
"""How long the writer lets lines come together after the first of a group."""
FLUSH_WITHIN_S = 2.0
ACCESS = "access"
HOUSE = "gateway"
OK = Outcome.OK


class Stream(Protocol):
    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


class LogStatistics(Struct, frozen=True):
    queued: int
    written: int
    dropped: int
    sampled_out: int = 0
    """Requests without a line, by `access_sample`."""


class Line(Struct, frozen=True):
    """An operational line.  `at` is Unix time."""

    at: float
    level: Level
    room: str
    message: str
    fields: Mapping[str, object]


class AccessLog:
    """The log of the house.  For one thread, the event loop's; lines may also be given before it runs."""

    def __init__(
        self,
        stream: Stream,
        settings: Logging = Logging(),  # noqa: B008  # frozen
        *,
        capacity: int = CAPACITY,
        chance: Random | None = None,
    ) -> None:
        """`chance` decides which requests are of the sample."""
        self._stream = stream
        self._capacity = capacity
        self._chance = chance or Random()
        self._queue: deque[Record | Line] = deque()
        self._ready: list[str] = []
        """Lines of the group to be written next."""
        self._has_lines = trio.Event()
        self._thread = trio.CapacityLimiter(1)
        self._written = self._dropped = self._reported = self._sampled_out = 0
        self.configure(settings)

    def configure(self, settings: Logging) -> None:
        """From the next line on.  Requests whose line waits to be written are written by the new settings, too."""
        self.level = Level[settings.level.upper()]
        self._levels = {room: Level[level.upper()] for room, level in settings.levels.items()}
        self._lowest = min(self.level, *self._levels.values()) if self._levels else self.level
        self._is_text = self._stream.isatty() if settings.format == "auto" else settings.format != "json"
        self._sample, self._slow_s = settings.access_sample, settings.slow_s
        self._is_sampled = settings.access_sample < 1
        self._has_exception_text = settings.exception_text
        Bridge.adjust(self)

    # -- what the house says: never waits --------------------------------------------------------------------------

    def write(self, record: Record) -> None:
        """One finished request."""
        if self._is_sampled and not self._is_shown(record):
            self._sampled_out += 1
            return
        self._put(record)

    def _is_shown(self, record: Record) -> bool:
        is_fine = record.outcome is OK and record.status < 400 and record.duration_s < self._slow_s
        return not is_fine or self._chance.random() < self._sample

    def debug(self, message: str, *, room: str = HOUSE, **fields: object) -> None:
        self.say(Level.DEBUG, room, message, fields)

    def info(self, message: str, *, room: str = HOUSE, **fields: object) -> None:
        self.say(Level.INFO, room, message, fields)

    def warning(self, message: str, *, room: str = HOUSE, **fields: object) -> None:
        self.say(Level.WARNING, room, message, fields)

    def error(self, message: str, *, room: str = HOUSE, **fields: object) -> None:
        self.say(Level.ERROR, room, message, fields)

    def stack_of(self, bug: BaseException) -> str:
        """The stack of `bug`, fit for a field; with what its exceptions say only where the owner wants that."""
        return stack_of(bug, with_text=self._has_exception_text)

    def statistics(self) -> LogStatistics:
        return LogStatistics(len(self._queue), self._written, self._dropped, self._sampled_out)

    @property
    def lowest(self) -> int:
        """The lowest level of any room."""
        return self._lowest

    def say(self, level: int, room: str, message: str, fields: Mapping[str, object]) -> bool:
        """False: below the room's level, or there is no place.  From the event loop's thread."""
        if not self.keep(level, room, message, fields):
            return False
        self.wake()
        return True

    def keep(self, level: int, room: str, message: str, fields: Mapping[str, object]) -> bool:
        """As `say`, from any thread; the writer does not know of it before `wake`."""
        if level < self._levels.get(room, self.level):
            return False
        return self._has_kept(Line(time.time(), Level(level), room, message, fields))

    def wake(self) -> None:
        if not self._has_lines.is_set():
            self._has_lines.set()

    def _put(self, line: Record | Line) -> None:
        if self._has_kept(line):
            self.wake()

    def _has_kept(self, line: Record | Line) -> bool:
        if len(self._queue) >= self._capacity:
            self._dropped += 1
            return False
        self._queue.append(line)
        return True

    # -- the writer ------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Write for ever.  Cancelled, it writes what is left, within a moment."""
        bridge = Bridge(self, trio.lowlevel.current_trio_token())
        bridge.open()
        task_status.started()
        try:
            while True:
                await self._has_lines.wait()
                await trio.sleep(GATHER_S)
                await self._write_groups()
        finally:
            bridge.close()
            with trio.move_on_after(FLUSH_WITHIN_S, shield=True):
                await self._write_groups()

    async def _write_groups(self) -> None:
        while self._queue or self._ready or self._reported < self._dropped:
            await self._format_group()
            if self._ready:  # not all of them below the level
                # A thread that hangs in a blocked stream is left behind, and keeps its place: lines stay in order.
                await trio.to_thread.run_sync(self._write, abandon_on_cancel=True, limiter=self._thread)
        self._has_lines = trio.Event()

    async def _format_group(self) -> None:
        """Here and in small bites: a thread that computes would keep the event loop from the GIL for 5 ms at a time."""
        while self._queue and len(self._ready) < GROUP_LINES:
            for _ in range(min(BITE_LINES, len(self._queue))):
                self._ready += self._format(self._queue.popleft())
            await trio.lowlevel.checkpoint()
        if self._reported < self._dropped:
            lost, self._reported = self._dropped - self._reported, self._dropped
            self._ready += self._format(
                Line(time.time(), Level.WARNING, "observe", "log lines dropped", {"dropped": lost})
            )

    def _write(self) -> None:
        """In the thread.  Takes the lines itself: had it been given them, a cancellation before it starts lost them."""
        lines, self._ready = self._ready, []
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):  # gone, or closed
            return
        self._written += len(lines)

    def _format(self, line: Record | Line) -> tuple[str, ...]:
        """The line, or nothing when it is below the level.  A line that cannot be written must not end the house."""
        try:
            if isinstance(line, Line):
                return (self._spell(line),)
            level = level_of(line)
            if level < self._levels.get(ACCESS, self.level):
                return ()
            return ((text_request if self._is_text else json_request)(line, level),)
        except Exception as error:
            told = {"error": type(error).__name__}
            return (self._spell(Line(time.time(), Level.ERROR, "observe", "a log line failed", told)),)

    def _spell(self, line: Line) -> str:
        return (text_line if self._is_text else json_line)(
            line.at, line.level, line.message, {"room": line.room, **line.fields}
        )
