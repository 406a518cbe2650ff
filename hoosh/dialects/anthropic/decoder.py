"""Anthropic's stream as our events.

    message_start → (content_block_start → content_block_delta… → content_block_stop)… → message_delta → message_stop
    ping anywhere; error instead of the rest

`message_start` may hold whole blocks, and even the end: what a server tool did while the client's own was called.
JSON is padded with blanks before its closing brace on the live API, so it is parsed, never matched.  Counts are
cumulative: of each the last one said stands, `message_delta` after `message_start`.  `Finished` is told at the end.
`[DONE]`, which some vendors add, says nothing.  Unknown events and unknown deltas of known blocks are skipped; an event
that is no JSON object, or a known one without what makes it whole, breaks the answer.

Frequent events are decoded into tagged structs in one step; whatever does not fit them takes the lenient way.

Source: wire notes 2.2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.codec.sse_blocks import EVENT_BYTES_MAX, SseBlocks
from hoosh.dialects.anthropic.content import Content, OpaqueBlock, word
from hoosh.dialects.anthropic.errors import error_of
from hoosh.dialects.anthropic.frames import deltas_in, events_of, kind_of
from hoosh.dialects.anthropic.stops import finish_of
from hoosh.dialects.anthropic.wire import read_usage
from hoosh.dialects.contract import Ending
from hoosh.dialects.loose_json import UNREADABLE, mended
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import RefusalDelta, ReplyEvent, ReplyStarted, Usage, UsageReported

__all__ = ["AnthropicDecoder", "loads"]


class TextPiece(Struct, tag="text_delta", gc=False):
    text: str


class ThinkingPiece(Struct, tag="thinking_delta", gc=False):
    thinking: str


class JsonPiece(Struct, tag="input_json_delta", gc=False):
    partial_json: str


class Piece(Struct, tag="content_block_delta", gc=False):
    index: int
    delta: TextPiece | ThinkingPiece | JsonPiece


_decode_piece = msgspec.json.Decoder(Piece).decode
_decode_pieces = msgspec.json.Decoder(list[Piece]).decode

BEFORE = -1
"""No index of a block of the stream: one that the message starts with."""


class AnthropicDecoder:
    """A `StreamDecoder`."""

    __slots__ = (
        "_begins_open",
        "_blocks",
        "_content",
        "_provider",
        "_started",
        "_stop",
        "_usages",
        "error",
        "terminated",
        "usage",
    )

    def __init__(self, *, provider: str, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self.usage: Usage | None = None
        self.terminated = False
        self.error: UpstreamError | None = None
        self._provider = provider
        self._blocks = SseBlocks(max_event_bytes)
        self._content = Content()
        self._started = False
        self._begins_open = True  # without a stop reason
        self._stop: Mapping[str, Any] | None = None  # what `message_delta` has said of the end
        self._usages: list[object] = []

    @property
    def has_content(self) -> bool:
        return self._content.has_content

    @property
    def has_finished(self) -> bool:
        if self.error is not None or self.terminated:
            return self.error is None
        return self._stop is not None and self._begins_open and b"{" not in self._blocks.rest

    def feed(self, data: bytes) -> list[ReplyEvent]:
        out: list[ReplyEvent] = []
        if not self.terminated and self.error is None and (block := self._blocks.feed(data)):
            self._take_block(block, out)
        return out

    def close(self) -> tuple[list[ReplyEvent], Ending]:
        out: list[ReplyEvent] = []
        if not self.terminated and self.error is None:
            rest = self._blocks.close().rstrip(b"\r\n") + b"\n\n"
            if _is_whole(rest, self._blocks.max_event_bytes):
                self._take_block(rest, out)
        if self.error is not None:
            return out, Ending.FAILED
        if not self.terminated and self._stop is not None:
            self._finish(out)
        return out, Ending.COMPLETE if self.terminated else Ending.CUT

    def _take_block(self, block: bytes, out: list[ReplyEvent]) -> None:
        deltas = deltas_in(block) if len(block) <= self._blocks.max_event_bytes else None
        if deltas is not None:
            try:
                pieces = _decode_pieces(deltas[0])
            except UNREADABLE:
                pieces = []
            if len(pieces) == deltas[1] and self._take_pieces(pieces, out):
                return
        for _, name, data in events_of(block, self._blocks.max_event_bytes):
            if name == b"content_block_delta" and self._is_piece(data, out):
                continue
            if data:
                self._take(name, data, out)
                if self.terminated or self.error is not None:
                    return

    def _is_piece(self, data: bytes, out: list[ReplyEvent]) -> bool:
        try:
            return self._take_pieces([_decode_piece(data)], out)
        except UNREADABLE:
            return False

    def _take_pieces(self, pieces: list[Piece], out: list[ReplyEvent]) -> bool:
        """False where one of them belongs to a block of its own kind; then nothing is taken."""
        content = self._content
        if content.opaque and any(type(content.blocks.get(piece.index)) is OpaqueBlock for piece in pieces):
            return False
        for piece in pieces:
            delta = piece.delta
            if isinstance(delta, TextPiece):
                content.text(delta.text, out)
            elif isinstance(delta, ThinkingPiece):
                content.thinking(delta.thinking, out)
            else:
                content.arguments(piece.index, delta.partial_json, out)
        return True

    def _take(self, name: bytes, data: bytes, out: list[ReplyEvent]) -> None:
        """One event, whatever it is."""
        if data.startswith(b"[DONE]"):
            return
        event = loads(data)
        if not isinstance(event, dict):
            self._break("The upstream's stream holds an event that is not a JSON object.")
            return
        kind = kind_of(name, event)
        if name == b"error" or kind == "error" or (event.get("error") and "type" not in event):
            self.error = error_of(event, provider=self._provider)
            return
        match kind:
            case "message_start":
                self._start(event.get("message"), out)
            case "content_block_start":
                self._open(event, out)
            case "content_block_delta":
                self._grow(event, out)
            case "content_block_stop":
                self._content.close(self._index(event), out)
            case "message_delta":
                self._note_end(event)
            case "message_stop":
                self._finish(out)

    def _start(self, message: object, out: list[ReplyEvent]) -> None:
        if self._started or not isinstance(message, dict):
            return
        self._started = True
        out.append(ReplyStarted(word(message.get("id")), word(message.get("model"))))
        blocks = message.get("content")
        for block in blocks if isinstance(blocks, list) else ():
            if not isinstance(block, dict):
                self._break("The upstream's stream starts with a block that is not an object.")
                return
            self._content.open(BEFORE, block, out)
            self._content.close(BEFORE, out)
        if message.get("stop_reason"):
            self._stop, self._begins_open = message, False
        self._count(message.get("usage"))
        if self.usage is not None:
            out.append(UsageReported(self.usage))

    def _index(self, event: Mapping[str, Any]) -> int:
        """The block that is meant; the last one where nobody says."""
        index = event.get("index")
        return index if type(index) is int else next(reversed(self._content.blocks), 0)

    def _open(self, event: Mapping[str, Any], out: list[ReplyEvent]) -> None:
        block = event.get("content_block")
        if not isinstance(block, dict):
            self._break("The upstream's stream opens a block without saying which.")
            return
        self._content.open(self._index(event), block, out)

    def _grow(self, event: Mapping[str, Any], out: list[ReplyEvent]) -> None:
        delta, index, content = event.get("delta"), self._index(event), self._content
        if not isinstance(delta, dict):
            self._break("The upstream's stream holds a delta that is not an object.")
            return
        block = content.blocks.get(index)
        match delta.get("type"):
            case _ if isinstance(block, OpaqueBlock):
                block.absorb(delta)
            case "text_delta":
                content.text(self._said(delta, "text"), out)
            case "thinking_delta":
                content.thinking(self._said(delta, "thinking"), out)
            case "input_json_delta":
                content.arguments(index, self._said(delta, "partial_json"), out)
            case "signature_delta":
                content.sign(index, self._said(delta, "signature"))
            case "citations_delta":
                content.cite(block, delta.get("citation"))

    def _said(self, delta: Mapping[str, Any], name: str) -> str:
        """The text of a delta; null is none, and anything else would leave a hole."""
        value = delta.get(name)
        if not isinstance(value, str | None):
            self._break(f"The upstream's stream holds a delta whose {name} is not text.")
        return word(value)

    def _note_end(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        self._count(event.get("usage"))
        if isinstance(delta, dict) and (delta.get("stop_reason") or self._stop is None):
            self._stop = delta if delta.get("stop_reason") else self._stop

    def _count(self, usage: object) -> None:
        self._usages.append(usage)
        self.usage = read_usage(*self._usages)
        self._usages = self._usages[-64:]

    def _finish(self, out: list[ReplyEvent]) -> None:
        self.terminated = True
        self._content.close_all(out)
        finish, explanation = finish_of(self._stop or {}, calls=self._content.calls)
        if explanation:
            out.append(RefusalDelta(explanation))
        if self.usage is not None:
            out.append(UsageReported(self.usage))
        out.append(finish)

    def _break(self, message: str) -> None:
        self.error = UpstreamBroke(message, provider=self._provider)


def _is_whole(rest: bytes, max_bytes: int) -> bool:
    """The last event lacks nothing but its blank line: half an event is a cut, not a mistake."""
    return rest.rstrip().endswith(b"}") and all(loads(data) is not None for *_, data in events_of(rest, max_bytes))


def loads(data: bytes) -> object:
    """JSON as msgspec reads it, else as Python does: NaN passes, lone surrogates are mended.  None for no JSON."""
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        try:
            return mended(json.loads(data))
        except UNREADABLE:
            return None
