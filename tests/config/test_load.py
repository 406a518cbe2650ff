from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields

from hoosh.config import (
    Alias,
    Auth,
    Config,
    Http2,
    Key,
    Logging,
    Origin,
    Overrides,
    Provider,
    Server,
    Timeouts,
    find_config,
    load,
    loads,
    places,
)
from hoosh.config.schema import Audit, Budget, Cache, Health, Limits, PriceOverride, Retry, Routing, Storage
from hoosh.errors import ConfigError
from hoosh.values import Capability, ModelFacts, Secret

FULL = """
[server]
bind = "[::1]"
port = 0
http2 = false
max_body_bytes = 1000
drain_s = 0
request_timeout_s = 60

[auth]
tokens = ["$TOKEN"]

[[keys]]
name = "ada"
key = "${ADA}"

[[keys]]
name = "bob"
key = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
scopes = ["inference"]
models = ["gpt-*"]
expires = 2030-01-02

[[providers]]
type = "LlamaCpp"

[[providers]]
type = "openai-compatible"
name = "work"
base_url = "https://llm.example.com/v1/"
api_key = "file:work.key"
priority = 3
models = ["qwen*"]
max_tokens_limit = 100
timeouts = { connect_s = 1, total_s = inf }
http2 = "prior"
verify = false
headers = { X-Team = "a ${ADA}" }
max_connections = 5

[[models]]
name = "fast"
targets = ["work/qwen3", "llama3"]
context_length = 9000
capabilities = ["chat", "tools"]

[discovery]
local = false

[logging]
format = "json"
level = "debug"
levels = { http = "warning" }
access_sample = 0.5

[telemetry]
otlp_endpoint = "http://collector:4318"
headers = { Authorization = "Bearer ${ADA}" }
resource = { "deployment.environment.name" = "prod" }
sample = 0.25
"""


def mistakes(text: str, environ: dict[str, str] | None = None, overrides: Overrides | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "hoosh.toml", environ or {}, overrides)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return list(caught.value.mistakes)


def mistake(text: str, environ: dict[str, str] | None = None) -> str:
    """The only mistake of a document, without its file name."""
    [only] = mistakes(text, environ)
    return only.removeprefix("hoosh.toml:")


# -- what is right -----------------------------------------------------------------------------------


def test_nothing_at_all_is_a_configuration():
    assert loads("", "hoosh.toml", {}) == Config()
    assert load(None, {}) == Config()


