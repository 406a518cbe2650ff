"""The answers of Ollama's routes that ask no model: `/api/tags`, `/api/show`, `/api/version`, `/api/ps`.

Clients take these apart by name (the command line cuts twelve characters off a digest), so every field is there.
What a gateway does not have is empty: sizes, formats, templates.  A digest is made of the name, so it is the same each
time and another for each model; it is of nothing that could be fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from hoosh.dialects.ollama.wire import timestamp
from hoosh.values import Capability, ModelCard, ModelFacts

__all__ = ["ps", "show", "tags", "version"]

WORDS = {
    Capability.CHAT: "completion",
    Capability.TOOLS: "tools",
    Capability.VISION: "vision",
    Capability.REASONING: "thinking",
    Capability.EMBEDDINGS: "embedding",
}
OTHER_CALLINGS = {Capability.EMBEDDINGS, Capability.TRANSCRIPTION, Capability.SPEECH}


def tags(cards: Iterable[ModelCard]) -> dict[str, Any]:
    """`GET /api/tags`."""
    return {"models": [_listed(card) for card in cards]}


def show(card: ModelCard) -> dict[str, Any]:
    """`POST /api/show`."""
    info: dict[str, Any] = {"general.architecture": card.owned_by, "general.basename": card.id}
    if card.facts.context_tokens is not None:
        info[f"{card.owned_by}.context_length"] = card.facts.context_tokens
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(card),
        "model_info": info,
        "capabilities": capabilities(card.facts),
        "modified_at": timestamp(card.created),
    }


def version(text: str) -> dict[str, Any]:
    """`GET /api/version`.  Clients compare it with the Ollama version that they need."""
    return {"version": text}


def ps() -> dict[str, Any]:
    """`GET /api/ps`: a gateway has no models in memory."""
    return {"models": []}


def capabilities(facts: ModelFacts) -> list[str]:
    """In Ollama's words.  A model of which nobody has said what it is for is one to chat with."""
    can = set(facts.can)
    if Capability.CHAT not in facts.cannot and not can & OTHER_CALLINGS:
        can.add(Capability.CHAT)
    return [word for capability, word in WORDS.items() if capability in can]


def _listed(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.id,
        "model": card.id,
        "modified_at": timestamp(card.created),
        "size": 0,
        "digest": hashlib.sha256(card.id.encode("utf-8", "replace")).hexdigest(),
        "details": _details(card),
    }


def _details(card: ModelCard) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "",
        "family": card.owned_by,
        "families": [card.owned_by],
        "parameter_size": "",
        "quantization_level": "",
    }
