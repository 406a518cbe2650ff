"""Questions to the gateway itself: models, budgets, costs, running requests, cache, queue, health.

The answers are the gateway's own JSON as frozen structs; what a newer gateway tells besides is passed over.
Sources: docs/budgets.md, costs.md, requests.md, caching.md, queue.md, health.md, and the routes in `hoosh/api`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from msgspec import Struct, field

from hoosh.client.inference import ModelInfo
from hoosh.client.question import Answer, Question, Repeat, T, as_json, read_as, with_query
from hoosh.values.costs import Group
from hoosh.values.live import LivePhase, RunningRequest
from hoosh.values.queue import QueueState

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
]
__all__ += ["ProviderHealth", "Recommended", "Reset", "Returned", "Running", "Settled"]

READING: Repeat = "reading"


def _get(path: str, shape: type[T], **said: object) -> Question[T]:
    return Question(method="GET", path=with_query(path, **said), read=read_as(shape), repeat=READING)


def _post(path: str, shape: type[T], repeat: Repeat, **fields: object) -> Question[T]:
    told = {name: value for name, value in fields.items() if value is not None}
    return Question(method="POST", path=path, read=read_as(shape), repeat=repeat, body=as_json(told))


# -- models ------------------------------------------------------------------------------------------------------


class _Card(Struct):
    id: str
    owned_by: str = ""
    created: int = 0
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()


class _Cards(Struct):
    data: list[_Card]


def models() -> Question[tuple[ModelInfo, ...]]:
    """The models that can be asked for with this key."""
    read = read_as(_Cards)
    return Question(
        method="GET", path="/v1/models", read=lambda answer: tuple(map(_info, read(answer).data)), repeat=READING
    )


def model(model_id: str) -> Question[ModelInfo]:
    """One of them.  Raises NoRoute."""
    read = read_as(_Card)
    path = f"/v1/models/{quote(model_id)}"
    return Question(method="GET", path=path, read=lambda answer: _info(read(answer)), repeat=READING)


def _info(card: _Card) -> ModelInfo:
    return ModelInfo(
        id=card.id,
        name=card.id,
        provider=card.owned_by,
        context_length=card.context_length,
        max_output_tokens=card.max_output_tokens,
        capabilities=card.capabilities,
        created=card.created,
    )


# -- tokens ------------------------------------------------------------------------------------------------------


class Checked(Struct, frozen=True):
    allowed: bool
    available: int | None
    """In the pool's unit, tokens or micro-USD; None has no end.  So everywhere here."""


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


class _Pools(Struct):
    pools: tuple[PoolBalance, ...]


def check(pool: str, tokens: int) -> Question[Checked]:
    """Would the pool pay for so much now?  Raises NoSuchEntry for a pool that is not there."""
    return _post("/v1/tokens/check", Checked, READING, pool=pool, tokens=tokens)


def reserve(pool: str, tokens: int, *, ttl_s: float = 600.0) -> Question[Promised]:
    """Keep so much of a pool, for `ttl_s` at most."""
    return _post("/v1/tokens/reserve", Promised, "changing", pool=pool, tokens=tokens, ttl_s=ttl_s)


def report(
    actual: int, *, id: str | None = None, pool: str | None = None, reserved: int | None = None
) -> Question[Settled]:
    """So much was used: of the reservation `id`, or of `reserved` in `pool`."""
    return _post("/v1/tokens/report", Settled, "changing", actual=actual, id=id, pool=pool, reserved=reserved)


def release(id: str) -> Question[Returned]:
    """Give a reservation back.  Raises NoSuchEntry."""
    return _post("/v1/tokens/release", Returned, "changing", id=id)


def pools() -> Question[tuple[PoolBalance, ...]]:
    """The pools that this key may use, with their balances."""
    read = read_as(_Pools)
    return Question(method="GET", path="/v1/tokens/pools", read=lambda answer: read(answer).pools, repeat=READING)


# -- costs -------------------------------------------------------------------------------------------------------


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


def costs(
    *,
    by: Sequence[Group] = ("provider",),
    since: date | str | None = None,
    until: date | str | None = None,
    key: str | None = None,
    pool: str | None = None,
    provider: str | None = None,
    model: str | None = None,
) -> Question[Costs]:
    """What has been spent; days are inclusive, UTC's.  Without the scope `admin` only by one's own key."""
    said = {"since": since, "until": until, "key": key, "pool": pool, "provider": provider, "model": model}
    return _get("/v1/costs", Costs, group_by=",".join(by), **said)


