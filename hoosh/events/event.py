"""An event: news with a number, and what a listener hears in place of events that it has lost.

    {"id": 17…, "topic": "providers/health", "timestamp": "2026-03-01T12:00:00.000Z", "event": "health_changed",
     "provider": "openai", "base_url": "https://api.openai.com", "healthy": false, …}

Numbers follow each other without a gap while a process runs, and a later process goes on above them.
Source: reference section 9, in its later form; `id`, `topic` and `timestamp` stand beside the fields.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from hoosh.events.news import News

__all__ = ["Event", "Lost", "encode_event"]

_encoder = msgspec.json.Encoder()


class Event(Struct, frozen=True, gc=False):
    id: int
    at_s: float
    """Unix time."""
    payload: News

    @property
    def topic(self) -> str:
        return self.payload.topic

    @property
    def name(self) -> str:
        return self.payload.name

    def json(self) -> bytes:
        return encode_event(self)

    def block(self) -> bytes:
        """As an event of a stream (WHATWG HTML, section 9.2)."""
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self.id, self.name.encode(), encode_event(self))


class Lost(Struct, frozen=True, gc=False):
    """So many events are missing here, with numbers from `first_id` to `last_id`."""

    count: int | None
    """None where nobody can know: the gateway has been started anew since."""
    first_id: int | None
    last_id: int

    def block(self) -> bytes:
        """As an event of a stream.  It has no id: who comes back then may still find what was lost."""
        return b"event: lost\ndata: %b\n\n" % _encoder.encode(self)


def encode_event(event: Event) -> bytes:
    """One line of JSON.  Never fails: half a surrogate pair in a name comes out escaped."""
    at = datetime.fromtimestamp(event.at_s, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    head = b'{"id":%d,"topic":"%b","timestamp":"%bZ",' % (event.id, event.topic.encode(), at.encode())
    try:
        return head + _encoder.encode(event.payload)[1:]
    except UnicodeEncodeError:
        return head + json.dumps(msgspec.to_builtins(event.payload), separators=(",", ":")).encode()[1:]
