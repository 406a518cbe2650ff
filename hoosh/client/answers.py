"""What the gateway tells of itself: its JSON, as frozen structs.  What a newer one tells besides is passed over.

Amounts of pools are in their unit, tokens or micro-USD; None has no end.
Sources: docs/budgets.md, costs.md, requests.md, caching.md, health.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from hoosh.values.live import RunningRequest

__all__ = [
    "CacheState",
    "Checked",
    "CostRecord",
    "CostTotals",
    "Costs",
    "Estimated",
    "Health",
    "PoolBalance",
    "Promised",
    "ProviderHealth",
    "Recommended",
    "Reset",
    "Returned",
    "Running",
    "Settled",
    "StoreHealth",
]


class Checked(Struct, frozen=True):
    allowed: bool
    available: int | None


class Promised(Struct, frozen=True):
    reserved: bool
    """False where the pool has less; that is an answer, no error."""
    available: int | None
    id: str | None = None
    expires_at: int | None = None
    """Unix seconds."""


class Settled(Struct, frozen=True):
    used: int
    available: int | None


class Returned(Struct, frozen=True):
    released: bool
    available: int | None


class PoolBalance(Struct, frozen=True):
    name: str
    capacity: int | None
    used: int
    reserved: int
    available: int | None
    unit: str = "tokens"
    window: str = "none"
    on_exhausted: str = "stop"
    window_ends_at: int | None = None
    """Unix seconds."""


class CostTotals(Struct, frozen=True, kw_only=True):
    total_requests: int = 0
    total_prompt_tokens: int = 0
    total_completion_tokens: int = 0
    total_cost_usd: float = 0.0
    total_cost_micro_usd: int = 0
    requests_unpriced: int = 0
    requests_failed: int = 0
    requests_cached: int = 0
    requests_estimated: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    audio_ms: int = 0
    """Of recordings that were written down."""
    characters: int = 0
    """Of texts that were spoken."""


class CostRecord(Struct, frozen=True, kw_only=True):
    """One group; a name is None where costs are not told apart by it."""

    day: str | None = None
    key: str | None = None
    pool: str | None = None
    provider: str | None = None
    model: str | None = None
    is_local: bool = False
    request_count: int = 0
    total_input_tokens: int = 0
    total_output_tokens: int = 0
    total_cost_usd: float = 0.0
    total_cost_micro_usd: int = 0
    requests_unpriced: int = 0
    requests_failed: int = 0
    requests_cached: int = 0
    requests_estimated: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    audio_ms: int = 0
    """Of recordings that were written down."""
    characters: int = 0
    """Of texts that were spoken."""


class Costs(CostTotals, frozen=True, kw_only=True):
    records: tuple[CostRecord, ...] = ()
    truncated: bool = False
    since: str | None = None
    """When the books were begun anew."""


class Reset(Struct, frozen=True):
    reason: str
    cleared: CostTotals


class Estimated(Struct, frozen=True, kw_only=True):
    model: str
    provider: str
    served_model: str
    input_tokens: int
    output_tokens: int
    estimated_cost_micro_usd: int
    is_local: bool = False


class Recommended(Struct, frozen=True, kw_only=True):
    model: str
    provider: str
    estimated_cost_micro_usd: int
    is_local: bool = False
    reason: str = ""


class Running(Struct, frozen=True):
    requests: tuple[RunningRequest, ...] = field(name="data")
    total: int = 0
    """Those that are not shown, too."""


class CacheState(Struct, frozen=True, kw_only=True):
    entries: int
    max_entries: int
    bytes: int = 0
    max_bytes: int = 0
    hits: int
    misses: int
    shared: int = 0
    evictions: int
    hit_rate: float
    enabled: bool
    ttl_secs: float = 0.0


class StoreHealth(Struct, frozen=True, kw_only=True):
    kind: str = ""
    status: str = "ok"
    waiting_rows: int = 0
    spooled_rows: int = 0


class Health(Struct, frozen=True, kw_only=True):
    status: str
    """`ok` or `degraded`."""
    version: str = ""
    providers_configured: int = 0
    providers_down: int = 0
    storage: StoreHealth = StoreHealth()


class ProviderHealth(Struct, frozen=True, kw_only=True):
    provider: str
    type: str = ""
    base_url: str = ""
    enabled: bool = True
    local: bool = False
    status: str = "unknown"
    consecutive_failures: int = 0
    last_check_age_s: float | None = None
    breakers: Mapping[str, str] = {}
    models: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
