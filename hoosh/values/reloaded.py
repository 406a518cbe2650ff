"""What has come of another configuration."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Reloaded"]


class Reloaded(Struct, frozen=True, kw_only=True):
    """A configuration has taken the place of another."""

    generation: int
    """Of the configuration: 1 is the one that the gateway has started with."""
    changed: tuple[str, ...] = ()
    """Sections that say something else than before."""
    added: tuple[str, ...] = ()
    """Accounts of providers that were not there before."""
    removed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    """Those that have another address, key or way of being reached: with new connections."""
    needs_restart: tuple[str, ...] = ()
    """Keys that say something else, which takes effect when the gateway is started again."""
