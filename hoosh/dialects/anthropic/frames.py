"""What is in a block of whole events: what both the decoder and the tap stand on.

SseBlocks ──▶ a block ──┬── deltas_in ──▶ one JSON list, where there is nothing but deltas
                        └── events_of ──▶ (event's bytes, name, data)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hoosh.codec.sse import EventTooLarge
from hoosh.codec.sse_blocks import events_in, fields_of
from hoosh.dialects.loose_json import JSON_SPACE

__all__ = ["LEAD", "deltas_in", "events_of", "kind_of"]

LEAD = b"event: content_block_delta\ndata: {"
"""How nearly every event begins."""
JOINT = b"}\n\n" + LEAD


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
    for event in block.split(b"\n\n") if plain else events_in(block):
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
        name, data = fields_of(event)
        yield event, name, data.strip(JSON_SPACE)


def kind_of(name: bytes, event: Mapping[str, Any]) -> object:
    """What an event is: its `type`, or its name where it has none."""
    kind = event.get("type")
    return name.decode("utf-8", "replace") or None if kind is None else kind
