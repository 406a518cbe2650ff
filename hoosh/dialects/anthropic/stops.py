"""Why a message ended, from Anthropic's word to ours and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hoosh.values import Finished, FinishReason

__all__ = ["finish_of", "stop_reason_of"]

REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "compaction": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}
"""A pause is the end of this answer: whoever wants the rest sends it back."""

WORDS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}


def finish_of(said: Mapping[str, Any], *, calls: int) -> tuple[Finished, str]:
    """What a `message_delta` or a whole message says of its end, and how a refusal is explained ("" for not at all)."""
    native = said.get("stop_reason")
    native = native if isinstance(native, str) else ""
    reason = REASONS.get(native, FinishReason.TOOL_CALLS if calls and not native else FinishReason.STOP)
    sequence = said.get("stop_sequence")
    details = said.get("stop_details")
    explanation = details.get("explanation") if native == "refusal" and isinstance(details, dict) else None
    finish = Finished(reason, native, sequence if isinstance(sequence, str) else None)
    return finish, explanation if isinstance(explanation, str) else ""


def stop_reason_of(finish: Finished, *, refused: bool, called: bool) -> str:
    """Anthropic's own word where it was one.  Clients run tools only where the reason says so."""
    if REASONS.get(finish.native) is finish.reason:
        return finish.native
    if finish.reason is FinishReason.STOP:
        if called:
            return "tool_use"
        return "refusal" if refused else "stop_sequence" if finish.stop_sequence else "end_turn"
    return WORDS[finish.reason]
