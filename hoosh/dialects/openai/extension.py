"""What only OpenAI's chat language can ask for."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Raw

from hoosh.dialects.openai.body import ChatBody, Settings
from hoosh.values import Extension

__all__ = ["OpenAIExtension", "extensions_of"]


class OpenAIExtension(Extension, frozen=True):
    """Fields by OpenAI's own names; None where the client has not said.  Those kept raw are JSON objects."""

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


NOTHING = OpenAIExtension()


def extensions_of(body: Settings) -> tuple[OpenAIExtension, ...]:
    """The extension that `body` needs: one or none."""
    if not isinstance(body, ChatBody):
        return (OpenAIExtension(logit_bias=body.logit_bias),) if body.logit_bias else ()
    extension = OpenAIExtension(
        logit_bias=body.logit_bias or None,
        service_tier=body.service_tier,
        store=body.store,
        metadata=body.metadata,
        modalities=None if body.modalities is None else tuple(body.modalities),
        verbosity=body.verbosity,
        prompt_cache_key=body.prompt_cache_key,
        prompt_cache_retention=body.prompt_cache_retention,
        safety_identifier=body.safety_identifier,
        audio=_object(body.audio),
        prediction=_object(body.prediction),
        web_search_options=_object(body.web_search_options),
        prompt_cache_options=_object(body.prompt_cache_options),
        moderation=_object(body.moderation),
    )
    return () if extension == NOTHING else (extension,)


def _object(raw: Raw) -> Raw | None:
    return raw if bytes(raw)[:1] == b"{" else None
