"""What an upstream says of itself."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ModelCard"]


class ModelCard(Struct, frozen=True):
    """One entry of a model list.  `created` is Unix seconds, 0 where the provider does not say."""

    id: str
    owned_by: str
    created: int = 0
