"""Logs, tables and counters of a store in SQLite, as the event loop sees them: each method is a question to the writer.

Here the clock is read, keys are looked at, and mistakes of the caller raised: what goes to the writer's thread works,
or fails because of the disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import trio

from hoosh.errors import StorageError
from hoosh.storage.contract import Row
from hoosh.storage.database import Database
from hoosh.storage.entries import check_key, expiry
from hoosh.storage.handover import Question

__all__ = ["LOST", "MAX_BYTES", "SqliteCounter", "SqliteLog", "SqliteTable"]

T = TypeVar("T")

LOST = sys.maxsize
"""The position of a row that could not be kept: `wait_kept` always raises for it."""

MAX_BYTES = 256 * 1024 * 1024
"""Of a value, or of the rows of one append.  SQLite's own bound is not far, and would stop all that comes behind."""


class Asked(Protocol):
    """What the shapes need of their store."""

    waiting: int
    """Callers of `wait_kept`, which the thread looks at."""

    @property
    def now(self) -> Callable[[], float]: ...

    def enqueue_rows(self, name: str, first: int, rows: Sequence[bytes]) -> bool: ...

    async def ask(self, question: Question[T]) -> T: ...

    def hurry(self) -> None: ...


class _Waiter:
    __slots__ = ("error", "event", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.event = trio.Event()
        self.error: StorageError | None = None


class SqliteLog:
    __slots__ = ("_name", "_store", "_waiters", "kept", "position")

    def __init__(self, store: Asked, name: str, position: int) -> None:
        self._store = store
        self._name = name
        self._waiters: list[_Waiter] = []
        self.position = position
        self.kept = position
        """Up to here rows would survive a power cut."""

    def append(self, rows: Sequence[bytes]) -> int:
        if not rows:
            return self.position
        if not self._store.enqueue_rows(self._name, self.position + 1, rows):
            return LOST
        self.position += len(rows)
        return self.position

    async def wait_kept(self, position: int) -> None:
        if position <= self.kept:
            await trio.lowlevel.checkpoint()
            return
        await trio.lowlevel.checkpoint_if_cancelled()
        if position > self.position:
            raise StorageError("That row is not in the log: there was no room for it.")
        self._store.hurry()
        waiter = _Waiter(position)
        # First we are there, then we look: the thread first says what is kept, then looks whether somebody is there.
        self._waiters.append(waiter)
        self._store.waiting += 1
        try:
            if position > self.kept:
                await waiter.event.wait()
        finally:
            self._store.waiting -= 1
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if waiter.error is not None:
            raise waiter.error

    def wake(self, failure: StorageError | None) -> None:
        """Those whose rows are kept; with a failure, all."""
        if not self._waiters:
            return
        staying = []
        for waiter in self._waiters:
            if waiter.position > self.kept:
                if failure is None:
                    staying.append(waiter)
                    continue
                waiter.error = failure
            waiter.event.set()
        self._waiters = staying

    async def read(self, after: int = 0, limit: int = 1000) -> list[Row]:
        return await self._store.ask(Question(lambda it: it.read(self._name, after, limit), in_order=True))

    async def trim(self, before: int) -> int:
        return await self._store.ask(Question(lambda it: it.trim(self._name, before), changes=True))


class SqliteTable:
    __slots__ = ("_name", "_store")

    def __init__(self, store: Asked, name: str) -> None:
        self._store = store
        self._name = name

    async def get(self, key: str) -> bytes | None:
        now_s = self._store.now()
        check_key(key)
        return await self._store.ask(Question(lambda it: it.get(self._name, key, now_s)))

    async def put(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        now_s = self._store.now()
        expires_s = expiry(ttl_s, now_s)
        _check(key, value)
        await self._store.ask(Question(lambda it: it.put(self._name, key, value, expires_s, now_s), changes=True))

    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, ttl_s: float | None = None) -> bool:
        now_s = self._store.now()
        expires_s = expiry(ttl_s, now_s)
        _check(key, value or b"")

        def swap(it: Database) -> bool:
            if it.get(self._name, key, now_s) != expected:
                return False
            if value is None:
                it.delete(self._name, key)
            else:
                it.put(self._name, key, value, expires_s, now_s)
            return True

        return await self._store.ask(Question(swap, changes=True))

    async def items(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[tuple[str, bytes]]:
        now_s = self._store.now()
        check_key(prefix), check_key(after)
        return await self._store.ask(Question(lambda it: it.items(self._name, prefix, after, limit, now_s)))


def _check(key: str, value: bytes) -> None:
    check_key(key)
    if len(value) > MAX_BYTES:
        raise StorageError(f"A value of {len(value)} bytes is too large to be stored.")


class SqliteCounter:
    __slots__ = ("_name", "_store")

    def __init__(self, store: Asked, name: str) -> None:
        self._store = store
        self._name = name

    async def take(self, key: str, amount: int, ceiling: int, *, ttl_s: float | None = None) -> int | None:
        now_s = self._store.now()
        expires_s = expiry(ttl_s, now_s)
        check_key(key)
        take = Question(
            lambda it: it.take(self._name, key, amount, ceiling, expires_s, now_s),
            changes=True,
            undo=lambda it: it.give(self._name, key, amount, self._store.now()),
        )
        return await self._store.ask(take)

    async def give(self, key: str, amount: int) -> int:
        now_s = self._store.now()
        check_key(key)
        return await self._store.ask(Question(lambda it: it.give(self._name, key, amount, now_s), changes=True))

    async def value(self, key: str) -> int:
        now_s = self._store.now()
        check_key(key)
        return await self._store.ask(Question(lambda it: it.value(self._name, key, now_s)))
