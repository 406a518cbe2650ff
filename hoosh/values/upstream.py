"""What an upstream and its models say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

__all__ = ["Capability", "ModelCard", "ModelFacts", "Node", "ProviderState"]


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


class ModelFacts(Struct, frozen=True):
    """What is known of a model.  None and a missing capability in *both* sets mean: nobody has said."""

    can: frozenset[Capability] = frozenset()
    cannot: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    """Prompt and reply together, or the prompt alone where the provider counts so."""
    max_output_tokens: int | None = None
    source: str = ""
    """Who says so: `provider`, `catalogue`, `config`; "" for nobody."""


NOTHING_KNOWN = ModelFacts()


class ModelCard(Struct, frozen=True):
    """One entry of a model list.  `created` is Unix seconds, 0 where the provider does not say."""

    id: str
    owned_by: str
    created: int = 0
    facts: ModelFacts = NOTHING_KNOWN
    """As the provider itself tells; in the gateway's own list, all that is known."""


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
