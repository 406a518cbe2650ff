"""Which provider type does a configuration name: one of the catalogue, or a plugin's?"""

from __future__ import annotations

from functools import cache

from hoosh.catalogue import ProviderType, find_provider_type
from hoosh.dialects.registry import plugin_types
from hoosh.values import CallKind

__all__ = ["kind_named"]

TRANSLATED = frozenset({CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING, CallKind.TOKEN_COUNT})
"""What a plugin's dialect can be asked for; whether it refuses is its own business."""


def kind_named(name: str) -> ProviderType | None:
    """The type called `name`.  A plugin's name is taken word for word; None when nobody is called so."""
    return find_provider_type(name) or _plugin(name)


@cache
def _plugin(name: str) -> ProviderType | None:
    if name not in plugin_types():
        return None
    return ProviderType(name, name, False, None, dialect=name, kinds=TRANSLATED)
