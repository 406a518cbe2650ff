"""What an upstream and its models say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

__all__ = ["Capability", "Fit", "ModelCard", "ModelFacts", "ModelSize", "Node", "ProviderState"]


class Capability(StrEnum):
    """What a model can do, by the name that an error body and the model list use."""

    CHAT = "chat"
    STREAMING = "streaming"
    TOOLS = "tools"
    VISION = "vision"
    AUDIO_INPUT = "audio_input"
    FILES = "files"
    REASONING = "reasoning"
    STRUCTURED_OUTPUT = "structured_output"
    EMBEDDINGS = "embeddings"
    PREFILL = "prefill"
    """Takes a trailing assistant message and goes on with it."""
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"


class ModelSize(Struct, frozen=True, kw_only=True):
    """How much of a model there is to hold in memory.  None, and "" for a name, mean: nobody has said."""

    parameters: int | None = None
    """All of them: of a mixture of experts those of every expert, however few are active."""
    weights_bytes: int | None = None
    """As the engine has them; 0 of a model that it does not run itself."""
    quantisation: str = ""
    """By whatever name: `Q4_K_M`, `MXFP4`, `4bit`."""
    layers: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    kv_width: int | None = None
    """Values kept of a token in a layer, where that is not 2 · kv_heads · head_dim."""
    windowed_layers: int | None = None
    window_tokens: int | None = None
    """How far back those layers look."""
    context_tokens: int | None = None
    """For so many the engine makes room."""
    is_loaded: bool = False
    """The engine says that it is in memory now; False where it says nothing."""
    held_bytes: int | None = None
    """What it takes there, as the engine says."""
    held_accelerator_bytes: int | None = None
    """The part of it that is on accelerators."""


NO_SIZE = ModelSize()


class Fit(Struct, frozen=True):
    """Does a model fit where its engine runs?  Every field None: nobody can tell."""

    fits: bool | None = None
    needed_bytes: int | None = None
    """To answer one request at a time."""
    room_bytes: int | None = None
    """What its engine may use."""


class ModelFacts(Struct, frozen=True):
    """What is known of a model.  None and a missing capability in *both* sets mean: nobody has said."""

    can: frozenset[Capability] = frozenset()
    cannot: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    """Prompt and reply together, or the prompt alone where the provider counts so."""
    max_output_tokens: int | None = None
    source: str = ""
    """Who says so: `provider`, `catalogue`, `config`; "" for nobody."""
    size: ModelSize = NO_SIZE
    """As its provider tells; `source` says nothing of it."""


NOTHING_KNOWN = ModelFacts()


class ModelCard(Struct, frozen=True):
    """One entry of a model list.  `created` is Unix seconds, 0 where the provider does not say."""

    id: str
    owned_by: str
    created: int = 0
    facts: ModelFacts = NOTHING_KNOWN
    """As the provider itself tells; in the gateway's own list, all that is known."""
    fit: Fit | None = None
    """None where it is not for us to say: of remote models, and wherever nobody has looked."""
    is_remote: bool = False
    """Its provider, though it may be at home, has it run elsewhere: a model of Ollama's cloud."""


class ProviderState(Struct, frozen=True):
    """How one configured provider is doing, as the health routes show it.

    `base_url` and `last_error` may come as they are configured and caught: the door shows the first without
    credentials and query, and of the second only that there was one.
    """

    name: str
    type: str
    base_url: str
    enabled: bool = True
    local: bool = False
    status: str = "unknown"
    """healthy, unhealthy, unknown (nobody has asked yet) or disabled."""
    breakers: Mapping[str, str] = {}
    """By model: `open` or `half_open`; those that are closed are not named.  `*` is the whole account."""
    consecutive_failures: int = 0
    last_error: str | None = None
    last_check_age_s: float | None = None
    """Since it was last probed; None where nobody has."""
    models: tuple[str, ...] = ()
    """Names or patterns it serves."""
    capabilities: tuple[Capability, ...] = ()
    """What its dialect can carry; a model may be able to do less."""


class Node(Struct, frozen=True):
    """One account, as the heartbeat sees it."""

    id: str
    """The account's name in the fleet."""
    provider: str
    status: str
    """online, suspect, offline; unknown where nobody has asked."""
    age_s: float | None = None
    """Since the last sign of life; None where there was none."""
