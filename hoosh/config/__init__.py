"""What the owner wants: a TOML file as frozen structs, every mistake with its line."""

from hoosh.config.discovery import environment_providers, local_provider
from hoosh.config.load import Overrides, find_config, load, loads, places
from hoosh.config.schema import (
    Alias,
    Auth,
    Config,
    Discovery,
    Http2,
    Key,
    Logging,
    Origin,
    Provider,
    Server,
    Timeouts,
)

__all__ = [
    "Alias",
    "Auth",
    "Config",
    "Discovery",
    "Http2",
    "Key",
    "Logging",
    "Origin",
    "Overrides",
    "Provider",
    "Server",
    "Timeouts",
    "environment_providers",
    "find_config",
    "load",
    "loads",
    "local_provider",
    "places",
]
