"""Gemini's answers, as far as hoosh looks at them.

What the answer consists of is typed: a wrong type there makes the event unreadable, because a translated answer with
a hole must not look whole.  What merely accompanies it is `Raw` or `Any`, decoded only where it is needed, and counts
for nothing where it makes no sense.

Source: ai.google.dev/api/generate-content (GenerateContentResponse); wire notes 2.3.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.gemini.partial_calls import PartialArg
from hoosh.dialects.loose_json import UNREADABLE, read_count
from hoosh.values import FinishReason, Usage

__all__ = ["BROKEN_WORDS", "OPAQUE_KINDS", "Answer", "Candidate", "FunctionCall", "InlineData", "Part"]
__all__ += ["decode_answer", "finish_reason", "has", "loads", "read_usage"]

NOTHING = Raw(b"")

OPAQUE_KINDS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse", "fileData")
"""Parts of Google's own tools: nobody else has a word for them."""


class FunctionCall(Struct, gc=False):
    """Whole; or a piece of one, see `partial_calls`."""

    name: str | None = None
    args: Raw = NOTHING
    id: str | None = None
    partialArgs: list[PartialArg] | None = None
    willContinue: bool | None = None


class InlineData(Struct, gc=False):
    data: str
    mimeType: str = "application/octet-stream"


class Part(Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None
    functionCall: FunctionCall | None = None
    inlineData: InlineData | None = None
    executableCode: Raw = NOTHING
    codeExecutionResult: Raw = NOTHING
    toolCall: Raw = NOTHING
    toolResponse: Raw = NOTHING
    fileData: Raw = NOTHING


class Content(Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(Struct, gc=False):
    content: Content | None = None
    finishReason: str | None = None
    index: Any = 0
    finishMessage: Any = None
    groundingMetadata: Raw = NOTHING
    citationMetadata: Raw = NOTHING


class Answer(Struct, gc=False):
    """A whole answer, or one event of a stream: they look the same."""

    candidates: list[Candidate] | None = None
    promptFeedback: Any = None
    usageMetadata: Raw = NOTHING
    modelVersion: Any = None
    responseId: Any = None
    error: Any = None


class Usages(Struct, gc=False):
    """usageMetadata as it is documented."""

    promptTokenCount: int = 0
    candidatesTokenCount: int = 0
    thoughtsTokenCount: int = 0
    cachedContentTokenCount: int = 0
    toolUsePromptTokenCount: int = 0
    totalTokenCount: int = 0
    promptTokensDetails: list[dict[str, Any]] | None = None
    candidatesTokensDetails: list[dict[str, Any]] | None = None


COUNTS = Usages.__struct_fields__[:6]

decode_answer = msgspec.json.Decoder(Answer).decode
_decode_usages = msgspec.json.Decoder(Usages).decode
_decode_any = msgspec.json.Decoder().decode


def has(raw: Raw) -> bool:
    return len(raw) > 0 and bytes(raw) != b"null"


def loads(raw: Raw | bytes) -> Any:
    """Any JSON; None where it is none."""
    try:
        return _decode_any(raw)
    except UNREADABLE:
        return None


# -- why it stopped ----------------------------------------------------------------------------------------------

FILTERS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "LANGUAGE",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
BROKEN_WORDS = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)
"""The model did not get its answer out: an error of the upstream, never an answer."""


def finish_reason(word: str, *, called: bool) -> FinishReason:
    """Google says STOP after tool calls too."""
    if word in FILTERS:
        return FinishReason.CONTENT_FILTER
    if word == "MAX_TOKENS":
        return FinishReason.LENGTH
    return FinishReason.TOOL_CALLS if called else FinishReason.STOP


# -- usage -------------------------------------------------------------------------------------------------------


def read_usage(raw: Raw | bytes) -> Usage | None:
    """In our terms; None when it counts nothing.

    Google counts side by side what we count within: thoughts are not among the candidates' tokens, and what its own
    tools added to the prompt is not in promptTokenCount (`totalTokenCount` is the sum of all four).  Some models count
    their thoughts among the candidates' tokens nevertheless: then the total says so.
    """
    try:
        usages = _decode_usages(raw)
    except UNREADABLE:
        usages = _read_leniently(loads(raw))
    prompt = read_count(usages.promptTokenCount) + read_count(usages.toolUsePromptTokenCount)
    reasoning = read_count(usages.thoughtsTokenCount)
    candidates = read_count(usages.candidatesTokenCount)
    thought_within = reasoning <= candidates and prompt + candidates == read_count(usages.totalTokenCount)
    completion = candidates if thought_within else candidates + reasoning
    if not prompt and not completion:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=min(read_count(usages.cachedContentTokenCount), prompt),
        reasoning_tokens=reasoning,
        audio_prompt_tokens=min(_audio(usages.promptTokensDetails), prompt),
        audio_completion_tokens=min(_audio(usages.candidatesTokensDetails), completion),
    )


def _read_leniently(usage: object) -> Usages:
    fields = usage if isinstance(usage, dict) else {}
    prompt, candidates, thoughts, cached, tools, total = (read_count(fields.get(name)) for name in COUNTS)
    return Usages(prompt, candidates, thoughts, cached, tools, total)


def _audio(details: list[dict[str, Any]] | None) -> int:
    return sum(read_count(detail.get("tokenCount")) for detail in details or () if detail.get("modality") == "AUDIO")
