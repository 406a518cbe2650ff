"""One answer as it comes: when its first content was there, how long each next took, and whether it is whole.

A stream is whole when `[DONE]` has come.  Without it, it is cut, whatever else was said: an answer that nobody can tell
from half of one is no answer.  Content is text, a refusal, thoughts, or calls of tools.

Source: OpenAI API reference, "Chat" and "Streaming".
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hoosh.cli.talk import message_of
from hoosh.codec.sse import SseDecoder
from hoosh.errors import ProtocolViolation

__all__ = ["CUT", "IN_STREAM", "NOT_UNDERSTOOD", "StreamAnswer", "Usage", "WholeAnswer", "whole_answer"]

CUT = "cut short"
IN_STREAM = "error in the stream"
NOT_UNDERSTOOD = "not understood"
MAX_EVENT_BYTES = 16 * 1024 * 1024


class Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Said(Struct):
    """A delta, or a message."""

    content: Any = None
    refusal: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: Any = None

    def has_content(self) -> bool:
        return bool(self.content or self.refusal or self.reasoning or self.reasoning_content or self.tool_calls)


class Choice(Struct):
    delta: Said | None = None
    message: Said | None = None


class Event(Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Event).decode


class StreamAnswer:
    """Bytes of a stream in; `first_s` and `gaps_s` out.  Seconds, of the clock that `now_s` is of."""

    __slots__ = ("_decoder", "_last_s", "error", "failure", "first_s", "gaps_s", "is_whole", "usage")

    def __init__(self) -> None:
        self._decoder = SseDecoder(max_event_bytes=MAX_EVENT_BYTES)
        self._last_s: float | None = None
        self.first_s: float | None = None
        """When the first content came."""
        self.gaps_s: list[float] = []
        """Between one content and the next; 0 where one read brought both."""
        self.usage: Usage | None = None
        self.is_whole = False
        self.failure = ""
        """The kind of what went wrong, and what the server said of it."""
        self.error = ""

    def feed(self, data: bytes, now_s: float) -> None:
        """Never raises: what makes no sense is a failure of this answer."""
        if self.failure:
            return
        try:
            for event in self._decoder.feed(data):
                self._take(event.data, now_s)
        except (ProtocolViolation, msgspec.MsgspecError, UnicodeError) as error:
            self.failure, self.error = NOT_UNDERSTOOD, str(error)[:200]

    def close(self) -> None:
        """The body has ended, in whatever way."""
        if not self.failure and not self.is_whole:
            self.failure, self.error = CUT, "the stream ended without [DONE]"

    def _take(self, data: str, now_s: float) -> None:
        if data == "[DONE]":
            self.is_whole = True
            return
        event = _decode(data)
        if event.error:
            self.failure, self.error = IN_STREAM, message_of({"error": event.error})
        if event.usage is not None:
            self.usage = event.usage
        if any(choice.delta is not None and choice.delta.has_content() for choice in event.choices):
            if self._last_s is None:
                self.first_s = now_s
            else:
                self.gaps_s.append(now_s - self._last_s)
            self._last_s = now_s


class WholeAnswer(Struct, frozen=True):
    usage: Usage | None = None
    failure: str = ""
    error: str = ""


def whole_answer(body: bytes) -> WholeAnswer:
    """What a body that is no stream says."""
    try:
        event = _decode(body)
    except (msgspec.MsgspecError, UnicodeError) as error:
        return WholeAnswer(failure=NOT_UNDERSTOOD, error=str(error)[:200])
    if not any(choice.message is not None for choice in event.choices):
        return WholeAnswer(failure=NOT_UNDERSTOOD, error="it has no message")
    return WholeAnswer(event.usage)
