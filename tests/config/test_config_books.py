"""Budgets, limits, prices, cache, audit and storage as they are written down."""

from __future__ import annotations

import math
import random

import pytest

from hoosh.config import Config, loads
from hoosh.config.schema import Audit, Budget, Cache, Limits, PriceOverride, Storage
from hoosh.errors import ConfigError
from hoosh.testing.seeds import seed_of_run
from hoosh.values import Secret

WHOLE = """
[[budgets]]
name = "team"
capacity = 18446744073709551615

[[budgets]]
name = "money"
capacity = 12.5
unit = "usd"
window = "month"
on_exhausted = "finish"

[[keys]]
name = "ada"
key = "a-1"
pool = "team"
rpm = 60
tpm = 9000
max_concurrent = 4
priority = "high"
privacy = "local"

[[keys]]
name = "bob"
key = "b-1"
pool = "default"

[[providers]]
type = "vllm"
rate_limit_rpm = 100
tpm = 7
max_concurrent = 3

[limits]
rpm = 1000

[[limits.models]]
name = "gpt-*"
tpm = 5

[[prices]]
model = "qwen*"
provider = "vllm"
input = 0.5
output = 1

[cache]
ttl_secs = 0
share = "all"

[audit]
enabled = true
signing_key = "$SIGN"
previous_key = "file:old.key"
checkpoint_every = 10

[storage]
url = "sqlite:///books/hoosh.db"
durability = "sync"
"""


def read(text: str, **environ: str) -> Config:
    return loads(text, "hoosh.toml", environ)


def mistake(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    [only] = caught.value.mistakes
    return only.removeprefix("hoosh.toml:")


def test_everything_about_the_books_is_understood(tmp_path):
    (tmp_path / "old.key").write_text("0123456789abcdef-old\n")
    config = loads(WHOLE, str(tmp_path / "hoosh.toml"), {"SIGN": "0123456789abcdef-new"})
    team, money = config.budgets
    assert team == Budget(name="team", capacity=2**64 - 1)
    assert (type(team.capacity), team.capacity) == (int, 2**64 - 1), "not a token is lost in a float"
    assert money == Budget(name="money", capacity=12.5, unit="usd", window="month", on_exhausted="finish")
    ada = config.keys[0]
    assert (ada.pool, ada.rpm, ada.tpm, ada.max_concurrent) == ("team", 60, 9000, 4)
    assert (ada.priority, ada.privacy) == ("high", "local")
    vllm = config.providers[0]
    assert (vllm.rate_limit_rpm, vllm.tpm, vllm.max_concurrent) == (100, 7, 3)
    assert (config.limits.rpm, config.limits.tpm) == (1000, None)
    assert [(model.name, model.tpm) for model in config.limits.models] == [("gpt-*", 5)]
    assert config.prices == (PriceOverride(model="qwen*", provider="vllm", input=0.5, output=1.0),)
    assert config.cache == Cache(ttl_secs=0.0, share="all")
    new, old = Secret("0123456789abcdef-new"), Secret("0123456789abcdef-old")
    assert config.audit == Audit(enabled=True, signing_key=new, previous_key=old, checkpoint_every=10)
    assert config.storage == Storage(url=f"sqlite:///{tmp_path}/books/hoosh.db", durability="sync")
    assert "0123456789abcdef" not in repr(config)


def test_nothing_said_is_no_limit_no_pool_and_no_audit():
    config = read("")
    assert (config.budgets, config.limits, config.prices) == ((), Limits(), ())
    assert (config.audit.enabled, config.cache.enabled, config.storage.url) == (False, True, "")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("", ""),
        ("memory:", "memory:"),
        ("sqlite:///a.db", "sqlite:////etc/hoosh/a.db"),
        ("sqlite:///../a b.db", "sqlite:////etc/hoosh/../a b.db"),
        ("sqlite:////var/lib/a.db", "sqlite:////var/lib/a.db"),
    ],
)
def test_a_store_lies_where_its_url_says_and_starts_at_the_files_directory(written, kept):
    assert loads(f'[storage]\nurl = "{written}"', "/etc/hoosh/hoosh.toml", {}).storage.url == kept


def test_an_audit_that_is_switched_off_needs_no_keys():
    assert read('[audit]\nsigning_key = "$NO"').audit.signing_key is None
    assert read('[audit]\nenabled = false\nsigning_key = "$NO"').audit.signing_key is None


def test_a_capacity_may_be_written_with_a_point_where_it_is_whole():
    assert read('[[budgets]]\nname = "x"\ncapacity = 1e6').budgets[0].capacity == 1_000_000


B = '[[budgets]]\nname = "team"\n'
K = '[[keys]]\nname = "a"\nkey = "x"\n'
A = "[audit]\nenabled = true\n"
R = '[[prices]]\nmodel = "m"\n'
LONG = "0123456789abcdef"

