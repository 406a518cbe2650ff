"""A reply's events as OpenAI's stream: `data:` lines, one chunk each, the same id, time and model on every one.

    role ─▶ (text | refusal | reasoning | tool call | annotation | image)* ─▶ finish reason ─▶ usage, for who asked

The role comes with the first piece of the answer: `content` is "" before text, null before a tool call.  A call begins
with its id, name and no arguments; fragments follow under its index; one that gets none at all is given `{}` at the
end, which is what a client expects to parse.

Reasoning is `reasoning_content` for who only reads text, and beside it `reasoning_details` in OpenRouter's fragments,
because whether a thought will be signed is known only when it is over: a client that gives back the details it has
gathered gives back thought and signature together.

Everything in a list has an index, by which OpenAI's SDK adds a stream up; it refuses one without.

What is the same on every chunk is written once: a delta costs one JSON string between two constants.

Source: wire notes 2.1 and 2.8; CreateChatCompletionStreamResponse in `openai-openapi.trimmed.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import encode_safely, quote
from hoosh.dialects.openai.replies import annotation_json, finish_reason, image_json, usage_json
from hoosh.dialects.openai.thoughts import seal_of
from hoosh.values import (
    Annotation,
    Finished,
    FinishReason,
    MediaOutput,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

__all__ = ["ChatEncoder", "CompletionEncoder"]

STOP = Finished(FinishReason.STOP)


class _Encoder:
    """What both streams have in common: the head, the count, and what is kept for the end."""

    object = b""
    id_prefix = ""

    def __init__(self, stamp: Stamp, *, include_usage: bool) -> None:
        self.chunks = 0
        self._stamp = stamp
        self._include_usage = include_usage
        self._head = b""
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._usage: Usage | None = None
        self._finished = STOP

    def _open(self, model: str) -> None:
        """Fix what every chunk begins with."""
        stamp = self._stamp
        self._head = b'data: {"id":%b,"object":"%b","created":%d,"model":%b,"choices":[' % (
            quote(self.id_prefix + stamp.reply_id),
            self.object,
            stamp.created_s,
            quote(model or stamp.model),
        )

    def _usage_chunk(self) -> bytes:
        if not self._include_usage or self._usage is None:
            return b""
        return b'%b],"usage":%b}\n\n' % (self._head, encode_safely(usage_json(self._usage, self._stamp)))


class ChatEncoder(_Encoder):
    """A `StreamEncoder` of `chat.completion.chunk`."""

    object = b"chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def __init__(self, stamp: Stamp, *, include_usage: bool = False, show_reasoning: bool = True) -> None:
        super().__init__(stamp, include_usage=include_usage)
        self._show_reasoning = show_reasoning
        self._has_role = False
        self._silent_calls: dict[int, None] = {}  # those without a fragment yet, in their order
        self._has_calls = False
        self._thoughts = self._annotations = self._images = 0
        self._is_thinking = False
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        self._after_call = b"}}]" + self._after
        self._handlers: dict[type, Callable[[Any], bytes]] = {
            ReasoningDelta: self._reasoning,
            ReasoningSealed: self._sealed,
            RefusalDelta: self._refusal,
            ToolCallStarted: self._call,
            Annotation: self._annotation,
            MediaOutput: self._media,
        }

    def encode(self, events: Sequence[ReplyEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            kind = type(event)
            if kind is TextDelta and self._has_role:
                self._is_thinking = False
                out.append(self._before_text + quote(event.text) + self._after)  # type: ignore[union-attr]
                self.chunks += 1
            elif kind is ToolCallDelta:
                out.append(self._arguments(event))  # type: ignore[arg-type]
            else:
                out.append(self._rarely(event))
        return b"".join(out)

    def finish(self) -> bytes:
        opening = b"" if self._has_role else self._begin(b'""')
        # A call that the limit has cut before its first argument must not look whole.
        silent = [] if self._finished.reason is FinishReason.LENGTH else list(self._silent_calls)
        fragments = [self._fragment(index, "{}") for index in silent]
        reason = finish_reason(self._finished, has_calls=self._has_calls)
        end = b'%b{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b"}]%b' % (
            self._head,
            reason.encode(),
            self._tail,
        )
        return b"".join([opening, *fragments, end, self._usage_chunk()])

    # -- events -----------------------------------------------------------------------------------------------

    def _rarely(self, event: ReplyEvent) -> bytes:
        kind = type(event)
        if kind is TextDelta:
            return self._first_text(event.text)  # type: ignore[union-attr]
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(event)
        if isinstance(event, ReplyStarted):
            if not self._head:
                self._open(event.model)
        elif isinstance(event, UsageReported):
            self._usage = event.usage
        elif isinstance(event, Finished):
            self._finished = event
        return b""  # OpaqueOutput is another dialect's

    def _first_text(self, text: str) -> bytes:
        opening = self._begin(b'""')
        self.chunks += 1
        return opening + self._before_text + quote(text) + self._after

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if not self._show_reasoning:
            return b""
        if not self._is_thinking:
            self._is_thinking = True
            self._thoughts += 1
        self.chunks += 1
        text = quote(event.text)
        delta = b'"reasoning_content":%b,"reasoning_details":[{"type":"reasoning.text","text":%b,"index":%d}]'
        return self._chunk(delta % (text, text, self._thoughts - 1))

    def _sealed(self, event: ReasoningSealed) -> bytes:
        if not self._show_reasoning or not (event.signature or event.data):
            self._is_thinking = False
            return b""
        if not self._is_thinking:
            self._thoughts += 1
        return self._piece({"reasoning_details": [seal_of(event, self._thoughts - 1)]})

    def _refusal(self, event: RefusalDelta) -> bytes:
        return self._piece({"refusal": event.text})

    def _call(self, event: ToolCallStarted) -> bytes:
        self._has_calls = True
        self._silent_calls[event.index] = None
        call = {"index": event.index, "id": event.id, "type": "function"}
        call["function"] = {"name": event.name, "arguments": ""}
        if event.signature:
            call["extra_content"] = {"google": {"thought_signature": event.signature}}
        return self._piece({"tool_calls": [call]}, content=b"null")

    def _arguments(self, event: ToolCallDelta) -> bytes:
        if not event.arguments:
            return b""
        if self._silent_calls:
            self._silent_calls.pop(event.index, None)
        self.chunks += 1
        return self._fragment(event.index, event.arguments)

    def _annotation(self, event: Annotation) -> bytes:
        self._annotations += 1
        return self._piece({"annotations": [{"index": self._annotations - 1, **annotation_json(event)}]})

    def _media(self, event: MediaOutput) -> bytes:
        self._images += 1
        return self._piece({"images": [{"index": self._images - 1, **image_json(event)}]})

    # -- chunks -----------------------------------------------------------------------------------------------

    def _begin(self, content: bytes) -> bytes:
        """The chunk with the role, which every other one follows."""
        if not self._head:
            self._open("")
        self._has_role = True
        before = self._head + b'{"index":0,"delta":{'
        self._before = before
        self._before_text = before + b'"content":'
        return b'%b"role":"assistant","content":%b,"refusal":null%b' % (before, content, self._after)

    def _chunk(self, delta: bytes, content: bytes = b'""') -> bytes:
        opening = b"" if self._has_role else self._begin(content)
        return opening + self._before + delta + self._after

    def _piece(self, delta: dict[str, Any], content: bytes = b'""') -> bytes:
        self.chunks += 1
        self._is_thinking = False
        return self._chunk(encode_safely(delta)[1:-1], content)

    def _fragment(self, index: int, arguments: str) -> bytes:
        opening = b"" if self._has_role else self._begin(b"null")
        call = b'"tool_calls":[{"index":%d,"function":{"arguments":' % index
        return opening + self._before + call + quote(arguments) + self._after_call


class CompletionEncoder(_Encoder):
    """A `StreamEncoder` of `text_completion`, which knows text and nothing else: a refusal is told as text."""

    object = b"text_completion"
    id_prefix = "cmpl-"

    def encode(self, events: Sequence[ReplyEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta | RefusalDelta):
                self.chunks += 1
                out.append(self._choice(event.text, b"null"))
            elif isinstance(event, ReplyStarted):
                if not self._head:
                    self._open(event.model)
            elif isinstance(event, UsageReported):
                self._usage = event.usage
            elif isinstance(event, Finished):
                self._finished = event
        return b"".join(out)

    def finish(self) -> bytes:
        reason = finish_reason(self._finished, has_calls=False)
        return self._choice("", b'"%b"' % reason.encode()) + self._usage_chunk()

    def _choice(self, text: str, reason: bytes) -> bytes:
        if not self._head:
            self._open("")
        choice = b'{"text":%b,"index":0,"logprobs":null,"finish_reason":%b}]' % (quote(text), reason)
        return self._head + choice + self._tail
