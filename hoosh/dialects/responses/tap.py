"""The tap on a Responses stream: events go through as they came, and what must be counted is counted on the way.

    feed ──hold back an unfinished event──▶ whole events, one by one ──▶ passed | held to the end | error | left out

A plain event is `event: <type>⏎data: {…}⏎⏎` or its data alone; its JSON is checked, and of what is in it only the type
is read.  Looking is needed for few types: those that end the stream (with usage in the response they tell), errors,
and, until the first content, whatever may hold some.

Everything that is passed is noted in a draft, by which the stream can be ended early.

The event that ends the stream *is* content, with the whole response in it: it is held until `close`, so that it follows
everything else and nothing follows it.  Not passed on:
* an `error` event, `response.failed`, and anything with a true `error`: they are `error`;
* `[DONE]` (OpenRouter sends it) and what comes after the end;
* data that is not a JSON object (`malformed` counts them), `id:` and `retry:` lines, events without data.

Source: wire notes 2.1, 2.7, 2.8.  Line ends: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hoosh.codec.sse import EventTooLarge
from hoosh.codec.sse_blocks import SseBlocks, events_in
from hoosh.dialects.clean_events import read_event
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.costs import cost_of, tell_cost
from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import UNREADABLE, read_loosely
from hoosh.dialects.responses.draft import Draft
from hoosh.dialects.responses.wire import read_usage
from hoosh.errors import UpstreamError
from hoosh.values import Call, Usage

__all__ = ["EVENT_BYTES_MAX", "ResponsesTap", "error_of"]

EVENT_BYTES_MAX = 16 << 20
"""Larger than elsewhere: an image that a hosted tool made is one event, and is in the last one again."""

ENDS = frozenset({"response.completed", "response.incomplete", "response.cancelled"})
FAILS = frozenset({"error", "response.failed"})


class Event(Struct, gc=False):
    """One event, as far as every event must be looked at."""

    type: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Event).decode


class ResponsesTap:
    """A `StreamTap`."""

    __slots__ = (
        "_blocks",
        "_call",
        "_draft",
        "_last",
        "_max",
        "_note",
        "_provider",
        "_stamp",
        "chunks",
        "error",
        "has_content",
        "malformed",
        "terminated",
        "usage",
    )

    def __init__(self, call: Call, stamp: Stamp, *, provider: str, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self.usage: Usage | None = None
        self.chunks = 0
        self.has_content = False
        self.terminated = False
        self.error: UpstreamError | None = None
        self.malformed = 0
        self._call = call
        self._stamp = stamp
        self._provider = provider
        self._max = max_event_bytes
        self._blocks = SseBlocks(max_event_bytes)
        self._draft = Draft()
        self._note = self._draft.note
        self._last = b""  # the event that ended the stream

    @property
    def has_finished(self) -> bool:
        return self.terminated and self.error is None

    def feed(self, data: bytes) -> bytes:
        """What may go on to the client of what has come.  Raises ProtocolViolation on an event over the limit."""
        if self.terminated or self.error is not None:
            return b""
        return b"".join([passed for event in events_in(self._blocks.feed(data)) if (passed := self._pass(event))])

    def close(self) -> tuple[bytes, Ending]:
        """The stream is over.  An event that lacks only its blank line counts; half an event does not."""
        rest = b""
        if not self.terminated and self.error is None:
            event = self._blocks.close().rstrip(b"\r\n")
            malformed = self.malformed
            rest = self._pass(event + b"\n\n") if event else b""
            if not event.endswith(b"}"):
                self.malformed = malformed  # cut off, not malformed
        if self.error is not None:
            return rest, Ending.FAILED
        return rest + self._last, Ending.COMPLETE if self.terminated else Ending.CUT

    def finish_early(self, usage: Usage) -> bytes | None:
        if self.error is not None:
            return None
        return self._last or self._draft.early_end(self._call, self._stamp, usage)

    def _pass(self, event: bytes) -> bytes:
        """What may pass of one event, which ends with its blank line and may begin with further ones."""
        if self.terminated or self.error is not None:
            return b""
        if len(event) > self._max:
            raise EventTooLarge(self._max)
        if event[:1] in (b"\n", b"\r"):  # they pass whatever becomes of the event: a cut may have parted them from it
            body = event.lstrip(b"\r\n")
            return event[: len(event) - len(body)] + (self._pass(body) if body else b"")
        at = event.find(b"data: {")
        if at == 0 or (at > 7 and event.startswith(b"event: ") and event.find(b"\n", 0, at) == at - 1):
            data = event[at + 6 : -2]
            if data.endswith(b"}") and data.find(b"\n") < 0 and data.find(b"\r") < 0:
                return self._pass_data(event, b"", data)
        return self._pass_odd(event)

    def _pass_odd(self, event: bytes) -> bytes:
        name, data, clean = read_event(event)
        if data is None:
            return clean
        if data.startswith(b"[DONE]"):
            return b""
        return self._pass_data(clean, name, data)

    def _pass_data(self, event: bytes, name: bytes, data: bytes) -> bytes:
        try:
            said = _decode(data)
            kind, error = said.type, said.error
        except UNREADABLE:
            whole = read_loosely(data)
            if not isinstance(whole, dict):
                return self._pass_broken(name, data)
            kind, error = whole.get("type"), whole.get("error")
        kind = kind if isinstance(kind, str) else ""
        if error or kind in FAILS or name == b"error":
            self._fail(data)
            return b""
        if kind in ENDS:
            self._end(event, data)
            event = b""
        else:
            if not self.has_content:
                self.has_content = _says_something(kind, data)
            self._note(data)
        if self.has_content:
            self.chunks += 1
        return event

    def _pass_broken(self, name: bytes, data: bytes) -> bytes:
        if name == b"error":
            self._fail(data)
        else:
            self.malformed += 1
        return b""

    def _end(self, event: bytes, data: bytes) -> None:
        self.terminated = True
        self._last = event
        whole = read_loosely(data)
        response = whole.get("response") if isinstance(whole, dict) else None
        if isinstance(response, dict):
            self.usage = read_usage(response.get("usage"))
            self.has_content = self.has_content or bool(response.get("output"))
            if (cost := cost_of(self._stamp, self.usage)) is not None:
                self._last = event.replace(data, tell_cost(data, cost, nested=True), 1)

    def _fail(self, data: bytes) -> None:
        whole = read_loosely(data)
        response = whole.get("response") if isinstance(whole, dict) else None
        if isinstance(response, dict):
            self.usage = read_usage(response.get("usage"))
            whole = response.get("error")
        elif isinstance(whole, dict) and isinstance(whole.get("error"), dict):
            whole = whole["error"]
        self.error = error_of(whole, provider=self._provider)


def error_of(error: object, *, provider: str) -> UpstreamError:
    """An error object, or an `error` event, whose `type` says only that.  xAI's code stands beside its `error`."""
    if isinstance(error, dict):
        error = {name: value for name, value in error.items() if (name, value) != ("type", "error")}
    return error_in(error, provider=provider)


def _says_something(kind: str, data: bytes) -> bool:
    """Text, a thought, a call or the work of a hosted tool: anything but the announcement of an answer."""
    if kind.endswith(".delta"):
        whole = read_loosely(data)
        return bool(isinstance(whole, dict) and whole.get("delta"))
    if kind == "response.output_item.done":
        return True
    if kind != "response.output_item.added":
        return False
    whole = read_loosely(data)
    item = whole.get("item") if isinstance(whole, dict) else None
    return isinstance(item, dict) and item.get("type") not in (None, "message", "reasoning")
