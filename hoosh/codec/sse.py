"""Server-sent events: bytes of a `text/event-stream` body in, events out, wherever the bytes are cut.

    bytes --lines (CRLF, LF, CR)--> fields --blank line--> ServerSentEvent

Lines are found in bytes and decoded one by one: neither CR nor LF occurs inside a UTF-8 sequence, so a character cut
by TCP is never seen.  Invalid UTF-8 becomes U+FFFD, one leading byte order mark is dropped.  Comments carry nothing.

Source: WHATWG HTML Living Standard, section 9.2.6, with one difference: an event that the end of the stream left
without its blank line is given out by `close`, because servers forget that line and its data is whole.
Knows no vendor.  Watching a stream go by without decoding all of it is a dialect's tap.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hoosh.errors import ProtocolViolation

__all__ = ["EventTooLarge", "ServerSentEvent", "SseDecoder", "encode_comment", "encode_event"]

BOM = b"\xef\xbb\xbf"

_line_end = re.compile(rb"\r\n|\r|\n")
_text_line_end = re.compile(r"\r\n|\r|\n")


class EventTooLarge(ProtocolViolation):
    """One event passes `limit_bytes`, its field names and comments included."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"an event of the stream is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class ServerSentEvent(Struct, frozen=True):
    """`event` is "" where the stream named none; `id` is the last one seen so far, as the standard has it."""

    data: str
    event: str = ""
    id: str = ""


class SseDecoder:
    """Bytes in, events out.  Raises EventTooLarge once an unfinished event passes `max_event_bytes`."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_event", "_id", "_line", "_size", "max_event_bytes", "retry_ms")

    def __init__(self, *, max_event_bytes: int = 1 << 20) -> None:
        self.max_event_bytes = max_event_bytes
        self.retry_ms: int | None = None
        """The last `retry:` seen."""
        self._line: list[bytes] = []  # pieces of the line that is not finished yet
        self._after_cr = False  # a LF that comes next belongs to the CR before it
        self._at_start = True
        self._size = 0
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        *ended, rest = _line_end.split(data)
        events: list[ServerSentEvent] = []
        for line in ended:
            self._grow(len(line) + 1)
            if self._line:
                line = b"".join((*self._line, line))
                self._line.clear()
            self._take_line(line, events)
        if rest:
            self._grow(len(rest))
            self._line.append(rest)
        return events

    def close(self) -> list[ServerSentEvent]:
        """The stream is over: the last event, if its data came but its blank line did not."""
        events: list[ServerSentEvent] = []
        if self._line:
            self._take_line(b"".join(self._line), events)
            self._line.clear()
        self._dispatch(events)
        return events

    def _grow(self, count: int) -> None:
        self._size += count
        if self._size > self.max_event_bytes:
            raise EventTooLarge(self.max_event_bytes)

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BOM)
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 16:
                self.retry_ms = int(value)
            case _:  # comments (the name is empty) and fields the standard does not know
                pass

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        if self._data:  # one empty `data:` line is an event too; none at all is not
            events.append(ServerSentEvent("\n".join(self._data), self._event, self._id))
            self._data.clear()
        self._event = ""
        self._size = 0


def encode_event(data: str, *, event: str = "", id: str = "") -> bytes:
    """One event, ended.  Line ends inside `data` become LF: the format cannot carry others.

    Raises ValueError where `event` or `id` holds what would break out of its line.
    """
    for value in (event, id):
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError("an event name or id cannot hold a line end")
    lines = [f"event: {event}\n"] if event else []
    if id:
        lines.append(f"id: {id}\n")
    lines.extend(f"data: {line}\n" for line in _text_line_end.split(data))
    return "".join([*lines, "\n"]).encode()


def encode_comment(text: str = "") -> bytes:
    """A comment that no client sees: keeps an idle connection from being closed."""
    return "".join([*(f": {line}\n" for line in _text_line_end.split(text)), "\n"]).encode()
