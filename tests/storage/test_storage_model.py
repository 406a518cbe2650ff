"""The SQLite store answers like the one in memory, whatever is asked of it, across restarts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from hoosh.storage import MemoryStore, SqliteStore, Store
from hoosh.testing.stores import Clock, running

NAMES = ("ledger", "audit", "a.b-c_1")
KEYS = ("", "a", "ab", "a\0", "b", "ß", "\U0010ffff")
BODIES = (b"", b"x", b"\0\xff", b"y" * 5000)


def row_bodies(random: Random) -> list[bytes]:
    return [random.choice(BODIES) for _ in range(random.choice((0, 1, 1, 2, 5, 70, 300)))]


def ttl(random: Random) -> float | None:
    return random.choice((None, None, 0, 5, 50.5))


def draw(random: Random) -> Callable[[Store], object]:
    """A question, to be asked of both stores."""
    name, key, other = random.choice(NAMES), random.choice(KEYS), random.choice(KEYS)
    value, expected = random.choice((*BODIES, None)), random.choice((*BODIES, None))
    number, limit, live_s = random.randrange(40), random.choice((0, 1, 3, 1000)), ttl(random)
    rows = row_bodies(random)
    put = value or b"put"
    return random.choice(
        (
            lambda store: store.log(name).append(rows),
            lambda store: store.log(name).append(rows),
            lambda store: store.log(name).position,
            lambda store: store.log(name).wait_kept(store.log(name).position),
            lambda store: store.log(name).read(number, limit),
            lambda store: store.log(name).trim(number),
            lambda store: store.table(name).get(key),
            lambda store: store.table(name).put(key, put, ttl_s=live_s),
            lambda store: store.table(name).swap(key, expected, value, ttl_s=live_s),
            lambda store: store.table(name).items(key, after=other, limit=limit),
            lambda store: store.counter(name).take(key, number, 60, ttl_s=live_s),
            lambda store: store.counter(name).give(key, number),
            lambda store: store.counter(name).value(key),
        )
    )


async def answer(question: Callable[[Store], object], store: Store) -> object:
    result = question(store)
    return await result if hasattr(result, "__await__") else result


@pytest.mark.parametrize("seed", range(3))
async def test_both_stores_give_the_same_answers(seed: int, tmp_path: Path):
    random, clock = Random(seed), Clock()
    model = MemoryStore(now=clock)
    for life in range(3):
        async with running(SqliteStore(tmp_path / "x.db", now=clock)) as store:
            for step in range(100):
                clock.now_s += random.choice((0, 0, 1, 7, 100))
                question = draw(random)
                mine, his = await answer(question, store), await answer(question, model)
                assert mine == his, f"seed {seed}, life {life}, step {step}"
