"""What is configured about routing, retries, health and the queue; several accounts of one provider."""

from __future__ import annotations

import pytest

from hoosh.config import Alias, Config, Health, Provider, Retry, Routing, loads
from hoosh.errors import ConfigError
from hoosh.values import Secret

P = '[[providers]]\ntype = "vllm"\n'
HOME = '[[providers]]\ntype = "openai"\n'


def config(text: str, **environ: str) -> Config:
    return loads(text, "hoosh.toml", environ)


def mistakes(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "hoosh.toml", environ)
    assert "hunter2" not in str(caught.value)
    return [mistake.removeprefix("hoosh.toml:") for mistake in caught.value.mistakes]


# -- sections ----------------------------------------------------------------------------------------


def test_any_subset_of_the_keys_is_enough():
    read = config("[retry]\nmax_retries = 0\n[health]\nopen_s = 3\n[routing]\nlocal_first = false\n")
    assert read.retry == Retry(max_retries=0)
    assert read.health == Health(open_s=3.0)
    assert read.routing == Routing(local_first=False)


def test_all_of_it_at_once():
    read = config(
        "[server]\nmax_concurrent = 8\nmax_queue = 0\nqueue_timeout_s = 2\nmax_lag_ms = 50\n"
        '[routing]\nstrategy = "sticky"\nmax_attempts = 2\nhedge_after_ms = "p95"\nhedge_max_ratio = 0.1\n'
        'continuation = "off"\nmax_price_usd = 2.5\n'
        "[[providers]]\ntype = 'vllm'\nweight = 3\ntimeouts = { first_token_s = 2 }\n"
        "[[models]]\nname = 'a'\ntargets = ['vllm/x']\nstrategy = 'least-loaded'\n"
    )
    server = read.server
    assert (server.max_concurrent, server.max_queue, server.queue_timeout_s, server.max_lag_ms) == (8, 0, 2.0, 50)
    assert read.routing == Routing(
        strategy="sticky",
        max_attempts=2,
        hedge_after_ms="p95",
        hedge_max_ratio=0.1,
        continuation="off",
        max_price_usd=2.5,
    )
    assert (read.providers[0].weight, read.providers[0].timeouts.first_token_s) == (3, 2.0)
    assert read.models == (Alias(name="a", targets=("vllm/x",), strategy="least_loaded"),)


def test_a_hedge_waits_for_milliseconds_or_the_p95():
    assert config("[routing]\nhedge_after_ms = 250").routing.hedge_after_ms == 250
    assert config('[routing]\nhedge_after_ms = "p95"').routing.hedge_after_ms == "p95"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("round-robin", "round_robin"),
        ("roundrobin", "round_robin"),
        ("round_robin", "round_robin"),
        ("lowest-latency", "lowest_latency"),
        ("least-loaded", "least_loaded"),
        ("direct", "direct"),
    ],
)
def test_strategies_may_be_spelled_as_the_reference_does(written, read):
    assert config(f'[routing]\nstrategy = "{written}"').routing.strategy == read
    assert config(f'[server]\nstrategy = "{written}"').routing.strategy == read


# -- other names -------------------------------------------------------------------------------------


def test_the_references_names_below_server_mean_the_same():
    read = config('[server]\nstrategy = "lowest_latency"\nhealth_check_interval_secs = 0\n[health]\nopen_s = 4')
    assert read.routing == Routing(strategy="lowest_latency")
    assert read.health == Health(interval_secs=0.0, open_s=4.0)


def test_both_names_may_say_the_same():
    read = config(
        '[server]\nstrategy = "round-robin"\nhealth_check_interval_secs = 5\n'
        '[routing]\nstrategy = "roundrobin"\n[health]\ninterval_secs = 5.0'
    )
    assert (read.routing.strategy, read.health.interval_secs) == ("round_robin", 5.0)


def test_a_flag_may_use_the_other_name_and_is_not_changed():
    flags = {("server",): {"strategy": "sticky", "port": 1}}
    read = loads("", "hoosh.toml", {}, flags)
    assert (read.routing.strategy, read.server.port) == ("sticky", 1)
    assert flags == {("server",): {"strategy": "sticky", "port": 1}}


