"""The end of the chain, where it grows: `head ──seal──▶ line`, and its entry is the new head.

Time comes in as an argument, chance as the beginning of the ids: a number is given once, so an id that ends in it is
unique in its chain, and a random beginning makes it so across chains.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from hoosh.audit.checkpoint import GENESIS, Checkpoint, Head
from hoosh.audit.entry import (
    CHECKPOINT,
    KEY_HANDOVER,
    NOTHING,
    VERSION,
    AuditEntry,
    HandOver,
    Integrity,
    Level,
    encode_entry,
    hash_of,
    line_of_canonical,
)
from hoosh.audit.keys import SigningKey

__all__ = ["Chain"]


class Chain:
    """Seals entries behind `head`, one after another."""

    __slots__ = ("_id_prefix", "_key_id", "head_hash", "key", "number")

    def __init__(self, key: SigningKey, head: Head = GENESIS, *, id_prefix: str = "aud_") -> None:
        self.key, self._key_id = key, key.id
        self._id_prefix = id_prefix
        self.number, self.head_hash = head.number, head.hash

    @property
    def head(self) -> Head:
        return Head(self.number, self.head_hash, self._key_id)

    def seal(
        self,
        event: str,
        level: Level,
        message: str,
        at_ms: int,
        *,
        provider: str | None = None,
        model: str | None = None,
        metadata: Raw = NOTHING,
    ) -> bytes:
        """The line of the next entry.

        Raises UnicodeEncodeError for half a surrogate pair, and then nothing has changed.
        """
        number = self.number + 1
        canonical = encode_entry(
            AuditEntry(
                event=event,
                id=f"{self._id_prefix}{number:08x}",
                integrity=Integrity(key_id=self._key_id, previous_hash=self.head_hash, version=VERSION),
                level=level,
                message=message,
                metadata=metadata,
                model=model,
                number=number,
                provider=provider,
                timestamp=at_ms,
            )
        )
        self.number, self.head_hash = number, hash_of(canonical)
        return line_of_canonical(canonical, self.key.sign_entry(self.head_hash))

    def under(self, key: SigningKey) -> Chain:
        """The same end, sealed by `key` from here on."""
        return Chain(key, self.head, id_prefix=self._id_prefix)

    def hand_over(self, old: SigningKey, at_ms: int) -> bytes:
        """The first entry of this key, with the word of the old one for it."""
        voucher = old.vouch(self.number + 1, self.head_hash, self._key_id)
        metadata = Raw(msgspec.json.encode(HandOver(self._key_id, old.id, voucher)))
        return self.seal(KEY_HANDOVER, "warn", "From here on another key seals.", at_ms, metadata=metadata)

    def seal_checkpoint(self, at_ms: int) -> bytes:
        """An entry that says how far the chain has come: a number and a hash to note elsewhere."""
        metadata = Raw(msgspec.json.encode({"entries": self.number, "head": self.head_hash}))
        return self.seal(CHECKPOINT, "info", "The chain has come so far.", at_ms, metadata=metadata)

    def checkpoint(self, at_ms: int, cut: Head = GENESIS) -> Checkpoint:
        """The signed word to keep beside a log that holds what lies behind `cut`."""
        return Checkpoint.signed(self.key, self.head, cut, at_ms)