def test_everything_that_can_be_said_is_understood(tmp_path):
    (tmp_path / "work.key").write_text("from-file\n")
    path = tmp_path / "hoosh.toml"
    path.write_text(FULL)
    config = load(path, {"TOKEN": "t-1", "ADA": "a-1"})
    assert (config.server.bind, config.server.port, config.server.http2) == ("::1", 0, False)
    assert (config.server.max_body_bytes, config.server.drain_s, config.server.keepalive_s) == (1000, 0.0, 75.0)
    assert [(key.name, key.scopes) for key in config.all_keys()] == [
        ("ada", ("admin", "inference", "metrics")),
        ("bob", ("inference",)),
        ("token-1", ("admin", "inference", "metrics")),
    ]
    assert config.keys[0].key == Secret("a-1")
    assert config.auth.tokens == (Secret("t-1"),)
    assert config.keys[1].expires_s == 1893628800.0  # the end of that day, UTC
    llama, work = config.providers
    assert (llama.type, llama.name, llama.base_url, llama.priority) == (
        "llamacpp",
        "llamacpp",
        "http://localhost:8080",
        10,
    )
    assert llama.is_local
    assert not work.is_local
    assert (work.base_url, work.api_key, work.models) == ("https://llm.example.com/v1", Secret("from-file"), ("qwen*",))
    assert work.timeouts == Timeouts(connect_s=1.0, total_s=float("inf"))
    assert (work.http2, work.verify, work.headers) == (Http2.PRIOR, False, {"x-team": Secret("a a-1")})
    assert work.origin is Origin.CONFIG
    can = (Capability.CHAT, Capability.TOOLS)
    assert config.models == (
        Alias(name="fast", targets=("work/qwen3", "llama3"), context_length=9000, capabilities=can),
    )
    assert config.aliases() == {"fast": ("work/qwen3", "llama3")}
    assert (config.discovery.local, config.discovery.environment, config.logging.level) == (False, True, "debug")
    assert (config.logging.levels, config.logging.access_sample) == ({"http": "warning"}, 0.5)
    telemetry = config.telemetry
    assert (telemetry.is_on, telemetry.sample) == (True, 0.25)
    assert list(telemetry.headers) == ["authorization"]
    assert telemetry.headers["authorization"].reveal().startswith("Bearer ")
    assert telemetry.resource == {"deployment.environment.name": "prod"}
    assert "a-1" not in repr(config)
    assert "from-file" not in repr(config)


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://localhost:9/", "http://localhost:9"),
        ("http://localhost:9/v1", "http://localhost:9/v1"),
        ("http://localhost:9/v1//", "http://localhost:9/v1"),
        ("https://h.example/api/v1", "https://h.example/api/v1"),
        ("https://h.example/v1beta", "https://h.example/v1beta"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_base_urls_are_brought_to_their_plain_form(written, url):
    config = loads(f'[[providers]]\ntype = "vllm"\nbase_url = "{written}"', "hoosh.toml", {})
    assert config.providers[0].base_url == url


@pytest.mark.parametrize(
    ("written", "unix"),
    [
        ("2030-01-02T03:04:05Z", 1893553445),
        ("2030-01-02T03:04:05", 1893553445),
        ("2030-01-02 05:04:05+02:00", 1893553445),
        ('"2030-01-02T03:04:05Z"', 1893553445),
        ('"2030-01-01"', 1893542400),
    ],
)
def test_an_expiry_is_a_date_or_a_moment(written, unix):
    config = loads(f'[[keys]]\nname = "a"\nkey = "b"\nexpires = {written}', "hoosh.toml", {})
    assert config.keys[0].expires_s == unix


def test_http2_may_be_true_or_false():
    text = '[[providers]]\ntype="vllm"\nhttp2 = true\n[[providers]]\ntype="vllm"\nname="b"\nhttp2=false'
    assert [provider.http2 for provider in loads(text, "hoosh.toml", {}).providers] == [Http2.ALPN, Http2.OFF]


def test_a_literal_dollar_sign_is_doubled():
    assert loads('[auth]\ntokens = ["$$a"]', "hoosh.toml", {}).auth.tokens == (Secret("$a"),)


def test_what_the_owner_says_of_an_alias_is_the_whole_of_it():
    config = loads(
        '[[models]]\nname = "a"\ntargets = ["x"]\ncontext_length = 5\ncapabilities = ["tools"]\n'
        '[[models]]\nname = "b"\ntargets = ["x"]\n[[models]]\nname = "c"\ntargets = ["x"]\ncontext_length = 7',
        "hoosh.toml",
        {},
    )
    said = config.alias_facts()
    assert set(said) == {"a", "c"}
    assert (said["a"].can, said["a"].context_tokens, said["a"].source) == ({Capability.TOOLS}, 5, "config")
    assert {Capability.VISION, Capability.REASONING} <= said["a"].cannot
    assert not {Capability.CHAT, Capability.STREAMING} & said["a"].cannot
    assert said["c"] == ModelFacts(context_tokens=7, source="config")


@pytest.mark.parametrize(
    ("url", "is_at_home"),
    [
        ("https://api.openai.com", True),
        ("https://api.openai.com/v1/", True),
        ("https://api.openai.com/v1beta", True),
        ("https://api.openai.com/proxy", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("http://api.openai.com", False),
    ],
)
def test_a_provider_is_at_home_with_or_without_a_version(url, is_at_home):
    text = f'[[providers]]\ntype = "openai"\nbase_url = "{url}"\nenabled = false'
    [provider] = loads(text, "hoosh.toml", {"OPENAI_API_KEY": "sk-1"}).providers
    assert provider.is_at_home == is_at_home
    assert (provider.api_key is not None) == is_at_home


def test_a_key_among_the_headers_is_key_enough():
    text = '[[providers]]\ntype = "anthropic"\nheaders = { Authorization = "Bearer x" }'
    [provider] = loads(text, "hoosh.toml", {"ANTHROPIC_API_KEY": "sk-1"}).providers
    assert provider.api_key is None


def test_a_usual_key_variable_is_used_at_the_usual_address_only():
    environ = {"OPENAI_API_KEY": "sk-1"}
    text = '[[providers]]\ntype = "openai"\n[[providers]]\ntype = "openai"\nname = "b"\nbase_url = "http://elsewhere"'
    usual, elsewhere = loads(text, "hoosh.toml", environ).providers
    assert usual.api_key == Secret("sk-1")
    assert elsewhere.api_key is None


def test_a_provider_that_is_switched_off_needs_no_key():
    text = '[[providers]]\ntype = "openai"\napi_key = "$NO"\nenabled = false\nheaders = { a = "$NO", b = "c" }'
    [provider] = loads(text, "hoosh.toml", {}).providers
    assert provider.api_key is None
    assert provider.headers == {"b": Secret("c")}
    assert not provider.enabled


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_loopback_needs_no_keys(bind):
    loads(f'[server]\nbind = "{bind}"', "hoosh.toml", {})


@pytest.mark.parametrize(
    "more",
    ['[auth]\ntokens = ["x"]', '[[keys]]\nname = "a"\nkey = "x"', "[server]\nallow_public_without_keys = true"],
)
def test_a_public_address_is_fine_with_a_key_or_a_word(more):
    text = more if more.startswith("[server]") else f"[server]\n{more}"
    text = text.replace("[server]", '[server]\nbind = "0.0.0.0"')
    assert loads(text, "hoosh.toml", {}).server.bind == "0.0.0.0"


def test_the_references_speech_is_a_provider_behind_the_others():
    text = '[[providers]]\ntype = "vllm"\n[tts]\nurl = "http://gpu:8000/v1"\napi_key = "$K"\n'
    first, speech = loads(text, "hoosh.toml", {"K": "key"}).providers
    assert (first.name, speech.type, speech.name, speech.models) == ("vllm", "openedai", "tts", ("tts-1",))
    assert (speech.base_url, speech.api_key.reveal()) == ("http://gpu:8000/v1", "key")
    [speech] = loads('[tts]\nurl = "http://localhost:8000"\nmodel = "kokoro"', "hoosh.toml", {}).providers
    assert speech.models == ("kokoro",)


def test_a_unix_socket_starts_at_the_files_directory(tmp_path):
    config = loads('[server]\nunix_socket = "h.sock"\nbind = "0.0.0.0"', str(tmp_path / "hoosh.toml"), {})
    assert config.server.unix_socket == str(tmp_path / "h.sock")


def test_a_whisper_model_is_a_path_or_a_name(tmp_path):
    here = str(tmp_path / "hoosh.toml")
    whisper = loads('[whisper]\nmodel = "tiny"\nmodels_dir = "models"', here, {}).whisper
    assert (whisper.model, whisper.models_dir) == ("tiny", str(tmp_path / "models"))
    for path in ("m/tiny.bin", "tiny.bin"):
        assert loads(f'[whisper]\nmodel = "{path}"', here, {}).whisper.model == str(tmp_path / path)


# -- what is wrong -----------------------------------------------------------------------------------

P = '[[providers]]\ntype = "vllm"\n'
K = '[[keys]]\nname = "a"\n'

WRONG = [
    # (document, the mistake's beginning, a part of the advice)
    ("[server]\nprot = 1", "2: server.prot: unknown key", "did you mean `port`?"),
    ("[server]\nqqqqqq = 1", "2: server.qqqqqq: unknown key", "known here: bind, port"),
    ("[serve]\nport = 1", "1: serve: unknown section", "did you mean `server`?"),
    ("port = 1", "1: port: unknown key", "it belongs below [server]"),
    ("[speech]\nname = 3", "1: speech: unknown section", "cannot do that yet"),
    ('[whisper]\nmodel = "tiny"', "2: whisper.model: is a name", "add models_dir"),
    ("[whisper]\nslots = 0", "2: whisper.slots: is 0", "1 or more"),
    ("[whisper]\nmodel = 3", "2: whisper.model: is", "the path of a file"),
    ("[tts]\nurl = 3", "2: tts.url: is 3", "must be text"),
    ('[tts]\nurl = "localhost"', "2: tts.url: ", "http://"),
    ('[tts]\nmodel = "m"', "1: tts.url: is missing", "add url"),
    ('[tts]\nurl = "http://h"\nmodel = 3', "3: tts.model: is 3", "must be text"),
    ('[tts]\nurl = "http://h"\napi_key = "$GONE"', "3: tts.api_key: ", "GONE"),
    ('[tts]\nurl = "http://h"\nvoice = "v"', "3: tts.voice: unknown key", "known here: url, api_key, model"),
    ("tts = 3", "1: tts: must be a table", "[tts]"),
    ('[tts]\nurl = "http://h"\n[[providers]]\ntype = "vllm"\nname = "tts"', "1: tts", "tts"),
    ("[server]\nworkers = 2", "2: server.workers: unknown key", "cannot do that yet"),
    ('[server]\nport = "80"', "2: server.port: is text", "a whole number from 0 to 65535"),
    ("[server]\nport = 80.5", "2: server.port: is 80.5", "a whole number from 0 to 65535"),
    ("[server]\nport = true", "2: server.port: is true", "a whole number"),
    ("[server]\nport = 65536", "2: server.port: is 65536", "from 0 to 65535"),
    ("[server]\nmax_streams = 0", "2: server.max_streams: is 0", "1 or more"),
    ("[server]\nkeepalive_s = 0", "2: server.keepalive_s: is 0", "above 0"),
    ("[server]\nkeepalive_s = nan", "2: server.keepalive_s: is nan", "above 0"),
    ("[server]\ndrain_s = -1", "2: server.drain_s: is -1", "0 or more"),
    ("[server]\nhttp2 = 1", "2: server.http2: is 1", "true or false"),
    ("[server]\nbind = 1", "2: server.bind: is no host", "127.0.0.1"),
    ('[server]\nbind = ""', "2: server.bind: is no host", "127.0.0.1"),
    ('[server]\nbind = "127.0.0.1:80"', "2: server.bind: is no host", "without a port"),
    ('[server]\nbind = "0.0.0.0"', "2: server.bind: 0.0.0.0 can be reached", "add [[keys]]"),
    ('[server]\nbind = "::"', "2: server.bind: :: can be reached", "add [[keys]]"),
    ('[server]\nbind = "[::]"', "2: server.bind: :: can be reached", "add [[keys]]"),
    ('[server]\nbind = "::ffff:0.0.0.0"', "2: server.bind: ::ffff:0.0.0.0 can be reached", "add [[keys]]"),
    ('[server]\nbind = "192.168.1.5"', "2: server.bind: 192.168.1.5 can be reached", "add [[keys]]"),
    ('[server]\nbind = "0"', "2: server.bind: 0 can be reached", "add [[keys]]"),
    ('[server]\nbind = "0x7f000001"', "2: server.bind: 0x7f000001 can be reached", "add [[keys]]"),
    ('[server]\nbind = "localhost.example"', "2: server.bind: localhost.example can be reached", "add [[keys]]"),
    ('[server]\nbind = "fe80::1%eth0"', "2: server.bind: fe80::1%eth0 can be reached", "add [[keys]]"),
    ('[server]\nbind = "gateway.example"', "2: server.bind: gateway.example can be reached", "allow_public"),
    ('[server]\nunix_socket = "/nowhere/at/all.sock"', "2: server.unix_socket: its directory", "create it"),
    (f'[server]\nunix_socket = "/tmp/{"x" * 200}"', "2: server.unix_socket: is longer", "shorten it"),
    ("server = 1", "1: server: is 1", "must be a table"),
    ("[[server]]\nport = 1", "1: server: is a list", "must be a table"),
    ('[providers]\ntype = "vllm"', "1: providers: is a table", "write [[providers]]"),
    ("providers = [1]", "1: providers[0]: is 1", "must be a table"),
    ('[[providers]]\nname = "x"', "1: providers[0].type: is missing", "add type"),
    ('[[providers]]\ntype = "LlamaCp"', "2: providers[0].type: `LlamaCp` is no provider type", "`llamacpp`?"),
    ('[[providers]]\ntype = "zzzzz"', "2: providers[0].type: `zzzzz` is no provider type", "known here: ollama"),
    ('[[providers]]\ntype = "echo"', "2: providers[0].type: echo is built in", "[discovery] echo"),
    ("[[providers]]\ntype = 3", "2: providers[0].type: is 3", "one of"),
    (P + 'origin = "local"', "3: providers[0].origin: unknown key", "known here"),
    (P + "priority = -1", "3: providers[0].priority: is -1", "0 or more"),
    (P + 'models = "gpt-*"', "3: providers[0].models: is text", 'write models = ["..."]'),
    (P + 'models = [\n"a",\n3]', "5: providers[0].models[1]: is 3", "text"),
    (P + 'models = [""]', "3: providers[0].models[0]: is empty", "text"),
    (P + 'http2 = "on"', "3: providers[0].http2: is `on`", '"alpn"'),
    (P + "verify = 1", "3: providers[0].verify: is 1", "PEM file"),
    (P + 'verify = "/nowhere.pem"', "3: providers[0].verify: there is no file /nowhere.pem", "create it"),
    (P + "timeouts = { connect_s = 0 }", "3: providers[0].timeouts.connect_s: is 0", "above 0"),
    (P + "[providers.timeouts]\nidle = 3", "4: providers[0].timeouts.idle: unknown key", "`idle_s`?"),
    (P + "timeouts = 3", "3: providers[0].timeouts: is 3", "must be a table"),
    (P + 'name = "a/b"', "3: providers[0].name: holds signs", "letters, digits"),
    (P + 'name = "Echo"', "3: providers[0].name: `echo` is the embedded", "choose another"),
    (P + P, "3: providers[1]: the provider name `vllm` is taken already by the one in line 1", 'name = "..."'),
    (P + 'name = "A"\n' + P + 'name = "a"', "6: providers[1].name: the provider name `a` is taken", "line 1"),
    (P + 'headers = "x"', "3: providers[0].headers: is text", "headers = {"),
    (P + 'headers = { Host = "x" }', "3: providers[0].headers.Host: this header belongs", "remove it"),
    (P + 'headers = { "a b" = "x" }', "3: providers[0].headers.'a b': is no header name", "letters"),
    (P + 'headers = { a = "x", A = "y" }', "3: providers[0].headers.A: is given twice", "keep one"),
    (P + "headers = { a = 1 }", "3: providers[0].headers.a: is 1", "must be text"),
    (P + 'api_key = "k"\nheaders = { Authorization = "x" }', "4: providers[0].headers.authorization: there", "one of"),
    (P + 'base_url = "localhost:80"', "3: providers[0].base_url: must begin with http", "http://localhost:8080"),
    (P + 'base_url = "ftp://x"', "3: providers[0].base_url: must begin with http", "http://localhost:8080"),
    (P + 'base_url = "http://"', "3: providers[0].base_url: has no host", "http://localhost:8080"),
    (P + 'base_url = "http://:80"', "3: providers[0].base_url: has no host", "http://localhost:8080"),
    (P + 'base_url = "http://x:99999"', "3: providers[0].base_url: is not an address", "http://localhost:8080"),
    (P + 'base_url = "http://[::1"', "3: providers[0].base_url: is not an address", "http://localhost:8080"),
    (P + 'base_url = "http://x?a=b"', "3: providers[0].base_url: holds a query", "http://localhost:8080"),
    (P + 'base_url = "http://x/ y"', "3: providers[0].base_url: holds blanks", "http://localhost:8080"),
    (P + 'base_url = "http://u:hunter2@x"', "3: providers[0].base_url: holds a user name", "api_key"),
    ('[[providers]]\ntype = "openai-compatible"', "1: providers[0].base_url: is missing", "add base_url"),
    ('[[providers]]\ntype = "openai"', "1: providers[0].api_key: is missing", 'api_key = "$OPENAI_API_KEY"'),
    (P + 'api_key = "$NOPE"', "3: providers[0].api_key: the environment variable NOPE is not set", "export NOPE"),
    (P + 'api_key = "${NOPE}x"', "3: providers[0].api_key: the environment variable NOPE is not set", "export"),
    (P + 'api_key = "$BLANK"', "3: providers[0].api_key: the environment variable BLANK is set, but", "export"),
    (P + 'api_key = "${a b}"', "3: providers[0].api_key: holds ${...}", "${NAME}"),
    (P + 'api_key = "file:/nowhere.key"', "3: providers[0].api_key: the file /nowhere.key cannot be read", "create"),
    (P + 'api_key = ""', "3: providers[0].api_key: is empty", "$VARIABLE"),
    (P + 'api_key = "hunter2\\nx"', "3: providers[0].api_key: holds a line break", "HTTP header"),
    (P + "api_key = 3", "3: providers[0].api_key: is 3", "must be text"),
    ("[auth]\ntokens = [\n3\n]", "3: auth.tokens[0]: is 3", "must be text"),
    ('[auth]\ntokens = "hunter2"', "2: auth.tokens: is text", 'tokens = ["$TOKEN"]'),
    ('[auth]\ntokens = ["hunter2", "hunter2"]', "2: auth.tokens: token 2 is the same key as `token 1`", "remove"),
    (
        '[auth]\ntokens = ["hunter2"]\n[[keys]]\nname = "Token-1"\nkey = "x"',
        "2: auth.tokens: token 1 is known as `token-1`",
        "something else",
    ),
    (K, "1: keys[0].key: is missing", "add key"),
    (K + 'key = "sha256:12"', "3: keys[0].key: is not a SHA-256 digest", "64 hexadecimal"),
    (K + 'key = "hunter2 x"', "3: keys[0].key: holds a blank", "choose a key without"),
    (K + 'key = "x"\nscopes = ["inferense"]', "4: keys[0].scopes[0]: `inferense` is no scope", "`inference`?"),
    (K + 'key = "x"\nscopes = "admin"', "4: keys[0].scopes: is text", "must be a list of"),
    (K + 'key = "x"\nexpires = "soon"', "4: keys[0].expires: is not a date", "2030-12-31"),
    (K + 'key = "x"\nexpires = 12:00:00', "4: keys[0].expires: is a date or time", "2030-12-31"),
    (P + 'region = "eu"', "3: providers[0].region: unknown key", "cannot do that yet"),
    (K + 'key = "x"\n' + K + 'key = "y"', "5: keys[1].name: the key name `a` is taken", "line 1"),
    (K + 'key = "x"\n[[keys]]\nname = "b"\nkey = "x"', "6: keys[1].key: is the same key as that of `a`", "its own"),
    ('[[models]]\nname = "a"\ntargets = []', "3: models[0].targets: is empty", "provider/model"),
    ('[[models]]\nname = "a"', "1: models[0].targets: is missing", "add targets"),
    ('[[models]]\nname = "a"\ntargets = ["vlm/x"]', "3: models[0].targets[0]: no provider is called `vlm`", "vllm"),
    ('[[models]]\nname = "a"\ntargets = ["vllm/"]', "3: models[0].targets[0]: names the provider", "vllm/MODEL"),
    ('[[models]]\nname = "echo"\ntargets = ["x"]', "2: models[0].name: `echo` is the embedded", "another"),
    (
        '[[models]]\nname = "a"\ntargets = ["x"]\n[[models]]\nname = "b"\ntargets = ["a"]',
        "6: models[1].targets[0]: names another alias",
        "the models themselves",
    ),
    (
        '[[models]]\nname = "a"\ntargets = ["x"]\ncapabilities = ["tols"]',
        "4: models[0].capabilities[0]: `tols` is no capability",
        "`tools`?",
    ),
    ('[[models]]\nname = "a"\ntargets = ["x"]\ncapabilities = "tools"', "4: models[0].capabilities: is text", "list"),
    ('[[models]]\nname = "a"\ntargets = ["x"]\ncontext_length = 0', "4: models[0].context_length: is 0", "1 or more"),
    ('[logging]\nformat = "xml"', "2: logging.format: is `xml`", '"json", "text"'),
    ('[logging.levels]\nhtpp = "debug"', "2: logging.levels.htpp: no room is called so", "did you mean `http`?"),
    ('[logging.levels]\nhttp = "loud"', "2: logging.levels.http: is `loud`", "debug, info, warning, error"),
    ("[logging.levels]\nhttp = 3", "2: logging.levels.http: is 3", "debug"),
    ('[logging]\nlevels = "debug"', "2: logging.levels: is text", "must be a table"),
    ("[logging]\naccess_sample = 1.5", "2: logging.access_sample: is 1.5", "from 0 to 1"),
    ("[logging]\nslow_s = 0", "2: logging.slow_s: is 0", "above 0"),
    ("[telemetry]\nservice_name = 3", "2: telemetry.service_name: is 3", "text"),
    ('[telemetry]\notlp_endpoint = "localhost:4318"', "2: telemetry.otlp_endpoint: must begin with", "http://"),
    ("[telemetry]\notlp_endpoint = 4318", "2: telemetry.otlp_endpoint: is 4318", "URL"),
    ('[telemetry]\nheaders = { authorization = "$NOT_SET" }', "2: telemetry.headers.authorization: ", "NOT_SET"),
    ("[telemetry]\nheaders = 3", "2: telemetry.headers: is 3", "table"),
    ("[telemetry]\nresource = { team = 3 }", "2: telemetry.resource.team: is 3", "text"),
    ("[telemetry]\nsample = 2", "2: telemetry.sample: is 2", "from 0 to 1"),
    ("[telemetry]\ntimeout_s = 600", "2: telemetry.timeout_s: is 600", "60"),
    ("[logging]\nlevel = 3", "2: logging.level: is 3", '"debug"'),
    ("[server]\nport = = 3", "2: TOML: Invalid value", "correct this line first"),
    ("a = 1\n\na = 2", "3: TOML: Cannot overwrite a value", "correct this line first"),
    ("a = [", "1: TOML: ", "correct this line first"),
    (f"a = {'[' * 5000}", "1: is nested too deeply", "not a configuration"),
]


@pytest.mark.parametrize(("text", "begins", "advice"), WRONG)
def test_a_mistake_has_its_line_its_key_and_what_would_be_right(text, begins, advice):
    found = mistake(text, {"BLANK": " "})
    assert found.startswith(begins)
    assert advice in found
    assert "hunter2" not in found


def test_every_mistake_is_reported_in_the_order_of_the_file():
    found = mistakes('[server]\nprot = 1\nport = -1\n[[providers]]\ntype = "nope"\n[logging]\nlevel = "x"\n[dlp]\n')
    assert [text.split(":")[1] for text in found] == ["2", "3", "5", "7", "8"]


def test_tls_files_must_be_there_and_come_together(tmp_path):
    (tmp_path / "c.pem").write_text("x")
    name = str(tmp_path / "hoosh.toml")
    with pytest.raises(ConfigError, match="needs tls_key beside it"):
        loads('[server]\ntls_cert = "c.pem"', name, {})
    with pytest.raises(ConfigError, match="needs tls_cert beside it"):
        loads('[server]\ntls_client_ca = "c.pem"', name, {})
    with pytest.raises(ConfigError, match=r"tls_key: there is no file .*k\.pem"):
        loads('[server]\ntls_cert = "c.pem"\ntls_key = "k.pem"', name, {})


def test_an_alias_is_not_blamed_for_a_provider_that_could_not_be_read():
    text = '[[providers]]\ntype = "vlm"\nname = "work"\n[[models]]\nname = "a"\ntargets = ["work/x"]'
    assert mistake(text).startswith("2: providers[0].type")


def test_a_slash_in_a_models_own_name_needs_its_provider():
    text = P + '[[models]]\nname = "a"\ntargets = ["meta-llama/llama-3"]'
    assert "PROVIDER/its/name" in mistake(text)
    loads(text.replace("meta-", "vllm/meta-"), "hoosh.toml", {})


def test_no_secret_is_shown_in_any_mistake(tmp_path):
    (tmp_path / "k").write_text("hunter2\nhunter2")
    text = (
        '[auth]\ntokens = ["hunter2 a", "x"]\napi_key = "hunter2"\n[[keys]]\nname = "a"\nkey = "$K"\n'
        f'[[providers]]\ntype = "sk-hunter2"\n[[providers]]\ntype = "vllm"\napi_key = "file:{tmp_path}/k"\n'
    )
    found = mistakes(text, {"K": "hunter2\t2"})
    assert len(found) == 5
    assert "hunter2" not in "".join(found)


# -- the command line, and files ---------------------------------------------------------------------


def test_flags_override_the_file():
    config = loads("[server]\nport = 1", "hoosh.toml", {}, {("server", "port"): 2, ("logging", "format"): "json"})
    assert (config.server.port, config.logging.format) == (2, "json")


def test_a_mistake_in_a_flag_is_laid_to_the_command_line():
    [found] = mistakes("[server]\nport = 1\n", overrides={("server", "bind"): "0.0.0.0"})
    assert found.startswith("command line: server.bind: 0.0.0.0 can be reached")


def test_a_flag_does_not_hide_a_mistake_in_its_section():
    [found] = mistakes("server = 1\n", overrides={("server", "port"): 2})
    assert found.startswith("hoosh.toml:1: server: is 1")


def test_a_file_is_looked_for_in_its_places(tmp_path):
    work, xdg, home = tmp_path / "work", tmp_path / "xdg", tmp_path / "home"
    for folder in (work, xdg / "hoosh", home / ".config" / "hoosh"):
        folder.mkdir(parents=True)
    environ = {"XDG_CONFIG_HOME": str(xdg), "HOME": str(home)}
    assert find_config(None, environ, work) is None
    assert places(environ, work) == [work / "hoosh.toml", xdg / "hoosh" / "hoosh.toml"]
    assert places({"HOME": str(home)}, work)[1] == home / ".config" / "hoosh" / "hoosh.toml"
    assert places({}, work) == [work / "hoosh.toml"]
    (xdg / "hoosh" / "hoosh.toml").touch()
    assert find_config(None, environ, work) == xdg / "hoosh" / "hoosh.toml"
    (work / "hoosh.toml").touch()
    assert find_config(None, environ, work) == work / "hoosh.toml"
    assert find_config("other.toml", environ, work) == Path("other.toml")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "cannot be read"),
        (b"a = 1\nb = '\xff'", "hoosh.toml:2: is not UTF-8"),
        (b"#" * 2_000_000, "is larger than"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path, data, says):
    path = tmp_path / "hoosh.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        load(path, {})


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "hoosh.toml"
    path.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 3\r\n")
    assert load(path, {}).server.port == 3


scalars = st.one_of(
    st.integers(-(10**30), 10**30),
    st.booleans(),
    st.floats(),
    st.text("a$:/{ \n\0é", max_size=6),
    st.sampled_from(["vllm", "OpenAi", "openai-compatible", "http://x", "$A", "file:x", "sha256:", "a", "a/b", "echo"]),
    st.dates(),
    st.times(),
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab:", max_size=3), inner, max_size=2)
)


def tables(kind: type[Struct], *other_names: str) -> st.SearchStrategy[object]:
    names = [*(field.encode_name for field in fields(kind)), *other_names]
    return st.dictionaries(st.sampled_from(names), anything, max_size=6)


documents = st.fixed_dictionaries(
    {},
    optional={
        "budgets": st.lists(tables(Budget), max_size=3),
        "limits": tables(Limits),
        "prices": st.lists(tables(PriceOverride), max_size=3),
        "cache": tables(Cache),
        "audit": tables(Audit),
        "storage": tables(Storage),
        "server": tables(Server, "strategy", "health_check_interval_secs"),
        "keys": st.lists(tables(Key), max_size=3),
        "auth": tables(Auth),
        "providers": st.lists(tables(Provider), max_size=3),
        "models": st.lists(tables(Alias), max_size=3),
        "routing": tables(Routing) | anything,
        "retry": tables(Retry),
        "health": tables(Health) | anything,
        "logging": tables(Logging) | anything,
    },
)


@settings(deadline=None)
@given(documents)
def test_whatever_is_written_gives_a_configuration_or_mistakes(document):
    overrides = {(name,): value for name, value in document.items()}
    try:
        assert isinstance(loads("", "hoosh.toml", {"A": "a"}, overrides), Config)
    except ConfigError as error:
        found = error
    else:
        return
    assert found.mistakes


@pytest.mark.parametrize(
    ("written", "read"), [("models", "{folder}/models"), ("/srv/models", "/srv/models"), ("../m", "{folder}/../m")]
)
def test_the_directory_of_models_is_a_path_like_others(tmp_path: Path, written: str, read: str):
    config = loads(f'[hardware]\nmodels_dir = "{written}"', f"{tmp_path}/hoosh.toml", {})
    assert config.hardware.models_dir == read.format(folder=tmp_path)
