"""One by one, the events of a block that the decoder could not take as a whole."""

from __future__ import annotations

from hoosh.codec.sse_blocks import blank_line, fields_of
from hoosh.dialects.loose_json import JSON_SPACE

__all__ = ["cut_events", "read_event"]


def cut_events(block: bytes) -> list[bytes]:
    """The events of a block, without their blank lines."""
    if block.find(b"\r") < 0:
        return [event for event in block.split(b"\n\n") if event]
    return [event for event in blank_line.split(block) if event.strip(b"\r\n")]


def read_event(event: bytes) -> tuple[bytes, bytes | None]:
    """Name and data of an event; None for no data."""
    if event.startswith(b"data:") and event.find(b"\n") < 0 and event.find(b"\r") < 0:
        return b"", event[5:].strip(JSON_SPACE) or None  # one line: nearly always
    name, data = fields_of(event)
    return name.strip(), data.strip(JSON_SPACE) or None
