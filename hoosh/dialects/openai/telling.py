"""What one choice of an OpenAI-family answer says, piece by piece, as events.  A message is one large piece.

    piece ─┬─ reasoning_details | reasoning_content | reasoning ─▶ ReasoningDelta, ReasoningSealed
           ├─ content: text, or Mistral's list of chunks          ─▶ TextDelta, ReasoningDelta
           ├─ refusal, annotations, images                        ─▶ RefusalDelta, Annotation, MediaOutput
           └─ tool_calls, function_call                           ─▶ ToolCallStarted, ToolCallDelta

Tool calls get numbers of our own, from 0 without gaps.  A call begins when its name is known; its vendor's index says
which call a fragment belongs to, unless the id and name that come with it say that it is another one (some number every
call 0); without an index the id says it, without either it is the last call.  Who sends no id gets one from us.

Source: wire notes 2.1, 2.4, 2.8 and 2.17; OpenRouter's reasoning tokens documentation for `reasoning_details`.
"""

from __future__ import annotations

from typing import Any

from hoosh.dialects.openai.chunks import CallFunction, CallPiece, Piece, text_of
from hoosh.dialects.openai.reasoning import origin_of
from hoosh.dialects.openai.thought_chunks import told_chunks
from hoosh.values import (
    Annotation,
    Finished,
    FinishReason,
    MediaOutput,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    new_call_id,
)

__all__ = ["BROKEN_OFF", "Telling", "finished"]

REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "function_call": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral
    "insufficient_system_resource": FinishReason.LENGTH,  # DeepSeek: cut short, and the client should know
    "safety": FinishReason.CONTENT_FILTER,
    "tool_use": FinishReason.TOOL_CALLS,
}
"""Other words are ways to stop: `eos`, `end_turn`, `stop_sequence`, …"""

BROKEN_OFF = frozenset({"error", "abort", "cancelled", "timeout"})
"""Finish reasons that mean that there is no whole answer (OpenRouter, Mistral; vLLM, SGLang; TensorRT-LLM)."""


def finished(word: str, *, has_calls: bool, stop: Any = None) -> Finished:
    """The end, by the vendor's word.

    A call that was forced ends with `stop` at OpenAI, and some local servers know no other word: whoever called a tool
    waits for its result, so it is `tool_calls` here.
    """
    reason = REASONS.get(word.lower(), FinishReason.STOP)
    if has_calls and reason is FinishReason.STOP:
        reason = FinishReason.TOOL_CALLS
    return Finished(reason, word, stop if isinstance(stop, str) and stop else None)


