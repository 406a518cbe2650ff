"""One inference call, as far as the gateway must understand it; the rest stays raw bytes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Raw, Struct

__all__ = ["Call", "CallKind"]


class CallKind(StrEnum):
    """Which inference operation a call asks for.  The value is the name used in metrics and logs."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    TOKEN_COUNT = "token_count"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"
    SPEECH = "speech"


class Call(Struct, frozen=True):
    """A decoded request body.

    `fields` holds every top-level field of the body in its order, each value byte for byte as the client sent it
    (hoosh's own extension fields are taken out).  What hoosh acts upon is decoded beside it.
    """

    kind: CallKind
    model: str
    fields: Mapping[str, Raw]
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    provider: str | None = None
    pool: str | None = None
    models: tuple[str, ...] = ()
    """Whom to ask after `model`, in this order: `models` of the body, where `model` need not be said besides."""
    language: str = "openai"
    """The dialect that `fields` are written in: an upstream that speaks it gets them as they are."""
