"""LiteLLM's config.yaml → hoosh.toml.  `litellm/NAME.yaml` becomes `NAME.toml`, word for word: read them in pairs.

`HOOSH_WRITE=1 pytest tests/migration` writes the results anew; look at what has changed before you keep it.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from hoosh.config import Config, loads
from hoosh.errors import ConfigError
from hoosh.migration import Migrated, NotReadable, migrate_litellm, read_yaml
from hoosh.testing.seeds import seed_of_run

FOLDER = Path(__file__).parent / "litellm"
PAIRS = sorted(FOLDER.glob("*.yaml"))
ENVIRON = {"THERE_URL": "https://there.example/v1"}


def migrate(text: str) -> Migrated:
    return migrate_litellm(read_yaml(text), ENVIRON, source="config.yaml")


def load(migrated: Migrated) -> Config:
    return loads(migrated.toml, "hoosh.toml", {name: f"value-of-{name}" for name in migrated.variables})


def one(params: str, more: str = "") -> str:
    return f"model_list:\n- model_name: m\n  litellm_params: {params}\n{more}"


def told(migrated: Migrated) -> str:
    return "\n".join(map(str, migrated.remarks))


def test_there_are_a_dozen():
    assert len(PAIRS) >= 12


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_each_becomes_what_stands_beside_it_and_loads(path: Path):
    migrated = migrate_litellm(read_yaml(path.read_text()), ENVIRON, source=path.name)
    beside = path.with_suffix(".toml")
    if os.environ.get("HOOSH_WRITE"):
        beside.write_text(migrated.toml)
    assert migrated.toml == beside.read_text()
    load(migrated)
    for remark in migrated.remarks:  # what is not the same is a comment, too
        assert f"# {remark}\n" in migrated.toml


def test_a_secret_of_the_environment_stays_there():
    migrated = migrate_litellm(
        read_yaml(one("{model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}")),
        {"OPENAI_API_KEY": "sk-of-now"},
        source="config.yaml",
    )
    assert 'api_key = "$OPENAI_API_KEY"' in migrated.toml
    assert "sk-of-now" not in migrated.toml


def test_a_literal_key_is_kept_with_a_warning_that_does_not_repeat_it():
    migrated = migrate(one("{model: openai/gpt-4o, api_key: sk-secret}"))
    assert load(migrated).providers[0].api_key.reveal() == "sk-secret"
    assert "api_key: is written out" in told(migrated)
    assert "sk-secret" not in told(migrated)


@pytest.mark.parametrize("key", ["$dollar", "$$two", "a$b"])
def test_a_literal_key_with_dollars_means_itself(key: str):
    assert load(migrate(one(f"{{model: openai/gpt-4o, api_key: '{key}'}}"))).providers[0].api_key.reveal() == key


@pytest.mark.parametrize("key", ["'${HOME}'", "file:/etc/passwd", "ключ", '"a\\nb"', "os.environ/NOT-A-NAME"])
def test_a_literal_key_that_hoosh_would_read_otherwise_is_left_out(key: str):
    migrated = migrate(one(f"{{model: openai/gpt-4o, api_key: {key}, api_base: 'http://h/v1'}}"))
    assert load(migrated).providers[0].api_key is None
    assert "litellm_params.api_key" in told(migrated)


def test_a_key_never_goes_to_the_usual_address_when_its_own_is_not_known():
    migrated = migrate(one("{model: openai/gpt-4o, api_base: os.environ/NOT_SET, api_key: os.environ/K}"))
    assert load(migrated).providers[0].base_url.endswith(".invalid")
    assert "NOT_SET is not set" in told(migrated)


def test_deployments_with_limits_are_providers_of_their_own():
    text = """
model_list:
- {model_name: a, litellm_params: {model: openai/a, api_key: os.environ/K, rpm: 5}}
- {model_name: b, litellm_params: {model: openai/b, api_key: os.environ/K, rpm: 5}}
- {model_name: c, litellm_params: {model: openai/c, api_key: os.environ/K}}
- {model_name: d, litellm_params: {model: openai/d, api_key: os.environ/K}}
"""
    providers = load(migrate(text)).providers
    assert [(each.rate_limit_rpm, each.models) for each in providers] == [
        (5, ("a",)),
        (5, ("b",)),
        (None, ("c", "d")),
    ]


def test_keys_that_serve_different_names_are_no_accounts_of_one_provider():
    text = """
