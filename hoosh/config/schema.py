"""What a configuration says, as frozen structs.  Names and defaults are those of product section 6.

Loading (`load.py`) fills these from TOML and finds the mistakes; a program that embeds hoosh may build them itself.
Times are seconds, sizes are bytes; paths are absolute once loaded.  A key is always a `Secret`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from hoosh.access import Key
from hoosh.admission import Limits
from hoosh.audit import Audit
from hoosh.budget import Budget
from hoosh.cache import Cache
from hoosh.catalogue import ProviderType
from hoosh.config.address import (
    is_loopback_host,
    is_loopback_url,
    is_ollama_com_url,
    is_unix_url,
    plain_base_url,
    same_address,
)
from hoosh.config.kinds import kind_named
from hoosh.cost import PriceOverride
from hoosh.errors import ConfigError
from hoosh.events import Events, Webhook
from hoosh.hardware.settings import Hardware
from hoosh.health import Health
from hoosh.observe import Logging, Telemetry
from hoosh.routing import Retry, Routing, Strategy
from hoosh.speech.settings import Whisper
from hoosh.storage.settings import Storage
from hoosh.values import Capability, ModelFacts
from hoosh.values.secret import Secret

__all__ = [
    "Alias",
    "Audit",
    "Auth",
    "Budget",
    "Cache",
    "Config",
    "Discovery",
    "Events",
    "Hardware",
    "Health",
    "Http2",
    "Key",
    "Limits",
    "Logging",
    "Origin",
    "PriceOverride",
    "Provider",
    "Retry",
    "Routing",
    "Seconds",
    "Server",
    "Storage",
    "Telemetry",
    "Timeouts",
    "Webhook",
    "Whisper",
]

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Text = Annotated[str, Meta(min_length=1)]


_KEY_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})


class Http2(StrEnum):
    """How HTTP/2 is spoken to an upstream."""

    OFF = "off"
    ALPN = "alpn"
    """Over TLS where the upstream offers it."""
    PRIOR = "prior"
    """Always, also without TLS: the upstream is known to speak it."""


class Origin(StrEnum):
    """Where a provider was learnt of.  Not a configuration key."""

    CONFIG = "config"
    ENVIRONMENT = "environment"
    LOCAL = "local"


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Server(_Section, frozen=True):
    bind: Text = "127.0.0.1"
    port: Port = 8088
    """0 takes any free port."""
    unix_socket: Text | None = None
    """Listen here instead of on bind and port."""
    http2: bool = True
    tls_cert: Text | None = None
    tls_key: Text | None = None
    tls_client_ca: Text | None = None
    max_body_bytes: Count = 10 * 1024 * 1024
    max_audio_bytes: Count = 50 * 1024 * 1024
    """Of a recording that is to be written down, with its form; OpenAI takes files of 25 MB."""
    max_uploads_bytes: Count = 1024 * 1024 * 1024
    """Of all recordings together that are being received or sent on."""
    keepalive_s: Seconds = 75.0
    head_timeout_s: Seconds = 10.0
    drain_s: Annotated[float, Meta(ge=0)] = 30.0
    request_timeout_s: Seconds = 600.0
    max_connections: Count = 10_000
    max_streams: Count = 128
    max_concurrent: Count | None = None
    """Requests for inference at once; others wait in the queue."""
    max_queue: Annotated[int, Meta(ge=0)] = 1_000
    queue_timeout_s: Seconds = 30.0
    """The longest that a request waits for its turn."""
    max_lag_ms: Count | None = None
    """Of the event loop: above it requests of low priority are turned away, above twice as much normal ones, too."""
    allow_public_without_keys: bool = False
    watch_config: bool = False
    """Read the file again whenever it has been changed."""


class Auth(_Section, frozen=True):
    """The reference's short form: tokens with every scope."""

    tokens: tuple[Secret, ...] = ()


class Timeouts(_Section, frozen=True):
    connect_s: Seconds = 5.0
    first_byte_s: Seconds = 30.0
    first_token_s: Seconds = 12.0
    """From the request to the first content of a stream, while another candidate is left."""
    idle_s: Seconds = 30.0
    total_s: Seconds = 600.0


