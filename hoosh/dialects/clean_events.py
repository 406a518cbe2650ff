"""An event on its way from an upstream to a client of the same language: what of it the client can take.

OpenAI's SDK crashes on an event without data, and on `id:` lines: those are left out, and so is `retry:`, which speaks
of the connection to the upstream.

Source: wire notes 2.1, what the official Python SDK does.
"""

from __future__ import annotations

from hoosh.codec.sse_blocks import fields_of
from hoosh.dialects.loose_json import JSON_SPACE

__all__ = ["read_event"]

UNWANTED = frozenset({b"id", b"retry"})
UNWANTED_WITHOUT_DATA = UNWANTED | {b"event", b"data"}


def read_event(event: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Name and data of an event, None for no data, and the event without what clients choke on."""
    name, data = fields_of(event)
    data = data.strip(JSON_SPACE)
    kept = _without(event, UNWANTED if data else UNWANTED_WITHOUT_DATA)
    return (name, data, kept) if data else (b"", None, kept)


def _without(event: bytes, unwanted: frozenset[bytes]) -> bytes:
    """`event` as it is where it holds none of `unwanted`."""
    lines = event.splitlines()
    kept = [line for line in lines if line.partition(b":")[0] not in unwanted]
    if len(kept) == len(lines):
        return event
    kept = [line + b"\n" for line in kept if line]
    return b"".join([*kept, b"\n"]) if kept else b""
