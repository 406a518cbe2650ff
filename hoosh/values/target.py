"""Whom to ask: one account of a provider, for one model."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Target"]


class Target(Struct, frozen=True):
    """One candidate: ask `provider` for `model`."""

    provider: str
    """The name of one account, as the fleet knows it: a provider with several keys has several."""
    model: str
