"""The journal's entries: all that ever moves a balance, as facts.

    Settlement      a request is over, and its pool has paid
    Reserved        an outsider has been promised something, until `expires_ms`
    Reported        an outsider tells what it has used; what it had been promised for that is free again
    Released        an outsider does not need it any more
    Expired         an outsider has said nothing in time
    Configured      the owner has changed the pools

Requests' holds are not among them: they live and end with the process.  Each entry has the time at which it counts
(Unix milliseconds), so that a replay needs no clock.  Amounts are whole, in the unit that the pool has at that point of
the journal.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from hoosh.budget.pool import Terms
from hoosh.errors import StorageError
from hoosh.values.settlement import Settlement

__all__ = ["Configured", "Entry", "Expired", "Released", "Reported", "Reserved", "decode_entry", "encode_entry"]


class Reserved(Struct, frozen=True, tag="reserved"):
    at_ms: int
    id: str
    owner: str
    """A caller's name."""
    pool: str
    amount: int
    expires_ms: int


class Reported(Struct, frozen=True, tag="reported", omit_defaults=True):
    at_ms: int
    owner: str
    pool: str
    actual: int
    id: str | None = None
    """The reservation that this is the end of.  Without one, `reserved` is taken off the owner's oldest in the pool."""
    reserved: int = 0


class Released(Struct, frozen=True, tag="released"):
    at_ms: int
    id: str
    pool: str


class Expired(Struct, frozen=True, tag="expired"):
    at_ms: int
    id: str
    pool: str


class Configured(Struct, frozen=True, tag="configured", omit_defaults=True):
    at_ms: int
    pools: tuple[Terms, ...]
    """All there are from now on."""
    ahead_ms: dict[str, int] = field(default_factory=dict)
    """By name: pools that have been in a later window than `at_ms` says, where that window has begun."""


Entry = Settlement | Reserved | Reported | Released | Expired | Configured

encode_entry = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


def decode_entry(body: bytes) -> Entry:
    """Raises StorageError for what is not an entry, or is one that only a newer version knows."""
    try:
        entry: Entry = _decode(body)
        return entry
    except (ValueError, RecursionError) as error:
        raise StorageError.unreadable("An entry of the budgets' journal", error) from error
