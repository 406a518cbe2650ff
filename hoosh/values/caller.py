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


ANONYMOUS = Caller("anonymous")
