"""Which dialect a provider type is spoken to in, and which serves a language.

A dialect other than OpenAI's is imported when it is first needed: the start does not wait for it.  The built-in types
are here by wire name.  Others come from plugins: an entry point in the group `hoosh.dialects`, named like the type,
whose object is a callable that makes an `UpstreamDialect`.  A plugin is imported when a configuration names its type,
and not before: what nobody uses costs nothing and cannot break the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from hoosh.dialects.contract import DownstreamDialect, Passage, UpstreamDialect
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAIUpstream
from hoosh.errors import ConfigError

if TYPE_CHECKING:
    from hoosh.dialects.responses import ResponseStore

__all__ = ["GROUP", "built_in_types", "downstream_dialect", "plugin_types", "upstream_dialect"]

GROUP = "hoosh.dialects"


def _responses_passage() -> Passage:
    from hoosh.dialects.responses import ResponsesPassage

    return ResponsesPassage()


_FAMILY = {name: partial(OpenAIUpstream, quirks, responses=_responses_passage) for name, quirks in FAMILY.items()}


def _anthropic() -> UpstreamDialect:
    from hoosh.dialects.anthropic import AnthropicUpstream

    return AnthropicUpstream()


def _gemini() -> UpstreamDialect:
    from hoosh.dialects.gemini import GeminiUpstream

    return GeminiUpstream()


def _ollama() -> UpstreamDialect:
    from hoosh.dialects.ollama import OllamaUpstream

    return OllamaUpstream()


_BUILT_IN: Mapping[str, Callable[[], UpstreamDialect]] = {
    **_FAMILY,
    "anthropic": _anthropic,
    "google": _gemini,
    "ollama": _ollama,
}


def downstream_dialect(language: str, responses: Callable[[], ResponseStore]) -> DownstreamDialect:
    """The dialect that serves clients of `language`; `responses` gives what those of the Responses API come back
    to."""
    match language:
        case "openai":
            return OpenAIDownstream()
        case "responses":
            from hoosh.dialects.responses import ResponsesDownstream

            return ResponsesDownstream(responses())
        case "anthropic":
            from hoosh.dialects.anthropic import AnthropicDownstream

            return AnthropicDownstream()
        case "ollama":
            from hoosh.dialects.ollama import OllamaDownstream

            return OllamaDownstream()
        case _:
            raise LookupError(f"no language is called {language!r}")


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


def built_in_types() -> list[str]:
    return sorted(_BUILT_IN)


def plugin_types(plugins: Iterable[EntryPoint] | None = None) -> list[str]:
    """The provider types that installed plugins offer.  Imports none of them."""
    return sorted({plugin.name for plugin in _installed(plugins)} - _BUILT_IN.keys())


def _installed(plugins: Iterable[EntryPoint] | None) -> Iterable[EntryPoint]:
    return entry_points(group=GROUP) if plugins is None else plugins
