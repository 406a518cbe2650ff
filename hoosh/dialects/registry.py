"""Which dialect a provider type is spoken to in.

The built-in types are here by wire name.  Others come from plugins: an entry point in the group `hoosh.dialects`,
named like the type, whose object is a callable that makes an `UpstreamDialect`.  A plugin is imported when a
configuration names its type, and not before: what nobody uses costs nothing and cannot break the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from hoosh.dialects.contract import UpstreamDialect
from hoosh.dialects.openai import FAMILY, OpenAIUpstream
from hoosh.errors import ConfigError

__all__ = ["GROUP", "plugin_types", "upstream_dialect"]

GROUP = "hoosh.dialects"

_BUILT_IN = {name: partial(OpenAIUpstream, quirks) for name, quirks in FAMILY.items()}


def upstream_dialect(provider_type: str, *, plugins: Iterable[EntryPoint] | None = None) -> UpstreamDialect:
    """The dialect of a provider type, by wire name.  Raises ConfigError where there is none, or it cannot be loaded.

    A plugin cannot take the name of a built-in type.  `plugins` is what is installed, unless a test says otherwise.
    """
    if (make := _BUILT_IN.get(provider_type)) is not None:
        return make()
    found = next((plugin for plugin in _installed(plugins) if plugin.name == provider_type), None)
    if found is None:
        raise ConfigError([f"no dialect is known for provider type `{provider_type}`"])
    try:
        made: UpstreamDialect = found.load()()
    except Exception as error:  # somebody else's code: whatever it raises, the configuration is at fault
        mistake = f"the plugin for provider type `{provider_type}` ({found.value}) cannot be used: {error!r}"
        raise ConfigError([mistake]) from error
    return made


def plugin_types(plugins: Iterable[EntryPoint] | None = None) -> list[str]:
    """The provider types that installed plugins offer.  Imports none of them."""
    return sorted({plugin.name for plugin in _installed(plugins)} - _BUILT_IN.keys())


def _installed(plugins: Iterable[EntryPoint] | None) -> Iterable[EntryPoint]:
    return entry_points(group=GROUP) if plugins is None else plugins