def estimate(
    model: str,
    *,
    input_tokens: int | None = None,
    output_tokens: int = 0,
    messages: Sequence[Mapping[str, Any]] | None = None,
) -> Question[Estimated]:
    """What a request would cost; `messages` are counted where `input_tokens` is not said."""
    fields = {"input_tokens": input_tokens, "output_tokens": output_tokens, "messages": messages}
    return _post("/v1/cost/estimate", Estimated, READING, model=model, **fields)


def recommend(
    *,
    input_tokens: int = 0,
    max_output_tokens: int = 0,
    uses_tools: bool = False,
    has_vision: bool = False,
    has_system_prompt: bool = False,
) -> Question[Recommended]:
    """The cheapest model that is known to be able."""
    return _post(
        "/v1/cost/recommend",
        Recommended,
        READING,
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        uses_tools=uses_tools,
        has_vision=has_vision,
        has_system_prompt=has_system_prompt,
    )


def reset_costs(reason: str = "") -> Question[Reset]:
    """Begin the books anew (scope `admin`); gives what there was."""
    return _post("/v1/costs/reset", Reset, "changing", reason=reason)


# -- what runs ---------------------------------------------------------------------------------------------------


class Running(Struct, frozen=True):
    requests: tuple[RunningRequest, ...] = field(name="data")
    total: int = 0
    """Those that are not shown, too."""


class _Count(Struct):
    cancelled: int = 0
    cleared: int = 0


def running(
    *,
    key: str | None = None,
    pool: str | None = None,
    model: str | None = None,
    phase: LivePhase | None = None,
    limit: int | None = None,
) -> Question[Running]:
    """The requests that run now, oldest first (scope `admin`)."""
    return _get("/v1/admin/requests", Running, key=key, pool=pool, model=model, phase=phase, limit=limit)


def request(request_id: str) -> Question[RunningRequest]:
    """One of them.  Raises NoSuchEntry."""
    return _get(f"/v1/admin/requests/{quote(request_id, safe='')}", RunningRequest)


def cancel(request_id: str) -> Question[int]:
    """End one request.  Raises NoSuchEntry where it does not run (any more)."""
    if not request_id:
        raise ValueError("cancel needs the id of a request; cancel_all ends several")
    return _ending(f"/v1/admin/requests/{quote(request_id, safe='')}")


def cancel_all(*, key: str | None = None, pool: str | None = None, model: str | None = None) -> Question[int]:
    """End the requests that match; without a filter every one.  Gives how many."""
    filters = {"key": key, "pool": pool, "model": model}
    is_all = all(value is None for value in filters.values())
    return _ending(with_query("/v1/admin/requests", all=True if is_all else None, **filters))


def _ending(path: str) -> Question[int]:
    read = read_as(_Count)
    return Question(method="DELETE", path=path, read=lambda answer: read(answer).cancelled, repeat="changing")


# -- cache, queue, health ----------------------------------------------------------------------------------------


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


def cache_state() -> Question[CacheState]:
    """What the response cache holds and has done (scope `admin`)."""
    return _get("/v1/cache/stats", CacheState)


def clear_cache(*, model: str | None = None, key: str | None = None) -> Question[int]:
    """Forget kept answers: all, those of a model, those to the holder of a key.  Gives how many."""
    read = read_as(_Count)
    told = {name: value for name, value in (("model", model), ("key", key)) if value is not None}
    return Question(
        method="POST",
        path="/v1/cache/clear",
        read=lambda answer: read(answer).cleared,
        repeat="changing",
        body=as_json(told),
    )


class _Queue(Struct):
    classes: dict[str, int]
    processing: int


def queue() -> Question[QueueState]:
    """Who waits for a turn (scope `admin`)."""
    read_page, read_rest = read_as(_Queue), read_as(dict[str, Any])

    def read(answer: Answer) -> QueueState:
        page, rest = read_page(answer), read_rest(answer)
        told = {**rest, "queued": page.classes, "running": page.processing}
        return read_as(QueueState)(Answer(answer.status, answer.headers, as_json(told), answer.took_s))

    return Question(method="GET", path="/v1/queue/status", read=read, repeat=READING)


def health() -> Question[Health]:
    """The gateway's health as a whole."""
    return _get("/v1/health", Health)


def providers() -> Question[tuple[ProviderHealth, ...]]:
    """The health of each provider."""
    return _get("/v1/health/providers", tuple[ProviderHealth, ...])


class _Status(Struct):
    status: str


def ready() -> Question[bool]:
    """Are requests welcome?  Raises Unavailable, with the reason, where they are not."""
    read = read_as(_Status)
    return Question(method="GET", path="/readyz", read=lambda answer: read(answer).status == "ready", repeat=READING)
