"""A chat reply in our own words: the events of a stream, and the whole that they add up to.

    ReplyStarted → (text | reasoning | tool call | …)* → Finished          UsageReported at any time, the last counts

The order of events is the order of the answer.  Text, reasoning and calls come as deltas; a delta of another kind (or
with another tool index) ends the block before it.  `Finished` comes once and nothing but usage after it.  An error is
no event: it is what the decoder says of the stream as a whole.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Raw, Struct

from hoosh.values.usage import Usage

__all__ = [
    "Annotation",
    "CallSaid",
    "ChatReply",
    "FinishReason",
    "Finished",
    "MediaOutput",
    "OpaqueOutput",
    "ReasoningDelta",
    "ReasoningSaid",
    "ReasoningSealed",
    "RefusalDelta",
    "RefusalSaid",
    "ReplyEvent",
    "ReplyPart",
    "ReplyStarted",
    "TextDelta",
    "TextSaid",
    "ToolCallDelta",
    "ToolCallStarted",
    "UsageReported",
]


class FinishReason(StrEnum):
    """Why the model stopped, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class ReplyStarted(Struct, frozen=True, gc=False, tag="started"):
    """The first event.  "" where the upstream gives no id or model."""

    id: str = ""
    model: str = ""


class TextDelta(Struct, frozen=True, gc=False, tag="text"):
    text: str


class ReasoningDelta(Struct, frozen=True, gc=False, tag="reasoning"):
    text: str


class ReasoningSealed(Struct, frozen=True, gc=False, tag="sealed"):
    """Ends the reasoning block before it (which may be empty) with what its provider wants back: a `signature` over
    the text, or `data` instead of any."""

    origin: str
    signature: str = ""
    data: str = ""
    id: str = ""


class ToolCallStarted(Struct, frozen=True, gc=False, tag="call"):
    """`index` numbers the calls of a reply from 0, without gaps."""

    index: int
    id: str
    name: str
    signature: str = ""


class ToolCallDelta(Struct, frozen=True, gc=False, tag="arguments"):
    """A fragment of the JSON text of call `index`.  Whole arguments are one fragment; none at all mean `{}`."""

    index: int
    arguments: str


class RefusalDelta(Struct, frozen=True, gc=False, tag="refusal"):
    text: str


class Annotation(Struct, frozen=True, tag="annotation"):
    """A citation of the text before it."""

    url: str
    title: str = ""
    start: int | None = None
    """Character offsets in the whole text of the answer, where the provider says them."""
    end: int | None = None
    cited: str = ""
    """The words of the source."""


class MediaOutput(Struct, frozen=True, tag="media"):
    """An image or sound that the model made."""

    media_type: str
    base64: str


class OpaqueOutput(Struct, frozen=True, tag="opaque"):
    """A whole block that only `dialect` knows, as raw JSON.  Encoders of other dialects leave it out."""

    dialect: str
    kind: str
    raw: Raw


class UsageReported(Struct, frozen=True, tag="usage"):
    """Counts so far: the last one is the reply's."""

    usage: Usage


class Finished(Struct, frozen=True, gc=False, tag="finished"):
    reason: FinishReason
    native: str = ""
    """The provider's own word."""
    stop_sequence: str | None = None


ReplyEvent = (
    ReplyStarted
    | TextDelta
    | ReasoningDelta
    | ReasoningSealed
    | ToolCallStarted
    | ToolCallDelta
    | RefusalDelta
    | Annotation
    | MediaOutput
    | OpaqueOutput
    | UsageReported
    | Finished
)


# -- the whole ---------------------------------------------------------------------------------------------------


class TextSaid(Struct, frozen=True, tag="text"):
    text: str
    annotations: tuple[Annotation, ...] = ()


class ReasoningSaid(Struct, frozen=True, tag="reasoning"):
    text: str = ""
    signature: str = ""
    data: str = ""
    origin: str = ""
    id: str = ""


class CallSaid(Struct, frozen=True, tag="call"):
    id: str
    name: str
    arguments: str
    """JSON text; `{}` where the model gave none."""
    signature: str = ""


class RefusalSaid(Struct, frozen=True, tag="refusal"):
    text: str


ReplyPart = TextSaid | ReasoningSaid | CallSaid | RefusalSaid | MediaOutput | OpaqueOutput


class ChatReply(Struct, frozen=True):
    """A whole reply.  `hoosh.dialects.replies` folds events into one, and unfolds one into events."""

    parts: tuple[ReplyPart, ...]
    finish: Finished
    usage: Usage | None = None
    id: str = ""
    model: str = ""

    @property
    def text(self) -> str:
        return "".join([part.text for part in self.parts if isinstance(part, TextSaid)])

    @property
    def reasoning(self) -> str:
        return "".join([part.text for part in self.parts if isinstance(part, ReasoningSaid)])

    @property
    def refusal(self) -> str:
        return "".join([part.text for part in self.parts if isinstance(part, RefusalSaid)])

    @property
    def calls(self) -> tuple[CallSaid, ...]:
        return tuple(part for part in self.parts if isinstance(part, CallSaid))
