"""The ledger's journal: what it is made of, as rows of a Log.

One row is one JSON object with its `type`; the rows from the beginning, or from a snapshot on, folded in their order,
give the balances and the costs.
"""

from __future__ import annotations

import msgspec

from hoosh.budget import Entry
from hoosh.cost import CostsReset
from hoosh.errors import StorageError

__all__ = ["JournalEntry", "decode_row", "encode_row"]

JournalEntry = Entry | CostsReset

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(JournalEntry).decode


def encode_row(entry: JournalEntry) -> bytes:
    return _encode(entry)


def decode_row(body: bytes, position: int) -> JournalEntry:
    """Raises StorageError for a row that this version cannot read."""
    try:
        entry: JournalEntry = _decode(body)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"Row {position} of the ledger's journal cannot be read ({error}). Was it written by a newer hoosh? "
            "Then start that one; else restore the store from a backup."
        ) from error
    return entry
