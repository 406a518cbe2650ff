"""The events of an OpenAI stream as bytes: where one ends, and what is in it.

Written for whoever must not spend a Python call on each line: `Blocks` gives out all whole events of a receive as one
piece, which is nearly always `data: {…}⏎⏎data: {…}⏎⏎`.

Source: WHATWG HTML Living Standard, section 9.2.6.
"""

from __future__ import annotations

import re

from hoosh.codec.sse import BOM, EventTooLarge
from hoosh.dialects.loose_json import JSON_SPACE

__all__ = ["EVENT_BYTES_MAX", "Blocks", "blank_line", "cut_events", "last_blank_line", "read_event"]

EVENT_BYTES_MAX = 1 << 20

# A CR that ends the buffer is undecided: LF may follow.
# Written so that each way to begin is a literal: `re` then skips from line end to line end.
_second = rb"(?:\n|\r\n|\r(?=[^\n]))"
blank_line = re.compile(rb"\n%b|\r(?:\n%b|\r(?:\n|(?=[^\n])))" % (_second, _second))


class Blocks:
    """Bytes in, whole events out.  Raises EventTooLarge once an unfinished event passes `max_event_bytes`."""

    __slots__ = ("_edge", "_fresh", "_held", "_held_bytes", "_max")

    def __init__(self, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self._max = max_event_bytes
        self._held: list[bytes] = []  # an event that is not whole yet, in pieces: joined once
        self._held_bytes = 0
        self._edge = b""  # its last bytes: half of a blank line, perhaps
        self._fresh = True

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, as they came; b"" for none."""
        if self._held:
            if blank_line.search(self._edge + data) is None:
                return self._hold(data)
            data = b"".join((*self._held, data))
            self._held.clear()
            self._held_bytes = 0
            self._edge = b""
        end = data.rfind(b"\n\n") + 2 if data.find(b"\r") < 0 else last_blank_line(data)
        if end < 2:
            return self._hold(data)
        if end != len(data):
            self._hold(data[end:])
            data = data[:end]
        if self._fresh:
            self._fresh = False
            data = data.removeprefix(BOM)
        return data

    def close(self) -> bytes:
        """The rest: an event that lacks its blank line, or half of one."""
        rest = b"".join(self._held)
        self._held.clear()
        return rest.removeprefix(BOM) if self._fresh else rest

    def _hold(self, data: bytes) -> bytes:
        self._held_bytes += len(data)
        if self._held_bytes > self._max:
            raise EventTooLarge(self._max)
        self._held.append(data)
        self._edge = (self._edge + data)[-3:]
        return b""


def last_blank_line(data: bytes) -> int:
    """Where the last blank line of `data` ends; 0 where there is none."""
    end = 0
    for match in blank_line.finditer(data):
        end = match.end()
    return end


def cut_events(block: bytes) -> list[bytes]:
    """The events of a block, one by one."""
    if block.find(b"\r") < 0:
        return [event for event in block.split(b"\n\n") if event]
    return [event for event in blank_line.split(block) if event.strip(b"\r\n")]


def read_event(event: bytes) -> tuple[bytes, bytes | None]:
    """Name and data of an event; None for no data."""
    if event.startswith(b"data:") and event.find(b"\n") < 0 and event.find(b"\r") < 0:
        return b"", event[5:].strip(JSON_SPACE) or None  # one line: nearly always
    name, data = b"", []
    for line in event.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.strip()
    return name, b"\n".join(data).strip(JSON_SPACE) or None
