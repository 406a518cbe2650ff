"""The tap on an Anthropic stream that goes to a client of the same language: events pass as they came, and are counted.

    SseBlocks ── block of whole events ──┬── deltas and nothing else ──▶ out, as it came
                                      └── otherwise ──▶ event by event: kept, mended, hidden, ended

A block of deltas becomes one JSON list and is decoded in one call, which checks every event's syntax.  (Decoding one by
one costs twice as much, searching for suspicious words sees less.)

What is not passed on: `message_stop` (it is the terminator: the relay writes its own) and what follows it, an error (it
is `error`), `[DONE]`, an event that is not a JSON object (counted in `malformed`), and events without data but their
comments.  An event whose name is missing gets it from its `type`: the SDKs go by the name alone.

Source: wire notes 2.2.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hoosh.codec.sse_blocks import EVENT_BYTES_MAX, SseBlocks
from hoosh.dialects.anthropic.decoder import loads
from hoosh.dialects.anthropic.encoder import early_end
from hoosh.dialects.anthropic.errors import error_of
from hoosh.dialects.anthropic.frames import LEAD, deltas_in, events_of, kind_of
from hoosh.dialects.anthropic.wire import read_usage
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.costs import cost_of, tell_cost
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.errors import UpstreamError
from hoosh.values import Usage

__all__ = ["AnthropicTap"]


class Piece(Struct, tag="content_block_delta", gc=False):
    """What a delta is, and nothing of what is in it: msgspec checks the rest and skips it."""


_decode_pieces = msgspec.json.Decoder(list[Piece]).decode


class AnthropicTap:
    """A `StreamTap`.  `malformed` counts the events left out."""

    __slots__ = (
        "_begins_open",
        "_begun",
        "_blocks",
        "_ended",
        "_open",
        "_provider",
        "_stamp",
        "_usages",
        "chunks",
        "error",
        "has_content",
        "malformed",
        "terminated",
        "usage",
    )

    def __init__(self, stamp: Stamp, *, provider: str, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self.usage: Usage | None = None
        self.chunks = 0
        self.has_content = False
        self.terminated = False
        self.error: UpstreamError | None = None
        self.malformed = 0
        self._stamp = stamp
        self._provider = provider
        self._blocks = SseBlocks(max_event_bytes)
        self._usages: list[object] = []
        self._begun = False  # the message has
        self._begins_open = True  # without a stop reason
        self._open: dict[int, None] = {}  # the blocks that have begun and not stopped, in their order
        self._ended = False  # a stop reason has been said

    @property
    def has_finished(self) -> bool:
        if self.error is not None or self.terminated:
            return self.error is None
        return self._ended and self._begins_open and b"{" not in self._blocks.rest

    def feed(self, data: bytes) -> bytes:
        """What may go on to the client of what has come.  Raises ProtocolViolation on an event over the limit."""
        if self.terminated or self.error is not None:
            return b""
        block = self._blocks.feed(data)
        if not block:
            return b""
        return block if self._is_plain(block) else self._sift(block)

    def close(self) -> tuple[bytes, Ending]:
        """The stream is over.  An event that lacks only its blank line counts; half an event does not."""
        rest = b""
        if not self.terminated and self.error is None:
            event = self._blocks.close().rstrip(b"\r\n")
            if event.rstrip().endswith(b"}"):
                rest = self._sift(event + b"\n\n")
        if self.error is not None:
            return rest, Ending.FAILED
        return rest, Ending.COMPLETE if self.terminated or self._ended else Ending.CUT

    def finish_early(self, usage: Usage) -> bytes | None:
        if self.error is not None:
            return None
        if self._ended:
            return b""
        return early_end(self._stamp, self._open, usage, begun=self._begun)

    def _is_plain(self, block: bytes) -> bool:
        """Every event of the block is a delta to be passed on; then it is counted.  False changes nothing."""
        deltas = deltas_in(block) if len(block) <= self._blocks.max_event_bytes else None
        if deltas is None:
            return False
        text, count = deltas
        try:
            if not text.isascii():
                text.decode()  # msgspec does not look inside the strings that it skips
            # An error without a type may come under a delta's name.  In what a model writes its quotes are escaped.
            if len(_decode_pieces(text)) != count or text.find(b'"error"') >= 0:
                return False
        except UNREADABLE:
            return False
        self.chunks += count
        self.has_content = True
        return True

    def _is_over(self) -> bool:
        return self.terminated or self.error is not None

    def _sift(self, block: bytes) -> bytes:
        kept = []
        run: list[bytes] = []  # deltas in a row: decoded together
        for event, name, data in events_of(block, self._blocks.max_event_bytes):
            if event.startswith(LEAD):
                run.append(event)
                continue
            if run:
                kept.append(self._pass_run(run))
                run = []
                if self._is_over():
                    break
            kept.append(self._pass(event, name, data))
            if self._is_over():
                break
        if run:
            kept.append(self._pass_run(run))
        return b"".join(kept)

    def _pass_run(self, run: list[bytes]) -> bytes:
        together = b"".join(run)
        if self._is_plain(together):
            return together
        passed = []
        for event in run:
            if not self._is_over():
                ((_, name, data),) = events_of(event, self._blocks.max_event_bytes)
                passed.append(self._pass(event, name, data))
        return b"".join(passed)

    def _pass(self, event: bytes, name: bytes, data: bytes) -> bytes:
        """What may pass of one event."""
        if not data:
            return _comments(event)
        if data.startswith(b"[DONE]"):
            return b""
        value = loads(data)
        if not isinstance(value, dict):
            self.malformed += 1
            return b""
        kind = kind_of(name, value)
        if name == b"error" or kind == "error" or (value.get("error") and "type" not in value):
            self.error = error_of(value, provider=self._provider)
            return b""
        if kind == "message_stop":
            self.terminated = True
            return b""
        self._count(kind, value)
        if self.has_content:
            self.chunks += 1
        if kind == "message_delta" and (cost := cost_of(self._stamp, self.usage)) is not None:
            event = event.replace(data, tell_cost(data, cost), 1)
        if not name and isinstance(kind, str) and kind.isidentifier():
            return b"event: %b\n%b" % (kind.encode(), event)
        return event

    def _count(self, kind: object, event: dict[str, Any]) -> None:
        match kind:
            case "message_start":
                self._begun = True
                message = event.get("message")
                if isinstance(message, dict):
                    self.has_content |= bool(message.get("content"))
                    self._begins_open = not message.get("stop_reason")
                    self._ended |= not self._begins_open
                    self._count_usage(message.get("usage"))
            case "message_delta":
                delta = event.get("delta")
                self._ended |= isinstance(delta, dict) and bool(delta.get("stop_reason"))
                self._count_usage(event.get("usage"))
            case "content_block_delta":
                self.has_content = True
            case "content_block_start":
                block = event.get("content_block")
                self.has_content |= isinstance(block, dict) and block.get("type") not in ("text", "thinking")
                self._open[_place(event)] = None
            case "content_block_stop":
                self._open.pop(_place(event), None)

    def _count_usage(self, usage: object) -> None:
        self._usages.append(usage)
        self.usage = read_usage(*self._usages)
        self._usages = self._usages[-64:]


def _place(event: dict[str, Any]) -> int:
    at = event.get("index")
    return at if type(at) is int else 0


def _comments(event: bytes) -> bytes:
    lines = [line + b"\n" for line in event.splitlines() if line.startswith(b":")]
    return b"".join([*lines, b"\n"]) if lines else b""