class Telling:
    """The pieces of one choice, in their order.  `said`: something of the answer has been told."""

    __slots__ = ("_calls", "_last", "_legacy", "_pending", "said")

    def __init__(self) -> None:
        self.said = False
        self._calls: list[str] = []  # the ids of the calls that have begun, as they were told
        self._pending: dict[object, _Pending] = {}  # by the vendor's index: the call it now stands for
        self._last: _Pending | None = None
        self._legacy: _Pending | None = None

    @property
    def has_calls(self) -> bool:
        return bool(self._calls)

    def take(self, piece: Piece, out: list[ReplyEvent]) -> None:
        """Tell one delta or message into `out`."""
        told = len(out)
        if piece.reasoning_details:
            self._details(piece.reasoning_details, piece, out)
        elif text := piece.reasoning_content or piece.reasoning:
            out.append(ReasoningDelta(text))
        content = piece.content
        if content:
            if content.__class__ is str:
                out.append(TextDelta(content))
            else:
                out.extend(told_chunks(content))
        if piece.refusal:
            out.append(RefusalDelta(piece.refusal))
        if piece.annotations or piece.images or piece.audio:
            _beside_text(piece, out)
        if piece.tool_calls:
            for call in piece.tool_calls:
                self._call(call, out)
        if piece.function_call is not None:
            self._function(piece.function_call, out)
        if len(out) != told:
            self.said = True

    def end(self, out: list[ReplyEvent]) -> None:
        """No more pieces come: a call whose name never did is told without one."""
        for call in list(self._pending.values()):
            if call.number is None and (call.id or call.arguments):
                self._begin(call, out)

    def _function(self, function: CallFunction, out: list[ReplyEvent]) -> None:
        """The older form of a call: there is only one, and it has no id."""
        if self._legacy is None:
            self._legacy = _Pending("", "")
            self._pending[None] = self._legacy
        self._grow(self._legacy, function, out)

    def _details(self, details: list[Any], piece: Piece, out: list[ReplyEvent]) -> None:
        """OpenRouter's own form; where it holds only signatures and data, the text beside it is the reasoning."""
        entries = [entry for entry in details if isinstance(entry, dict)]
        beside = piece.reasoning_content or piece.reasoning
        if beside and not any(entry.get("text") or entry.get("summary") for entry in entries):
            out.append(ReasoningDelta(beside))
        for entry in entries:
            if text := text_of(entry.get("text")) or text_of(entry.get("summary")):
                out.append(ReasoningDelta(text))
            signature, data = text_of(entry.get("signature")) or "", text_of(entry.get("data")) or ""
            if signature or data:
                origin = origin_of(text_of(entry.get("format")) or "")
                out.append(ReasoningSealed(origin, signature, data, text_of(entry.get("id")) or ""))

    def _call(self, piece: CallPiece, out: list[ReplyEvent]) -> None:
        function = piece.function
        name = function.name if function is not None else None
        call = self._find(piece, name)
        if call is None:
            call = _Pending(piece.id or "", _signature(piece.extra_content))
            key: object = piece.index if piece.index is not None else object()
            self._pending[key] = call
        elif piece.id and not call.id:
            call.id = piece.id
        self._last = call
        if function is not None:
            self._grow(call, function, out)

    def _find(self, piece: CallPiece, name: str | None) -> _Pending | None:
        """The call that a piece goes on with; None where it begins one."""
        if piece.index is not None:
            call = self._pending.get(piece.index)
            other = call is not None and piece.id and name and call.id and piece.id != call.id
            return None if other else call
        if piece.id:
            return next((call for call in self._pending.values() if call.id == piece.id), None)
        return None if name else self._last

    def _grow(self, call: _Pending, function: CallFunction, out: list[ReplyEvent]) -> None:
        if call.number is not None:
            if function.arguments:
                out.append(ToolCallDelta(call.number, function.arguments))
            return
        call.name = call.name or function.name or ""
        call.arguments += function.arguments or ""
        if call.name:
            self._begin(call, out)

    def _begin(self, call: _Pending, out: list[ReplyEvent]) -> None:
        call.number = len(self._calls)
        call.id = call.id or new_call_id()
        self._calls.append(call.id)
        out.append(ToolCallStarted(call.number, call.id, call.name, call.signature))
        if call.arguments:
            out.append(ToolCallDelta(call.number, call.arguments))


class _Pending:
    """A tool call.  `number` is None until it has begun."""

    __slots__ = ("arguments", "id", "name", "number", "signature")

    def __init__(self, id: str, signature: str) -> None:
        self.id = id
        self.name = ""
        self.arguments = ""
        self.number: int | None = None
        self.signature = signature


def _beside_text(piece: Piece, out: list[ReplyEvent]) -> None:
    """What goes with the text, and so before the calls: annotations must follow the words that they are about."""
    out.extend(filter(None, map(_annotation, piece.annotations or ())))
    out.extend(filter(None, map(_image, piece.images or ())))
    if isinstance(piece.audio, dict) and (transcript := text_of(piece.audio.get("transcript"))):
        out.append(TextDelta(transcript))


def _annotation(annotation: object) -> Annotation | None:
    inner = annotation.get("url_citation") if isinstance(annotation, dict) else None
    if not isinstance(inner, dict) or not (url := text_of(inner.get("url"))):
        return None
    start, end = _offset(inner.get("start_index")), _offset(inner.get("end_index"))
    return Annotation(url, text_of(inner.get("title")) or "", start, end, text_of(inner.get("content")) or "")


def _offset(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def _image(image: object) -> MediaOutput | None:
    """OpenRouter's generated images are `data:` URLs."""
    inner = image.get("image_url") if isinstance(image, dict) else None
    url = text_of(inner.get("url")) if isinstance(inner, dict) else None
    if url is None or not url.startswith("data:"):
        return None
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, coding = head.partition(";")
    return MediaOutput(media_type, data) if comma and coding == "base64" else None


def _signature(extra: object) -> str:
    """Gemini's signature of a call, as its OpenAI surface writes it."""
    google = extra.get("google") if isinstance(extra, dict) else None
    return (text_of(google.get("thought_signature")) or "") if isinstance(google, dict) else ""
