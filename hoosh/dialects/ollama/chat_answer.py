"""Lines of Ollama's replies as events: what stream and whole reply have in common.

    Line --thinking, content, images, calls--> deltas;   done --> UsageReported, Finished

Calls come whole, one or several in a message; they are numbered as they come, and one without an id gets one.
`done_reason` stays `stop` where tools are called: we say `tool_calls` when calls were seen.
"""

from __future__ import annotations

import msgspec

from hoosh.dialects.faults import error_in
from hoosh.dialects.loose_json import UNREADABLE
from hoosh.dialects.ollama.wire import Line, WireCall, clean_up, read_usage
from hoosh.dialects.sniffing import media_type_in
from hoosh.errors import UpstreamError
from hoosh.values import (
    Finished,
    FinishReason,
    MediaOutput,
    ReasoningDelta,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
    new_call_id,
)

__all__ = ["Narrator", "line_error"]

FINISH = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "load": FinishReason.STOP,
    "unload": FinishReason.STOP,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class Narrator:
    """Tells lines as events, and remembers what the end must say.  `Finished` comes with the line that is `done`."""

    __slots__ = ("calls", "has_content", "has_started", "is_done", "usage")

    def __init__(self) -> None:
        self.calls = 0
        self.has_content = False
        self.has_started = False
        self.is_done = False
        self.usage: Usage | None = None

    def tell(self, line: Line, events: list[ReplyEvent]) -> None:
        """Adds to `events` what a line without an error says."""
        if not self.has_started:
            self.has_started = True
            events.append(ReplyStarted("", line.model if isinstance(line.model, str) else ""))
        said = line.message
        before = len(events)
        if said is not None:
            if said.thinking:
                events.append(ReasoningDelta(said.thinking))
            if said.content:
                events.append(TextDelta(said.content))
            if said.images:
                events.extend([_media(image) for image in said.images if image])
            if said.tool_calls:
                self._call(said.tool_calls, events)
        if line.thinking:
            events.append(ReasoningDelta(line.thinking))
        if line.response:
            events.append(TextDelta(line.response))
        if line.image:
            events.append(_media(line.image))
        if line.tool_calls:
            self._call(line.tool_calls, events)
        if len(events) != before:
            self.has_content = True
        if line.done is True:
            self.end(line, events)

    def end(self, line: Line, events: list[ReplyEvent]) -> None:
        self.is_done = True
        self.usage = read_usage(line)
        if self.usage is not None:
            events.append(UsageReported(self.usage))
        native = line.done_reason if isinstance(line.done_reason, str) else ""
        reason = FINISH.get(native, FinishReason.STOP)
        if self.calls and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        events.append(Finished(reason, native))

    def _call(self, calls: list[WireCall], events: list[ReplyEvent]) -> None:
        for call in calls:
            call_id = call.id or new_call_id()
            events.append(ToolCallStarted(self.calls, call_id, call.function.name))
            events.append(ToolCallDelta(self.calls, _arguments(call)))
            self.calls += 1


def _arguments(call: WireCall) -> str:
    """The arguments as JSON text.  Word for word, so that numbers stay as the model wrote them."""
    raw = bytes(call.function.arguments)
    if raw[:1] == b'"':  # old servers: JSON text in a string
        try:
            text = msgspec.json.decode(clean_up(raw), type=str)
        except UNREADABLE:
            return raw.decode("utf-8", "replace")
        return text if text.strip() else "{}"
    return "{}" if raw in (b"", b"null") else raw.decode("utf-8", "replace")


def _media(image: str) -> MediaOutput:
    return MediaOutput(media_type_in(image) or "image/png", image)


def line_error(error: object, *, provider: str) -> UpstreamError:
    """The error that a line tells of, whose `error` is already decoded."""
    return error_in({"error": error}, provider=provider)
