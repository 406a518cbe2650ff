"""What happened, provably?"""

from hoosh.audit.chain import Chain
from hoosh.audit.checkpoint import (
    GENESIS,
    Checkpoint,
    Head,
    decode_checkpoint,
    encode_checkpoint,
    head_at,
    is_checkpoint,
)
from hoosh.audit.entry import NOTHING, AuditEntry, Integrity, Level, decode_entry, encode_entry, hash_of
from hoosh.audit.facts import Details, Fact, fact, fact_of_record, fact_of_tally, tallied_as
from hoosh.audit.keys import SigningKey
from hoosh.audit.resume import Resume, stored_checkpoint
from hoosh.audit.settings import Audit
from hoosh.audit.tally import Tallied, Tally
from hoosh.audit.verify import Verdict, Verifier, verify

__all__ = [
    "GENESIS",
    "NOTHING",
    "Audit",
    "AuditEntry",
    "Chain",
    "Checkpoint",
    "Details",
    "Fact",
    "Head",
    "Integrity",
    "Level",
    "Resume",
    "SigningKey",
    "Tallied",
    "Tally",
    "Verdict",
    "Verifier",
    "decode_checkpoint",
    "decode_entry",
    "encode_checkpoint",
    "encode_entry",
    "fact",
    "fact_of_record",
    "fact_of_tally",
    "hash_of",
    "head_at",
    "is_checkpoint",
    "stored_checkpoint",
    "tallied_as",
    "verify",
]