model_list:
- {model_name: a, litellm_params: {model: openai/m, api_key: os.environ/K1}}
- {model_name: b, litellm_params: {model: openai/m, api_key: os.environ/K2}}
"""
    config = load(migrate(text))
    assert config.aliases() == {"a": ("openai/m",), "b": ("openai-2/m",)}
    assert [each.has_key and not each.keys for each in config.providers] == [True, True]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("simple-shuffle", "round_robin"),
        ("least-busy", "least_loaded"),
        ("latency-based-routing", "lowest_latency"),
        ("cost-based-routing", "cheapest"),
        ("usage-based-routing-v2", "least_loaded"),
        ("something-new", "round_robin"),
    ],
)
def test_strategies_have_counterparts(theirs: str, ours: str):
    text = """
model_list:
- {model_name: a, litellm_params: {model: openai/m, api_key: os.environ/K1}}
- {model_name: a, litellm_params: {model: groq/m, api_key: os.environ/K2}}
"""
    migrated = migrate(f"{text}router_settings: {{routing_strategy: {theirs}}}\n")
    assert load(migrated).models[0].strategy == load(migrated).routing.strategy == ours
    assert ("routing_strategy" in told(migrated)) == (theirs in ("usage-based-routing-v2", "something-new"))


def test_with_a_master_key_all_machines_may_ask_and_without_only_this_one():
    open_to_all = load(migrate("general_settings: {master_key: os.environ/MASTER}\n"))
    assert (open_to_all.server.bind, open_to_all.server.port, open_to_all.keys[0].name) == ("0.0.0.0", 4000, "master")
    closed = load(migrate("{}"))
    assert (closed.server.bind, closed.server.port, closed.keys) == ("127.0.0.1", 4000, ())


def test_the_longest_timeout_holds_for_the_house():
    migrated = migrate(one("{model: openai/m, api_key: os.environ/K, timeout: 3000}"))
    config = load(migrated)
    assert (config.server.request_timeout_s, config.providers[0].timeouts.total_s) == (3000, 3000)


def test_every_key_that_is_not_understood_is_told_with_its_line():
    migrated = migrate(one("{model: openai/m, api_key: os.environ/K, brand_new: 1}", "whole_new: {a: 1}\n"))
    assert "line 3: model_list[0].litellm_params.brand_new: has no counterpart" in told(migrated)
    assert "line 4: whole_new: has no counterpart" in told(migrated)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model_list: 5",
        "model_list: [5, [], {}]",
        "model_list: [{model_name: [1], litellm_params: {model: {}}}]",
        "model_list: [{model_name: m, litellm_params: 7}]",
        "router_settings: [1]\nlitellm_settings: x\ngeneral_settings: {master_key: {a: 1}}",
        "router_settings: {fallbacks: [{m: n}, 5, {m: [5]}], model_group_alias: {a: [1]}, num_retries: many}",
        "litellm_settings: {cache: maybe, cache_params: [1], max_budget: -1, num_retries: .nan}",
        one("{model: openai/m, api_key: [1], rpm: 0, weight: -1, timeout: 1e99, extra_headers: 5, ssl_verify: q}"),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_and_the_rest_still_loads(text: str):
    migrated = migrate(text)
    load(migrated)
    assert migrated.remarks


def test_a_file_with_any_mistakes_is_refused_or_told_of_and_never_a_crash():
    seed = seed_of_run()
    chance = Random(seed)
    texts = [path.read_text() for path in PAIRS]
    read = 0
    for _ in range(150):
        try:
            migrated = migrate(damaged(chance.choice(texts), chance))
            read += 1
            load(migrated)
        except (NotReadable, ConfigError):
            continue
    assert read


def damaged(text: str, chance: Random) -> str:
    for _ in range(chance.randrange(1, 4)):
        at, to = chance.randrange(len(text)), chance.randrange(1, 30)
        piece = chance.choice(["", chance.choice("{}[]:,*&!'\"\n -0%@`$\0"), text[to : to * 2]])
        text = text[:at] + piece + text[at + chance.randrange(8) :]
    return text


def test_names_out_of_the_file_cannot_write_lines_of_their_own():
    migrated = migrate('"a\\nkeys = 1\\e[31m": 5\n')
    load(migrated)
    assert "\x1b" not in migrated.toml
    assert all(line.startswith("# ") for line in migrated.toml.splitlines() if "keys = 1" in line)
    assert "keys = 1" in migrated.toml
