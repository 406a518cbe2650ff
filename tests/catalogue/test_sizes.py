"""How large a model is, by its name: known, read with care, or not known at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.catalogue import merge_sizes, named_size
from hoosh.catalogue.hardware_models import find_hardware_model, hardware_models
from hoosh.catalogue.sizes import RUN_MAX, SIZES_FILE
from hoosh.values import ModelSize

B = 10**9


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        # Mixtures: all experts are in memory.
        ("mixtral:8x7b", 46.7),
        ("mixtral", 46.7),
        ("mixtral:latest", 46.7),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46.7),
        ("dolphin-mixtral:8x7b-v2.7-q4_K_M", 46.7),
        ("mixtral:8x22b", 140.6),
        ("qwen3-30b-a3b", 30.5),
        ("hf.co/unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M", 30.5),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 108.6),
        ("glm-4.5-air", 110.5),
        ("gemma-3n-E4B-it", 7.85),
        ("gpt-oss:20b", 20.9),
        ("openai/gpt-oss-120b", 116.8),
        # By the tag alone.
        ("qwen2.5:32b-instruct-q4_K_M", 32.8),
        ("llama3-70b", 70.6),
        ("some-model-13b.gguf", 13),
        ("C:\\models\\tiny-1.1B-chat.Q4_0.gguf", 1.1),
        ("LFM2-8B-A1B", 8),
        ("deepseek-r1-distill-llama-70b", 70),
        ("kimi-k2-distill-qwen-7b", 7),
        ("qwen2.5-7b-instruct-1m", 7.6),
        ("phi-3.5b", 3.5),
        ("all-minilm:33m", 0.033),
    ],
)
def test_a_size_is_known_or_read_from_a_word_of_its_own(name: str, billions: float):
    parameters = named_size(name).parameters
    assert parameters is not None
    assert parameters == pytest.approx(billions * B, rel=0.005)


@pytest.mark.parametrize(
    "name",
    [
        *("someone/moe-8x7b", "qwen3-next-a3b", "new-17b-16e", "new-e4b", "olmoe-1b-7b", "phi-3.5", "bert-base"),
        *("gpt-4o", "llama370b", "mistral-large", "deepseek-r1", "x-4bit", "x-int8", "0b", "99999b", "ctx-1m", "", "/"),
        *("mixtral-distill", "b", "7", "7 billion", "v2b3"),
    ],
)
def test_what_is_no_size_is_not_taken_for_one(name: str):
    assert named_size(name).parameters is None


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [
        ("qwen2.5:32b-instruct-q4_K_M", "q4_k_m"),
        ("unsloth/R1-GGUF:UD-IQ1_S", "iq1_s"),
        ("llama-3.1-8b@4bit", "4bit"),
        ("x-7b-AWQ", "awq"),
        ("x-7b-fp16", "fp16"),
        ("gpt-oss:20b", "mxfp4"),  # published so
        ("gpt-oss-20b-bf16", "bf16"),
        ("qwen3:4b", ""),
        ("seq4_k", ""),
    ],
)
def test_a_quantisation_is_read_where_the_name_has_one(name: str, quantisation: str):
    assert named_size(name).quantisation == quantisation


def test_every_name_in_the_data_finds_its_own_entry():
    for group in json.loads(SIZES_FILE.read_bytes()):
        assert group["source"].startswith("https://")
        for entry in group["models"]:
            for name in entry["names"]:
                assert named_size(name).parameters == entry["parameters"], name
                assert name == name.casefold()
                assert name.count("-") < RUN_MAX
                assert find_hardware_model(name) is None, f"{name} is in the list of open models already"


def test_an_open_model_brings_its_architecture():
    for model in hardware_models():
        for name in model.names:
            size = named_size(name)
            assert size.parameters == model.parameters, name
            assert (size.layers, size.kv_heads, size.head_dim) == (model.layers, model.kv_heads, model.head_dim)


@given(st.text(max_size=600))
def test_any_name_is_read(name: str):
    size = named_size(name)
    assert size.parameters is None or 0 < size.parameters < 10**13


def test_of_two_opinions_the_stronger_counts_where_it_says_something():
    weak = ModelSize(parameters=7, weights_bytes=4, quantisation="q4_0", is_loaded=True)
    assert merge_sizes(weak, ModelSize()) == weak
    assert merge_sizes(ModelSize(), weak) == weak
    assert merge_sizes(weak, ModelSize(weights_bytes=0, quantisation="q8_0")) == ModelSize(
        parameters=7, weights_bytes=0, quantisation="q8_0", is_loaded=True
    )
