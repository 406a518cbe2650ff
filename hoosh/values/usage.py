"""Token counts of one reply."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Usage"]


class Usage(Struct, frozen=True):
    """Whole tokens.  `prompt_tokens` includes `cached_tokens`; `completion_tokens` includes `reasoning_tokens`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens
