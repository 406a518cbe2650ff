"""`[routing]` and `[retry]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Retry", "Routing", "Strategy"]

Count = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Strategy = Literal["priority", "direct", "round_robin", "lowest_latency", "least_loaded", "cheapest", "sticky"]


class Routing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who shall answer, and what to do when he does not."""

    strategy: Strategy = "priority"
    """Among candidates of one priority; `direct` is `priority` (reference section 4.3)."""
    local_first: bool = True
    """Candidates on the owner's machines come before all others of their priority."""
    hardware: Literal["auto", "off"] = "auto"
    """`auto`: a model that is known not to fit where its engine runs is asked of everybody else first."""
    max_attempts: Count = 6
    """Of one request, at all upstreams together."""
    hedge_after_ms: Annotated[int, Meta(ge=1)] | Literal["p95"] | None = None
    """After so long without content the next candidate is asked as well; `p95` of the model's own times."""
    hedge_max_ratio: Ratio = 0.05
    """Hedged requests among all, at most."""
    continuation: Literal["off", "auto"] = "auto"
    """What to do with a stream that breaks after part of it has gone out; see docs/reliability.md."""
    max_price_usd: Annotated[float, Meta(gt=0)] | None = None
    """Of a million tokens of reply: dearer candidates are not asked."""


class Retry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asking again."""

    max_retries: Annotated[int, Meta(ge=0, le=10)] = 2
    """At one upstream, after the first time."""
    base_delay_ms: Annotated[int, Meta(ge=0)] = 500
    max_delay_ms: Annotated[int, Meta(ge=0)] = 30_000
    jitter_factor: Ratio = 1.0
    """Of a delay, the part that chance decides: 1 is full jitter."""
    budget_ratio: Ratio = 0.2
    """Attempts beyond the first, of all requests together, among these requests."""
    wait_out_s: Annotated[float, Meta(ge=0)] = 3.0
    """A `retry-after` up to so long is waited for at the same upstream; for a longer one another is asked."""