class Provider(_Section, frozen=True):
    """One upstream.  `type` is a wire name once loaded; `name` and `base_url` default to the type's."""

    type: Text
    name: Text = ""
    base_url: Text = ""
    """Without a slash at the end, with or without a version such as `/v1`."""
    api_key: Secret | None = None
    keys: tuple[Secret, ...] = ()
    """Several accounts: each is a candidate of its own.  `api_key`, where both are given, is the first."""
    weight: Count = 1
    """Its share where requests are dealt out in turns."""
    priority: Annotated[int, Meta(ge=0)] = 10
    models: tuple[Text, ...] = ()
    enabled: bool = True
    max_tokens_limit: Count | None = None
    timeouts: Timeouts = Timeouts()
    http2: Http2 = Http2.ALPN
    verify: bool | Text = True
    """False trusts any certificate; a path trusts the authorities in that PEM file."""
    tls_pinned_certs: tuple[Text, ...] = ()
    """Paths: the reference's word for `verify` with several of them."""
    spki_pins: tuple[Text, ...] = ()
    """`sha256/BASE64` of the keys that its certificate may have; empty for any."""
    client_cert: Text | None = None
    client_key: Text | None = None
    proxy: Secret | None = None
    """A URL, which may hold a password.  None: no proxy, whatever the environment says."""
    local: bool | None = None
    """Does what it is asked stay on the owner's own machines?  None: as its type and its address say."""
    allow_private: bool = False
    """It may stand in the owner's own network, although it is remote by its type and address."""
    headers: dict[str, Secret] = {}
    """Sent with every request to this provider.  Values may hold keys."""
    max_connections: Count = 10_000
    rate_limit_rpm: Count | None = None
    """Requests to it in any 60 seconds."""
    tpm: Count | None = None
    max_concurrent: Count | None = None
    accelerator_bytes: Count | None = None
    """Memory that its models may take on the machine it runs on.  None: of an engine on this machine, what there is."""
    origin: Origin = Origin.CONFIG

    def __post_init__(self) -> None:
        # For embedders: what the loader has checked already passes through unchanged.
        kind = self.kind
        force_setattr(self, "type", kind.wire)
        force_setattr(self, "name", self.name or kind.wire)
        force_setattr(self, "http2", Http2(self.http2))
        force_setattr(self, "base_url", plain_base_url(self.base_url or kind.base_url or ""))

    @property
    def kind(self) -> ProviderType:
        kind = kind_named(self.type)
        if kind is None:
            raise ConfigError([f"provider type `{self.type}`: hoosh does not know it, and no plugin brings it"])
        return kind

    @property
    def has_key(self) -> bool:
        return self.api_key is not None or bool(self.keys)

    def accounts(self) -> tuple[tuple[str, Secret | None], ...]:
        """Each with its name in the fleet (`openai`, `openai#2`, ...) and its key; one without a key where none is."""
        keys = self.keys if self.api_key is None else (self.api_key, *self.keys)
        first, *others = keys or (None,)
        return (self.name, first), *((f"{self.name}#{number}", key) for number, key in enumerate(others, 2))

    @property
    def is_at_home(self) -> bool:
        """At its type's usual address: nowhere else does a key go that nobody has put there."""
        return same_address(self.base_url, self.kind.base_url)

    @property
    def brings_its_own_key(self) -> bool:
        """Among its headers, where some keep what is no plain key."""
        return not _KEY_HEADERS.isdisjoint(self.headers)

    @property
    def is_local(self) -> bool:
        """On the owner's own machines: by his word, else by its type or by its address."""
        return self._looks_local if self.local is None else self.local

    @property
    def is_at_hand(self) -> bool:
        """It may stand anywhere.  One at home that sends on what it is asked does, though it is not local."""
        return self.is_local or self._looks_local

    @property
    def _looks_local(self) -> bool:
        if self.kind.local:
            return not is_ollama_com_url(self.base_url)
        return is_loopback_url(self.base_url) or is_unix_url(self.base_url)

    @property
    def trust(self) -> bool | str | tuple[str, ...]:
        """Whom it is believed by: True for the system's authorities, paths of others, False for nobody."""
        return self.tls_pinned_certs or self.verify


class Alias(_Section, frozen=True):
    """A public model name and what it stands for: "provider/model" or "model", best first."""

    name: Text
    targets: tuple[Text, ...]
    strategy: Strategy | None = None
    """Among all its targets.  None: in their order, best first."""
    context_length: Count | None = None
    """Tokens; what the owner knows better than provider and catalogue."""
    capabilities: tuple[Capability, ...] | None = None
    """All that it can do, beside chatting and streaming.  None: as its targets can."""

    def facts(self) -> ModelFacts:
        """What the owner says of it.  A list of capabilities is a whole one: what is not on it cannot be done."""
        if self.capabilities is None:
            return ModelFacts(context_tokens=self.context_length, source="config" if self.context_length else "")
        can = frozenset(self.capabilities)
        cannot = frozenset(Capability) - can - {Capability.CHAT, Capability.STREAMING}
        return ModelFacts(can, cannot, self.context_length, source="config")


class Discovery(_Section, frozen=True):
    local: bool = True
    environment: bool = True
    echo: bool = True


class Config(_Section, frozen=True):
    """Everything.  `Config()` is a good one: see product section 3."""

    server: Server = Server()
    keys: tuple[Key, ...] = ()
    auth: Auth = Auth()
    providers: tuple[Provider, ...] = ()
    models: tuple[Alias, ...] = ()
    budgets: tuple[Budget, ...] = ()
    limits: Limits = Limits()
    prices: tuple[PriceOverride, ...] = ()
    cache: Cache = Cache()
    audit: Audit = Audit()
    storage: Storage = Storage()
    routing: Routing = Routing()
    retry: Retry = Retry()
    health: Health = Health()
    hardware: Hardware = Hardware()
    discovery: Discovery = Discovery()
    logging: Logging = Logging()
    events: Events = Events()
    webhooks: tuple[Webhook, ...] = ()
    telemetry: Telemetry = Telemetry()
    whisper: Whisper = Whisper()

    def all_keys(self) -> tuple[Key, ...]:
        """`[[keys]]` and the tokens of `[auth]`."""
        tokens = (Key(name=f"token-{number}", key=token) for number, token in enumerate(self.auth.tokens, 1))
        return (*self.keys, *tokens)

    def is_open_to_strangers(self) -> bool:
        """Other machines can reach it, nobody needs a key, and nobody has said that this is meant."""
        server = self.server
        if server.unix_socket is not None or server.allow_public_without_keys or is_loopback_host(server.bind):
            return False
        return not self.all_keys()

    def require_lock(self) -> None:
        """Raises ConfigError where it is open to strangers."""
        if self.is_open_to_strangers():
            address = self.server.bind
            raise ConfigError([f"{address} can be reached from other machines, and there is no key: add one"])

    def aliases(self) -> dict[str, tuple[str, ...]]:
        return {alias.name: alias.targets for alias in self.models}

    def alias_facts(self) -> dict[str, ModelFacts]:
        """What the owner says of aliases; those of whom nothing is said are not in it."""
        said = {alias.name: alias.facts() for alias in self.models}
        return {name: facts for name, facts in said.items() if facts.source}
