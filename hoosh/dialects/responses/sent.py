"""A Responses stream as its client has got it, and the events that go on with it.

Only a response of our own making is gone on with, of which nothing but one text has been told: its last event holds
the whole answer, and the ids in it are made from the reply's.  So an encoder is told all of it again, its words are
thrown away, and its numbers go on from the last one that was sent.

    response.created, in_progress ─▶ output_item.added ─▶ content_part.added ─▶ output_text.delta*      and no further
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hoosh.dialects.contract import DownstreamDialect, Stamp, StreamEncoder
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.openai.frames import cut_events, read_event
from hoosh.dialects.responses.encoder import ResponseEncoder
from hoosh.dialects.responses.wire import is_ours
from hoosh.values import Call, ReplyEvent, ReplyStarted, TextDelta

__all__ = ["SentResponse"]


class Shell(Struct, gc=False):
    id: str = ""
    model: str = ""


class Item(Struct, gc=False):
    """An item, or a part of one."""

    type: str = ""


class Event(Struct, gc=False):
    type: str
    sequence_number: int
    delta: str = ""
    response: Shell | None = None
    item: Item | None = None
    part: Item | None = None
    error: Any = None


class Delta(Struct, gc=False):
    """Nearly every event: what its name does not say already."""

    delta: str
    sequence_number: int


_decode = msgspec.json.Decoder(Event).decode
_decode_deltas = msgspec.json.Decoder(list[Delta]).decode
LEAD = b"event: response.output_text.delta\ndata: "
JOINT = b"\n\n" + LEAD


class SentResponse:
    """A `SentStream`."""

    __slots__ = ("_has_text", "_is_odd", "_last", "_model")

    def __init__(self) -> None:
        self._is_odd = False  # something has been told that we cannot go on after
        self._has_text = False
        self._last = -1  # number of the last event
        self._model = ""

    def read(self, sent: bytes) -> list[ReplyEvent]:
        out: list[ReplyEvent] = []
        if self._has_text and not self._is_odd and (deltas := _deltas_in(sent)):
            self._last = deltas[-1].sequence_number
            return [TextDelta("".join([delta.delta for delta in deltas]))]
        for event in cut_events(sent):
            data = read_event(event)[1]
            if data is None or self._is_odd:
                continue
            try:
                self._take(_decode(data), out)
            except UNREADABLE:
                self._is_odd = True
        return out

    def pause(self) -> bool:
        return not self._is_odd and self._has_text is (self._last >= 0)

    def encoder(self, downstream: DownstreamDialect, call: Call, stamp: Stamp, text: str) -> StreamEncoder:
        encoder = downstream.chat_encoder(call, stamp)
        assert isinstance(encoder, ResponseEncoder)
        if not self._has_text:
            return encoder
        encoder.encode((ReplyStarted("", self._model), TextDelta(text)))
        encoder.sequence = self._last + 1
        encoder.chunks = 0
        return encoder

    def _take(self, event: Event, out: list[ReplyEvent]) -> None:
        self._last = event.sequence_number
        match event:
            case Event("response.output_text.delta"):
                self._has_text = True
                out.append(TextDelta(event.delta))
            case Event("response.created", response=Shell(identity, model)) if is_ours(identity):
                self._model = model
            case Event("response.in_progress"):
                pass
            case Event("response.output_item.added", item=Item("message")) if not self._has_text:
                pass
            case Event("response.content_part.added", part=Item("output_text")) if not self._has_text:
                pass
            case _:
                self._is_odd = True


def _deltas_in(sent: bytes) -> list[Delta]:
    """The events, where they are pieces of the text and nothing else."""
    if not (sent.startswith(LEAD) and sent.endswith(b"}\n\n")):
        return []
    events = sent[len(LEAD) : -2].split(JOINT)
    listed = b",".join(events)
    try:
        deltas = _decode_deltas(b"[%b]" % listed)
    except UNREADABLE:
        return []
    return deltas if len(deltas) == len(events) and listed.find(b"\n") < 0 else []
