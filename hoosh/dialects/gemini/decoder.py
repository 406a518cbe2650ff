"""Answers as they come: a whole one, or a stream of them.

    bytes ──Frames──▶ JSON texts ──msgspec──▶ Answers ──AnswerReader──▶ events

A stream has no terminator with `alt=sse`: it is whole when Google closes it after a `finishReason` (or a
`promptFeedback.blockReason`, then without candidates), unless it closes in the middle of an event: some models say
`STOP` in the middle of their answer, and go on.
"""

from __future__ import annotations

from hoosh.codec.sse_blocks import EVENT_BYTES_MAX
from hoosh.dialects.contract import Ending
from hoosh.dialects.gemini.errors import error_of
from hoosh.dialects.gemini.frames import Frames
from hoosh.dialects.gemini.reader import AnswerReader
from hoosh.dialects.gemini.wire import Answer, decode_answer, loads
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.replies import fold
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import ChatReply, Finished, FinishReason, ReplyEvent, Usage

__all__ = ["GeminiDecoder", "decode_chat"]


def decode_chat(body: bytes, *, provider: str) -> ChatReply:
    """A whole reply.  Raises UpstreamError where a 200 holds an error, UpstreamBroke where it holds no reply."""
    answer = _read(body, provider)
    reader = AnswerReader(provider=provider)
    events: list[ReplyEvent] = []
    reader.take(answer, events)
    reader.report_usage(events)
    finished = reader.end()
    if finished is None:
        if not any(not candidate.index for candidate in answer.candidates or ()):
            raise UpstreamBroke("The upstream's answer holds no candidate.", provider=provider)
        finished = Finished(FinishReason.STOP)
    return fold([*events, finished])


class GeminiDecoder:
    """A `StreamDecoder`."""

    __slots__ = ("_frames", "_provider", "_reader", "_torn", "error", "terminated")

    def __init__(self, *, provider: str, max_event_bytes: int = EVENT_BYTES_MAX) -> None:
        self.terminated = False
        self.error: UpstreamError | None = None
        self._torn = False  # the last event is half there
        self._provider = provider
        self._frames = Frames(max_event_bytes=max_event_bytes)
        self._reader = AnswerReader(provider=provider)

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    @property
    def has_content(self) -> bool:
        return self._reader.has_content

    @property
    def has_finished(self) -> bool:
        if self.error is not None:
            return False
        return self._reader.has_finished and not self._frames.is_inside

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Raises ProtocolViolation when one event passes the size limit."""
        if self.error is not None or self.terminated:
            return []
        events = self._take(self._frames.feed(data))
        self.terminated = self._frames.ended
        return events

    def close(self) -> tuple[list[ReplyEvent], Ending]:
        over = self.terminated or self.error is not None
        events = [] if over else self._take_last(self._frames.close())
        if self.error is not None:
            return events, Ending.FAILED
        finished = self._reader.end()
        if finished is None or self._torn:
            return events, Ending.CUT
        return [*events, finished], Ending.COMPLETE

    def _take(self, frames: list[bytes]) -> list[ReplyEvent]:
        events: list[ReplyEvent] = []
        take = self._reader.take
        try:
            for frame in frames:
                take(_read(frame, self._provider), events)
        except UpstreamError as error:
            self.error = error
        self._reader.report_usage(events)
        return events

    def _take_last(self, frames: list[bytes]) -> list[ReplyEvent]:
        """What the end of the body left without its blank line: half an event is a cut, not a mistake."""
        frames = [frame for frame in frames if frame.strip()]
        whole = [frame for frame in frames if loads(frame) is not None]
        self._torn = len(whole) < len(frames)
        return self._take(whole)


def _read(text: bytes, provider: str) -> Answer:
    """Raises UpstreamError for an error, UpstreamBroke for what is no answer."""
    try:
        answer = decode_answer(text)
    except UNREADABLE:
        value = loads(text)
        if isinstance(value, list):  # an error in an array, as Google wraps it where `alt=sse` is not asked for
            value = value[0] if len(value) == 1 else None
        if isinstance(value, dict) and value.get("error"):
            raise error_of(value, provider=provider) from None
        raise UpstreamBroke("The upstream sent what is no Gemini answer.", provider=provider) from None
    if answer.error:
        raise error_of(loads(text), provider=provider)
    return answer
