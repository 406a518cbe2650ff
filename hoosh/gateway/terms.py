"""On what terms a request is served: the price of a model at a provider, whose budget pays, and what bounds nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable

from msgspec import Struct

from hoosh.budget import ModelKey
from hoosh.cost import Price
from hoosh.errors import Forbidden
from hoosh.values import DEFAULT_POOL, Caller, Usage

__all__ = ["UNBOUNDED", "Terms", "paying_pool"]

UNBOUNDED = sys.maxsize
"""Pieces of a stream whose pool has no ceiling."""


class Terms(Struct, frozen=True):
    """What is agreed for one model at one provider."""

    key: ModelKey
    local: bool
    price: Price | None
    """None: nobody knows it."""
    cost_of: Callable[[Usage], int] | None
    """`price` applied; None where there is none."""


def paying_pool(caller: Caller, asked: str | None) -> str:
    """Whose budget a request takes from.  Raises Forbidden where the caller's key has a pool and another is asked."""
    if caller.pool is None:
        return asked or DEFAULT_POOL
    if asked is not None and asked != caller.pool:
        raise Forbidden(f"This API key may only use the budget `{caller.pool}`.", param="pool")
    return caller.pool
