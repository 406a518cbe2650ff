"""An account that a configuration asks for, to be compared: who is new, who stays, who is reached in another way?"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from hoosh.config import Provider
from hoosh.gateway.config_watch import Look
from hoosh.routing import Route
from hoosh.values import Secret

__all__ = ["Wanted"]


class Wanted(Struct, frozen=True):
    """An account that a configuration asks for.  `provider` is None for those in the house."""

    name: str
    route: Route
    provider: Provider | None = None
    key: Secret | None = None
    total_s: float = 0.0
    """What any exchange may take."""
    files: tuple[Look, ...] = ()
    """How those looked that belong to its connections."""

    def is_reached_like(self, other: Wanted) -> bool:
        """The same connections will do."""
        return _reached(self) == _reached(other)


def _reached(wanted: Wanted) -> tuple[object, ...]:
    """Without what only routing looks at."""
    provider = wanted.provider
    if provider is not None:
        provider = replace(
            provider,
            **dict.fromkeys(("api_key", "rate_limit_rpm", "tpm", "max_concurrent", "accelerator_bytes"), None),
            keys=(),
            weight=1,
            priority=0,
            models=(),
            max_tokens_limit=None,
        )
    return provider, wanted.key, wanted.total_s, wanted.files
