"""Google's model list, which says more than a name: limits, methods, whether a model thinks.

Source: ai.google.dev/api/models; wire notes 2.3.
"""

from __future__ import annotations

from typing import Any

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.gemini.naming import plain_id
from hoosh.dialects.gemini.wire import loads
from hoosh.values import Capability, ModelCard, ModelFacts

__all__ = ["MODELS", "read_models"]

MODELS = Outgoing("/v1beta/models?pageSize=1000", method="GET")
"""1000 is the most that one page holds, and all there are."""

OWNER = "google"
TOKENS_MAX = 2**53


def read_models(body: bytes) -> list[ModelCard]:
    """What does not read as a list is an empty one."""
    answer = loads(body)
    models = answer.get("models") if isinstance(answer, dict) else None
    return [
        ModelCard(plain_id(name), OWNER, facts=_facts(model))
        for model in (models if isinstance(models, list) else ())
        if isinstance(model, dict) and isinstance(name := model.get("name"), str) and plain_id(name)
    ]


def _facts(model: dict[str, Any]) -> ModelFacts:
    methods = model.get("supportedGenerationMethods")
    can: set[Capability] = set()
    cannot: set[Capability] = set()
    if isinstance(methods, list):
        chats = "generateContent" in methods
        (can if chats else cannot).update((Capability.CHAT, Capability.STREAMING))
        (can if "embedContent" in methods else cannot).add(Capability.EMBEDDINGS)
    if model.get("thinking") is True:
        can.add(Capability.REASONING)
    elif model.get("thinking") is False:
        cannot.add(Capability.REASONING)
    return ModelFacts(
        frozenset(can),
        frozenset(cannot),
        _tokens(model.get("inputTokenLimit")),
        _tokens(model.get("outputTokenLimit")),
        "provider",
    )


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= TOKENS_MAX else None
