"""`[health]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["Health"]

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Health(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an upstream is not asked, and when it is asked again."""

    interval_secs: Annotated[float, Meta(ge=0)] = 30.0
    """Between two probes of an upstream; 0 probes nobody."""
    failure_threshold: Count = 3
    """Failures in a row that open a breaker."""
    failure_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """And this part of the last `window_s`, where it has seen `min_requests`."""
    min_requests: Count = 10
    window_s: Seconds = 30.0
    open_s: Seconds = 10.0
    """How long a breaker stays open before somebody may try; of one upstream account and model."""
    denied_s: Seconds = 60.0
    """The same of an account whose key was refused or whose quota is used up."""
    half_open_probes: Count = 1
    """Requests that may try at once."""
