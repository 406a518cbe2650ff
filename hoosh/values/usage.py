"""What one reply is counted by: tokens, and for sound also its length and its letters."""

from __future__ import annotations

from operator import add

from msgspec import Struct
from msgspec.structs import astuple

__all__ = ["Usage"]


class Usage(Struct, frozen=True, omit_defaults=True, gc=False):
    """Whole tokens.

    `prompt_tokens` includes `cached_tokens`, `cache_write_tokens` and `audio_prompt_tokens`;
    `completion_tokens` includes `reasoning_tokens` and `audio_completion_tokens`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Read from the provider's prompt cache."""
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    """Written to the provider's prompt cache (Anthropic bills them dearer)."""
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    audio_ms: int = 0
    """Of a recording that was written down: milliseconds."""
    characters: int = 0
    """Of a text that was spoken."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(add, astuple(self), astuple(other)))

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens
