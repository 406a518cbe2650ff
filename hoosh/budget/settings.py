"""`[[budgets]]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Budget", "OnExhausted", "Unit", "Window"]

Unit = Literal["tokens", "usd"]
Window = Literal["none", "minute", "hour", "day", "month"]
OnExhausted = Literal["stop", "finish"]


class Budget(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One pool.  Windows are UTC's own minutes, hours, days and months; `none` never refills."""

    name: Annotated[str, Meta(min_length=1)]
    capacity: Annotated[float, Meta(ge=0)]
    """Whole tokens, or USD (kept as whole micro-USD)."""
    unit: Unit = "tokens"
    window: Window = "none"
    on_exhausted: OnExhausted = "stop"
    """What becomes of a stream when the pool is dry: an error event, or a proper end with finish reason `length`."""
