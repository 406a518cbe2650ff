"""A line of the log, from what happened to what is written.  Pure.

    Record ──request_line──▶ RequestLine ──json_request, text_request──▶ one line
    message and fields     ──json_line, text_line──▶ one line

A log line is one line: whatever a client put into a path or a model name, control characters come out escaped, and
a `Secret` prints as ***: what is no plain number or text is written as it prints itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.values import AttemptRecord, Outcome, Record

__all__ = ["Level", "json_line", "json_request", "level_of", "text_line", "text_request"]

TRIED_SHOWN = 16
PLAIN = frozenset({str, int, float, bool})


class Level(IntEnum):
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


_encode = msgspec.json.Encoder().encode
NAMES = {level: level.name.lower() for level in Level}


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