WRONG = [
    # (document, the mistake's beginning, a part of the advice)
    (B, "1: budgets[0].capacity: is missing", "add capacity"),
    (B + "capacity = -1", "3: budgets[0].capacity: is -1, must be a number from 0", "18446744073709551615"),
    (B + "capacity = 18446744073709551616", "3: budgets[0].capacity: is 18446744073709551616", "from 0 to"),
    (B + f"capacity = 0x{'f' * 5000}", "3: budgets[0].capacity: is a number of more than 38 digits", "from 0 to"),
    (B + "capacity = nan", "3: budgets[0].capacity: is nan", "from 0 to"),
    (B + "capacity = inf", "3: budgets[0].capacity: is inf", "from 0 to"),
    (B + "capacity = 1e400", "3: budgets[0].capacity: is inf", "from 0 to"),
    (B + "capacity = true", "3: budgets[0].capacity: is true", "from 0 to"),
    (B + 'capacity = "5"', "3: budgets[0].capacity: is text", "from 0 to"),
    (B + "capacity = 0.5", "3: budgets[0].capacity: is 0.5, and tokens are whole", 'unit = "usd"'),
    (B + 'capacity = 1e15\nunit = "usd"', "3: budgets[0].capacity: is more than 18446744073709 USD", "fewer"),
    (B + 'capacity = 1e-7\nunit = "usd"', "3: budgets[0].capacity: is less than a millionth", "more"),
    (B + 'capacity = 1\nunit = "USD"', "4: budgets[0].unit: is `USD`", "did you mean `usd`?"),
    (B + 'capacity = 1\nwindow = "week"', "4: budgets[0].window: is `week`", '"minute", "month"'),
    (B + 'capacity = 1\non_exhausted = "end"', "4: budgets[0].on_exhausted: is `end`", '"finish", "stop"'),
    (B + "capacity = 1\nlimit = 2", "4: budgets[0].limit: unknown key", "known here: name, capacity"),
    ('[[budgets]]\nname = "a b"\ncapacity = 1', "2: budgets[0].name: holds signs", "letters, digits"),
    ('[[budgets]]\nname = ""\ncapacity = 1', "2: budgets[0].name: is empty", "text"),
    (
        B + "capacity = 1\n" + B.replace("team", "Team") + "capacity = 2",
        "5: budgets[1].name: the budget name",
        "line 1",
    ),
    (B + "capacity = 1\n" + K + 'pool = "taem"', "7: keys[0].pool: there is no budget", "did you mean `team`?"),
    (K + 'pool = "x"', "4: keys[0].pool: there is no budget", "known here: default"),
    (K + 'pool = ""', "4: keys[0].pool: is empty", "text"),
    (K + "rpm = 0", "4: keys[0].rpm: is 0", "1 or more"),
    (K + "rpm = 1.5", "4: keys[0].rpm: is 1.5", "a whole number"),
    (K + "tpm = 1e400", "4: keys[0].tpm: is inf", "a whole number"),
    (K + "max_concurrent = nan", "4: keys[0].max_concurrent: is nan", "a whole number"),
    (K + "rpm = 9223372036854775808", "4: keys[0].rpm: is 9223372036854775808", "9223372036854775807 at most"),
    (K + 'priority = "hihg"', "4: keys[0].priority: is `hihg`", "did you mean `high`?"),
    (K + "priority = 3", "4: keys[0].priority: is 3", '"critical", "high"'),
    (K + 'privacy = "locale"', "4: keys[0].privacy: is `locale`", "did you mean `local`?"),
    ("[limits]\nrpm = -5", "2: limits.rpm: is -5", "1 or more"),
    ("[limits]\nrmp = 5", "2: limits.rmp: unknown key", "did you mean `rpm`?"),
    ("[limits]\nmodels = { x = 1 }", "2: limits.models: is a table", "write [[limits.models]]"),
    ("[[limits.models]]\nrpm = 5", "1: limits.models[0].name: is missing", "add name"),
    (
        '[[limits.models]]\nname = "a*"\nrpm = 5\n[[limits.models]]\nname = "a*"\ntpm = 5',
        "5: limits.models[1].name: stands in line 1 already",
        "keep one",
    ),
    (R, "1: prices[0].input: is missing", "add input"),
    (R + "input = -1", "3: prices[0].input: is -1", "from 0 to 1000000"),
    (R + "input = nan", "3: prices[0].input: is nan", "a number from 0"),
    (R + "input = 1e400", "3: prices[0].input: is inf", "from 0 to 1000000"),
    (R + "input = 1\nrequest = 1e300", "4: prices[0].request: is 1e+300", "from 0 to 1000000"),
    (R + 'input = 1\nprovider = "olama"', "4: prices[0].provider: no provider is called so", "did you mean `ollama`?"),
    (R + "input = 1\n" + R + "input = 2", "5: prices[1].model: has a price already in line 1", "keep one"),
    ("[cache]\nttl_secs = -1", "2: cache.ttl_secs: is -1", "0 or more"),
    ("[cache]\nttl_secs = nan", "2: cache.ttl_secs: is nan", "0 or more"),
    ("[cache]\nmax_bytes = 0", "2: cache.max_bytes: is 0", "1 or more"),
    ('[cache]\nshare = "keys"', "2: cache.share: is `keys`", "did you mean `key`?"),
    ("[cache.semantic]\nenabled = true", "1: cache.semantic: unknown key", "cannot do that yet"),
    (A, "1: audit.signing_key: is missing", "openssl rand -hex 32"),
    (A + 'signing_key = "$NO"', "3: audit.signing_key: the environment variable NO is not set", "export"),
    (A + "signing_key = 5", "3: audit.signing_key: is 5", "$VARIABLE"),
    (A + 'signing_key = "0123456789abcde"', "3: audit.signing_key: is shorter than 16 bytes", "openssl rand"),
    (A + f'signing_key = "{LONG}"\nprevious_key = "{LONG}"', "4: audit.previous_key: is the signing_key", "remove"),
    (f'[audit]\nprevious_key = "{LONG}"', "2: audit.previous_key: needs a signing_key", "add signing_key"),
    (A + f'signing_key = "{LONG}"\nmax_entries = 0', "4: audit.max_entries: is 0", "1 or more"),
    ('[storage]\nurl = "mysql://u:hunter2@h/d"', "2: storage.url: is not the address of a store", "sqlite:///PATH"),
    ('[storage]\nurl = "postgresql://u:hunter2@h/d"', "2: storage.url: this version of hoosh cannot", "memory:"),
    ('[storage]\nurl = "redis://u:hunter2@h"', "2: storage.url: this version of hoosh cannot", "memory:"),
    ('[storage]\nurl = "sqlite:///"', "2: storage.url: names no file", "sqlite:///PATH"),
    ('[storage]\nurl = "sqlite:///:memory:"', "2: storage.url: names no file", "memory:"),
    ('[storage]\nurl = "sqlite:///a.db?mode=ro"', "2: storage.url: holds signs", "sqlite:///PATH"),
    ('[storage]\nurl = "sqlite:///a\\u0000b"', "2: storage.url: holds signs", "sqlite:///PATH"),
    ('[storage]\nurl = "sqlite:////"', "2: storage.url: names no file", "sqlite:///PATH"),
    ('[storage]\nurl = "sqlite:////usr"', "2: storage.url: names a directory", "hoosh.db"),
    ("[storage]\nurl = 5", "2: storage.url: is 5", "sqlite:///PATH"),
    ('[storage]\ndurability = "synced"', "2: storage.durability: is `synced`", "did you mean `sync`?"),
    ('[storage]\ncoordination = "redis://x"', "2: storage.coordination: unknown key", "cannot do that yet"),
    ("enabled = true", "1: enabled: unknown key", "known here"),
    ("rpm = 5", "1: rpm: unknown key", "belongs below [limits]"),
]


