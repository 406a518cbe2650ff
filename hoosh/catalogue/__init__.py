"""What is known by name: provider types and models; prices and devices later.  Data and look-up, no waiting."""

from hoosh.catalogue.models import (
    CATALOGUE_FILE,
    CatalogueModel,
    catalogue_models,
    load_models,
    merge_facts,
    model_facts,
)
from hoosh.catalogue.providers import (
    PROVIDER_TYPES,
    ProviderType,
    engine_at,
    find_provider_type,
    keys_in,
    local_ports,
    suggest_provider_type,
)
from hoosh.catalogue.recognition import SIGNS, is_sign_of

__all__ = [
    "CATALOGUE_FILE",
    "PROVIDER_TYPES",
    "SIGNS",
    "CatalogueModel",
    "ProviderType",
    "catalogue_models",
    "engine_at",
    "find_provider_type",
    "is_sign_of",
    "keys_in",
    "load_models",
    "local_ports",
    "merge_facts",
    "model_facts",
    "suggest_provider_type",
]
