"""Kept answers, by the fingerprint of their request.

    put ──▶ kept ──get──▶ served, and the youngest in use again
             │
             ├── older than the TTL      found by a `get`, a `put` or a sweep
             ├── the longest unused      when there are too many, or too many bytes
             └── cleared                 by its owner

Two orders are kept, of use and of age, so that everything but `clear` takes the same time however much is kept: with
one TTL for all, the first that was put is the first that grows too old.  Bytes are counted with the key, the headers
and what an entry costs besides.

The clock comes in as `now_s` and must not go back (`trio.current_time()`).  Nothing here waits.
Source: reference section 6.1 (numbers that it shows, and how expiry is counted).
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from hoosh.cache.settings import Cache
from hoosh.values import Usage

__all__ = ["Answer", "CacheStatistics", "ExactCache"]

ENTRY_BYTES = 512
"""Of memory that an entry takes besides its content."""
SHARE_OF_ONE = 8
"""No answer may take more than this part of the whole."""


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer, as its client got it, and what there is to tell of it."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Those that belong to the answer, such as `content-type`; none of its request."""
    body: bytes
    is_stream: bool = False
    provider: str = ""
    model: str = ""
    """As the upstream was asked."""
    asked_model: str = ""
    """As the client asked."""
    caller: str = ""
    """Whose request it was an answer to."""
    usage: Usage | None = None

    @property
    def size_bytes(self) -> int:
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.body) + headers + ENTRY_BYTES


class CacheStatistics(Struct, frozen=True):
    entries: int
    max_entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    shared: int
    """Requests that got the answer of another one in the air."""
    evictions: int
    """Entries that grew too old or had to make room."""
    hit_rate: float
    """Of all lookups, those answered without asking an upstream; 0.0 without lookups."""
    enabled: bool
    ttl_secs: float


class _Entry:
    __slots__ = ("answer", "expires_s", "size_bytes")

    def __init__(self, answer: Answer, expires_s: float, size_bytes: int) -> None:
        self.answer = answer
        self.expires_s = expires_s
        self.size_bytes = size_bytes


class ExactCache:
    """`settings.enabled` is only told on: whoever asks here wants an answer."""

    def __init__(self, settings: Cache) -> None:
        self.configure(settings)
        self._by_use: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_age: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._shared = self._evictions = 0

    def configure(self, settings: Cache) -> None:
        """What is kept from now on is kept by these.  What is kept already stays for as long as it was to."""
        self.settings = settings
        self.max_answer_bytes = settings.max_bytes // SHARE_OF_ONE
        self._ttl_s = settings.ttl_secs or float("inf")

    def get(self, key: bytes, *, now_s: float) -> Answer | None:
        """The kept answer, which is then the last to be dropped.  Counts a hit or a miss."""
        entry = self._by_use.get(key)
        if entry is not None and entry.expires_s <= now_s:
            self._evict(key)
            entry = None
        if entry is None:
            self._misses += 1
            return None
        self._hits += 1
        self._by_use.move_to_end(key)
        return entry.answer

    def joined(self) -> None:
        """What `get` has just missed was in the air: somebody else's request gives the answer."""
        self._misses -= 1
        self._shared += 1

    def put(self, key: bytes, answer: Answer, *, now_s: float) -> bool:
        """Keep `answer`, in place of an older one.  False where it is too large; then nothing is kept for `key`."""
        if key in self._by_use:
            self._drop(key)
        size_bytes = answer.size_bytes + len(key)
        if size_bytes > self.max_answer_bytes:
            return False
        self.sweep(now_s)
        while len(self._by_use) >= self.settings.max_entries or self._bytes + size_bytes > self.settings.max_bytes:
            self._evict(next(iter(self._by_use)))
        self._by_use[key] = self._by_age[key] = _Entry(answer, now_s + self._ttl_s, size_bytes)
        self._bytes += size_bytes
        return True

    def sweep(self, now_s: float) -> int:
        """Drop what has grown too old.  Returns how many."""
        swept = 0
        while self._by_age:
            key, entry = next(iter(self._by_age.items()))
            if entry.expires_s > now_s:
                break
            self._evict(key)
            swept += 1
        return swept

    def clear(self, *, model: str | None = None, caller: str | None = None) -> int:
        """Forget everything, or what a model has said, or what a caller was told.  Returns how many."""
        doomed = [
            key
            for key, entry in self._by_use.items()
            if model in (None, entry.answer.model, entry.answer.asked_model) and caller in (None, entry.answer.caller)
        ]
        for key in doomed:
            self._drop(key)
        return len(doomed)

    def statistics(self) -> CacheStatistics:
        settings = self.settings
        served = self._hits + self._shared
        lookups = served + self._misses
        return CacheStatistics(
            entries=len(self._by_use),
            max_entries=settings.max_entries,
            bytes=self._bytes,
            max_bytes=settings.max_bytes,
            hits=self._hits,
            misses=self._misses,
            shared=self._shared,
            evictions=self._evictions,
            hit_rate=served / lookups if lookups else 0.0,
            enabled=settings.enabled,
            ttl_secs=settings.ttl_secs,
        )

    def _evict(self, key: bytes) -> None:
        self._drop(key)
        self._evictions += 1

    def _drop(self, key: bytes) -> None:
        self._bytes -= self._by_use.pop(key).size_bytes
        del self._by_age[key]
