"""Reasoning in OpenAI's language, which has no word for it: OpenRouter's `reasoning_details` (reasoning.py), both ways.

Details of one `index` that follow each other are one thought: a stream brings them in fragments, and OpenAI's items
have a summary beside their encrypted text.

In a history `reasoning_details` count before LiteLLM's `thinking_blocks`, and both before the plain text in
`reasoning_content` (DeepSeek and others) or `reasoning` (OpenRouter, Groq, vLLM), which nobody has signed.

Source: wire notes 2.8 and 2.17; OpenRouter's "Preserving Reasoning Blocks".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from hoosh.dialects.openai.body import Detail, Piece, Said
from hoosh.dialects.openai.reasoning import format_of, origin_of
from hoosh.values import ReasoningPart, ReasoningSaid, ReasoningSealed

__all__ = ["details_of", "read_details", "seal_of", "thought_of", "thoughts_of"]

# -- out ---------------------------------------------------------------------------------------------------------


def details_of(thoughts: Sequence[ReasoningSaid]) -> list[dict[str, Any]]:
    """The thoughts of a whole reply; [] where nobody wants any of them back."""
    if not any(thought.signature or thought.data for thought in thoughts):
        return []
    details = []
    for index, thought in enumerate(thoughts):
        if thought.text:
            details.append({"type": "reasoning.text", "text": thought.text, "index": index})
        if thought.signature or thought.data:
            seal = seal_of(thought, index)
            if thought.text and "signature" in seal:
                details.pop()
                seal["text"] = thought.text
            details.append(seal)
    return details


def seal_of(seal: ReasoningSaid | ReasoningSealed, index: int) -> dict[str, Any]:
    """What its provider wants back of thought `index`, without the text."""
    tail: dict[str, Any] = {"format": format_of(seal.origin) or None, "index": index}
    if seal.id:
        tail["id"] = seal.id
    if seal.data:
        return {"type": "reasoning.encrypted", "data": seal.data, **tail}
    return {"type": "reasoning.text", "text": "", "signature": seal.signature, **tail}


# -- in ----------------------------------------------------------------------------------------------------------


def thoughts_of(said: Said) -> list[ReasoningPart]:
    """What the assistant thought before `said`."""
    plain = said.reasoning_content or said.reasoning or ""
    parts = read_details(said.reasoning_details or ()) or [thought_of(block) for block in said.thinking_blocks or ()]
    if not parts:
        return [ReasoningPart(plain)] if plain else []
    if len(parts) == 1 and plain and not parts[0].text:
        return [replace(parts[0], text=plain)]  # some send the signature beside the text, not with it
    return parts


def read_details(details: Iterable[Detail]) -> list[ReasoningPart]:
    thoughts: list[list[Detail]] = []
    for detail in details:
        if thoughts and _continues(thoughts[-1][-1], detail):
            thoughts[-1].append(detail)
        else:
            thoughts.append([detail])
    return [part for part in map(_joined, thoughts) if part != ReasoningPart()]


def thought_of(block: Piece) -> ReasoningPart:
    """A `thinking` or `redacted_thinking` block, which is Anthropic's where it is signed."""
    thinking = block.thinking or ""
    text = thinking if isinstance(thinking, str) else "".join([piece.text for piece in thinking])
    signature, data = block.signature or "", block.data or ""
    return ReasoningPart(text, signature, data, "anthropic" if signature or data else "")


def _continues(before: Detail, detail: Detail) -> bool:
    if detail.index is None or detail.index != before.index or before.data:
        return False
    return not before.signature or bool(detail.data)


def _joined(details: Sequence[Detail]) -> ReasoningPart:
    text = "".join([detail.text or detail.summary or "" for detail in details])
    signature, data = _last([d.signature for d in details]), _last([d.data for d in details])
    item_id = _last([d.id for d in details])
    origin = origin_of(_last([d.format for d in details])) if signature or data or item_id else ""
    return ReasoningPart(text, signature, data, origin, item_id)


def _last(words: Sequence[str | None]) -> str:
    return next((word for word in reversed(words) if word), "")
