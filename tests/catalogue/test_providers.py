from __future__ import annotations

import pytest

from hoosh.catalogue import (
    PROVIDER_TYPES,
    engine_at,
    find_provider_type,
    keys_in,
    local_ports,
    suggest_provider_type,
)
from hoosh.values import CallKind

REFERENCE = {
    # spelling: (wire name, local, base URL); reference section 3.1
    "Ollama": ("ollama", True, "http://localhost:11434"),
    "LlamaCpp": ("llamacpp", True, "http://localhost:8080"),
    "LmStudio": ("lmstudio", True, "http://localhost:1234"),
    "LocalAi": ("localai", True, "http://localhost:8080"),
    "OpenAi": ("openai", False, "https://api.openai.com"),
    "DeepSeek": ("deepseek", False, "https://api.deepseek.com"),
    "Mistral": ("mistral", False, "https://api.mistral.ai"),
    "Groq": ("groq", False, "https://api.groq.com/openai"),
    "Grok": ("grok", False, "https://api.x.ai"),
    "OpenRouter": ("openrouter", False, "https://openrouter.ai/api"),
    "vLLM": ("vllm", True, "http://localhost:8000"),
    "Synapse": ("synapse", True, "http://localhost:5000"),
    "TensorRT-LLM": ("tensorrt", True, "http://localhost:8000"),
    "ONNX": ("onnx", True, "http://localhost:8000"),
    "Whisper": ("whisper", True, "http://localhost:8080"),
    "Piper": ("piper", True, "http://localhost:5000"),
    "Anthropic": ("anthropic", False, "https://api.anthropic.com"),
    "Google": ("google", False, "https://generativelanguage.googleapis.com"),
}


@pytest.mark.parametrize("spelling", REFERENCE)
def test_a_type_of_the_reference_is_found_by_its_spelling_in_any_case(spelling):
    for name in (spelling, spelling.lower(), spelling.upper()):
        kind = find_provider_type(name)
        assert kind is not None
        assert (kind.wire, kind.local, kind.base_url) == REFERENCE[spelling]
        assert kind.spelling == spelling


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("llama.cpp", "llamacpp"),
        ("LM Studio", "lmstudio"),
        ("open-router", "openrouter"),
        ("xai", "grok"),
        ("openai_compatible", "openai-compatible"),
        ("gemini", "google"),
        ("TrtLlm", "tensorrt"),
        ("TensorRT", "tensorrt"),
        ("ONNXRuntime", "onnx"),
        ("whisper.cpp", "whisper"),
        ("openedai-speech", "openedai"),
        ("Kokoro", "openedai"),
    ],
)
def test_other_ways_to_write_a_name_are_understood(name, wire):
    kind = find_provider_type(name)
    assert kind is not None
    assert kind.wire == wire


@pytest.mark.parametrize(
    ("wire", "dialect", "does", "does_not"),
    [
        ("openai", "openai", {"chat", "embedding", "speech", "transcription"}, set()),
        ("anthropic", "anthropic", {"chat", "completion", "token_count"}, {"embedding", "speech"}),
        ("google", "gemini", {"chat", "embedding", "token_count"}, {"transcription"}),
        ("ollama", "ollama", {"chat", "completion", "embedding"}, {"speech", "transcription"}),
        ("synapse", "openai", {"chat"}, {"completion", "embedding"}),
        ("groq", "openai", {"chat", "transcription", "translation"}, {"embedding", "completion"}),
        ("whisper", "whisper", {"transcription", "translation"}, {"chat", "token_count"}),
        ("piper", "piper", {"speech"}, {"chat", "transcription"}),
        ("openedai", "openai", {"speech"}, {"chat"}),
    ],
)
def test_a_type_says_what_it_can_be_asked_for_and_in_which_language(wire, dialect, does, does_not):
    kind = PROVIDER_TYPES[wire]
    kinds = {str(one) for one in kind.kinds}
    assert kind.dialect == dialect
    assert does <= kinds
    assert not does_not & kinds


def test_whoever_chats_can_be_asked_for_a_number_of_tokens():
    for kind in PROVIDER_TYPES.values():
        assert (CallKind.CHAT in kind.kinds) == (CallKind.TOKEN_COUNT in kind.kinds)


def test_google_takes_the_first_of_its_two_variables():
    assert [variable for _, variable in keys_in({"GOOGLE_API_KEY": "b", "GEMINI_API_KEY": "a"})] == ["GEMINI_API_KEY"]
    assert [variable for _, variable in keys_in({"GOOGLE_API_KEY": "b"})] == ["GOOGLE_API_KEY"]


def test_a_misspelled_type_gets_a_suggestion():
    assert suggest_provider_type("LlamaCp") == "llamacpp"
    assert suggest_provider_type("opnrouter") == "openrouter"
    assert suggest_provider_type("qqqqq") is None


def test_keys_in_the_environment_are_found_where_they_are_set():
    found = keys_in({"GROQ_API_KEY": "a", "OPENAI_API_KEY": "b", "MISTRAL_API_KEY": "  ", "OTHER_API_KEY": "c"})
    assert [(kind.wire, variable) for kind, variable in found] == [
        ("openai", "OPENAI_API_KEY"),
        ("groq", "GROQ_API_KEY"),
    ]


def test_each_local_port_names_the_likeliest_engine_first():
    ports = {port: [kind.wire for kind in kinds] for port, kinds in local_ports().items()}
    assert ports == {
        11434: ["ollama"],
        8080: ["llamacpp", "localai", "whisper"],
        1234: ["lmstudio"],
        8000: ["vllm", "openedai"],
        8081: ["localai"],
        5000: ["synapse", "piper"],
        8420: ["synapse"],
        8880: ["openedai"],
    }


def test_an_engine_is_recognised_by_what_it_says_of_itself():
    assert engine_at(8080) is PROVIDER_TYPES["llamacpp"]
    assert engine_at(8080, ["localai"]) is PROVIDER_TYPES["localai"]
    assert engine_at(8080, ["uvicorn", "vllm"]) is PROVIDER_TYPES["vllm"]
    assert engine_at(8000, ["llama.cpp"]) is PROVIDER_TYPES["llamacpp"]
    assert engine_at(8000, ["openai"]) is PROVIDER_TYPES["vllm"]
    assert engine_at(8080, ["whisper.cpp"]) is PROVIDER_TYPES["whisper"]
    assert engine_at(8880, ["kokoro"]) is PROVIDER_TYPES["openedai"]
    assert engine_at(9) is None
