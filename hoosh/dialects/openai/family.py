"""The vendors who speak OpenAI's language, as data: each row says only where it differs.

Where they live and whose key they want is the catalogue's; this is about what goes over the wire.
Source: wire notes 2.4 to 2.13.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

__all__ = ["FAMILY", "Quirks"]


class Quirks(Struct, frozen=True):
    """How one vendor departs from OpenAI."""

    asks_usage: bool = True
    """`stream_options.include_usage` is understood.  False: the field is refused, and usage comes unasked."""


FAMILY: Mapping[str, Quirks] = {
    "openai": Quirks(),
    "openai-compatible": Quirks(),
    "llamacpp": Quirks(),
    "lmstudio": Quirks(),
    "localai": Quirks(),
    "vllm": Quirks(),
    "ollama": Quirks(),  # its /v1 surface
    "deepseek": Quirks(),
    "mistral": Quirks(asks_usage=False),
    "groq": Quirks(),
    "grok": Quirks(),
    "openrouter": Quirks(),
}
"""By wire name of the provider type."""
