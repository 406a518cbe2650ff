"""How far the log reaches, signed: a line of its own beside the log, and in an export.

    entries forgotten ──cut──│ entries that are there, without a gap │──number
                             cut_hash                                hash

Without it a log that somebody has shortened would be a log like another, only shorter.  Its bytes, hash and signature
are made as an entry's are (see `entry.py`), with `hoosh-audit-checkpoint:` before the hash.  Its line begins with
`{"checkpoint":`, an entry's never does.
"""

from __future__ import annotations

import hmac
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from hoosh.audit.entry import GENESIS_HASH, VERSION, canonical_of_line, decode_entry, hash_of
from hoosh.audit.keys import SigningKey

__all__ = ["GENESIS", "Checkpoint", "Head", "decode_checkpoint", "encode_checkpoint", "head_at", "is_checkpoint"]

Place = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Head(Struct, frozen=True, gc=False):
    """A place in the chain: the entry `number`, whose hash is `hash`, sealed by the key `key_id`."""

    number: int = 0
    hash: str = GENESIS_HASH
    key_id: str | None = None
    """None where it does not matter."""


GENESIS = Head()


def head_at(line: bytes) -> Head:
    """The place of the entry in `line`.  Raises ValueError."""
    entry = decode_entry(line)
    return Head(entry.number, hash_of(canonical_of_line(line, entry)), entry.integrity.key_id)


class Checkpoint(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """The log holds the entries behind `cut_number`, up to `number`.  The fields stand in ascending order."""

    number: Place = field(name="checkpoint")
    cut_hash: str
    """Of the last entry that has been forgotten; `GENESIS_HASH` while none has."""
    cut_number: Place
    hash: str
    key_id: str
    signature: str = ""
    timestamp: int
    version: str

    @property
    def head(self) -> Head:
        return Head(self.number, self.hash, self.key_id)

    @property
    def cut(self) -> Head:
        return Head(self.cut_number, self.cut_hash)

    @classmethod
    def signed(cls, key: SigningKey, head: Head, cut: Head, at_ms: int) -> Checkpoint:
        bare = cls(
            number=head.number,
            cut_hash=cut.hash,
            cut_number=cut.number,
            hash=head.hash,
            key_id=key.id,
            timestamp=at_ms,
            version=VERSION,
        )
        return msgspec.structs.replace(bare, signature=key.sign_checkpoint(hash_of(encode_checkpoint(bare))))

    def is_signed_by(self, key: SigningKey) -> bool:
        bare = msgspec.structs.replace(self, signature="")
        signature = key.sign_checkpoint(hash_of(encode_checkpoint(bare)))
        return hmac.compare_digest(signature.encode(), self.signature.encode())


_decoder = msgspec.json.Decoder(Checkpoint)
encode_checkpoint = msgspec.json.Encoder().encode


def decode_checkpoint(line: bytes) -> Checkpoint:
    """Raises ValueError unless `line` is exactly what `encode_checkpoint` writes."""
    checkpoint = _decoder.decode(line)
    if encode_checkpoint(checkpoint) != line:
        raise ValueError("it is not in the canonical form")
    return checkpoint


def is_checkpoint(line: bytes) -> bool:
    """Whether a line of an export is a checkpoint, or means to be one."""
    return line.startswith(b'{"checkpoint":')
