"""Kept answers: what is served, what grows old, what makes room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.cache import Answer, Cache, ExactCache
from hoosh.cache.exact import ENTRY_BYTES

KEYS = [bytes([n]) * 32 for n in range(8)]
A, B, C, D = KEYS[:4]


def answer(size: int = 0, **more: str) -> Answer:
    return Answer(body=b"x" * size, **more)


def test_an_answer_is_served_until_it_is_as_old_as_the_ttl():
    cache = ExactCache(Cache(ttl_secs=10))
    kept = answer(5)
    assert cache.get(A, now_s=0) is None
    assert cache.put(A, kept, now_s=0)
    assert cache.get(A, now_s=9.9) is kept
    assert cache.get(A, now_s=10) is None
    found = cache.statistics()
    assert (found.hits, found.misses, found.evictions, found.entries, found.bytes) == (1, 2, 1, 0, 0)
    assert found.hit_rate == pytest.approx(1 / 3)


def test_being_read_does_not_keep_an_answer_young_and_being_put_again_does():
    cache = ExactCache(Cache(ttl_secs=10))
    cache.put(A, answer(), now_s=0)
    cache.put(B, answer(), now_s=1)
    cache.get(A, now_s=9)
    cache.put(B, answer(1), now_s=9)
    assert cache.sweep(12) == 1
    assert cache.get(A, now_s=12) is None
    assert cache.get(B, now_s=18) == answer(1)


def test_a_ttl_of_zero_never_ends():
    cache = ExactCache(Cache(ttl_secs=0))
    cache.put(A, answer(), now_s=0)
    assert cache.sweep(1e12) == 0
    assert cache.get(A, now_s=1e12) is not None


def test_the_longest_unused_makes_room():
    cache = ExactCache(Cache(max_entries=2))
    cache.put(A, answer(), now_s=0)
    cache.put(B, answer(), now_s=0)
    cache.get(A, now_s=0)
    cache.put(C, answer(), now_s=0)
    assert [cache.get(key, now_s=0) is not None for key in (A, B, C)] == [True, False, True]
    assert cache.statistics().evictions == 1


def test_what_is_too_old_makes_room_before_what_is_in_use():
    cache = ExactCache(Cache(max_entries=2, ttl_secs=10))
    cache.put(A, answer(), now_s=0)
    cache.put(B, answer(), now_s=9)
    cache.get(A, now_s=9)
    cache.put(C, answer(), now_s=11)
    assert cache.get(B, now_s=11) is not None


def test_one_answer_may_take_an_eighth_of_the_room():
    largest = 1000 - ENTRY_BYTES - len(A)
    cache = ExactCache(Cache(max_bytes=8000))
    assert cache.put(A, answer(largest), now_s=0)
    assert not cache.put(A, answer(largest + 1), now_s=0)
    assert cache.get(A, now_s=0) is None  # the older answer is out of date
    for key in KEYS:
        cache.put(key, answer(largest), now_s=0)
    assert cache.statistics().bytes == 8000
    assert cache.statistics().evictions == 0


def test_clearing_forgets_everything_a_model_or_a_caller():
    cache = ExactCache(Cache())

    def fill() -> None:
        cache.put(A, answer(model="m-2024", asked_model="m", caller="ada"), now_s=0)
        cache.put(B, answer(model="m-2024", asked_model="other", caller="bob"), now_s=0)
        cache.put(C, answer(model="x", asked_model="x", caller="bob"), now_s=0)

    counts = []
    for what in ({}, {"model": "m"}, {"model": "m-2024"}, {"caller": "bob"}, {"model": "x", "caller": "ada"}):
        cache.clear()
        fill()
        counts.append(cache.clear(**what))
    assert counts == [3, 1, 2, 2, 0]
    assert cache.statistics().evictions == 0


def test_what_was_in_the_air_counts_as_shared_and_not_as_missed():
    cache = ExactCache(Cache())
    cache.get(A, now_s=0)
    cache.get(A, now_s=0)
    cache.joined()
    found = cache.statistics()
    assert (found.hits, found.misses, found.shared, found.hit_rate) == (0, 1, 1, 0.5)


class Naive:
    """The same rules, told with lists: (key, size, expires, last used)."""

    def __init__(self, settings: Cache) -> None:
        self.settings = settings
        self.entries: list[list] = []
        self.turn = 0

    def get(self, key: bytes, now_s: float) -> bool:
        self.turn += 1
        for entry in self.entries:
            if entry[0] == key and entry[2] > now_s:
                entry[3] = self.turn
                return True
        self.entries = [e for e in self.entries if e[0] != key]
        return False

    def put(self, key: bytes, size: int, now_s: float) -> None:
        self.turn += 1
        settings = self.settings
        self.entries = [e for e in self.entries if e[0] != key]
        if size > settings.max_bytes // 8:
            return
        self.entries = [e for e in self.entries if e[2] > now_s]
        while len(self.entries) >= settings.max_entries or sum(e[1] for e in self.entries) + size > settings.max_bytes:
            self.entries.remove(min(self.entries, key=lambda e: e[3]))
        ttl = settings.ttl_secs or float("inf")
        self.entries.append([key, size, now_s + ttl, self.turn])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "get", "put", "sweep"]),
        st.sampled_from(KEYS),
        st.integers(0, 1600),
        st.integers(0, 4),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 6), st.sampled_from([0, 5, 12]))
def test_it_keeps_what_a_naive_cache_keeps(steps, max_entries, ttl):
    settings = Cache(max_entries=max_entries, max_bytes=16000, ttl_secs=ttl)
    cache, naive, now_s = ExactCache(settings), Naive(settings), 0.0
    for act, key, size, wait in steps:
        now_s += wait
        if act == "put":
            kept = answer(size)
            cache.put(key, kept, now_s=now_s)
            naive.put(key, kept.size_bytes + len(key), now_s)
        elif act == "get":
            assert (cache.get(key, now_s=now_s) is not None) == naive.get(key, now_s)
        else:
            cache.sweep(now_s)
            naive.entries = [e for e in naive.entries if e[2] > now_s]
        found = cache.statistics()
        assert (found.entries, found.bytes) == (len(naive.entries), sum(e[1] for e in naive.entries))
        assert found.entries <= max_entries
        assert found.bytes <= settings.max_bytes
