"""One line a finished request, and the few words that operation needs, in JSON or text.

    write(record), info("…", field=…)  ──▶ bounded queue ──▶ the writer service ──▶ a thread ──▶ stderr
      (never waits)                                           (in groups)

A full queue drops lines and says later how many.  A stream that blocks (a pipe nobody reads) holds up a thread of
its own and nothing else; one that is gone loses its lines silently, for there is nowhere left to say so.

A log line is one line: whatever a client put into a path or a model name, control characters come out escaped, and
a `Secret` prints as ***.  Lines hold what a Record holds, which is neither keys nor texts of requests.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Literal, NoReturn, Protocol

import msgspec
import trio
from msgspec import Struct

from hoosh.values import AttemptRecord, Outcome, Record

__all__ = ["AccessLog", "Level", "LogStatistics", "Stream", "json_line", "json_request", "text_line"]
__all__ += ["text_request"]

CAPACITY = 10_000
GROUP_LINES = 1000
BITE_LINES = 25
GATHER_S = 0.05
"""How long the writer lets lines come together after the first of a group."""
FLUSH_WITHIN_S = 2.0
TRIED_SHOWN = 16
PLAIN = frozenset({str, int, float, bool})


class Level(IntEnum):
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


_encode = msgspec.json.Encoder().encode
NAMES = {level: level.name.lower() for level in Level}


class Stream(Protocol):
    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


class LogStatistics(Struct, frozen=True):
    queued: int
    written: int
    dropped: int


class Line(Struct, frozen=True):
    """An operational line.  `at` is Unix time."""

    at: float
    level: Level
    message: str
    fields: Mapping[str, object]


class LogSettings(Protocol):
    """As `[logging]` has them."""

    @property
    def level(self) -> str: ...

    @property
    def format(self) -> str: ...


class AccessLog:
    """The log of the house.  For one thread, the event loop's; lines may also be given before it runs."""

    def __init__(
        self,
        stream: Stream,
        *,
        format: Literal["auto", "json", "text"] = "auto",
        level: str = "info",
        capacity: int = CAPACITY,
    ) -> None:
        self.level = Level[level.upper()]
        self._is_text = stream.isatty() if format == "auto" else format == "text"
        self._stream = stream
        self._capacity = capacity
        self._queue: deque[Record | Line] = deque()
        self._ready: list[str] = []
        """Lines of the group to be written next."""
        self._has_lines = trio.Event()
        self._thread = trio.CapacityLimiter(1)
        self._written = self._dropped = self._reported = 0

    def configure(self, settings: LogSettings) -> None:
        """From now on lines are written at this level, in this form."""
        self.level = Level[settings.level.upper()]
        self._is_text = self._stream.isatty() if settings.format == "auto" else settings.format == "text"

    # -- what the house says: never waits --------------------------------------------------------------------------

    def write(self, record: Record) -> None:
        """One finished request."""
        self._put(record)

    def debug(self, message: str, **fields: object) -> None:
        self._say(Level.DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._say(Level.INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._say(Level.WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._say(Level.ERROR, message, fields)

    def statistics(self) -> LogStatistics:
        return LogStatistics(len(self._queue), self._written, self._dropped)

    def _say(self, level: Level, message: str, fields: Mapping[str, object]) -> None:
        if level >= self.level:
            self._put(Line(time.time(), level, message, fields))

    def _put(self, line: Record | Line) -> None:
        if len(self._queue) >= self._capacity:
            self._dropped += 1
            return
        self._queue.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    # -- the writer ------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Write for ever.  Cancelled, it writes what is left, within a moment."""
        task_status.started()
        try:
            while True:
                await self._has_lines.wait()
                await trio.sleep(GATHER_S)
                await self._write_groups()
        finally:
            with trio.move_on_after(FLUSH_WITHIN_S, shield=True):
                await self._write_groups()

    async def _write_groups(self) -> None:
        while self._queue or self._ready or self._reported < self._dropped:
            await self._format_group()
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
            self._ready += self._format(Line(time.time(), Level.WARNING, "log lines dropped", {"dropped": lost}))

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
            if level < self.level:
                return ()
            return ((text_request if self._is_text else json_request)(line, level),)
        except Exception as error:
            return (self._spell(Line(time.time(), Level.ERROR, "a log line failed", {"error": type(error).__name__})),)

    def _spell(self, line: Line) -> str:
        return (text_line if self._is_text else json_line)(line.at, line.level, line.message, line.fields)


# -- lines: pure ------------------------------------------------------------------------------------------------------


def level_of(record: Record) -> Level:
    is_ours = record.outcome is Outcome.CUT or (record.outcome is Outcome.ERROR and record.status >= 500)
    return Level.WARNING if is_ours else Level.INFO


class Tried(Struct, frozen=True, gc=False):
    """An attempt that did not answer."""

    provider: str
    model: str
    reason: str
    duration_s: float


class RequestLine(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a line says of a request, in this order; what is not known is left out."""

    time: str
    level: str
    message: str
    request_id: str
    method: str
    path: str
    http: str
    status: int
    outcome: Outcome
    duration_ms: float
    queue_ms: float
    first_token_ms: float | None = None
    kind: str | None = None
    caller: str | None = None
    model: str | None = None
    served_model: str | None = None
    provider: str | None = None
    stream: bool = False
    attempts: int = 0
    tried: tuple[Tried, ...] = ()
    rescued: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    pool: str | None = None
    charge: int = 0
    cost_micro_usd: int | None = None
    cache: str = "bypass"
    chunks: int = 0
    sent_bytes: int = 0
    error_code: str | None = None
    error: str | None = None


def request_line(record: Record, level: Level) -> RequestLine:
    usage = record.usage
    return RequestLine(
        _timestamp(record.started_at + record.duration_s),
        NAMES[level],
        "request",
        record.request_id,
        record.method,
        record.path,
        record.http_version,
        record.status,
        record.outcome,
        round(record.duration_s * 1000, 3),
        round(record.queue_s * 1000, 3),
        None if record.first_token_s is None else round(record.first_token_s * 1000, 3),
        record.kind,
        record.caller,
        record.model,
        record.served_model if record.served_model != record.model else None,
        record.provider,
        record.stream,
        record.attempts,
        _tried(record.tried) if record.tried else (),
        record.rescued,
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
        record.pool,
        record.charge,
        record.cost_micro_usd,
        record.cache,
        record.chunks,
        record.sent_bytes,
        record.error_code,
        record.error_message,
    )


def json_request(record: Record, level: Level) -> str:
    return _json(request_line(record, level))


def text_request(record: Record, level: Level) -> str:
    fields = msgspec.to_builtins(request_line(record, level))
    for name in ("time", "level", "message"):
        del fields[name]
    if record.tried:
        fields["tried"] = ",".join(map(_told, record.tried[-TRIED_SHOWN:]))
    return text_line(record.started_at + record.duration_s, level, "request", fields)


def json_line(at: float, level: Level, message: str, fields: Mapping[str, object]) -> str:
    line = {"time": _timestamp(at), "level": NAMES[level], "message": message}
    return _json(line | {name: _plain(value) for name, value in fields.items()})


def _json(line: object) -> str:
    try:
        text = _encode(line).decode()
    except UnicodeEncodeError:  # a lone surrogate
        text = ""
    if not text or not text.isascii() or "\x7f" in text:
        # JSON leaves DEL, the C1 control characters and exotic line ends as they are; a terminal would obey some.
        text = json.dumps(msgspec.to_builtins(line), separators=(",", ":")).replace("\x7f", "\\u007f")
    return text + "\n"


def text_line(at: float, level: Level, message: str, fields: Mapping[str, object]) -> str:
    pairs = (f"{name}={_word(str(_plain(value)))}" for name, value in fields.items())
    return f"{' '.join([_timestamp(at), f'{NAMES[level].upper():<7}', _printable(message), *pairs])}\n"


def _tried(attempts: Sequence[AttemptRecord]) -> tuple[Tried, ...]:
    """Of too many the last ones."""
    shown = attempts[-TRIED_SHOWN:]
    return tuple([Tried(each.provider, each.model, each.reason, round(each.duration_s, 3)) for each in shown])


def _told(attempt: AttemptRecord) -> str:
    """Without commas of its own: no name of a model can add an attempt."""
    return f"{attempt.provider}/{attempt.model}:{attempt.reason}".replace(",", "?")


def _timestamp(at: float) -> str:
    """Unix time as RFC 3339 in UTC, to the millisecond."""
    return f"{_second(int(at))}.{int(at % 1 * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _plain(value: object) -> Any:
    """As it may be encoded: numbers and text as they are, all else (a Secret too) as it prints itself."""
    return value if type(value) in PLAIN else str(value)


def _word(text: str) -> str:
    """`text` as one word: quoted where it has blanks or quotes, or is empty."""
    is_word = text.isprintable() and text and not any(mark in text for mark in ' "=\\')
    return text if is_word else json.dumps(text).replace("\x7f", "\\u007f")


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1].replace("\x7f", "\\u007f")
