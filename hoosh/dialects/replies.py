"""Between the events of a reply and its whole: `fold` adds up, `unfold` tells again.  `fold(unfold(r)) == r`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hoosh.values import (
    Annotation,
    CallSaid,
    ChatReply,
    Finished,
    MediaOutput,
    OpaqueOutput,
    ReasoningDelta,
    ReasoningSaid,
    ReasoningSealed,
    RefusalDelta,
    RefusalSaid,
    ReplyEvent,
    ReplyPart,
    ReplyStarted,
    TextDelta,
    TextSaid,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

__all__ = ["fold", "unfold"]


def fold(events: Iterable[ReplyEvent]) -> ChatReply:
    """The whole that the events of a complete stream add up to.  Raises ValueError without a `Finished`."""
    folder = _Folder()
    for event in events:
        folder.take(event)
    return folder.whole()


def unfold(reply: ChatReply) -> Iterator[ReplyEvent]:
    """The events of a whole reply: one delta a part."""
    yield ReplyStarted(reply.id, reply.model)
    index = 0
    for part in reply.parts:
        match part:
            case TextSaid():
                yield TextDelta(part.text)
                yield from part.annotations
            case ReasoningSaid():
                if part.text:
                    yield ReasoningDelta(part.text)
                if part.signature or part.data or part.id:
                    yield ReasoningSealed(part.origin, part.signature, part.data, part.id)
            case CallSaid():
                yield ToolCallStarted(index, part.id, part.name, part.signature)
                yield ToolCallDelta(index, part.arguments)
                index += 1
            case RefusalSaid():
                yield RefusalDelta(part.text)
            case MediaOutput() | OpaqueOutput():
                yield part
    yield reply.finish
    if reply.usage is not None:
        yield UsageReported(reply.usage)


class _Folder:
    """Parts in the making.  Texts are gathered in lists and joined once."""

    def __init__(self) -> None:
        self._parts: list[ReplyPart] = []
        self._calls: dict[int, tuple[int, list[str]]] = {}  # index of a call -> place among the parts, fragments
        self._text: list[str] = []
        self._kind: type[TextSaid] | type[ReasoningSaid] | type[RefusalSaid] | None = None
        self._annotations: list[Annotation] = []
        self._started = ReplyStarted()
        self._usage: Usage | None = None
        self._finish: Finished | None = None

    def take(self, event: ReplyEvent) -> None:
        match event:
            case TextDelta():
                self._grow(TextSaid, event.text)
            case ReasoningDelta():
                self._grow(ReasoningSaid, event.text)
            case RefusalDelta():
                self._grow(RefusalSaid, event.text)
            case Annotation():
                self._grow(TextSaid, "")
                self._annotations.append(event)
            case ReasoningSealed():
                if self._kind is not ReasoningSaid:
                    self._close()
                text = "".join(self._text)
                self._forget()
                self._parts.append(ReasoningSaid(text, event.signature, event.data, event.origin, event.id))
            case ToolCallStarted():
                self._close()
                self._calls[event.index] = (len(self._parts), [])
                self._parts.append(CallSaid(event.id, event.name, "", event.signature))
            case ToolCallDelta():
                self._calls[event.index][1].append(event.arguments)
            case MediaOutput() | OpaqueOutput():
                self._close()
                self._parts.append(event)
            case ReplyStarted():
                self._started = event
            case UsageReported():
                self._usage = event.usage
            case Finished():
                self._finish = event

    def whole(self) -> ChatReply:
        self._close()
        for place, fragments in self._calls.values():
            call = self._parts[place]
            assert isinstance(call, CallSaid)
            self._parts[place] = CallSaid(call.id, call.name, "".join(fragments) or "{}", call.signature)
        if self._finish is None:
            raise ValueError("the stream has no end")
        return ChatReply(tuple(self._parts), self._finish, self._usage, self._started.id, self._started.model)

    def _grow(self, kind: type[TextSaid] | type[ReasoningSaid] | type[RefusalSaid], text: str) -> None:
        if self._kind is not kind:
            self._close()
            self._kind = kind
        self._text.append(text)

    def _close(self) -> None:
        text = "".join(self._text)
        if self._kind is TextSaid:
            if text or self._annotations:
                self._parts.append(TextSaid(text, tuple(self._annotations)))
        elif self._kind is not None and text:
            self._parts.append(self._kind(text))
        self._forget()

    def _forget(self) -> None:
        self._text = []
        self._annotations = []
        self._kind = None
