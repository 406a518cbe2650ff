"""What a model needs, against what is published: the sizes of model files, and caches that llama.cpp has logged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placement_machines import GIB, model

from hoosh.hardware.footprint import ENGINE_BYTES, footprint
from hoosh.hardware.quantisation import find_quantisation

MIB = 1024**2
GB = 10**9

# (model, quantisation, bytes of the file), with where the size is published.
PUBLISHED = [
    # ggml-org/llama.cpp, tools/quantize/README.md, table of Llama 3.1 8B, in GiB.
    ("Llama 3.1 8B", "F16", 14.96 * GIB),
    ("Llama 3.1 8B", "Q8_0", 7.95 * GIB),
    ("Llama 3.1 8B", "Q6_K", 6.14 * GIB),
    ("Llama 3.1 8B", "Q5_K_M", 5.33 * GIB),
    ("Llama 3.1 8B", "Q4_K_M", 4.58 * GIB),
    ("Llama 3.1 8B", "IQ4_XS", 4.17 * GIB),
    ("Llama 3.1 8B", "Q3_K_L", 4.02 * GIB),
    ("Llama 3.1 8B", "Q2_K", 2.95 * GIB),
    ("Llama 3.1 8B", "IQ1_S", 1.87 * GIB),
    # The same page, "Memory/Disk Requirements": in GB, the original in 32 bits.
    ("Llama 3.1 8B", "F32", 32.1 * GB),
    ("Llama 3.1 70B", "F32", 280.9 * GB),
    ("Llama 3.1 405B", "F32", 1625.1 * GB),
    ("Llama 3.1 70B", "Q4_K_M", 43.1 * GB),
    ("Llama 3.1 405B", "Q4_K_M", 249.1 * GB),
    # The list of Bartowski's files of Llama 3.1 Nemotron 70B: ozeki.chat/p_8590-understanding-ai-model-files.html.
    ("Llama 3.1 70B", "Q8_0", 74.98 * GB),
    ("Llama 3.1 70B", "Q6_K", 57.89 * GB),
    ("Llama 3.1 70B", "Q5_K_M", 49.95 * GB),
    ("Llama 3.1 70B", "Q4_K_S", 40.35 * GB),
    ("Llama 3.1 70B", "Q4_0", 40.12 * GB),
    ("Llama 3.1 70B", "IQ4_XS", 37.90 * GB),
    ("Llama 3.1 70B", "Q3_K_M", 34.27 * GB),
    # huggingface.co/Artefact2/Mixtral-8x7B-v0.1-GGUF, commit b9d0f88; itlwas, kat33 and apitchai for the others.
    ("Mixtral 8x7B", "Q4_K_M", 28_446_410_112),
    ("Mixtral 8x7B", "Q4_K_S", 26.7 * GB),
    ("Mixtral 8x7B", "Q6_K", 38.4 * GB),
    ("Mixtral 8x7B", "Q4_0", 26.4 * GB),
    # huggingface.co/bartowski/Mixtral-8x22B-v0.1-GGUF, README.
    ("Mixtral 8x22B", "Q5_K_M", 99.96 * GB),
    ("Mixtral 8x22B", "Q4_K_M", 85.58 * GB),
    ("Mixtral 8x22B", "IQ4_XS", 76.35 * GB),
    ("Mixtral 8x22B", "Q2_K", 52.10 * GB),
    # huggingface.co/bartowski/Qwen2.5-7B-Instruct-GGUF and Qwen2.5-72B-Instruct-GGUF; mradermacher's of 72B.
    ("Qwen 2.5 7B", "Q4_K_M", 4.68 * GB),
    ("Qwen 2.5 72B", "Q4_K_M", 47.4 * GB),
    ("Qwen 2.5 72B", "Q2_K", 29.8 * GB),
    ("Qwen 2.5 72B", "IQ3_M", 35.5 * GB),
    # huggingface.co/bartowski/gemma-2-9b-it-GGUF.
    ("Gemma 2 9B", "Q8_0", 9.83 * GB),
    ("Gemma 2 9B", "Q4_K_M", 5.76 * GB),
    ("Gemma 2 9B", "Q3_K_M", 4.76 * GB),
    # huggingface.co/duyntnet/gemma-2-27b-it-imatrix-GGUF (to the byte); legraphista's in 16 bits.
    ("Gemma 2 27B", "Q8_0", 28_937_388_896),
    ("Gemma 2 27B", "Q5_K_M", 19_408_118_624),
    ("Gemma 2 27B", "Q4_K_M", 16_645_383_008),
    ("Gemma 2 27B", "Q4_0", 15_681_463_136),
    ("Gemma 2 27B", "BF16", (23.9 + 23.8 + 6.8) * GB),
]


@pytest.mark.parametrize(("name", "step", "published"), PUBLISHED, ids=lambda value: str(value))
def test_weights_are_within_ten_per_cent_of_published_files(name: str, step: str, published: float):
    quantisation = find_quantisation(step)
    assert quantisation is not None
    assert model(name).footprint(quantisation).weights_bytes == pytest.approx(published, rel=0.10)


def test_half_of_the_published_files_are_met_within_two_per_cent():
    errors = []
    for name, step, published in PUBLISHED:
        quantisation = find_quantisation(step)
        assert quantisation is not None
        errors.append(abs(model(name).footprint(quantisation).weights_bytes / published - 1))
    assert sorted(errors)[len(errors) // 2] < 0.02


def test_the_cache_is_what_llama_cpp_logs():
    """1024 MiB for 8192 tokens of an 8B model with 32 layers and 8 KV heads of 128: "KV self size"."""
    assert model("Llama 3.1 8B", context_tokens=8192).footprint(_step("f16")).kv_cache_bytes == 1024 * MIB
    assert footprint(8, 16, layers=32, kv_heads=8, head_dim=128, context_tokens=8192).kv_cache_bytes == 1024 * MIB


def test_a_latent_cache_is_what_llama_cpp_logs():
    """1166.62 MiB for 32768 tokens of DeepSeek V3 in q8_0, which is 8.5 bits: ikawrakow/ik_llama.cpp, issue 296."""
    found = model("DeepSeek V3 671B", context_tokens=32768, kv_bits=8.5).footprint(_step("q8_0"))
    assert found.kv_cache_bytes / MIB == pytest.approx(1166.62, abs=0.01)


def test_layers_with_a_window_keep_no_more_than_it():
    short, long = (model("Gemma 2 9B", context_tokens=tokens).footprint(_step("f16")) for tokens in (4096, 8192))
    assert long.kv_cache_bytes == short.kv_cache_bytes * 3 // 2


def test_every_sequence_has_a_cache_of_its_own_and_the_weights_are_there_once():
    one, four = (model("Llama 3.1 8B", sequences=count).footprint(_step("int8")) for count in (1, 4))
    assert four.kv_cache_bytes == 4 * one.kv_cache_bytes
    assert four.weights_bytes == one.weights_bytes


def test_of_an_unknown_architecture_a_fifth_is_added_as_the_reference_does():
    found = footprint(7_000_000_000, 16)
    assert (found.weights_bytes, found.kv_cache_bytes, found.overhead_bytes) == (14 * GB, 0, 2.8 * GB)
    assert footprint(3, 4).total_bytes == 1  # whole bytes, rounded down twice


def test_of_a_known_one_the_engine_and_its_buffers_are_added():
    found = footprint(1000, 8, layers=1, kv_heads=1, head_dim=1, context_tokens=1)
    assert found.overhead_bytes == ENGINE_BYTES + 50
    assert found.total_bytes == 1000 + 4 + ENGINE_BYTES + 50


@given(st.integers(1, 10**15), st.sampled_from([2.0042, 4.8944, 8, 16, 32]), st.integers(1, 10**6))
def test_more_of_anything_never_needs_less(parameters: int, bits: float, tokens: int):
    shape = {"layers": 32, "kv_heads": 8, "head_dim": 128}
    found = footprint(parameters, bits, context_tokens=tokens, **shape).total_bytes
    assert footprint(parameters + 1, bits, context_tokens=tokens, **shape).total_bytes >= found
    assert footprint(parameters, bits, context_tokens=tokens + 1, **shape).total_bytes > found
    assert footprint(parameters, bits).total_bytes >= parameters * 2 // 8


@pytest.mark.parametrize(
    ("name", "step"),
    [
        *[("Q4_K_M", "Q4_K_M"), ("q4-k-m", "Q4_K_M"), (" int8 ", "INT8"), ("float16", "FP16"), ("none", "FP32")],
        *[("bfloat16", "BF16"), ("i4", "INT4"), ("Q8", "INT8"), ("q8_0", "Q8_0")],
    ],
)
def test_a_quantisation_is_known_by_all_its_names(name: str, step: str):
    assert _step(name).name == step


def test_a_name_of_no_quantisation_is_nobodys():
    assert find_quantisation("q9") is None
    assert find_quantisation("") is None


def _step(name: str):
    found = find_quantisation(name)
    assert found is not None
    return found
