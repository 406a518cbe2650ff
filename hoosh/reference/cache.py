"""Answers kept by a key of one's own: the gateway's exact cache, with the reference's verbs.  Nothing waits.

Source: reference sections 6.1 and 19.6.  The key is a SHA-256 of everything in the messages, not of their text alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from hoosh.cache.exact import Answer, CacheStatistics, ExactCache
from hoosh.cache.settings import Cache

__all__ = ["ResponseCache", "cache_key"]


def cache_key(model: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """Stands for a model and what it is asked."""
    said = msgspec.json.encode([model, messages], order="sorted")
    return f"{model}:{hashlib.sha256(said).hexdigest()}"


class ResponseCache:
    """Texts by key.  The settings are those of `[cache]`; disabled, it keeps nothing and counts nothing."""

    def __init__(
        self,
        *,
        max_entries: int = 1000,
        ttl_secs: float = 300.0,
        enabled: bool = True,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = ExactCache(Cache(enabled=enabled, max_entries=max_entries, ttl_secs=ttl_secs))
        self._now_s = now_s

    def get(self, key: str) -> str | None:
        if not self._cache.settings.enabled:
            return None
        answer = self._cache.get(key.encode(), now_s=self._now_s())
        return None if answer is None else answer.body.decode()

    def insert(self, key: str, value: str) -> bool:
        """False where it is not kept: disabled, or larger than an eighth of the cache."""
        if not self._cache.settings.enabled:
            return False
        return self._cache.put(key.encode(), Answer(body=value.encode()), now_s=self._now_s())

    def sweep(self) -> int:
        """Drop what has grown too old.  Returns how many."""
        return self._cache.sweep(self._now_s())

    def clear(self) -> int:
        """Returns how many there were."""
        return self._cache.clear()

    def stats(self) -> CacheStatistics:
        return self._cache.statistics()

    def __len__(self) -> int:
        return self._cache.statistics().entries
