"""Anthropic's model list: names, dates and what the models can do.

Source: wire notes 2.2; the API reference, "List Models".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hoosh.dialects.anthropic.decoder import loads
from hoosh.values import Capability, ModelCard, ModelFacts

__all__ = ["read_models"]

ALWAYS = frozenset({Capability.CHAT, Capability.STREAMING, Capability.TOOLS})
NEVER = frozenset({Capability.EMBEDDINGS, Capability.AUDIO_INPUT, Capability.SPEECH, Capability.TRANSCRIPTION})

SAID = {
    "image_input": Capability.VISION,
    "pdf_input": Capability.FILES,
    "structured_outputs": Capability.STRUCTURED_OUTPUT,
    "thinking": Capability.REASONING,
}


def read_models(body: bytes, *, default_owner: str) -> list[ModelCard]:
    """What does not read as a list is an empty one."""
    answer = loads(body)
    entries = answer.get("data") if isinstance(answer, dict) else None
    return [
        ModelCard(entry["id"], default_owner, _unix(entry.get("created_at")), _facts(entry))
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]
    ]


def _facts(entry: dict[str, Any]) -> ModelFacts:
    capabilities = entry.get("capabilities")
    said = capabilities if isinstance(capabilities, dict) else {}
    told = {capability: _supported(said.get(name)) for name, capability in SAID.items()}
    return ModelFacts(
        can=ALWAYS | {capability for capability, can in told.items() if can is True},
        cannot=NEVER | {capability for capability, can in told.items() if can is False},
        context_tokens=_tokens(entry.get("max_input_tokens")),
        max_output_tokens=_tokens(entry.get("max_tokens")),
        source="provider",
    )


def _supported(capability: object) -> bool | None:
    value = capability.get("supported") if isinstance(capability, dict) else capability
    return value if isinstance(value, bool) else None


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 2**53 else None


def _unix(created_at: object) -> int:
    if not isinstance(created_at, str):
        return 0
    try:
        return max(int(datetime.fromisoformat(created_at).timestamp()), 0)
    except (ValueError, OverflowError):
        return 0
