"""The framing of a Gemini stream: bytes in, one JSON text for each event out, wherever the bytes are cut.

    data: {…}⏎⏎data: {…}⏎⏎        with `alt=sse`, which we ask for: CRLF CRLF from Google, LF elsewhere
    [{…}⏎,⏎{…}⏎]                  without it: one array, whose elements are the events
    {"error": …}                  an answer that never became a stream

The first byte tells which.  An event that is not one plain `data:` line goes through the full SseDecoder.  Nothing is
judged here: what is no JSON is handed on, and the reader says so.
"""

from __future__ import annotations

import re

from hoosh.codec.sse import BOM, EventTooLarge, SseDecoder
from hoosh.codec.sse_blocks import EVENT_BYTES_MAX, SseBlocks

__all__ = ["Frames"]

WHITE_SPACE_MAX = 4096
"""More than that before anything else is an odd stream of events."""

_outside = re.compile(rb"[^ \t\r\n,\[]")
_inside = re.compile(rb'[{}\[\]"]')
_in_string = re.compile(rb'["\\]')


class Frames:
    """Raises EventTooLarge once an unfinished event passes `max_event_bytes`."""

    __slots__ = ("_framing", "_max", "_start")

    def __init__(self, *, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self._max = max_event_bytes
        self._start = b""  # white space, or half a byte order mark
        self._framing: _Events | _Objects | None = None

    @property
    def ended(self) -> bool:
        """The array is closed.  Events have no end of their own."""
        return isinstance(self._framing, _Objects) and self._framing.ended

    @property
    def is_inside(self) -> bool:
        """An event has begun, and is not whole yet."""
        return self._framing is not None and self._framing.is_inside

    def feed(self, data: bytes) -> list[bytes]:
        if self._framing is None:
            data = self._start + data
            first = data.removeprefix(BOM).lstrip(b" \t\r\n")[:1]
            if (not first or BOM.startswith(data)) and len(data) <= WHITE_SPACE_MAX:
                self._start = data
                return []
            self._start = b""
            if first in (b"[", b"{"):
                data = data.removeprefix(BOM)
                self._framing = _Objects(self._max)
            else:
                self._framing = _Events(self._max)
        return self._framing.feed(data)

    def close(self) -> list[bytes]:
        """The stream is over: the last event, if it lacks only its blank line."""
        return self._framing.close() if self._framing is not None else []


class _Events:
    """Server-sent events."""

    __slots__ = ("_blocks", "_max")

    def __init__(self, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._blocks = SseBlocks(max_event_bytes)

    @property
    def is_inside(self) -> bool:
        return bool(self._blocks.rest.strip())

    def feed(self, data: bytes) -> list[bytes]:
        block = self._blocks.feed(data)
        return self._split(block) if block else []

    def close(self) -> list[bytes]:
        return _decoded(self._blocks.close(), self._max)

    def _split(self, block: bytes) -> list[bytes]:
        if not block.isascii():
            block = block.decode("utf-8", "replace").encode()  # as the specification wants broken UTF-8 to be read
        crlf = b"\r" in block
        events = block.split(b"\r\n\r\n" if crlf else b"\n\n")
        ends = 2 * (len(events) - 1)
        one_lined = block.count(b"\n") == ends and block.count(b"\r") == (ends if crlf else 0)
        frames: list[bytes] = []
        for event in events:
            if len(event) > self._max:
                raise EventTooLarge(self._max)
            if one_lined and event.startswith(b"data:"):
                frames.append(event[5:])
            elif event:
                frames += _decoded(event, self._max)
        return frames


def _decoded(event: bytes, limit: int) -> list[bytes]:
    decoder = SseDecoder(max_event_bytes=limit + 4)
    decoder.feed(b"\n")  # past the start of the stream, where alone a byte order mark would be dropped
    return [found.data.encode() for found in (*decoder.feed(event), *decoder.close())]


class _Objects:
    """The objects of an array, or of a row: brackets are counted outside of strings."""

    __slots__ = ("_depth", "_escaped", "_held", "_held_bytes", "_max", "_quoted", "ended")

    def __init__(self, max_event_bytes: int) -> None:
        self.ended = False
        self._max = max_event_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._depth = 0
        self._quoted = False
        self._escaped = False  # the next byte belongs to a backslash

    @property
    def is_inside(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        at = 0
        while at < len(data) and not self.ended:
            if self._depth == 0:
                found = _outside.search(data, at)
                if found is None:
                    break
                at = found.start()
                if found[0] == b"]":
                    self.ended = True
                    break
            end = self._scan(data, at)
            self._hold(data[at:end])
            at = end
            if self._depth == 0:
                frames.append(b"".join(self._held))
                self._held.clear()
                self._held_bytes = 0
        return frames

    def close(self) -> list[bytes]:
        rest = b"".join(self._held)
        self._held.clear()
        return [rest] if rest else []

    def _hold(self, data: bytes) -> None:
        self._held_bytes += len(data)
        if self._held_bytes > self._max:
            raise EventTooLarge(self._max)
        self._held.append(data)

    def _scan(self, data: bytes, at: int) -> int:
        """The end of the object that begins or goes on at `at`, or of the data.  What is no object is taken whole."""
        if self._depth == 0 and data[at : at + 1] != b"{":
            return len(data)
        while at < len(data):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_in_string if self._quoted else _inside).search(data, at)
            if found is None:
                return len(data)
            at = found.end()
            self._count(found[0])
            if self._depth == 0:
                break
        return at

    def _count(self, sign: bytes) -> None:
        if sign == b'"':
            self._quoted = not self._quoted
        elif sign == b"\\":
            self._escaped = True
        else:
            self._depth += 1 if sign in b"{[" else -1
