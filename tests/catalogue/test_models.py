"""The catalogue of models: names find their entry, and what it says hangs together."""

from __future__ import annotations

import re

import pytest

from hoosh.catalogue import catalogue_models, merge_facts, model_facts
from hoosh.values import Capability, ModelFacts

CAN, TOOLS, VISION = Capability.CHAT, Capability.TOOLS, Capability.VISION

# Reference appendix A.  None of its models may be forgotten.
REFERENCE = """
    gpt-4o gpt-4o-mini gpt-4.1 gpt-4.1-mini gpt-4.1-nano o1 o1-mini o1-pro o3 o3-mini o4-mini text-embedding-3-large
    text-embedding-3-small text-embedding-ada-002 claude-opus-4 claude-sonnet-4 claude-3-5-haiku claude-3-5-sonnet
    claude-3-haiku deepseek-chat deepseek-reasoner deepseek-coder grok-3 grok-3-mini grok-3-fast grok-2 gemini-2.5-pro
    gemini-2.5-flash gemini-2.0-flash gemini-2.0-flash-lite llama-3.3-70b llama-3.1-8b llama-3.1-70b llama-3.1-405b
    llama-4-scout llama-4-maverick mixtral-8x7b gemma-2-9b gemma-2-27b mistral-large mistral-small codestral
    pixtral-large mistral-nemo openrouter/auto llama3 llama3:8b llama3:70b llama3.1 llama3.2 llama3.3 mistral mixtral
    qwen2.5 qwen2.5-coder phi-3 phi-4 gemma2 gemma3 command-r command-r-plus codellama starcoder2 deepseek-coder-v2
    nomic-embed-text mxbai-embed-large
"""


@pytest.mark.parametrize("name", REFERENCE.split())
def test_every_model_of_the_reference_is_known(name):
    assert model_facts(name).source == "catalogue"


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai/gpt-4o", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "gpt-4o-mini"),
        ("o3-mini-2025-01-31", "o3-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("models/gemini-2.5-flash-preview-05-20", "gemini-2.5-flash"),
        ("llama3.1:8b", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo", "llama-3.1-70b"),
        ("C:\\models\\Qwen2.5-7B-Instruct-Q4_K_M.gguf", "qwen2.5"),
        ("mistral-large-latest", "mistral-large"),
        ("mistral:7b", "mistral"),
        ("nomic-embed-text:latest", "nomic-embed-text"),
        ("moonshotai/kimi-k2-instruct-0905", "kimi-k2-0905"),
    ],
)
def test_a_model_is_found_under_the_names_that_providers_have_for_it(name, same_as):
    assert model_facts(name) == model_facts(same_as)
    assert model_facts(name).source == "catalogue"


@pytest.mark.parametrize(
    "name", ["", "unheard-of", "gpt-4o-realtime-preview", "gpt", "my-gpt-4o", "gpt-4ox", "x" * 5000, "gpt-4o\n", "é:1"]
)
def test_of_what_it_does_not_know_it_says_nothing(name):
    assert model_facts(name) == ModelFacts()


def test_the_longest_name_wins():
    assert TOOLS in model_facts("gpt-5").can
    assert TOOLS in model_facts("gpt-5-chat-latest").cannot
    assert Capability.STREAMING in model_facts("o1-pro-2025-03-19").cannot
    assert VISION in model_facts("llama3.2-vision:11b").can
    assert VISION in model_facts("llama3.2:3b").cannot
    assert Capability.EMBEDDINGS in model_facts("mistral-embed").can
    assert (model_facts("gemma3:1b").context_tokens, model_facts("gemma3:12b").context_tokens) == (32768, 131072)


@pytest.mark.parametrize(
    ("name", "able"),
    [
        ("us.meta.llama3-2-11b-instruct-v1:0", VISION),
        ("nvidia/llama-3.1-nemotron-nano-vl-8b-v1", VISION),
        ("llama-3.2-vision:11b", VISION),
        ("Llama-3.2V-11B-cot", VISION),
        ("microsoft/Phi-4-reasoning-vision-15B", VISION),
        ("ibm-granite/granite-4.0-3b-vision", VISION),
        ("ibm-granite/granite-4.0-1b-speech", Capability.AUDIO_INPUT),
        ("qwen3-asr-flash", Capability.AUDIO_INPUT),
        ("mistralai/Voxtral-Mini-3B-2507", TOOLS),
        ("gpt-5-search-api", Capability.REASONING),
    ],
)
def test_a_sibling_with_more_senses_is_not_refused_what_the_family_lacks(name, able):
    assert able not in model_facts(name).cannot


def test_no_chat_model_is_refused_files_that_its_service_may_read_for_it():
    assert [m.id for m in catalogue_models() if CAN in m.facts.can and Capability.FILES in m.facts.cannot] == []


def test_bedrocks_names_of_llamas_are_told_apart():
    assert model_facts("meta.llama3-70b-instruct-v1:0").context_tokens == 8192
    assert model_facts("meta.llama3-1-70b-instruct-v1:0").context_tokens == 131072
    assert model_facts("us.meta.llama3-3-70b-instruct-v1:0") == model_facts("llama-3.3-70b")


@pytest.mark.parametrize("model", catalogue_models(), ids=lambda model: model.id)
def test_an_entry_hangs_together(model):
    facts = model.facts
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", model.as_of)
    assert model.source.startswith("https://")
    assert model_facts(model.id) == facts
    assert facts.can
    assert not facts.can & facts.cannot
    assert CAN in facts.cannot or Capability.EMBEDDINGS not in facts.can
    if facts.context_tokens and facts.max_output_tokens:
        assert facts.max_output_tokens <= facts.context_tokens


def test_no_two_entries_have_one_id():
    ids = [model.id for model in catalogue_models()]
    assert len(ids) == len(set(ids)) >= 66


def test_sources_are_laid_over_each_other_and_the_last_is_right():
    weak = ModelFacts(frozenset({TOOLS}), frozenset({VISION}), 1000, 100, source="catalogue")
    told = ModelFacts(frozenset({VISION}), frozenset(), 2000, source="provider")
    owner = ModelFacts(frozenset(), frozenset({TOOLS}), source="config")
    assert merge_facts() == ModelFacts()
    assert merge_facts(weak, ModelFacts()) == weak
    assert merge_facts(weak, told) == ModelFacts(frozenset({TOOLS, VISION}), frozenset(), 2000, 100, source="provider")
    assert merge_facts(weak, told, owner) == ModelFacts(
        frozenset({VISION}), frozenset({TOOLS}), 2000, 100, source="config"
    )
