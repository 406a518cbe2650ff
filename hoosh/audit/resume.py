"""Where a chain that is there already goes on, and when it must not.

    nothing there ──▶ a new chain
    checkpoint, its entry, perhaps entries behind it (a crash came before the next checkpoint) ──▶ the last of them
    anything else ──▶ StorageError: whatever is sealed behind a break would look like a proof

The checkpoint is put down before the first entry, so entries without one have not been written by us.
"""

from __future__ import annotations

from collections.abc import Sequence

from hoosh.audit.checkpoint import Checkpoint, Head, decode_checkpoint, head_at
from hoosh.audit.keys import SigningKey
from hoosh.audit.verify import Verifier
from hoosh.errors import StorageError

__all__ = ["Resume", "stored_checkpoint"]

ADVICE = (
    "Run `hoosh-trio audit verify` on the database; docs/audit.md says how to go on: with a backup, or with a new "
    "chain beside the old one."
)


def stored_checkpoint(stored: bytes | None, keys: Sequence[SigningKey], position: int) -> Checkpoint | None:
    """The checkpoint of a log whose last entry is `position`; None: a new chain may begin.  Raises StorageError."""
    if stored is None:
        if position:
            raise _broken("it has entries and no signed checkpoint")
        return None
    try:
        checkpoint = decode_checkpoint(stored)
    except ValueError as error:
        raise _broken(f"its checkpoint cannot be read ({error})") from None
    key = next((key for key in keys if key.id == checkpoint.key_id), None)
    if key is None:
        raise StorageError(
            f"The audit log was sealed with another key, {checkpoint.key_id[:40]!a}; [audit].signing_key is "
            f"{keys[0].id}. Set [audit].previous_key to the old key, so that it can hand over; if that key is lost, "
            "docs/audit.md says how to begin a new chain."
        )
    if not checkpoint.is_signed_by(key):
        raise _broken("the signature of its checkpoint does not match")
    if position < checkpoint.number:
        raise _broken(f"entries {position + 1} to {checkpoint.number} are missing at the end")
    return checkpoint


class Resume:
    """Fed with the rows from the checkpoint's own entry on.  Raises StorageError."""

    def __init__(self, keys: Sequence[SigningKey], checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._verifier = Verifier(keys, after=checkpoint.head)
        self._is_met = checkpoint.number <= checkpoint.cut_number
        """The entry that the checkpoint names has come, or has been forgotten."""

    @property
    def read_after(self) -> int:
        """Rows behind this position are wanted."""
        return self._checkpoint.number - (not self._is_met)

    def feed(self, line: bytes) -> None:
        if not self._is_met:
            self._meet(line)
        else:
            self._verifier.feed(line)

    def _meet(self, line: bytes) -> None:
        try:
            is_it = head_at(line) == self._checkpoint.head
        except ValueError:
            is_it = False
        if not is_it:
            raise _broken(f"entry {self._checkpoint.number} is not the one that its checkpoint names")
        self._is_met = True

    def close(self) -> Head:
        """The end of the chain."""
        if not self._is_met:
            raise _broken(f"entry {self._checkpoint.number} is missing")
        verdict = self._verifier.close()
        if not verdict.valid:
            raise _broken(f"entry {verdict.first_bad} is bad: {verdict.reason}")
        return self._verifier.place


def _broken(reason: str) -> StorageError:
    return StorageError(f"The audit log is broken: {reason}. {ADVICE}")
