"""What there is to tell: one struct for each kind of event, with the topic it belongs to.

Facts only: names, numbers and words of our own.  No prompt, no answer, no key, and nothing that an upstream has said.
Fields are JSON values as they are; durations are milliseconds, money is micro-USD.

Source: reference section 9 for the first four, word for word; the others are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, field

__all__ = [
    "TOPICS",
    "AuditEntry",
    "BreakerChanged",
    "GatewayStarted",
    "GatewayStopping",
    "HealthChanged",
    "InferenceCompleted",
    "InferenceFailed",
    "News",
    "PoolLow",
    "PoolSpent",
    "RateLimited",
    "Reloaded",
    "RequestFinished",
    "RequestsCancelled",
]


class News(Struct, frozen=True, gc=False, tag_field="event", tag=""):
    """Something that has happened.  Its name is the tag."""

    topic: ClassVar[str] = ""

    @property
    def name(self) -> str:
        return str(self.__struct_config__.tag)


class HealthChanged(News, frozen=True, gc=False, tag="health_changed"):
    """An account is taken for well no longer, or again."""

    topic: ClassVar[str] = "providers/health"
    provider: str
    base_url: str
    """Without user, password and query."""
    healthy: bool
    reason: str
    """A word: a status, a deadline, `probe`, `answered`, `expired`."""


class InferenceCompleted(News, frozen=True, gc=False, tag="inference_completed"):
    """An upstream has answered a request in full."""

    topic: ClassVar[str] = "providers/inference"
    provider: str
    model: str
    """As the upstream was asked."""
    latency_ms: float
    tokens: int
    """All of them, as the upstream has counted; else the pieces of its stream."""


class InferenceFailed(News, frozen=True, gc=False, tag="inference_failed"):
    """Upstreams were asked, and the request failed, or its answer broke off."""

    topic: ClassVar[str] = "providers/errors"
    provider: str
    model: str
    error: str
    """A code."""


class RateLimited(News, frozen=True, gc=False, tag="rate_limited"):
    """An upstream has said that it is asked too often."""

    topic: ClassVar[str] = "providers/rate_limit"
    provider: str


class BreakerChanged(News, frozen=True, gc=False, tag="breaker_changed"):
    topic: ClassVar[str] = "providers/breaker"
    provider: str
    model: str
    """`*` is the whole account."""
    from_: str = field(name="from")
    to: str
    """closed, open or half_open."""
    reason: str


class RequestFinished(News, frozen=True, gc=False, tag="request_finished"):
    """A request for inference is over, however."""

    topic: ClassVar[str] = "requests/finished"
    request_id: str
    kind: str
    outcome: str
    """ok, error, cut or client_left."""
    status: int
    key: str | None
    pool: str | None
    model: str | None
    """As the client asked."""
    served_model: str | None
    provider: str | None
    stream: bool
    cache: str
    attempts: int
    duration_ms: float
    first_token_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_micro_usd: int | None
    error: str | None
    """A code."""


class RequestsCancelled(News, frozen=True, gc=False, tag="requests_cancelled"):
    """Running requests were ended from outside."""

    topic: ClassVar[str] = "requests/cancelled"
    count: int
    by: str | None
    """The name of the owner's key; null where the gateway is shutting down."""


class PoolLow(News, frozen=True, gc=False, tag="pool_low"):
    """Four fifths of a budget are used."""

    topic: ClassVar[str] = "budgets/low"
    pool: str
    unit: str
    used: int
    capacity: int


class PoolSpent(News, frozen=True, gc=False, tag="pool_spent"):
    topic: ClassVar[str] = "budgets/spent"
    pool: str
    unit: str
    used: int
    capacity: int


class AuditEntry(News, frozen=True, gc=False, tag="audit_entry"):
    """The owner has done something; told also where there is no audit log."""

    topic: ClassVar[str] = "audit/entries"
    action: str
    """As the audit log names it: `admin.costs_reset`."""
    level: str
    message: str
    facts: Mapping[str, str | int]


class GatewayStarted(News, frozen=True, gc=False, tag="gateway_started"):
    topic: ClassVar[str] = "gateway/started"
    version: str


class GatewayStopping(News, frozen=True, gc=False, tag="gateway_stopping"):
    """No new requests from now on."""

    topic: ClassVar[str] = "gateway/stopping"
    in_flight: int


class Reloaded(News, frozen=True, gc=False, tag="reloaded"):
    """The configuration was read again: taken over, or refused as a whole."""

    topic: ClassVar[str] = "gateway/reloaded"
    ok: bool
    changed: tuple[str, ...] = ()
    """Names of its sections."""
    mistakes: int = 0
    """How many it has, where it was refused: their words may repeat what it says."""


TOPICS: tuple[str, ...] = tuple(kind.topic for kind in News.__subclasses__())
"""All there are."""
