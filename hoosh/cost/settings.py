"""`[[prices]]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["PriceOverride"]

Usd = Annotated[float, Meta(ge=0, le=1_000_000)]
"""`inf` is a float, too."""


class PriceOverride(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the owner knows better than the catalogue.  USD for a million tokens; the first that matches counts."""

    model: Annotated[str, Meta(min_length=1)]
    """A glob of names as the provider has them."""
    provider: str | None = None
    """A provider's name; None is every one."""
    input: Usd
    output: Usd = 0.0
    cached_input: Usd | None = None
    """None: as other input."""
    cache_write: Usd | None = None
    audio_input: Usd | None = None
    audio_output: Usd | None = None
    request: Usd = 0.0
    """USD for each request."""
    audio_minute: Usd = 0.0
    """USD for a minute of a recording that is written down."""
    min_audio_secs: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """A shorter recording is paid as one of this length."""
    characters: Usd = 0.0
    """USD for a million characters that are spoken."""
