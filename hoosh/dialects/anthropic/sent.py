"""A message's stream as its client has got it, and the events that go on with it.

`message_start` has gone out, and a text block may be open: what follows grows that block, or, where none is open,
begins the next.  Deltas are nearly all that a stream consists of and say nothing of blocks: they are passed over.

Source: wire notes 2.2.
"""

from __future__ import annotations

from typing import Any

from hoosh.codec.sse_blocks import EVENT_BYTES_MAX
from hoosh.dialects.anthropic.decoder import AnthropicDecoder, loads
from hoosh.dialects.anthropic.encoder import DELTA, AnthropicEncoder
from hoosh.dialects.anthropic.frames import LEAD, events_of, kind_of
from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, StreamEncoder
from hoosh.values import Call, ReplyEvent

__all__ = ["SentMessage"]

FRAME = (b"message_start", b"content_block_st")
"""Without these words no block begins or ends."""


class SentMessage:
    """A `SentStream`."""

    __slots__ = ("_decoder", "_has_begun", "_next", "_open")

    def __init__(self) -> None:
        self._decoder = AnthropicDecoder(provider="")
        self._has_begun = False
        self._next = 0  # index of the next block
        self._open: dict[int, object] = {}  # the blocks that have not stopped, and their types

    def read(self, sent: bytes) -> list[ReplyEvent]:
        if any(sent.find(word) >= 0 for word in FRAME):
            for event, name, data in events_of(sent, EVENT_BYTES_MAX):
                if not event.startswith(LEAD) and isinstance(said := loads(data), dict):
                    self._note(kind_of(name, said), said)
        return self._decoder.feed(sent)

    def pause(self) -> bool:
        _, ending = self._decoder.close()
        self._decoder = AnthropicDecoder(provider="")
        return ending is Ending.CUT and list(self._open.values()) in ([], ["text"])

    def encoder(self, downstream: DownstreamDialect, call: Call, stamp: Stamp, text: str) -> StreamEncoder:
        if not self._has_begun:
            return downstream.chat_encoder(call, stamp)
        return _FurtherEvents(stamp, next(iter(self._open), None), self._next)

    def _note(self, kind: object, event: dict[str, Any]) -> None:
        at, block = event.get("index"), event.get("content_block")
        at = at if type(at) is int else 0
        match kind:
            case "message_start":
                self._has_begun = True
            case "content_block_start":
                self._open[at] = block.get("type") if isinstance(block, dict) else None
                self._next = max(self._next, at + 1)
            case "content_block_stop":
                self._open.pop(at, None)


class _FurtherEvents(AnthropicEncoder):
    """`at` is the text block that is open, None for none; `after` the index of the one that would follow."""

    __slots__ = ()

    def __init__(self, stamp: Stamp, at: int | None, after: int) -> None:
        super().__init__(stamp)
        self._started = True
        self._next = after
        if at is not None:
            self._kind = "text"
            self._block = at
            self._prefix = DELTA % (at, b"text_delta", b"text")
