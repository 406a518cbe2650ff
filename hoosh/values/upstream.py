"""What an upstream says of itself."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ModelCard", "ProviderState"]


class ModelCard(Struct, frozen=True):
    """One entry of a model list.  `created` is Unix seconds, 0 where the provider does not say."""

    id: str
    owned_by: str
    created: int = 0


class ProviderState(Struct, frozen=True):
    """How one configured provider is doing, as the health routes show it.

    `base_url` and `last_error` may come as they are configured and caught: the door shows the first without
    credentials and query, and of the second only that there was one.
    """

    name: str
    type: str
    base_url: str
    enabled: bool = True
    local: bool = False
    status: str = "unknown"
    """healthy, unhealthy, unknown (nobody has asked yet) or disabled."""
    consecutive_failures: int = 0
    last_error: str | None = None
    models: tuple[str, ...] = ()
    """Names or patterns it serves."""
