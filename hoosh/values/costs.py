"""What clients are told of costs, and what they may ask: shared by the cost room, the gateway and the door.

Whole tokens, whole micro-USD.  Days are UTC's, as YYYY-MM-DD; of a day too long ago to be kept apart the word is
`earlier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

__all__ = ["EARLIER", "GROUPS", "Advice", "CostQuery", "CostReport", "CostRow", "Estimate", "Group", "Need"]

Group = Literal["key", "pool", "provider", "model", "day"]
GROUPS: tuple[Group, ...] = ("day", "key", "pool", "provider", "model")
"""By what costs can be told apart, in the order in which rows are written."""
EARLIER = "earlier"


class CostRow(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the requests of one group have come to.  A name is None where rows are not told apart by it."""

    day: str | None = None
    key: str | None = None
    pool: str | None = None
    provider: str | None = None
    model: str | None = None
    local: bool = False
    """All of it was answered on the owner's own machines."""
    requests: int = 0
    """All, those of the next three lines included."""
    requests_failed: int = 0
    requests_cached: int = 0
    """Answered from the cache: they cost nothing, and their tokens are counted in `saved_tokens` alone."""
    requests_unpriced: int = 0
    """They may have cost something, and nobody knows what."""
    requests_estimated: int = 0
    """Their upstream has not counted, or not to the end: the tokens are ours."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt, read from a provider's cache."""
    saved_tokens: int = 0
    cost_micro_usd: int = 0
    audio_ms: int = 0
    """Of the recordings that were written down."""
    characters: int = 0
    """Of the texts that were spoken."""


class CostQuery(Struct, frozen=True):
    """Which requests, and told apart by what.  Days are inclusive; None is open."""

    by: tuple[Group, ...] = ("provider",)
    since_day: str | None = None
    until_day: str | None = None
    filters: Mapping[str, str] = {}
    """Group → the one name that counts."""


class CostReport(Struct, frozen=True):
    rows: tuple[CostRow, ...]
    total: CostRow
    """Of everything asked for, rows that were too many included."""
    since_ms: int | None = None
    """When the books were begun anew; None: never."""
    truncated: bool = False


class Estimate(Struct, frozen=True):
    """What a request would cost at the provider that would be asked first."""

    model: str
    provider: str
    upstream_model: str
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    local: bool = False


class Need(Struct, frozen=True):
    """What a request needs of a model."""

    input_tokens: int = 0
    max_output_tokens: int = 0
    uses_tools: bool = False
    has_vision: bool = False
    has_system_prompt: bool = False


class Advice(Struct, frozen=True):
    model: str
    provider: str
    cost_micro_usd: int
    local: bool
    reason: str