# -- accounts ----------------------------------------------------------------------------------------


def test_each_key_is_an_account():
    [provider] = config(HOME + 'keys = ["$A", "sk-b"]', A="sk-a", OPENAI_API_KEY="sk-not-this").providers
    assert provider.api_key is None
    assert provider.accounts() == (("openai", Secret("sk-a")), ("openai#2", Secret("sk-b")))
    assert "sk-" not in repr(provider)


def test_an_api_key_beside_keys_is_the_first():
    [provider] = config(HOME + 'name = "work"\napi_key = "a"\nkeys = ["b", "c"]').providers
    assert [(name, key and key.reveal()) for name, key in provider.accounts()] == [
        ("work", "a"),
        ("work#2", "b"),
        ("work#3", "c"),
    ]


def test_a_provider_without_a_key_has_one_account():
    assert Provider(type="vllm").accounts() == (("vllm", None),)
    assert Provider(type="openai", api_key=Secret("x")).accounts() == (("openai", Secret("x")),)


def test_keys_may_come_out_of_files(tmp_path):
    (tmp_path / "b.key").write_text("from-file\n")
    [provider] = loads(P + 'keys = ["file:b.key"]', str(tmp_path / "hoosh.toml"), {}).providers
    assert provider.keys == (Secret("from-file"),)


def test_no_keys_at_all_is_as_if_nothing_was_said():
    [provider] = config(HOME + "keys = []", OPENAI_API_KEY="sk-1").providers
    assert provider.accounts() == (("openai", Secret("sk-1")),)


def test_the_keys_of_a_provider_that_is_switched_off_need_not_exist():
    [provider] = config(HOME + 'enabled = false\nkeys = ["$NO", "b"]').providers
    assert provider.keys == (Secret("b"),)


# -- what is wrong -----------------------------------------------------------------------------------

