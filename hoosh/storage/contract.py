"""What the house keeps, in three shapes.  Backends: memory and SQLite; one contract suite runs against each.

    Log      rows of bytes in the order they were appended; the ledger's journal, the audit chain
    Table    key → bytes, with an optional time to live and compare-and-swap
    Counter  key → int that is taken from up to a ceiling, and given back to

One store has one writer, and it keeps order: nothing given to it later is on the disk before what came earlier, also
across shapes.  So a snapshot that is `put` after the rows it covers can be trusted after a crash.

`append` never waits and never fails: a request does not depend on the disk.  While the store cannot write, rows go
into a spool file beside it, or wait in memory, and `statistics().status` says so; once even that is full, the status
is `full` and the gateway refuses new work.  What comes long after that is lost: it is counted in `last_error`, takes
no position in the log, and `wait_kept` raises for it.

    durability = "batched"   written in groups; a power cut loses the rows of the last 50 ms at most
    durability = "sync"      the gateway also waits for `wait_kept` before the last byte of an answer

Keys are text, values and rows are bytes, times Unix seconds from the `now` a backend is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NoReturn, Protocol

import trio
from msgspec import Struct

__all__ = ["Counter", "Durability", "Log", "Row", "Store", "StoreStatistics", "Table"]

Durability = Literal["batched", "sync"]


class Row(Struct, frozen=True):
    """One row of a log.  Positions begin at 1 and have no gaps."""

    position: int
    body: bytes


class StoreStatistics(Struct, frozen=True):
    """How the store is doing."""

    kind: str
    """`memory` or `sqlite`."""
    status: Literal["ok", "spooling", "full"]
    place: str = ""
    """Where it is, as the start screen shows it; "" in memory."""
    waiting_rows: int = 0
    """Appended, and not on the disk yet."""
    spooled_rows: int = 0
    """Of these, in the spool file."""
    written_rows: int = 0
    last_error: str | None = None


class Log(Protocol):
    """Rows in their order."""

    @property
    def position(self) -> int:
        """Of the last row appended, written or not; 0 when there is none."""
        ...

    def append(self, rows: Sequence[bytes]) -> int:
        """Add rows at the end.  Never waits, never fails.  Returns the position of the last, for `wait_kept`."""
        ...

    async def wait_kept(self, position: int) -> None:
        """Until the rows up to `position` would survive a power cut.  Raises StorageError while they cannot."""
        ...

    async def read(self, after: int = 0, limit: int = 1000) -> list[Row]:
        """Rows behind `after`, oldest first, as they were when this was called: appended rows are among them.

        Raises StorageError.
        """
        ...

    async def trim(self, before: int) -> int:
        """Forget the rows before position `before`; returns how many.  Positions go on as they were."""
        ...


class Table(Protocol):
    """Values by key.  Every method raises StorageError."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None: ...

    async def swap(self, key: str, expected: bytes | None, value: bytes | None, *, ttl_s: float | None = None) -> bool:
        """Put `value` (None deletes) where the value is `expected` (None: there is none).  True: done."""
        ...

    async def items(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[tuple[str, bytes]]:
        """Living entries whose key begins with `prefix` and lies behind `after`, by key."""
        ...


class Counter(Protocol):
    """Numbers by key, 0 where there is none.  Every method raises StorageError."""

    async def take(self, key: str, amount: int, ceiling: int, *, ttl_s: float | None = None) -> int | None:
        """Add `amount` unless that passes `ceiling`.  Returns the new value, or None: nothing has changed.

        `ttl_s` counts from the first take; after it the counter is 0 again.
        """
        ...

    async def give(self, key: str, amount: int) -> int:
        """Take `amount` back off, not below 0.  Returns the new value."""
        ...

    async def value(self, key: str) -> int: ...


class Store(Protocol):
    """A place for logs, tables and counters, each by its name (`a-z`, digits, `_`, `-`, `.`).

    A caller that is cancelled while it waits has asked for nothing, if that was not begun yet; else a `take` is given
    back, and a `put` or `swap` may have happened.  Rows stay appended.

    `run` is a service: it opens the store (raises StorageError with advice when it cannot), is ready once everything
    can be used, and writes down all that was appended before it ends.
    """

    durability: Durability

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn: ...

    def log(self, name: str) -> Log: ...

    def table(self, name: str) -> Table: ...

    def counter(self, name: str) -> Counter: ...

    def statistics(self) -> StoreStatistics: ...
