"""GatewayBuilder: a configuration put together by a program gets the checks that a file gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hoosh.config import Alias, Cache, Config, GatewayBuilder, Health, Key, Provider, Server, loads
from hoosh.errors import ConfigError
from hoosh.values import Secret

ENVIRON = {"OPENAI_API_KEY": "sk-openai", "TEAM": "sk-team"}
FILE = """
[server]
port = 9000
[[keys]]
name = "team"
key = "$TEAM"
pool = "team"
[[providers]]
type = "openai"
api_key = "$OPENAI_API_KEY"
models = ["gpt-4.1*"]
[[providers]]
type = "llama.cpp"
base_url = "http://localhost:8080"
[[models]]
name = "best"
targets = ["openai/gpt-4.1", "qwen"]
strategy = "least_loaded"
[[budgets]]
name = "team"
capacity = 25
unit = "usd"
window = "month"
[cache]
enabled = false
"""


def builder() -> GatewayBuilder:
    return GatewayBuilder(environ=ENVIRON)


def mistakes(built: GatewayBuilder) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        built.build()
    return list(refused.value.mistakes)


def test_it_builds_what_a_file_would():
    built = (
        builder()
        .listen(port=9000)
        .key("team", "$TEAM", pool="team")
        .provider("openai", api_key="$OPENAI_API_KEY", models=["gpt-4.1*"])
        .provider("llama.cpp", base_url="http://localhost:8080")
        .alias("best", "openai/gpt-4.1", "qwen", strategy="least_loaded")
        .budget("team", 25, unit="usd", window="month")
        .add(Cache(enabled=False))
        .build()
    )
    assert built == loads(FILE, "hoosh.toml", ENVIRON)


def test_nothing_added_is_the_defaults():
    assert builder().build() == Config()


def test_items_are_one_more_and_sections_take_their_place():
    built = builder().add(Provider(type="ollama"), Provider(type="vllm"), Health(open_s=1), Health(open_s=2)).build()
    assert [each.type for each in built.providers] == ["ollama", "vllm"]
    assert built.health == Health(open_s=2)


def test_it_begins_with_a_configuration_that_is_there():
    base = loads(FILE, "hoosh.toml", ENVIRON)
    built = GatewayBuilder(base, environ=ENVIRON).alias("more", "qwen").build()
    assert [each.name for each in built.models] == ["best", "more"]
    assert base.models[0].name == "best"
    assert len(base.models) == 1


def test_the_usual_key_is_taken_at_the_usual_address_only():
    built = builder().provider("openai").provider("openai", name="other", base_url="http://elsewhere/v1").build()
    assert [each.api_key for each in built.providers] == [Secret("sk-openai"), None]


def test_a_list_where_a_tuple_is_meant_becomes_one():
    built = builder().add(Provider(type="ollama", models=["a*"])).build()  # type: ignore[arg-type]
    assert built.providers[0].models == ("a*",)


def test_every_mistake_is_told_at_once():
    wrong = builder().add(Server(port=99_999), Provider(type="ollama", weight=0), Health(open_s=-1))
    assert mistakes(wrong) == [
        "server.port: is 99999, must be a whole number from 0 to 65535",
        "providers[0].weight: is 0, must be a whole number, 1 or more",
        "health.open_s: is -1, must be a number above 0",
    ]


def test_what_makes_no_sense_together_is_told():
    twice = builder().provider("ollama").provider("ollama")
    assert mistakes(twice)[0].startswith("providers[1]: the provider name `ollama` is taken already; give one")
    lost = builder().add(Alias(name="a", targets=("nobody/x",)))
    assert mistakes(lost)[0].startswith("models[0].targets[0]: no provider is called `nobody`")
    assert "can be reached from other machines" in mistakes(builder().listen("0.0.0.0"))[0]


def test_a_secret_that_is_not_there_is_told_and_none_is_repeated(tmp_path: Path):
    with pytest.raises(ConfigError, match="NOT_SET is not set"):
        builder().provider("openai", api_key="$NOT_SET")
    (tmp_path / "key").write_text("sk-in-a-file\n")
    assert GatewayBuilder(folder=tmp_path, environ={}).secret("file:key") == Secret("sk-in-a-file")
    same = builder().key("a", "sk-the-same").key("b", "sk-the-same")
    assert "sk-the-same" not in "\n".join(mistakes(same))


def test_text_where_a_secret_is_meant_is_told_without_repeating_it():
    wrong = builder().add(Provider(type="openai", api_key="sk-plain"), Key(name="a", key="sk-plain"))  # type: ignore[arg-type]
    told = mistakes(wrong)
    assert sorted(mistake.partition(":")[0] for mistake in told) == ["keys[0].key", "providers[0].api_key"]
    assert "sk-plain" not in "".join(told)


def test_what_is_no_part_of_a_configuration_is_refused():
    with pytest.raises(TypeError, match="Config is no part"):
        builder().add(Config())


def test_keys_may_be_added_whole():
    key = Key(name="a", key=Secret("sk-a"), models=("gpt*",), rpm=5)
    assert builder().add(key).build().keys == (key,)