@pytest.mark.parametrize(("text", "begins", "advice"), WRONG)
def test_a_mistake_in_the_books_has_its_line_its_key_and_what_would_be_right(text, begins, advice):
    found = mistake(text)
    assert found.startswith(begins)
    assert advice in found
    assert "hunter2" not in found
    assert LONG[:-1] not in found


def test_a_pool_is_not_missed_where_its_budget_could_not_be_read():
    assert mistake(B + "capacity = -1\n" + K + 'pool = "team"').startswith("3: budgets[0].capacity")


def test_a_price_is_not_blamed_for_a_provider_that_could_not_be_read():
    found = mistake('[[providers]]\ntype = "vlm"\nname = "work"\n' + R + 'input = 1\nprovider = "work"')
    assert found.startswith("2: providers[0].type")


def test_the_longest_number_is_a_mistake_and_no_crash():
    assert mistake(f"[server]\nport = 0x{'f' * 5000}").startswith("2: server.port: is a number of more than 38 digits")


def test_numbers_at_random_are_read_exactly_or_are_mistakes():
    dice = random.Random(seed_of_run())
    for _ in range(300):
        value = dice.choice([dice.randrange(-10, 10), dice.randrange(2**66), dice.uniform(-5, 5), math.inf, 1e300])
        try:
            [budget] = read(f'[[budgets]]\nname = "x"\ncapacity = {value!r}').budgets
        except ConfigError:
            assert not (0 <= value < 2**64 and value == value // 1)
        else:
            assert budget.capacity == value
