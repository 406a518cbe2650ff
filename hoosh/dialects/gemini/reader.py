"""What Gemini says, as events: an answer is read like an event of a stream, because it looks like one.

    part                         events
    text                         TextDelta                     thought: true → ReasoningDelta
    functionCall                 ToolCallStarted, ToolCallDelta: whole, with its thoughtSignature
    a piece of a functionCall    ToolCallStarted with the first, one ToolCallDelta after the last (`partial_calls`)
    inlineData                   MediaOutput (not those of a thought: sketches)
    thoughtSignature elsewhere   ReasoningSealed after the part's text: `contents` puts it back onto that text
    parts of Google's tools      OpaqueOutput, the signature within

The end is told once, when the upstream has closed: older models repeat `finishReason: STOP` in every event.
Only candidate 0 is read; more were never asked for.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from hoosh.dialects.gemini.citations import citations, groundings
from hoosh.dialects.gemini.partial_calls import PartialCall
from hoosh.dialects.gemini.wire import (
    BROKEN_WORDS,
    OPAQUE_KINDS,
    Answer,
    Candidate,
    FunctionCall,
    Part,
    finish_reason,
    has,
    loads,
    read_usage,
)
from hoosh.errors import UpstreamBroke
from hoosh.values import (
    Annotation,
    Finished,
    FinishReason,
    MediaOutput,
    OpaqueOutput,
    ReasoningDelta,
    ReasoningSealed,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
    new_call_id,
)

__all__ = ["ORIGIN", "AnswerReader"]

ORIGIN = "gemini"
MESSAGE_CHARS_MAX = 500


class AnswerReader:
    """The answers of one reply, one after another, as events.  Nothing here raises but UpstreamBroke."""

    __slots__ = (
        "_begins_open",
        "_blocked",
        "_calls",
        "_cited",
        "_partial",
        "_provider",
        "_started",
        "_texts",
        "_usages",
        "_word",
        "has_content",
        "usage",
    )

    def __init__(self, *, provider: str) -> None:
        self.has_content = False
        self.usage: Usage | None = None
        self._provider = provider
        self._started = False
        self._begins_open = False  # the first answer did not come with a finish reason
        self._calls = 0
        self._partial: PartialCall | None = None
        self._texts: list[str] = []
        self._cited: set[Annotation] = set()
        self._word = ""
        self._blocked = ""
        self._usages: list[Raw] = []  # counted since the last report

    @property
    def has_finished(self) -> bool:
        """It has said why it stopped, and is not one of those who say so in every event."""
        return bool(self._blocked or (self._word and (self._begins_open or self._word != "STOP")))

    def take(self, answer: Answer, events: list[ReplyEvent]) -> None:
        """One answer, or the next event of a stream.  Raises UpstreamBroke."""
        if not self._started:
            self._started = True
            self._begins_open = not any(candidate.finishReason for candidate in answer.candidates or ())
            events.append(ReplyStarted(_str(answer.responseId), _str(answer.modelVersion)))
        if answer.candidates:
            for candidate in answer.candidates:
                if not candidate.index:
                    self._take_candidate(candidate, events)
        if len(answer.usageMetadata):
            self._usages.append(answer.usageMetadata)
        if answer.promptFeedback is not None:
            self._note_block(answer.promptFeedback)

    def report_usage(self, events: list[ReplyEvent]) -> None:
        """What has been counted up to here: cumulative, so only the last that counts anything is read."""
        usage = next((usage for raw in reversed(self._usages) if (usage := read_usage(raw)) is not None), None)
        self._usages.clear()
        if usage is not None and usage != self.usage:
            self.usage = usage
            events.append(UsageReported(usage))

    def end(self) -> Finished | None:
        """Why it stopped; None where nobody has said."""
        if self._word:
            return Finished(finish_reason(self._word, called=self._calls > 0), self._word)
        return Finished(FinishReason.CONTENT_FILTER, self._blocked) if self._blocked else None

    def _take_candidate(self, candidate: Candidate, events: list[ReplyEvent]) -> None:
        start = len(events)
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                self._take_part(part, events)
        if len(candidate.groundingMetadata) or len(candidate.citationMetadata):
            self._cite(candidate, events, start)
        word = candidate.finishReason
        if word:
            if word in BROKEN_WORDS:
                raise self._broken(word, candidate.finishMessage)
            self._end_partial(events)
            self._word = word

    def _take_part(self, part: Part, events: list[ReplyEvent]) -> None:
        if part.text:
            self.has_content = True
            if part.thought:
                events.append(ReasoningDelta(part.text))
            else:
                self._texts.append(part.text)
                events.append(TextDelta(part.text))
        elif part.functionCall is not None:
            self._take_call(part.functionCall, part.thoughtSignature or "", events)
            return
        elif part.text is None and self._take_rarity(part, events):
            return
        if part.thoughtSignature:
            events.append(ReasoningSealed(ORIGIN, part.thoughtSignature))

    def _take_call(self, call: FunctionCall, signature: str, events: list[ReplyEvent]) -> None:
        if not call.name:
            self._go_on(call, events)
            return
        self._end_partial(events)
        if call.willContinue or call.partialArgs:
            self._start_call(call, signature, events)
            self._partial = PartialCall(self._calls - 1)
            self._go_on(call, events)
            return
        args = bytes(call.args) if has(call.args) else b"{}"
        if args[:1] != b"{":
            raise UpstreamBroke("The upstream called a function with unreadable arguments.", provider=self._provider)
        self._start_call(call, signature, events)
        events.append(ToolCallDelta(self._calls - 1, args.decode("utf-8", "replace")))

    def _start_call(self, call: FunctionCall, signature: str, events: list[ReplyEvent]) -> None:
        self.has_content = True
        events.append(ToolCallStarted(self._calls, call.id or new_call_id(), call.name or "", signature))
        self._calls += 1

    def _go_on(self, call: FunctionCall, events: list[ReplyEvent]) -> None:
        """A piece of the call that is open."""
        if self._partial is None:
            raise UpstreamBroke("The upstream called a function without a name.", provider=self._provider)
        try:
            for arg in call.partialArgs or ():
                self._partial.add(arg)
        except ValueError:
            raise UpstreamBroke(
                "The upstream called a function with unreadable arguments.", provider=self._provider
            ) from None
        if not call.willContinue:
            self._end_partial(events)

    def _end_partial(self, events: list[ReplyEvent]) -> None:
        if self._partial is not None:
            events.append(ToolCallDelta(self._partial.index, self._partial.json()))
            self._partial = None

    def _take_rarity(self, part: Part, events: list[ReplyEvent]) -> bool:
        """True where the part, its signature included, is dealt with."""
        if part.inlineData is not None:
            if not part.thought:
                self.has_content = True
                events.append(MediaOutput(part.inlineData.mimeType, part.inlineData.data))
            return False
        for kind in OPAQUE_KINDS:
            raw: Raw = getattr(part, kind)
            if has(raw):
                self.has_content = True
                whole: dict[str, object] = {kind: raw}
                if part.thought:
                    whole["thought"] = True
                if part.thoughtSignature:
                    whole["thoughtSignature"] = part.thoughtSignature
                events.append(OpaqueOutput(ORIGIN, kind, Raw(msgspec.json.encode(whole))))
                return True
        return False

    def _cite(self, candidate: Candidate, events: list[ReplyEvent], start: int) -> None:
        """Put new annotations behind the last text of this candidate, before a signature that closes it."""
        text = "".join(self._texts)
        found = groundings(loads(candidate.groundingMetadata), text) if has(candidate.groundingMetadata) else []
        if has(candidate.citationMetadata):
            found += citations(loads(candidate.citationMetadata), text)
        new = [note for note in dict.fromkeys(found) if note not in self._cited]
        self._cited.update(new)
        texts = [at for at in range(start, len(events)) if isinstance(events[at], TextDelta)]
        place = texts[-1] + 1 if texts else start
        events[place:place] = new

    def _note_block(self, feedback: object) -> None:
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if isinstance(reason, str) and reason:
            self._blocked = reason

    def _broken(self, word: str, message: object) -> UpstreamBroke:
        told = message if isinstance(message, str) and message else f"The model stopped with {word}."
        return UpstreamBroke(told[:MESSAGE_CHARS_MAX], provider=self._provider, code=word.lower())


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
