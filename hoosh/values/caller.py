"""Who is asking."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ANONYMOUS", "SCOPES", "Caller"]

SCOPES = frozenset({"inference", "admin", "metrics"})


class Caller(Struct, frozen=True):
    """The holder of a key, by its configured `name`.  The key itself is never here."""

    name: str
    scopes: frozenset[str] = SCOPES
    models: tuple[str, ...] = ()
    """Globs of the model names this caller may use; empty means all."""
    pool: str | None = None
    """The only budget pool its requests may name; None leaves the choice to the request."""
    priority: str = "normal"
    """One of critical, high, normal, low, background."""
    local_only: bool = False
    """Its requests never leave the owner's own machines."""


ANONYMOUS = Caller("anonymous")
