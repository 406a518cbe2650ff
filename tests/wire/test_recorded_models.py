"""The catalogue against what providers themselves were recorded to say of their models."""

from __future__ import annotations

import pytest
from recordings import WIRE

from hoosh.catalogue import model_facts
from hoosh.dialects.registry import upstream_dialect
from hoosh.values import Capability, ModelCard

LISTS = sorted(WIRE.glob("fixtures/*/models-*.response.json"))
pytestmark = pytest.mark.skipif(not LISTS, reason="the recorded traffic is not here")

IN_FRONT = {
    # OpenRouter does for them what they cannot do at OpenAI.
    "openrouter": ("openai/gpt-3.5-", "openai/gpt-4-turbo", "openai/gpt-4o-2024-05-13", "openai/o1-pro"),
    # Their list says that a voice can call functions.
    "mistral": ("voxtral-mini-tts-",),
}


def cards_of(provider: str) -> list[ModelCard]:
    dialect = upstream_dialect({"xai": "grok", "gemini": "google"}.get(provider, provider))
    paths = [path for path in LISTS if path.parent.name == provider]
    return [card for path in paths for card in dialect.read_models(path.read_bytes(), default_owner=provider)]


@pytest.mark.parametrize("provider", sorted({path.parent.name for path in LISTS}))
def test_the_catalogue_denies_no_model_what_its_provider_says_it_can(provider):
    wrong: dict[str, frozenset[Capability]] = {}
    for card in cards_of(provider):
        is_in_front = card.id == "openai/gpt-4" or card.id.startswith(IN_FRONT.get(provider, ("\0",)))
        denied = model_facts(card.id).cannot & card.facts.can
        if denied and not is_in_front:
            wrong[card.id] = denied
    assert not wrong


def test_most_models_of_the_big_vendors_are_known():
    known = [bool(model_facts(card.id).source) for card in cards_of("openrouter")]
    assert sum(known) > 0.6 * len(known)
