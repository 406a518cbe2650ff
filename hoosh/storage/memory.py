"""The store that forgets: for tests, for trying things out, and as the model that other stores are compared with.

Everything is kept at once, so nothing ever waits; each method is still a checkpoint, as it is elsewhere.
It can be used before `run` is started, and after it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import trio

from hoosh.errors import StorageError
from hoosh.storage.contract import Durability, Row, StoreStatistics
from hoosh.storage.entries import Count, Sweeps, check_key, check_name, expiry, given, is_alive, taken

__all__ = ["MemoryStore"]


class MemoryStore:
    """Logs, tables and counters in this process."""

    def __init__(self, *, durability: Durability = "batched", now: Callable[[], float] = time.time) -> None:
        self.durability: Durability = durability
        self._now = now
        self._logs: dict[str, _Log] = {}
        self._tables: dict[str, _Table] = {}
        self._counters: dict[str, _Counter] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        task_status.started()
        await trio.sleep_forever()

    def log(self, name: str) -> _Log:
        return self._logs.setdefault(check_name(name), _Log())

    def table(self, name: str) -> _Table:
        return self._tables.setdefault(check_name(name), _Table(self._now))

    def counter(self, name: str) -> _Counter:
        return self._counters.setdefault(check_name(name), _Counter(self._now))

    def statistics(self) -> StoreStatistics:
        return StoreStatistics("memory", "ok", written_rows=sum(log.position for log in self._logs.values()))


class _Log:
    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._trimmed = 0
        """So many rows came before the first that is there."""

    @property
    def position(self) -> int:
        return self._trimmed + len(self._bodies)

    def append(self, rows: Sequence[bytes]) -> int:
        self._bodies.extend(rows)
        return self.position

    async def wait_kept(self, position: int) -> None:
        await trio.lowlevel.checkpoint()
        if position > self.position:
            raise StorageError("That row is not in the log.")

    async def read(self, after: int = 0, limit: int = 1000) -> list[Row]:
        await trio.lowlevel.checkpoint()
        start = max(0, after - self._trimmed)
        bodies = self._bodies[start : start + max(0, limit)]
        return [Row(position, body) for position, body in enumerate(bodies, self._trimmed + start + 1)]

    async def trim(self, before: int) -> int:
        await trio.lowlevel.checkpoint()
        count = min(max(0, before - 1 - self._trimmed), len(self._bodies))
        del self._bodies[:count]
        self._trimmed += count
        return count


class _Table:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sweeps = Sweeps()
        self._entries: dict[str, tuple[bytes, float | None]] = {}

    async def get(self, key: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self._get(check_key(key))

    async def put(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        await trio.lowlevel.checkpoint()
        self._put(check_key(key), value, ttl_s)

    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, ttl_s: float | None = None) -> bool:
        await trio.lowlevel.checkpoint()
        if self._get(check_key(key)) != expected:
            return False
        if value is None:
            self._entries.pop(key, None)
        else:
            self._put(key, value, ttl_s)
        return True

    async def items(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[tuple[str, bytes]]:
        await trio.lowlevel.checkpoint()
        check_key(prefix), check_key(after)
        now_s = self._now()
        found = sorted(
            (key, value)
            for key, (value, expires_s) in self._entries.items()
            if key.startswith(prefix) and (key > after or not after) and is_alive(expires_s, now_s)
        )
        return found[: max(0, limit)]

    def _get(self, key: str) -> bytes | None:
        value, expires_s = self._entries.get(key, (None, None))
        return value if is_alive(expires_s, self._now()) else None

    def _put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        now_s = self._now()
        self._entries[key] = (value, expiry(ttl_s, now_s))
        if self._sweeps.is_due(now_s):
            self._entries = {key: entry for key, entry in self._entries.items() if is_alive(entry[1], now_s)}


class _Counter:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sweeps = Sweeps()
        self._counts: dict[str, Count] = {}

    async def take(self, key: str, amount: int, ceiling: int, *, ttl_s: float | None = None) -> int | None:
        await trio.lowlevel.checkpoint()
        now_s = self._now()
        count = taken(self._counts.get(check_key(key)), amount, ceiling, expiry(ttl_s, now_s), now_s=now_s)
        if count is None:
            return None
        self._counts[key] = count
        if self._sweeps.is_due(now_s):
            self._counts = {key: count for key, count in self._counts.items() if is_alive(count.expires_s, now_s)}
        return count.value

    async def give(self, key: str, amount: int) -> int:
        await trio.lowlevel.checkpoint()
        count = given(self._counts.pop(check_key(key), None), amount, now_s=self._now())
        if count is None:
            return 0
        self._counts[key] = count
        return count.value

    async def value(self, key: str) -> int:
        await trio.lowlevel.checkpoint()
        count = self._counts.get(check_key(key))
        return count.value if count is not None and is_alive(count.expires_s, self._now()) else 0
