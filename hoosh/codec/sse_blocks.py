"""Server-sent events as bytes: where the events of a receive end, without a Python call for each line.

    bytes --hold back the unfinished event--> a block of whole events, as they came --events_in--> events

What comes out is a *block*, not a list: most blocks are decoded, or passed on, in one call.  Nothing is decoded and
nothing dropped but a byte order mark at the very start; `sse.SseDecoder` is for whoever wants fields and does not count
microseconds.

Source: WHATWG HTML Living Standard, section 9.2.6.  Knows no vendor.
"""

from __future__ import annotations

import re

from hoosh.codec.sse import BOM, EventTooLarge

__all__ = ["EVENT_BYTES_MAX", "SseBlocks", "blank_line", "events_in", "fields_of"]

EVENT_BYTES_MAX = 1 << 20

# A CR that ends the buffer is undecided: LF may follow.
# Written so that each way to begin is a literal: `re` then skips from line end to line end.
_second = rb"(?:\n|\r\n|\r(?=[^\n]))"
blank_line = re.compile(rb"\n%b|\r(?:\n%b|\r(?:\n|(?=[^\n])))" % (_second, _second))
_ENDS = (b"\n\n", b"\r\n\r\n")


class SseBlocks:
    """Bytes in, blocks of whole events out.  Raises EventTooLarge once an unfinished event passes `max_event_bytes`."""

    __slots__ = ("_edge", "_fresh", "_held", "_held_bytes", "max_event_bytes")

    def __init__(self, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self.max_event_bytes = max_event_bytes
        self._held: list[bytes] = []  # an event that is not whole yet, in pieces: joined once
        self._held_bytes = 0
        self._edge = b""  # its last bytes: half of a blank line, perhaps
        self._fresh = True

    @property
    def rest(self) -> bytes:
        """The event that is not whole yet, as far as it has come."""
        return b"".join(self._held)

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, as they came; b"" for none."""
        if self._held:
            if blank_line.search(self._edge + data) is None:
                return self._hold(data)
            data = b"".join((*self._held, data))
            self._held.clear()
            self._held_bytes = 0
            self._edge = b""
        if not data.endswith(_ENDS):  # nearly always whole events come in one piece
            end = data.rfind(b"\n\n") + 2 if data.find(b"\r") < 0 else _last_blank_line(data)
            if end < 2:
                return self._hold(data)
            if end != len(data):
                self._hold(data[end:])
                data = data[:end]
        return self._opened(data) if self._fresh else data

    def close(self) -> bytes:
        """The rest: an event that lacks its blank line, or half of one."""
        rest = b"".join(self._held)
        self._held.clear()
        return self._opened(rest) if self._fresh else rest

    def _opened(self, data: bytes) -> bytes:
        self._fresh = False
        return data.removeprefix(BOM)

    def _hold(self, data: bytes) -> bytes:
        self._held_bytes += len(data)
        if self._held_bytes > self.max_event_bytes:
            raise EventTooLarge(self.max_event_bytes)
        self._held.append(data)
        self._edge = (self._edge + data)[-3:]
        return b""


def events_in(block: bytes) -> list[bytes]:
    """The events of a block, each with its blank line; further line ends belong to the event after them, or stand
    alone where there is none."""
    if block.find(b"\r") < 0:
        *events, rest = block.split(b"\n\n")
        found = [event + b"\n\n" for event in events]
        return [*found, rest] if rest else found
    found, start = [], 0
    for match in blank_line.finditer(block):
        found.append(block[start : match.end()])
        start = match.end()
    return [*found, block[start:]] if start < len(block) else found


def fields_of(event: bytes) -> tuple[bytes, bytes]:
    """Name and data of an event; b"" for what it has not."""
    name, data = b"", []
    for line in event.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return name, b"\n".join(data)


def _last_blank_line(data: bytes) -> int:
    """Where the last blank line of `data` ends; 0 where there is none."""
    end = 0
    for match in blank_line.finditer(data):
        end = match.end()
    return end
