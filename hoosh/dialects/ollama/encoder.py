"""Events as an Ollama client's stream: a line for each delta, the calls whole, then the end.

    TextDelta, ReasoningDelta ─▶ a line each          tool calls ─▶ gathered by index, told by `finish`, one line a call
    Finished, UsageReported   ─▶ noted                finish     ─▶ the line with `done: true`

Ollama's clients know whole calls only, and the fragments of several may be interleaved: they are written when the
stream has come to its end, so a stream that breaks off has called nothing.  Refusals are text here.  Annotations and
signatures of thoughts have no place in this language; a call's signature travels in its id.
"""

from __future__ import annotations

from collections.abc import Sequence

from hoosh.dialects.contract import Stamp
from hoosh.dialects.ollama.lines import Content, Lines
from hoosh.values import (
    Call,
    CallSaid,
    Finished,
    FinishReason,
    MediaOutput,
    ReasoningDelta,
    RefusalDelta,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

__all__ = ["OllamaEncoder"]

NOT_SAID = Finished(FinishReason.STOP)


class OllamaEncoder:
    """A `StreamEncoder`."""

    __slots__ = ("_calls", "_finish", "_kind", "_lines", "_stamp", "_usage", "chunks")

    def __init__(self, call: Call, stamp: Stamp) -> None:
        self.chunks = 0
        self._kind = call.kind
        self._stamp = stamp
        self._lines = Lines(call.kind, "", stamp)
        self._calls: dict[int, tuple[ToolCallStarted, list[str]]] = {}
        self._finish = NOT_SAID
        self._usage: Usage | None = None

    def encode(self, events: Sequence[ReplyEvent]) -> bytes:
        out: list[bytes] = []
        lines = self._lines
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                out.append(lines.text(event.text))  # type: ignore[union-attr]
            elif kind is ReasoningDelta:
                out.append(lines.thought(event.text))  # type: ignore[union-attr]
            else:
                out += self._take(event)
                lines = self._lines
        self.chunks += len(out)
        return b"".join(out)

    def finish(self) -> bytes:
        # A call that the limit has cut before its first argument must not look whole: what is no JSON becomes text.
        unsaid = "{" if self._finish.reason is FinishReason.LENGTH else ""
        calls = [
            CallSaid(start.id, start.name, "".join(fragments) or unsaid, start.signature)
            for _, (start, fragments) in sorted(self._calls.items())
        ]
        out = [self._lines.content(Content(calls=(call,), first_call=index)) for index, call in enumerate(calls)]
        self.chunks += len(out)
        return b"".join([*out, self._lines.end(self._finish, self._usage)])

    def _take(self, event: ReplyEvent) -> list[bytes]:
        """What comes rarely."""
        match event:
            case ReplyStarted():
                self._lines = Lines(self._kind, event.model, self._stamp)
            case ToolCallStarted():
                self._calls[event.index] = (event, [])
            case ToolCallDelta():
                self._calls[event.index][1].append(event.arguments)
            case MediaOutput() if event.media_type.startswith("image/"):
                return [self._lines.content(Content(images=(event.base64,)))]
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finish = event
        return []
