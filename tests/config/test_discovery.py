from __future__ import annotations

import pytest

from hoosh.catalogue import PROVIDER_TYPES
from hoosh.config import Config, Discovery, Origin, Provider, environment_providers, loads, local_provider
from hoosh.errors import ConfigError
from hoosh.values import Secret

ENVIRON = {"OPENAI_API_KEY": " sk-1\n", "GROQ_API_KEY": "gsk", "MISTRAL_API_KEY": "", "XAI_API_KEY": "two\nlines"}


def test_keys_in_the_environment_make_providers_behind_all_others():
    openai, groq = environment_providers(Config(), ENVIRON)
    assert (openai.type, openai.name, openai.base_url) == ("openai", "openai", "https://api.openai.com")
    assert (openai.api_key, openai.origin) == (Secret("sk-1"), Origin.ENVIRONMENT)
    assert "gpt-*" in openai.models
    local = local_provider(Config(), PROVIDER_TYPES["ollama"], 11434)
    assert local is not None
    assert Provider(type="vllm").priority < local.priority < openai.priority == groq.priority


def test_a_type_that_is_configured_is_left_to_the_configuration():
    config = loads('[[providers]]\ntype = "openai"\nname = "x"\nenabled = false', "hoosh.toml", {})
    assert [provider.type for provider in environment_providers(config, ENVIRON)] == ["groq"]


def test_discovery_can_be_switched_off():
    config = Config(discovery=Discovery(environment=False, local=False))
    assert environment_providers(config, ENVIRON) == ()
    assert local_provider(config, PROVIDER_TYPES["ollama"], 11434) is None


def test_an_engine_that_is_configured_is_not_discovered_again():
    config = loads(
        '[[providers]]\ntype = "vllm"\nname = "x"\nbase_url = "http://[::1]:8080/v1"\n[[providers]]\ntype = "ollama"\n'
        'base_url = "http://elsewhere:1"',
        "hoosh.toml",
        {},
    )
    assert local_provider(config, PROVIDER_TYPES["llamacpp"], 8080) is None
    assert local_provider(config, PROVIDER_TYPES["ollama"], 11434) is None
    found = local_provider(config, PROVIDER_TYPES["llamacpp"], 8081)
    assert found is not None
    assert (found.base_url, found.origin, found.is_local) == ("http://127.0.0.1:8081", Origin.LOCAL, True)


def test_embedders_may_build_a_provider_by_hand():
    provider = Provider(type="LlamaCpp", base_url="http://gpu:8080/v1/")
    assert (provider.type, provider.name, provider.base_url) == ("llamacpp", "llamacpp", "http://gpu:8080/v1")
    with pytest.raises(ConfigError, match="anthropical"):
        Provider(type="anthropical")
