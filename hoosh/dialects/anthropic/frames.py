"""Where the events of a stream end, in bytes: what both the decoder and the tap stand on.

    feed ── hold back an unfinished event ──▶ a block of whole events ── events_of ──▶ (event's bytes, name, data)

Lines may end in LF, CRLF or CR, and bytes may be cut anywhere.  An event is at most `max_bytes` long.

Source: WHATWG HTML Living Standard, section 9.2.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hoosh.codec.sse import BOM, EventTooLarge
from hoosh.dialects.loose_json import JSON_SPACE

__all__ = ["EVENT_BYTES_MAX", "LEAD", "Frames", "deltas_in", "events_of", "kind_of"]

EVENT_BYTES_MAX = 1 << 20

LEAD = b"event: content_block_delta\ndata: {"
"""How nearly every event begins."""
JOINT = b"}\n\n" + LEAD

# A CR that ends the buffer is undecided: LF may follow.  Each alternative begins with a literal: `re` skips to it.
_second = rb"(?:\n|\r\n|\r(?=[^\n]))"
_blank_line = re.compile(rb"\n%b|\r(?:\n%b|\r(?:\n|(?=[^\n])))" % (_second, _second))


class Frames:
    """Bytes in, blocks of whole events out."""

    __slots__ = ("_edge", "_fresh", "_held", "_held_bytes", "max_bytes")

    def __init__(self, max_bytes: int = EVENT_BYTES_MAX) -> None:
        self.max_bytes = max_bytes
        self._held: list[bytes] = []  # an event that is not whole yet, in pieces: joined once
        self._held_bytes = 0
        self._edge = b""  # its last bytes: half of a blank line, perhaps
        self._fresh = True

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, b"" for none.  Raises EventTooLarge on an unfinished one over the limit."""
        if self._held:
            if _blank_line.search(self._edge + data) is None:
                return self._hold(data)
            data = b"".join((*self._held, data))
            self._held.clear()
            self._held_bytes = 0
        end = data.rfind(b"\n\n") + 2 if data.find(b"\r") < 0 else _last_blank_line(data)
        if end < 2:
            return self._hold(data)
        if end != len(data):
            self._hold(data[end:])
            data = data[:end]
        return self._opened(data)

    def close(self) -> bytes:
        """The last event, if it lacks only its blank line; half an event too."""
        rest = b"".join(self._held).rstrip(b"\r\n")
        self._held.clear()
        return self._opened(rest + b"\n\n") if rest else b""

    def _opened(self, block: bytes) -> bytes:
        if self._fresh:
            self._fresh = False
            return block.removeprefix(BOM)
        return block

    def _hold(self, data: bytes) -> bytes:
        self._held_bytes += len(data)
        if self._held_bytes > self.max_bytes:
            raise EventTooLarge(self.max_bytes)
        self._held.append(data)
        self._edge = (self._edge + data)[-3:] if len(self._held) > 1 else data[-3:]
        return b""


def deltas_in(block: bytes) -> tuple[bytes, int] | None:
    """A block of deltas and nothing else as one JSON list, and how many there are; None for any other block.

    If the list decodes to as many objects, it is the events and nothing else: no line end is left in it.
    """
    if not (block.startswith(LEAD) and block.endswith(b"}\n\n")):
        return None
    events = block[len(LEAD) : -3].split(JOINT)
    text = b"},{".join(events)
    return None if text.find(b"\n") >= 0 or text.find(b"\r") >= 0 else (b"[{%b}]" % text, len(events))


def events_of(block: bytes, max_bytes: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(bytes, name, data) of each event; data is b"" where it has none.  Raises EventTooLarge."""
    plain = block.find(b"\r") < 0
    for event in block.split(b"\n\n") if plain else _cut(block):
        if len(event) > max_bytes:
            raise EventTooLarge(max_bytes)
        event = event.lstrip(b"\r\n")  # further blank lines say nothing
        if not event:
            continue
        if plain:
            head, joint, data = event.partition(b"\ndata: ")
            event += b"\n\n"
            if joint and head.startswith(b"event: ") and b"\n" not in data and b"\n" not in head:
                yield event, head[7:], data
                continue
        name, data = _fields(event)
        yield event, name, data


def kind_of(name: bytes, event: Mapping[str, Any]) -> object:
    """What an event is: its `type`, or its name where it has none."""
    kind = event.get("type")
    return name.decode("utf-8", "replace") or None if kind is None else kind


def _cut(block: bytes) -> Iterator[bytes]:
    start = 0
    for match in _blank_line.finditer(block):
        yield block[start : match.end()]
        start = match.end()
    if start < len(block):
        yield block[start:]


def _last_blank_line(data: bytes) -> int:
    end = 0
    for match in _blank_line.finditer(data):
        end = match.end()
    return end


def _fields(event: bytes) -> tuple[bytes, bytes]:
    name, data = b"", []
    for line in event.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return name, b"\n".join(data).strip(JSON_SPACE)
