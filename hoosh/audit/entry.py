"""One entry of the chain, and the bytes that are signed.

    line            the entry as one line of JSON: keys in ascending order, no white space, UTF-8 not escaped
    canonical bytes the same without the member `signature` of `integrity`
    hash            SHA-256 of the canonical bytes, in hex; the next entry carries it as `previous_hash`
    signature       HMAC-SHA256 over `hoosh-audit-entry:` and the hash, in hex

So a hash stands for its entry and for all before it, and number, key id and link are signed with the rest.  A line is
read only if it is byte for byte what would be written: there is one way to write an entry.

Source: reference section 8, whose canonical form leaves out the link, and has no numbers and no key ids.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

__all__ = [
    "CHECKPOINT",
    "GENESIS_HASH",
    "KEY_HANDOVER",
    "NOTHING",
    "VERSION",
    "AuditEntry",
    "HandOver",
    "Integrity",
    "Level",
    "canonical_of_line",
    "decode_entry",
    "encode_entry",
    "hash_of",
    "line_of_canonical",
]

VERSION = "2.0.0"
"""Of the canonical form.  1.0.0 is the reference's."""
GENESIS_HASH = "0" * 64
"""What the first entry of a chain follows."""
NOTHING = Raw(b"")
"""No metadata."""
CHECKPOINT = "audit.checkpoint"
KEY_HANDOVER = "audit.key_handover"

Level = Literal["info", "warn", "error"]
Number = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]

# The fields stand in ascending order: then the encoder need not sort.


class Integrity(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """What binds an entry to its place."""

    key_id: str
    previous_hash: str
    signature: str = ""
    version: str


class AuditEntry(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """What happened.  `number` is the place in the chain, from 1; `timestamp` is Unix time in milliseconds."""

    event: str
    id: str
    integrity: Integrity
    level: Level
    message: str
    metadata: Raw = NOTHING
    """A JSON object with sorted keys."""
    model: str | None = None
    number: Number
    provider: str | None = None
    timestamp: int


class HandOver(Struct, frozen=True, gc=False):
    """The metadata of an entry `audit.key_handover`: see `SigningKey.vouch`."""

    new_key: str
    old_key: str
    voucher: str


_sha256 = hashlib.sha256()
_decoder = msgspec.json.Decoder(AuditEntry)
encode_entry = msgspec.json.Encoder().encode
"""The line of an entry, without a newline.  Without a signature these are the canonical bytes."""


def decode_entry(line: bytes) -> AuditEntry:
    """Raises ValueError unless `line` is exactly what `encode_entry` writes."""
    try:
        entry = _decoder.decode(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if encode_entry(entry) != line:
        raise ValueError("it is not in the canonical form")
    return entry


def line_of_canonical(canonical: bytes, signature: str) -> bytes:
    """The line of the entry that has these canonical bytes.

    The first match is the right one, as in `canonical_of_line`.
    """
    return canonical.replace(b'"version":', b'"signature":"%b","version":' % signature.encode(), 1)


def canonical_of_line(line: bytes, entry: AuditEntry) -> bytes:
    """The signed bytes of the line that `entry` was read from.

    The first match is the right one: within a string the quotes would be escaped.
    """
    return line.replace(b'"signature":"%b",' % entry.integrity.signature.encode(), b"", 1)


def hash_of(canonical: bytes) -> str:
    state = _sha256.copy()  # a third cheaper than a new one
    state.update(canonical)
    return state.hexdigest()
