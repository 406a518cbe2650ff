"""What an upstream's Responses stream has told so far, kept so that it can be ended before its end.

    note ──▶ events, as they came ──fold, when they are many──▶ response, and its items (unfinished.py)
    early_end ──▶ what is open is closed ──▶ response.incomplete, with everything

The last event of this language repeats the whole answer, so whoever ends a stream must know it.  Few streams are ended:
an event costs its place in a list, and only a long answer is read on the way.  One of more than DRAFT_BYTES_MAX is not
kept, and cannot be ended early.

Source: wire notes 2.1; `openai-openapi.trimmed.json`, schema ResponseStreamEvent.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import UNREADABLE, encode_safely, read_count, read_loosely
from hoosh.dialects.responses.encoder import ResponseEncoder
from hoosh.dialects.responses.unfinished import PARTS, TEXTS, Place, UnfinishedItem
from hoosh.dialects.responses.wire import usage_json
from hoosh.values import Call, Finished, FinishReason, Usage, UsageReported

__all__ = ["DRAFT_BYTES_MAX", "Draft"]

DRAFT_BYTES_MAX = 8 << 20
FOLDED_AT_BYTES = 128 << 10

Number = Annotated[int, Meta(ge=0, le=1 << 53)]


class Event(Struct, gc=False):
    """An event, as far as deltas go: nearly all are."""

    type: str
    delta: Any = None
    output_index: Number = 0
    content_index: Number = 0
    summary_index: Number = 0
    sequence_number: Number | None = None

    def goes_on(self, other: Event | None) -> bool:
        """It says the same of the same part."""
        return (
            other is not None
            and self.type == other.type
            and self.output_index == other.output_index
            and self.content_index == other.content_index
            and self.summary_index == other.summary_index
        )

    def place(self, where: str) -> Place:
        return where, self.summary_index if where == "summary" else self.content_index


_decode_events = msgspec.json.Decoder(list[Event]).decode
_decode_event = msgspec.json.Decoder(Event).decode


class Draft:
    __slots__ = ("_events", "_items", "_kept_bytes", "_response", "_sequence", "_unread_bytes")

    def __init__(self) -> None:
        self._events: list[bytes] = []  # not read yet
        self._unread_bytes = 0
        self._kept_bytes = 0
        self._response: dict[str, Any] | None = None
        self._items: dict[int, UnfinishedItem] = {}
        self._sequence: int | None = None  # of the last event

    def note(self, data: bytes) -> None:
        """The JSON of an event that goes on to the client."""
        self._events.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > FOLDED_AT_BYTES:
            self._fold()

    def early_end(self, call: Call, stamp: Stamp, usage: Usage) -> bytes | None:
        """The rest of a whole stream; None where too much has been told, or what cannot be written again."""
        self._fold()
        if self._kept_bytes > DRAFT_BYTES_MAX:
            return None
        if self._response is None:
            encoder = ResponseEncoder(call, stamp)
            return encoder.encode((UsageReported(usage), Finished(FinishReason.LENGTH))) + encoder.finish()
        try:
            return self._rest(self._response, usage_json(usage, stamp))
        except RecursionError:  # nested so deeply that it could just be read
            return None

    def _rest(self, begun: dict[str, Any], usage: dict[str, Any]) -> bytes:
        items = [item for _, item in sorted(self._items.items())]
        told = [self._frame(name, fields) for item in items if item.is_open for name, fields in item.closing()]
        response = {
            **begun,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [item.fields for item in items],
            "usage": usage,
        }
        return b"".join([*told, self._frame("response.incomplete", {"response": response})])

    def _frame(self, name: str, fields: dict[str, Any]) -> bytes:
        if self._sequence is not None:
            self._sequence += 1
            fields = {**fields, "sequence_number": self._sequence}
        return b"event: %b\ndata: %b\n\n" % (name.encode(), encode_safely({"type": name, **fields}))

    # -- what has been told --------------------------------------------------------------------------------------

    def _fold(self) -> None:
        events, self._events, self._unread_bytes = self._events, [], 0
        if self._kept_bytes > DRAFT_BYTES_MAX:
            return
        try:
            read = _decode_events(b"[%b]" % b",".join(events))
        except UNREADABLE:
            read = [_read_event(data) for data in events]
        run: Event | None = None
        pieces: list[str] | None = None
        for event, data in zip(read, events, strict=True):
            text = event.delta
            if pieces is not None and event.goes_on(run) and isinstance(text, str):  # nearly always
                pieces.append(text)
                self._kept_bytes += len(text)
            else:
                run, pieces = event, self._take(event, data)
            if event.sequence_number is not None:
                self._sequence = event.sequence_number
        if self._kept_bytes > DRAFT_BYTES_MAX:
            self._items.clear()

    def _take(self, event: Event, data: bytes) -> list[str] | None:
        """The list that further deltas of this type and place belong to; None where it is no delta."""
        stem, _, step = event.type.rpartition(".")
        item = self._items.get(event.output_index)
        if stem in TEXTS:
            return None if item is None else self._take_text(item, stem, step, event, data)
        if step in ("added", "done", "created", "in_progress", "queued"):
            self._kept_bytes += len(data)
            self._take_rare(item, stem, step, event, _object(data))
        return None

    def _take_text(self, item: UnfinishedItem, stem: str, step: str, event: Event, data: bytes) -> list[str] | None:
        where, name = TEXTS[stem]
        place = event.place(where)
        if step == "delta" and isinstance(event.delta, str):
            self._kept_bytes += len(event.delta)
            return item.grow(stem, place, event.delta)
        if step == "done":
            item.end_text(stem, place, _object(data).get(name))
        return None

    def _take_rare(
        self, item: UnfinishedItem | None, stem: str, step: str, event: Event, fields: dict[str, Any]
    ) -> None:
        at = event.output_index
        match fields:
            case {"response": dict(response)} if stem == "response":
                self._response = response
            case {"item": dict(told)} if stem == "response.output_item":
                self._items[at] = UnfinishedItem(at, told, is_open=step == "added")
            case {"part": dict(part)} if stem in PARTS and item is not None:
                place = event.place(PARTS[stem])
                item.add_part(place, part) if step == "added" else item.end_part(place, part)
            case {"annotation": note} if item is not None:
                item.annotate(event.place("content"), note)


def _object(data: bytes) -> dict[str, Any]:
    whole = read_loosely(data)
    return whole if isinstance(whole, dict) else {}


def _read_event(data: bytes) -> Event:
    """One event whose fields may have types of their own."""
    try:
        return _decode_event(data)
    except UNREADABLE:
        fields = _object(data)
        kind, number = fields.get("type"), fields.get("sequence_number")
        at, part, summary = (read_count(fields.get(f"{name}_index")) for name in ("output", "content", "summary"))
        kind = kind if isinstance(kind, str) else ""
        return Event(kind, fields.get("delta"), at, part, summary, None if number is None else read_count(number))
