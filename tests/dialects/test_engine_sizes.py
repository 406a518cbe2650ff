"""What engines say of the size of their models, and which are in memory: read where it makes sense, else left out.

The forms are those of the vendors' references: docs.ollama.com/api/tags, /show and /ps; LM Studio's REST API v0;
llama.cpp's tools/server/README.md; vLLM's OpenAI-compatible server.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.dialects.ollama import OllamaUpstream
from hoosh.dialects.openai import FAMILY, OpenAIUpstream
from hoosh.values import ModelSize

OLLAMA = OllamaUpstream(now=lambda: 0.0)
LMSTUDIO = OpenAIUpstream(FAMILY["lmstudio"])
PLAIN = OpenAIUpstream(FAMILY["vllm"])
NOTHING = ModelSize()


def tagged(**model: Any) -> ModelSize:
    body = json.dumps({"models": [{"name": "m", **model}]}).encode()
    (card,) = OLLAMA.read_models(body, default_owner="x")
    return card.facts.size


def shown(**info: Any) -> ModelSize:
    return OLLAMA.read_facts(json.dumps({"model_info": info}).encode()).size


def listed(**entry: Any) -> ModelSize:
    (card,) = PLAIN.read_models(json.dumps({"data": [{"id": "m", **entry}]}).encode(), default_owner="x")
    return card.facts.size


@pytest.mark.parametrize(
    ("said", "parameters"),
    [("8.0B", 8 * 10**9), ("23M", 23 * 10**6), ("1T", 10**12), ("20914757184", 20_914_757_184), ("137 M", 137 * 10**6)],
)
def test_ollamas_word_for_parameters_is_a_number(said: str, parameters: int):
    assert tagged(details={"parameter_size": said}).parameters == parameters


@pytest.mark.parametrize("said", ["", "8x7B", "B", "-1B", "nan", "1e9", "9" * 30 + "B", "0B", 7, None, ["7B"], "٧B"])
def test_what_is_no_number_of_parameters_is_nothing(said: Any):
    assert tagged(details={"parameter_size": said}) == NOTHING


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "12", None, 2**60, {}])
def test_what_is_no_number_of_bytes_is_nothing(size: Any):
    assert tagged(size=size) == NOTHING
    assert listed(meta={"size": size, "n_params": size}) == NOTHING


def test_odd_details_are_nothing():
    for details in (None, [], "x", {"quantization_level": "unknown"}, {"quantization_level": "q" * 99}):
        assert tagged(details=details) == NOTHING


def test_a_model_of_ollamas_cloud_has_no_size_here():
    stub = {"size": 384, "details": {"parameter_size": "116829156672"}}
    assert tagged(remote_host="https://ollama.com:443", remote_model="gpt-oss:120b", **stub) == NOTHING


def test_show_tells_the_architecture():
    info = {
        "general.architecture": "qwen3",
        "general.parameter_count": 4_022_468_096,
        "qwen3.block_count": 36,
        "qwen3.attention.head_count": 32,
        "qwen3.attention.head_count_kv": 8,
        "qwen3.attention.key_length": 128,
        "qwen3.embedding_length": 2560,
    }
    whole = ModelSize(parameters=4_022_468_096, layers=36, kv_heads=8, head_dim=128)
    assert shown(**info) == whole
    # Without a key length the heads share the width.
    plain = {**info, "qwen3.embedding_length": 4096}
    del plain["qwen3.attention.key_length"]
    assert shown(**plain) == whole
    for odd in ({"qwen3.attention.head_count_kv": [8, 1]}, {"qwen3.attention.kv_lora_rank": 512}):
        assert shown(**{**info, **odd}) == ModelSize(parameters=4_022_468_096)
    assert shown(**{"general.architecture": ["x"], "general.parameter_count": 5}) == ModelSize(parameters=5)


def test_ps_tells_what_is_in_memory_and_where():
    body = {
        "models": [
            {"name": "gemma3:4b", "size": 6_591_830_464, "size_vram": 5_333_539_264, "context_length": 4096},
            {"model": "on-the-processor", "size": 100, "size_vram": 0},
            {"name": "odd", "size": "x", "size_vram": -1},
            {"name": 7},
            "x",
        ]
    }
    request = OLLAMA.memory_request()
    assert request is not None
    assert (request.method, request.path) == ("GET", "/api/ps")
    assert OLLAMA.read_memory(json.dumps(body).encode()) == {
        "gemma3:4b": ModelSize(
            is_loaded=True, held_bytes=6_591_830_464, held_accelerator_bytes=5_333_539_264, context_tokens=4096
        ),
        "on-the-processor": ModelSize(is_loaded=True, held_bytes=100, held_accelerator_bytes=0),
        "odd": ModelSize(is_loaded=True),
    }


def test_lm_studio_tells_quantisation_and_state():
    body = {
        "data": [
            {"id": "qwen2-vl-7b-instruct", "type": "vlm", "quantization": "4bit", "state": "not-loaded"},
            {"id": "llama", "quantization": "Q4_K_M", "state": "loaded", "loaded_context_length": 8192},
            {"id": None, "state": "loaded"},
            {"id": "odd", "quantization": 4, "state": ["loaded"]},
        ]
    }
    request = LMSTUDIO.memory_request()
    assert request is not None
    assert request.path == "/api/v0/models"
    assert LMSTUDIO.read_memory(json.dumps(body).encode()) == {
        "qwen2-vl-7b-instruct": ModelSize(quantisation="4bit"),
        "llama": ModelSize(quantisation="Q4_K_M", context_tokens=8192, is_loaded=True),
        "odd": NOTHING,
    }
    assert PLAIN.memory_request() is None


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"models": 1, "data": 1}', b'{"models": {}}', b"\xff"])
def test_what_reads_as_no_answer_tells_nothing(body: bytes):
    assert OLLAMA.read_memory(body) == LMSTUDIO.read_memory(body) == {}


def test_an_engine_that_serves_what_it_has_loaded_has_it_in_memory():
    assert listed(owned_by="vllm", max_model_len=4096).is_loaded
    assert listed(owned_by="llamacpp", meta={"n_params": 5}).is_loaded
    assert not listed(owned_by="llamacpp", meta=None).is_loaded  # it still loads
    assert not listed(owned_by="openai").is_loaded
    assert not listed(owned_by=[[]]).is_loaded
    # llama.cpp as a router of several models
    assert listed(owned_by="llamacpp", status={"value": "loaded"}).is_loaded
    assert not listed(owned_by="llamacpp", meta={"n_params": 5}, status={"value": "unloaded"}).is_loaded
