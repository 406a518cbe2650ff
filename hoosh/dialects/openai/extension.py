"""What a chat body asks for that only OpenAI's languages have."""

from __future__ import annotations

from msgspec import Raw

from hoosh.dialects.openai.body import ChatBody, Settings
from hoosh.dialects.openai_extension import OpenAIExtension

__all__ = ["extensions_of"]

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
