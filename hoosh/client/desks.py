"""Questions to the gateway itself: models, budgets, costs, running requests, cache, queue, health.

The answers are in `answers.py`.  Sources: the routes in `hoosh/api`, and their pages in `docs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from hoosh.client.answers import (
    CacheState,
    Checked,
    Costs,
    Estimated,
    Health,
    PoolBalance,
    Promised,
    ProviderHealth,
    Recommended,
    Reset,
    Returned,
    Running,
    Settled,
)
from hoosh.client.inference import ModelInfo
from hoosh.client.question import Answer, Question, Repeat, T, as_json, read_as, with_query
from hoosh.errors import ProtocolViolation
from hoosh.values.costs import Group
from hoosh.values.live import LivePhase, RunningRequest
from hoosh.values.queue import QueueState

__all__ = ["cache_state", "cancel", "cancel_all", "check", "clear_cache", "costs", "estimate", "health", "model"]
__all__ += ["models", "pools", "providers", "queue", "ready", "recommend", "release", "report", "request", "reserve"]
__all__ += ["reset_costs", "running"]

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
        page = read_page(answer)
        told = {**read_rest(answer), "queued": page.classes, "running": page.processing}
        try:
            return msgspec.convert(told, QueueState)
        except msgspec.ValidationError:
            raise ProtocolViolation("the state of the queue cannot be read") from None

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
