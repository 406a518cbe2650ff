"""`[audit]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hoosh.values import Secret

__all__ = ["Audit"]


class Audit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The audit chain.  Off by default."""

    enabled: bool = False
    signing_key: Secret | None = None
    """Needed when enabled: a chain that nobody can verify after a restart is none."""
    previous_key: Secret | None = None
    """The key before `signing_key`: signs the hand-over where the chain still ends under it."""
    max_entries: Annotated[int, Meta(ge=1)] = 10_000
    """Kept in a store that is memory.  A store on disk keeps all."""
    checkpoint_every: Annotated[int, Meta(ge=1)] = 1_000
    """Entries between two checkpoints."""
    content: bool = False
    """Log prompts and replies, too.  Else only their digests."""
