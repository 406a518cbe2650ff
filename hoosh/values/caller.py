"""Who is asking."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

__all__ = ["ANONYMOUS", "PRIORITIES", "SCOPES", "Caller", "Priority"]

Priority = Literal["critical", "high", "normal", "low", "background"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""Who waits least comes first."""
SCOPES = frozenset({"inference", "admin", "metrics"})


class Caller(Struct, frozen=True):
    """The holder of a key, by its configured `name`.  The key itself is never here."""

    name: str
    scopes: frozenset[str] = SCOPES
    models: tuple[str, ...] = ()
    """Globs of the model names this caller may use; empty means all."""
    pool: str | None = None
    """The only budget pool its requests may name; None leaves the choice to the request."""
    priority: Priority = "normal"
    """The best that its requests may ask for."""
    local_only: bool = False
    """Its requests never leave the owner's own machines."""


ANONYMOUS = Caller("anonymous")
