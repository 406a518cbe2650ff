"""What the owner wants: a TOML file as frozen structs, every mistake with its line."""

from hoosh.config.discovery import environment_providers, local_provider
from hoosh.config.load import Overrides, find_config, load, loads, places
from hoosh.config.schema import (
    Alias,
    Audit,
    Auth,
    Budget,
    Cache,
    Config,
    Discovery,
    Http2,
    Key,
    Limits,
    Logging,
    Origin,
    PriceOverride,
    Provider,
    Server,
    Storage,
    Timeouts,
)
from hoosh.config.state import state_directory, store_path

__all__ = [
    "Alias",
    "Audit",
    "Auth",
    "Budget",
    "Cache",
    "Config",
    "Discovery",
    "Http2",
    "Key",
    "Limits",
    "Logging",
    "Origin",
    "Overrides",
    "PriceOverride",
    "Provider",
    "Server",
    "Storage",
    "Timeouts",
    "environment_providers",
    "find_config",
    "load",
    "loads",
    "local_provider",
    "places",
    "state_directory",
    "store_path",
]
