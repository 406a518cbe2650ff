"""A chat stream in OpenAI's language as its client has got it, and the chunks that go on with it.

Every chunk says the same id, time and model: those of the first chunk with a choice, whoever made them.  (Azure's very
first chunk has no choice and says nothing.)  That chunk has told who speaks, so no other does.

Long answers are read on the way, so what is nothing but text is read leanly; the decoder gets all the rest.

Source: wire notes 2.1, the order of a stream.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, StreamEncoder
from hoosh.dialects.loose_json import UNREADABLE, read_loosely
from hoosh.dialects.openai.decoder import OpenAIDecoder
from hoosh.dialects.openai.encoder import ChatEncoder
from hoosh.dialects.openai.frames import cut_events, read_event
from hoosh.values import Call, ReplyEvent, ReplyStarted, TextDelta

__all__ = ["SentChat"]

BEGUN = (ReplyStarted(), TextDelta(""))
LEAD = b"data: "
JOINT = b"\n\n" + LEAD


class PlainDelta(Struct, forbid_unknown_fields=True, gc=False):
    content: str


class PlainChoice(Struct, gc=False):
    delta: PlainDelta
    index: int
    finish_reason: None = None


class PlainChunk(Struct, gc=False):
    """A chunk that says a piece of the text, and that is all."""

    choices: tuple[PlainChoice]
    error: None = None


_decode_plain = msgspec.json.Decoder(list[PlainChunk]).decode


class SentChat:
    """A `SentStream`."""

    __slots__ = ("_decoder", "_head")

    def __init__(self) -> None:
        self._decoder = OpenAIDecoder(provider="")
        self._head: dict[str, Any] | None = None

    def read(self, sent: bytes) -> list[ReplyEvent]:
        if self._head is None:
            self._head = _head_in(sent)
        elif (text := _plain_text(sent)) is not None:
            return [TextDelta(text)]
        return self._decoder.feed(sent)

    def pause(self) -> bool:
        _, ending = self._decoder.close()
        self._decoder = OpenAIDecoder(provider="")
        return ending is Ending.CUT

    def encoder(self, downstream: DownstreamDialect, call: Call, stamp: Stamp, text: str) -> StreamEncoder:
        head = self._head
        if head is None:
            return downstream.chat_encoder(call, stamp)
        created = head.get("created")
        stamp = replace(
            stamp,
            reply_id=_text(head.get("id")) or ChatEncoder.id_prefix + stamp.reply_id,
            model=_text(head.get("model")) or stamp.model,
            created_s=created if type(created) is int else stamp.created_s,
        )
        encoder = _FurtherChunks(stamp, include_usage=call.include_usage)
        encoder.encode(BEGUN)  # the role, which the client has
        encoder.chunks = 0
        return encoder


class _FurtherChunks(ChatEncoder):
    """The id is whole: whoever began the stream has made it."""

    id_prefix = ""


def _plain_text(sent: bytes) -> str | None:
    """What chunks say that say nothing but text; None where one must look closer."""
    if not (sent.startswith(LEAD) and sent.endswith(b"}\n\n")):
        return None
    events = sent[len(LEAD) : -2].split(JOINT)
    listed = b",".join(events)
    try:
        chunks = _decode_plain(b"[%b]" % listed)
    except UNREADABLE:
        return None
    # As many objects as events and no line end left: the list is our events and nothing else.
    is_all = len(chunks) == len(events) and listed.find(b"\n") < 0 and listed.find(b"\r") < 0
    is_all = is_all and not any(chunk.choices[0].index for chunk in chunks)
    return "".join([chunk.choices[0].delta.content for chunk in chunks]) if is_all else None


def _head_in(sent: bytes) -> dict[str, Any] | None:
    for event in cut_events(sent):
        chunk = read_loosely(read_event(event.lstrip(b"\r\n"))[1] or b"")
        if isinstance(chunk, dict) and chunk.get("choices"):
            return chunk
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
