"""Is this the chain that was written?  Line by line, in constant memory.

    line ─▶ readable? ─▶ key known? ─▶ signature? ─▶ number? ─▶ link? ─▶ same key, or a hand-over? ─▶ as noted?

The first question that is answered by no names the first bad entry, and that is the verdict: what lies behind a break
proves nothing.  The number of a bad entry is the place in the chain where it stands, whatever it says of itself; only
the first of an export is taken at its word until the checkpoint has come.

A key that was not given cannot be asked, as after a rotation long ago.  Its entries are held by their links alone, and
that is enough as soon as an entry of a known key follows: its hash stands for all before it.  At the end of a log it
is not.

A signed checkpoint says where the log begins and ends.  It is known before (`checkpoint`), or comes as a line of its
own behind the entry it speaks of.  Entries behind it are linked and signed like others, only nobody would miss them.
An anchor is a number and a hash that somebody has noted elsewhere: it is seen even when whoever holds the key has
written another past.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from hoosh.audit.checkpoint import GENESIS, Checkpoint, Head, decode_checkpoint, is_checkpoint
from hoosh.audit.entry import (
    KEY_HANDOVER,
    VERSION,
    AuditEntry,
    HandOver,
    canonical_of_line,
    decode_entry,
    hash_of,
)
from hoosh.audit.keys import SigningKey
from hoosh.values import Secret

__all__ = ["Verdict", "Verifier", "verify"]


SHOWN_CHARS = 100


class Verdict(Struct, frozen=True):
    """What is known of a log."""

    valid: bool
    entries: int
    """Found good, from the beginning."""
    from_number: int | None
    """Of the first entry."""
    through_number: int
    """Of the last good entry."""
    head: str
    """Its hash: with its number an anchor, if noted elsewhere."""
    vouched_number: int
    """Up to here a signed checkpoint would miss an entry."""
    keys_used: tuple[str, ...] = ()
    """Ids, in the order in which they sealed."""
    keys_unknown: tuple[str, ...] = ()
    """Those of them that were not given: their entries are held by the links of later ones."""
    first_bad: int | None = None
    """The place of the first bad entry; None where all is good, or where it is the checkpoint that is bad."""
    id: str | None = None
    """Of the entry found there, if one can be read."""
    reason: str | None = None


class _Bad(Exception):
    """The entry at `number` is bad."""

    def __init__(self, reason: str, number: int | None = None, identity: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.number, self.identity = reason, number, identity


def verify(
    lines: Iterable[bytes],
    keys: Sequence[Secret],
    checkpoint: Checkpoint | None = None,
    anchors: Mapping[int, str] | None = None,
) -> Verdict:
    """The verdict on a whole log: entries, and checkpoints where they stand between them.  Raises ConfigError for a
    key that is none.
    """
    verifier = Verifier([SigningKey(key) for key in keys], checkpoint, anchors=anchors or {})
    for line in lines:
        if not verifier.feed(line):
            break
    return verifier.close()


class Verifier:
    """Feed it lines, then close it.  Neither raises, whatever the lines are.

    With `after` it verifies a part: what follows that place, without a checkpoint.
    """

    def __init__(
        self,
        keys: Sequence[SigningKey],
        checkpoint: Checkpoint | None = None,
        *,
        after: Head | None = None,
        anchors: Mapping[int, str] | None = None,
    ) -> None:
        self._keys = {key.id: key for key in keys}
        self._due: Checkpoint | None = None
        """Of an entry that has not come yet."""
        self._anchors = dict(anchors or {})
        self._entries = 0
        self._vouched: int | None = None if after is None else after.number
        self._used: dict[str, None] = {}
        self._unproven: int | None = None
        """The first of the last entries, whose key was not given."""
        self._bad: _Bad | None = None
        self._start = after
        """What the first entry follows; None until that is known."""
        self.place = after or GENESIS
        """Of the last good entry."""
        if checkpoint is not None:
            self._begin(checkpoint)

    def feed(self, line: bytes) -> bool:
        """One line, without its newline.  False: the verdict is known, and no further line can change it."""
        if self._bad is None:
            try:
                if is_checkpoint(line):
                    self._take_checkpoint(self._read_checkpoint(line))
                else:
                    self._take_entry(line)
            except _Bad as bad:
                self._bad = bad
        return self._bad is None

    def close(self) -> Verdict:
        """There are no more lines."""
        if self._bad is None:
            try:
                self._take_end()
            except _Bad as bad:
                self._bad = bad
        found, start = self._bad, self._start
        return Verdict(
            valid=found is None,
            entries=self._entries,
            from_number=None if start is None or not self._entries else start.number + 1,
            through_number=self.place.number,
            head=self.place.hash,
            vouched_number=self._vouched or 0,
            keys_used=tuple(self._used),
            keys_unknown=tuple(key_id for key_id in self._used if key_id not in self._keys),
            first_bad=None if found is None else found.number,
            id=None if found is None else found.identity,
            reason=None if found is None else found.reason,
        )

    # -- entries -----------------------------------------------------------------------------------------------------

    def _take_entry(self, line: bytes) -> None:
        """The entry that `line` holds, if it is the next one.  Raises _Bad."""
        place = self.place
        try:
            entry = decode_entry(line)
        except ValueError as error:
            raise _Bad(f"it cannot be read: {_shown(str(error))}", place.number + 1) from None
        entry_hash = hash_of(canonical_of_line(line, entry))
        if self._start is None:
            self._start = place = Head(entry.number - 1, entry.integrity.previous_hash)
        number, key_id = place.number + 1, entry.integrity.key_id
        key = self._keys.get(key_id)
        reason = _signature_fault(entry, entry_hash, key) or _place_fault(entry, place)
        if reason is not None:
            raise _Bad(reason, number, entry.id)
        if not _same(place.hash, entry.integrity.previous_hash):
            if self._unproven is not None:
                raise _Bad("it is not the entry that the next one follows", place.number)
            raise _Bad("it does not follow the entry before it: one of them is from another chain", number, entry.id)
        reason = self._key_fault(entry, place) or self._noted_fault(number, entry_hash)
        if reason is not None:
            raise _Bad(reason, number, entry.id)
        self.place = Head(number, entry_hash, key_id)
        self._used[key_id] = None
        self._entries += 1
        if key is not None:
            self._unproven = None
        elif self._unproven is None:
            self._unproven = number
        if self._due is not None and self._due.number == number:
            self._meet(self._due)

    def _key_fault(self, entry: AuditEntry, place: Head) -> str | None:
        """Another key may go on only with the word of the one before."""
        key_id = entry.integrity.key_id
        if place.key_id is None or place.key_id == key_id:
            return None
        try:
            word = msgspec.json.decode(entry.metadata, type=HandOver) if entry.event == KEY_HANDOVER else None
        except (ValueError, RecursionError):
            word = None
        if word is None:
            return f"the key changes to {_shown(key_id)} without a hand-over"
        old = self._keys.get(place.key_id)
        if old is not None and not _same(old.vouch(entry.number, place.hash, key_id), word.voucher):
            return f"the key {place.key_id} has not vouched for {_shown(key_id)}"
        return None

    def _noted_fault(self, number: int, entry_hash: str) -> str | None:
        noted = self._anchors.pop(number, None)
        if noted is not None and not _same(noted, entry_hash):
            return "it is not the entry that was noted elsewhere: the past has been written anew"
        return None

    # -- checkpoints and the end -------------------------------------------------------------------------------------

    def _begin(self, checkpoint: Checkpoint) -> None:
        """The log begins behind the checkpoint's cut."""
        try:
            self._check_signature(checkpoint)
            self._start = self.place = checkpoint.cut
            self._due = checkpoint
            if checkpoint.number <= checkpoint.cut_number:
                self._meet(checkpoint)
        except _Bad as bad:
            self._bad = bad

    def _read_checkpoint(self, line: bytes) -> Checkpoint:
        try:
            checkpoint = decode_checkpoint(line)
        except ValueError as error:
            raise _Bad(
                f"the checkpoint behind entry {self.place.number} cannot be read: {_shown(str(error))}"
            ) from None
        self._check_signature(checkpoint)
        return checkpoint

    def _check_signature(self, checkpoint: Checkpoint) -> None:
        key = self._keys.get(checkpoint.key_id)
        if key is None:
            shown = _shown(checkpoint.key_id)
            raise _Bad(f"its checkpoint is signed with a key that was not given, {shown}: give that one, too")
        if checkpoint.version != VERSION or not checkpoint.is_signed_by(key):
            raise _Bad("the signature of the checkpoint does not match: it was changed, or signed with another key")

    def _take_checkpoint(self, checkpoint: Checkpoint) -> None:
        """One that stands between the entries, behind the one it speaks of."""
        if self._start is None:
            self._start = self.place = checkpoint.cut
        start, cut = self._start, checkpoint.cut
        if start.number > cut.number:
            raise _Bad(f"{_entries(cut.number + 1, start.number)} missing at the beginning", cut.number + 1)
        if start.number < cut.number or start.hash != cut.hash:
            raise _Bad("the log does not begin where its checkpoint says", start.number + 1)
        self._meet(checkpoint)

    def _meet(self, checkpoint: Checkpoint) -> None:
        """We stand where the checkpoint says that it was signed."""
        place, number = self.place, checkpoint.number
        if place.number < number:
            raise _Bad(f"{_entries(place.number + 1, number)} missing at the end", place.number + 1)
        if place.number > number:
            raise _Bad(f"the checkpoint of entry {number} stands behind entry {place.number}")
        if place.hash != checkpoint.hash:
            raise _Bad("it is not the entry that the signed checkpoint names", number)
        if place.key_id not in (None, checkpoint.key_id):
            raise _Bad(f"the checkpoint of entry {number} is signed with another key than the entry")
        self._check_proven()
        self._due, self._vouched = None, number

    def _check_proven(self) -> None:
        if self._unproven is not None:
            raise _Bad(f"it is sealed with a key that was not given, {_shown(self.place.key_id or '')}", self._unproven)

    def _take_end(self) -> None:
        if self._due is not None:
            self._meet(self._due)
        if self._vouched is None:
            raise _Bad("there is no signed checkpoint: nobody knows where the log should end")
        self._check_proven()
        start = self._start or GENESIS
        for number, noted in sorted(self._anchors.items()):
            if number > self.place.number:
                raise _Bad(f"{_entries(self.place.number + 1, number)} missing at the end", self.place.number + 1)
            if number < start.number:
                raise _Bad(f"entry {number}, which was noted elsewhere, is no longer in the log")
            if noted != start.hash:
                raise _Bad("the log does not begin where it was noted elsewhere", number + 1)


def _signature_fault(entry: AuditEntry, entry_hash: str, key: SigningKey | None) -> str | None:
    if entry.integrity.version != VERSION:
        return f"it is of version {_shown(entry.integrity.version)}, which is not known here"
    if key is not None and not _same(key.sign_entry(entry_hash), entry.integrity.signature):
        return "its signature does not match: it was changed, or sealed with another key"
    return None


def _place_fault(entry: AuditEntry, place: Head) -> str | None:
    expected = place.number + 1
    if entry.number > expected:
        return f"{_entries(expected, entry.number - 1)} missing: entry {entry.number} stands here"
    if entry.number < expected:
        return f"entry {entry.number} stands here: repeated, or out of order"
    return None


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _shown(text: str) -> str:
    """What a stranger may have written, fit for a terminal."""
    return ascii(text[:SHOWN_CHARS])


def _same(mine: str, theirs: str) -> bool:
    return hmac.compare_digest(mine.encode(), theirs.encode())
