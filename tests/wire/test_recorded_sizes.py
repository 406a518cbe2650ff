"""What engines were recorded to say of the size of their models."""

from __future__ import annotations

import pytest
from test_recorded_models import LISTS, cards_of

from hoosh.values import ModelSize

pytestmark = pytest.mark.skipif(not LISTS, reason="the recorded traffic is not here")


def test_ollama_tells_the_bytes_of_its_weights():
    sizes = {card.id: card.facts.size for card in cards_of("ollama")}
    assert sizes["qwen3:4b"] == ModelSize(parameters=4_000_000_000, weights_bytes=2_497_293_931, quantisation="Q4_K_M")
    assert sizes["all-minilm:latest"].parameters == 23_000_000
    assert all(size.weights_bytes for size in sizes.values())


def test_llamacpp_tells_parameters_and_bytes_and_has_its_one_model_in_memory():
    (card,) = cards_of("llamacpp")
    assert card.facts.size == ModelSize(parameters=1_720_574_976, weights_bytes=1_101_457_408, is_loaded=True)


def test_a_remote_vendors_list_tells_no_sizes():
    for provider in ("openai", "openrouter", "mistral"):
        assert all(card.facts.size == ModelSize() for card in cards_of(provider))
