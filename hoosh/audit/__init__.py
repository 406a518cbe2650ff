"""What happened, provably?"""

from hoosh.audit.chain import Chain
from hoosh.audit.checkpoint import GENESIS, Checkpoint, Head, decode_checkpoint, encode_checkpoint, is_checkpoint
from hoosh.audit.entry import NOTHING, AuditEntry, Integrity, Level, decode_entry, encode_entry
from hoosh.audit.keys import SigningKey
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
    "Head",
    "Integrity",
    "Level",
    "SigningKey",
    "Tallied",
    "Tally",
    "Verdict",
    "Verifier",
    "decode_checkpoint",
    "decode_entry",
    "encode_checkpoint",
    "encode_entry",
    "is_checkpoint",
    "verify",
]