WRONG = [
    # (document, the mistake's beginning, a part of the advice)
    ('[routing]\nstrategy = "fastest"', "2: routing.strategy: is `fastest`", '"lowest_latency"'),
    ('[server]\nstrategy = "round_robbin"', "2: server.strategy: is `round_robbin`", "did you mean `round_robin`?"),
    ("[server]\nstrategy = 3", "2: server.strategy: is 3", '"priority"'),
    (
        "[server]\nhealth_check_interval_secs = -1",
        "2: server.health_check_interval_secs: is -1",
        "a number, 0 or more",
    ),
    (
        '[routing]\nstrategy = "sticky"\n[server]\nstrategy = "direct"',
        "4: server.strategy: is another name for routing.strategy",
        "keep one",
    ),
    (
        "[server]\nhealth_check_interval_secs = 3\n[health]\ninterval_secs = 4",
        "2: server.health_check_interval_secs: is another name for health.interval_secs",
        "keep one",
    ),
    ('routing = 3\n[server]\nstrategy = "direct"', "1: routing: is 3", "must be a table"),
    ("max_attempts = 3", "1: max_attempts: unknown key", "it belongs below [routing]"),
    ("[routing]\nmax_attempts = 0", "2: routing.max_attempts: is 0", "1 or more"),
    ('[routing]\nhedge_after_ms = "p99"', "2: routing.hedge_after_ms: is text", 'a whole number, 1 or more, or "p95"'),
    ("[routing]\nhedge_after_ms = 0", "2: routing.hedge_after_ms: is 0", '"p95"'),
    ("[routing]\nhedge_after_ms = true", "2: routing.hedge_after_ms: is true", '"p95"'),
    ("[routing]\nhedge_max_ratio = 1.5", "2: routing.hedge_max_ratio: is 1.5", "from 0 to 1"),
    ("[routing]\nmax_price_usd = 0", "2: routing.max_price_usd: is 0", "above 0"),
    ("[retry]\nmax_retries = 11", "2: retry.max_retries: is 11", "from 0 to 10"),
    ("[retry]\njitter_factor = nan", "2: retry.jitter_factor: is nan", "from 0 to 1"),
    (
        "[retry]\nbase_delay_ms = 31000",
        "2: retry.base_delay_ms: is 31000, more than max_delay_ms, which is 30000",
        "raise",
    ),
    ("[retry]\nmax_delay_ms = 100", "2: retry.max_delay_ms: is 100, less than base_delay_ms, which is 500", "lower"),
    ("[retry]\nmax_delay_ms = 5\nbase_delay_ms = 6", "3: retry.base_delay_ms: is 6, more than", "raise"),
    ("[health]\nfailure_ratio = 0", "2: health.failure_ratio: is 0", "above 0, 1 at most"),
    ("[health]\nopen_s = 0", "2: health.open_s: is 0", "above 0"),
    ("[server]\nmax_concurrent = 0", "2: server.max_concurrent: is 0", "1 or more"),
    ("[server]\nmax_queue = -1", "2: server.max_queue: is -1", "0 or more"),
    (P + "weight = 0", "3: providers[0].weight: is 0", "1 or more"),
    (P + 'name = "vllm#2"', "3: providers[0].name: holds signs", "letters, digits"),
    (P + 'keys = "hunter2"', "3: providers[0].keys: is text", 'keys = ["$FIRST_KEY", "$SECOND_KEY"]'),
    (P + 'keys = [\n"a",\n3]', "5: providers[0].keys[1]: is 3", "$VARIABLE or file:PATH"),
    (P + 'keys = ["$NO"]', "3: providers[0].keys[0]: the environment variable NO is not set", "export NO"),
    (P + 'keys = ["hunter2\\n2"]', "3: providers[0].keys[0]: holds a line break", "HTTP header"),
    (P + 'keys = ["hunter2",\n"hunter2"]', "4: providers[0].keys[1]: is a key that this provider has", "remove it"),
    (P + 'api_key = "hunter2"\nkeys = ["hunter2"]', "4: providers[0].keys[0]: is a key that this", "remove it"),
    (
        P + 'keys = ["k"]\nheaders = { Authorization = "x" }',
        "4: providers[0].headers.authorization: there are",
        "one of",
    ),
    (HOME + 'keys = ["$NO"]', "3: providers[0].keys[0]: the environment variable NO is not set", "export NO"),
    (HOME + "keys = []", "1: providers[0].api_key: is missing", "$OPENAI_API_KEY"),
    (
        P + "timeouts = { first_token_s = 20, total_s = 10 }",
        "3: providers[0].timeouts.first_token_s: is 20, and total_s ends the exchange after 10",
        "write less",
    ),
    (
        "[[models]]\nname = 'a'\ntargets = ['x']\nstrategy = 'best'",
        "4: models[0].strategy: is `best`",
        '"least_loaded"',
    ),
]


@pytest.mark.parametrize(("text", "begins", "advice"), WRONG)
def test_a_mistake_is_told_where_it_is_written(text, begins, advice):
    [found] = mistakes(text)
    assert found.startswith(begins)
    assert advice in found


@pytest.mark.parametrize(
    "text",
    [
        P + "timeouts = { total_s = 5 }",
        P + "timeouts = { first_token_s = inf }",
        "[[models]]\nname = 'a'\ntargets = ['x']\nstrategy = 'round_robin'",
        P + "weight = 7",
        "[server]\nmax_queue = 3",
        "[retry]\nbase_delay_ms = 0\nmax_delay_ms = 0",
    ],
)
def test_what_has_no_effect_is_no_mistake(text):
    config(text)


def test_hardware_is_looked_at_unless_somebody_says_off():
    assert config("").routing.hardware == "auto"
    assert config('[routing]\nhardware = "off"').routing.hardware == "off"
    (wrong,) = mistakes('[routing]\nhardware = "gpu"')
    assert wrong.startswith("2: routing.hardware")


def test_the_memory_of_a_local_providers_machine_can_be_said():
    assert config(f"{P}accelerator_bytes = 24_000_000_000").providers[0].accelerator_bytes == 24_000_000_000
    (wrong,) = mistakes(f"{P}accelerator_bytes = 0")
    assert "accelerator_bytes" in wrong
    (wrong,) = mistakes(f'{HOME}api_key = "hunter2"\naccelerator_bytes = 5')
    assert wrong.endswith("is only looked at for a local provider, and this one is not; remove it")
