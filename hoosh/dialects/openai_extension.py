"""What only OpenAI's two languages, chat and Responses, can ask for: an upstream of its family writes it."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Raw

from hoosh.values import Extension

__all__ = ["OpenAIExtension"]


class OpenAIExtension(Extension, frozen=True):
    """Fields by OpenAI's own names in chat; None where the client has not said.  Those kept raw are JSON objects."""

    home: ClassVar[str] = "openai"

    logit_bias: dict[str, float] | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    modalities: tuple[str, ...] | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    audio: Raw | None = None
    prediction: Raw | None = None
    web_search_options: Raw | None = None
    prompt_cache_options: Raw | None = None
    moderation: Raw | None = None

    @property
    def demands(self) -> tuple[str, ...]:
        named = {
            "logit_bias": bool(self.logit_bias),
            "modalities": self.modalities is not None and self.modalities != ("text",),
            "web_search_options": self.web_search_options is not None,
            "moderation": self.moderation is not None,
        }
        return tuple(name for name, is_asked in named.items() if is_asked)
