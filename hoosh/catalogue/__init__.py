"""What is known by name: provider types today; models, prices and devices later.  Data and look-up, no waiting."""

from hoosh.catalogue.providers import (
    COMING,
    PROVIDER_TYPES,
    ProviderType,
    engine_at,
    find_provider_type,
    is_coming,
    keys_in,
    local_ports,
    suggest_provider_type,
)

__all__ = [
    "COMING",
    "PROVIDER_TYPES",
    "ProviderType",
    "engine_at",
    "find_provider_type",
    "is_coming",
    "keys_in",
    "local_ports",
    "suggest_provider_type",
]
