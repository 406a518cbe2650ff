"""What is known by name: provider types, models and prices; devices later.  Data and look-up, no waiting."""

from hoosh.catalogue.models import (
    CATALOGUE_FILE,
    CatalogueModel,
    catalogue_models,
    load_models,
    merge_facts,
    model_facts,
)
from hoosh.catalogue.prices import FREE, Price, PriceList, load_prices
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
from hoosh.catalogue.sizes import load_sizes, merge_sizes, named_size

__all__ = [
    "CATALOGUE_FILE",
    "FREE",
    "PROVIDER_TYPES",
    "SIGNS",
    "CatalogueModel",
    "Price",
    "PriceList",
    "ProviderType",
    "catalogue_models",
    "engine_at",
    "find_provider_type",
    "is_sign_of",
    "keys_in",
    "load_models",
    "load_prices",
    "load_sizes",
    "local_ports",
    "merge_facts",
    "merge_sizes",
    "model_facts",
    "named_size",
    "suggest_provider_type",
]
