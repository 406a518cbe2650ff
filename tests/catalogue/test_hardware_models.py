"""The models of which it is known how they are built: the data hold together, and names mean what people mean."""

from __future__ import annotations

import pytest

from hoosh.catalogue.clouds import cloud_instances
from hoosh.catalogue.hardware_models import HardwareModel, find_hardware_model, hardware_models

REFERENCE = """
Llama 3.1 8B, Llama 3.1 70B, Llama 3.1 405B, Llama 3.2 1B, Llama 3.2 3B, Mistral 7B, Mixtral 8x7B, Mixtral 8x22B,
Mistral Large 2 123B, Gemma 2 2B, Gemma 2 9B, Gemma 2 27B, Phi-3 Mini 3.8B, Phi-3 Medium 14B, Qwen 2.5 7B, Qwen 2.5 14B,
Qwen 2.5 72B, DeepSeek V3 671B, DeepSeek R1 671B, Falcon 7B, Falcon 40B, Falcon 180B, Command R+ 104B, DBRX 132B,
Stable Diffusion XL, Whisper Large V3
"""


def named(name: str) -> HardwareModel:
    found = find_hardware_model(name)
    assert found is not None, name
    return found


def test_the_models_of_the_reference_come_first():
    names = [name.strip() for name in REFERENCE.replace("\n", " ").split(",")]
    assert [model.name for model in hardware_models()][:26] == names


def test_every_model_is_whole():
    names = [model.name for model in hardware_models()]
    assert len(set(names)) == len(names)
    for model in hardware_models():
        assert model.source.startswith("https://"), model.name
        assert model.parameters / 1e9 == pytest.approx(model.params_billions, rel=0.36), model.name
        shape = (model.layers, model.heads, model.kv_heads, model.head_dim)
        assert all(shape) or not any(shape), model.name
        if model.heads is not None and model.kv_heads is not None and model.layers is not None:
            assert model.heads % model.kv_heads == 0, model.name
            assert model.windowed_layers < model.layers, model.name
        assert (model.windowed_layers > 0) is (model.window_tokens is not None), model.name
        assert model.active_parameters is None or model.active_parameters < model.parameters, model.name


# Words of the vocabulary, width, width of the feed-forward part; whether the embedding is used twice, whether queries,
# keys and values have biases; norms of a layer.  Source: config.json of each.
DENSE = [
    ("Llama 3.1 8B", 128256, 4096, 14336, "", 2),
    ("Llama 3.1 70B", 128256, 8192, 28672, "", 2),
    ("Llama 3.1 405B", 128256, 16384, 53248, "", 2),
    ("Llama 3.2 1B", 128256, 2048, 8192, "tied", 2),
    ("Llama 3.2 3B", 128256, 3072, 8192, "tied", 2),
    ("Mistral 7B", 32768, 4096, 14336, "", 2),
    ("Mistral Large 2 123B", 32768, 12288, 28672, "", 2),
    ("Mistral Nemo 12B", 131072, 5120, 14336, "", 2),
    ("Mistral Small 3 24B", 131072, 5120, 32768, "", 2),
    ("Gemma 2 2B", 256000, 2304, 9216, "tied", 4),
    ("Gemma 2 9B", 256000, 3584, 14336, "tied", 4),
    ("Gemma 2 27B", 256000, 4608, 36864, "tied", 4),
    ("Gemma 3 1B", 262144, 1152, 6912, "tied qk", 4),
    ("Phi-3 Mini 3.8B", 32064, 3072, 8192, "", 2),
    ("Phi-3 Medium 14B", 32064, 5120, 17920, "", 2),
    ("Phi-4 14B", 100352, 5120, 17920, "", 2),
    ("Qwen 2.5 0.5B", 151936, 896, 4864, "tied bias", 2),
    ("Qwen 2.5 1.5B", 151936, 1536, 8960, "tied bias", 2),
    ("Qwen 2.5 3B", 151936, 2048, 11008, "tied bias", 2),
    ("Qwen 2.5 7B", 152064, 3584, 18944, "bias", 2),
    ("Qwen 2.5 14B", 152064, 5120, 13824, "bias", 2),
    ("Qwen 2.5 32B", 152064, 5120, 27648, "bias", 2),
    ("Qwen 2.5 72B", 152064, 8192, 29568, "bias", 2),
    ("Qwen 3 4B", 151936, 2560, 9728, "tied qk", 2),
    ("Qwen 3 8B", 151936, 4096, 12288, "qk", 2),
    ("Qwen 3 14B", 151936, 5120, 17408, "qk", 2),
    ("Qwen 3 32B", 151936, 5120, 25600, "qk", 2),
]


@pytest.mark.parametrize(("name", "words", "width", "inner", "has", "norms"), DENSE, ids=lambda value: str(value))
def test_the_parameters_of_a_dense_model_add_up(name: str, words: int, width: int, inner: int, has: str, norms: int):
    model = named(name)
    assert model.layers is not None
    assert model.heads is not None
    assert model.kv_heads is not None
    assert model.head_dim is not None
    asked, kept = model.heads * model.head_dim, model.kv_heads * model.head_dim
    layer = 2 * width * (asked + kept) + 3 * width * inner + norms * width
    layer += (asked + 2 * kept) * ("bias" in has) + 2 * model.head_dim * ("qk" in has)
    assert model.parameters == words * width * (1 if "tied" in has else 2) + model.layers * layer + width


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Llama 3.1 8B", "Llama 3.1 8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama 3.1 8B"),
        ("llama3.1:8b-instruct-q4_K_M", "Llama 3.1 8B"),
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Llama 3.1 8B"),
        ("llama3.1", "Llama 3.1 8B"),
        ("llama-3.3-70b-versatile", "Llama 3.1 70B"),
        ("mixtral:8x7b", "Mixtral 8x7B"),
        ("8x7b", "Mixtral 8x7B"),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "Mixtral 8x22B"),
        ("gemma2:9b-instruct-q4_0", "Gemma 2 9B"),
        ("google/gemma-2-27b-it", "Gemma 2 27B"),
        ("Qwen/Qwen2.5-7B-Instruct-1M", "Qwen 2.5 7B"),
        ("qwen3:30b-a3b", "Qwen 3 30B-A3B"),
        ("gpt-oss:20b", "gpt-oss 20B"),
        ("deepseek-r1:671b", "DeepSeek R1 671B"),
    ],
)
def test_a_model_is_known_by_the_names_that_providers_give_it(asked: str, name: str):
    assert named(asked).name == name


@pytest.mark.parametrize(
    "name",
    ["deepseek-r1:8b", "deepseek-r1", "mistral-large", "70b", "gpt-4o", "llama", "llama3.1-8b-ours", "", "x" * 999],
)
def test_nobody_is_taken_for_a_model_of_another_size(name: str):
    assert find_hardware_model(name) is None


def test_a_name_made_to_take_long_does_not():
    assert find_hardware_model("llama3.1-" + "q4-" * 80 + "!") is None
    assert find_hardware_model("llama3.1-8b" + "-q4" * 60) is named("llama3.1:8b")


def test_every_machine_to_rent_has_a_day_for_its_price():
    instances = cloud_instances()
    assert len({(each.provider, each.name) for each in instances}) == len(instances) >= 18
    for each in instances:
        assert each.total_gpu_memory_gb == each.gpu_count * each.gpu_memory_gb, each.name
        assert "2025-01-01" <= each.as_of <= "2026-12-31", each.name
        assert 0 < each.price_per_hour < 1000, each.name
