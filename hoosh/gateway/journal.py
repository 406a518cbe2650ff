"""The ledger's journal: rows of a Log, and now and then a snapshot of what they come to.

One row is one JSON object with its `type`.  The rows from the first one, or from a snapshot on, folded in their order,
give the balances and the costs.  The store keeps its order: a snapshot that is there has its rows before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from hoosh.budget import Entry
from hoosh.cost import CostsReset
from hoosh.errors import StorageError
from hoosh.storage import Store

__all__ = ["MEMORY_ROWS", "Journal", "JournalEntry", "Snapshot", "decode_row", "encode_row"]

JournalEntry = Entry | CostsReset

MEMORY_ROWS = 100_000
"""That a store in memory keeps: some 40 MB."""
READ_ROWS = 5_000
SNAPSHOT = "snapshot"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(JournalEntry).decode


class Snapshot(Struct, frozen=True, array_like=True):
    """All that the journal's rows up to `position` come to."""

    position: int
    ledger: bytes
    totals: bytes
    estimator: bytes


class Journal:
    """What the books write down, and read back.  Every method that waits raises StorageError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log = store.log("ledger")
        self._table = store.table("books")
        self.unsaved_rows = 0
        """Behind the last snapshot: what a start would have to read."""

    @property
    def position(self) -> int:
        """Of the last row."""
        return self._log.position

    def append(self, entries: Sequence[JournalEntry]) -> int:
        """Hand rows over.  Never waits, never fails.  Returns the position of the last."""
        self.unsaved_rows += len(entries)
        return self._log.append([encode_row(entry) for entry in entries])

    async def wait_kept(self, position: int) -> None:
        """Until the rows up to `position` are on the disk."""
        await self._log.wait_kept(position)

    async def save(self, snapshot: Snapshot) -> None:
        """Keep `snapshot`.  A journal in memory loses its oldest rows then: it must not fill that."""
        self.unsaved_rows = 0
        await self._table.put(SNAPSHOT, msgspec.msgpack.encode(snapshot))
        if self._store.statistics().kind == "memory":
            await self._log.trim(snapshot.position + 1 - MEMORY_ROWS)

    async def snapshot(self) -> Snapshot | None:
        """The last one that was kept."""
        kept = await self._table.get(SNAPSHOT)
        if kept is None:
            return None
        try:
            return msgspec.msgpack.decode(kept, type=Snapshot)
        except msgspec.DecodeError as error:
            raise StorageError.unreadable("The snapshot of the books") from error

    async def replay(self, after: int, fold: Callable[[JournalEntry], None]) -> int:
        """Give every row behind position `after` to `fold`, in order.  Returns how many there were."""
        position = after
        while rows := await self._log.read(position, READ_ROWS):
            for row in rows:
                fold(decode_row(row.body, row.position))
            position = rows[-1].position
        return position - after


def encode_row(entry: JournalEntry) -> bytes:
    return _encode(entry)


def decode_row(body: bytes, position: int) -> JournalEntry:
    """Raises StorageError for a row that this version cannot read."""
    try:
        entry: JournalEntry = _decode(body)
    except (ValueError, RecursionError) as error:
        raise StorageError.unreadable(f"Row {position} of the ledger's journal", error) from error
    return entry
