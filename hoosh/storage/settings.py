"""`[storage]`."""

from __future__ import annotations

from msgspec import Struct

from hoosh.storage.contract import Durability

__all__ = ["Storage"]


class Storage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the books are kept."""

    url: str = ""
    """`sqlite:///PATH` or `memory:`.  "" is `hoosh.db` in the state directory under `hoosh-trio serve`, else memory."""
    durability: Durability = "batched"
