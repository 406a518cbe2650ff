"""The audit trail: what happened is noted at once, sealed a moment later, and can be asked for.

    note, record ──▶ facts ──flush──▶ Sealer.seal ─▶ Log "audit"      (synchronous: in order, nothing between)
                                         └─ has news ──run──▶ signed checkpoint ──▶ Table "audit"

Numbers in the chain are positions in the log.  The checkpoint follows the rows it covers, and the store keeps their
order: after a crash the log may reach behind it, never the other way round.  A log that is kept in memory forgets its
oldest entries; first the checkpoint says so, then they go.

Another key takes over at a start or while the gateway runs, both times with the word of the key that sealed last.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from typing import Any

import trio
from msgspec import Struct

from hoosh.audit import (
    GENESIS,
    Audit,
    AuditEntry,
    Chain,
    Checkpoint,
    Details,
    Fact,
    Head,
    Level,
    Resume,
    SigningKey,
    Tally,
    Verdict,
    Verifier,
    decode_entry,
    encode_checkpoint,
    fact,
    fact_of_record,
    fact_of_tally,
    head_at,
    stored_checkpoint,
    tallied_as,
)
from hoosh.errors import ConfigError, StorageError
from hoosh.gateway.sealing import Sealer
from hoosh.storage.contract import Log, Store, Table
from hoosh.values import Record

__all__ = ["AuditStatistics", "AuditTrail", "trail_in"]

NO_KEY = '[audit] is enabled without a key: set signing_key = "$HOOSH_AUDIT_KEY"; `openssl rand -hex 32` makes one.'
NOT_HANDED_OVER = (
    "[audit] signing_key: the chain is sealed by another key (id {}), and that one has to hand over: "
    "give it as previous_key"
)
CHECKPOINT_KEY = "checkpoint"
PAGE = 1000
BITE = 40
"""Entries verified before others get their turn: about a third of a millisecond."""
RETRY_S = 1.0
GATHER_S = 0.2
TALLY_S = 5.0
"""How often counted events are looked at."""


class AuditStatistics(Struct, frozen=True):
    """How the chain is doing."""

    entries: int
    """Kept."""
    number: int
    """Of the last entry."""
    head: str
    key_id: str
    last_error: str | None
    """Why the signed checkpoint could not be put down, while it cannot."""


def trail_in(store: Store, settings: Audit, now_ms: Callable[[], int]) -> AuditTrail:
    """The trail that `store` keeps, not open yet.  Raises ConfigError."""
    keep = settings.max_entries if store.statistics().kind == "memory" else None
    return AuditTrail(settings, store.log("audit"), store.table("audit"), now_ms, keep=keep)


class AuditTrail:
    """One chain, from `open` to `close`.  `now_ms` is Unix time; `keep` bounds the entries, None keeps all."""

    def __init__(
        self,
        settings: Audit,
        log: Log,
        table: Table,
        now_ms: Callable[[], int],
        *,
        keep: int | None = None,
        id_prefix: str | None = None,
    ) -> None:
        self._keys = _keys_of(settings)
        self._key = self._keys[0]
        self._settings, self._log, self._table, self._now_ms = settings, log, table, now_ms
        self._keep = keep
        self._id_prefix = id_prefix if id_prefix is not None else f"aud_{secrets.token_hex(8)}"
        self._sealer = self._sealer_behind(GENESIS, self._key)
        self._cut: Head = GENESIS
        self._facts: list[Fact] = []
        self._tally = Tally()
        self._has_news = trio.Event()
        self._puts = trio.Lock()
        """Checkpoints are put down one after another, and none while somebody verifies the beginning of the log."""
        self._signed_number = -1
        """Up to here the checkpoint reaches that was put down last."""
        self._last_error: str | None = None
        self.verified: tuple[Verdict, int] | None = None
        """The last verification of the whole log, and when it was over (Unix ms)."""
        self._verifying = trio.Lock()
        self._scope = trio.CancelScope()
        """Of `run`."""
        self._found: bytes | None = None
        """The checkpoint that was there before this trail."""
        self._is_marked = False
        """There is another now, or may be, though the log is empty."""

    @property
    def _chain(self) -> Chain:
        return self._sealer.chain

    @property
    def keeps_words(self) -> bool:
        """Entries hold prompts and replies, too."""
        return self._settings.content

    # -- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Go on where the log ends.  Raises StorageError where it does not end as it should."""
        await self.find_end()
        self.begin()
        await self._put_checkpoint()

    async def find_end(self) -> None:
        """The first half of `open`: the log is as it was, and `begin` or `withdraw` follows.  Raises StorageError."""
        self._found = await self._table.get(CHECKPOINT_KEY)
        checkpoint = stored_checkpoint(self._found, self._keys, self._log.position)
        head = GENESIS if checkpoint is None else await self._end_behind(checkpoint)
        self._cut = GENESIS if checkpoint is None else checkpoint.cut
        sealed_by = next((key for key in self._keys if head.number and key.id == head.key_id), self._key)
        rows = await self._log.read(head.number - 1, 1) if head.number else []
        self._sealer = self._sealer_behind(head, sealed_by, *(decode_entry(row.body).timestamp for row in rows))
        if not head.number:
            self._is_marked = True
            await self._put_checkpoint()  # entries without one are none of ours

    def _sealer_behind(self, head: Head, key: SigningKey, last_ms: int = 0) -> Sealer:
        chain = Chain(key, head, id_prefix=self._id_prefix)
        return Sealer(chain, checkpoint_every=self._settings.checkpoint_every, last_ms=last_ms)

    def begin(self) -> None:
        """From now on it grows, after the hand-over where it has ended under another key.  Never waits."""
        if self._chain.key is not self._key:
            self._append(self._sealer.hand_over(self._key, self._now_ms()))

    async def withdraw(self) -> None:
        """It is not to begin after all: leave the store as it was.  Raises StorageError."""
        if self._is_marked and not self._chain.number:
            mine = await self._table.get(CHECKPOINT_KEY)
            await self._table.swap(CHECKPOINT_KEY, mine, self._found)

    def require(self, settings: Audit) -> None:
        """Raises ConfigError where `configure` would."""
        self._following(settings)

    def configure(self, settings: Audit) -> None:
        """Work by these from now on.  Another key goes on behind the entry in which this one hands over.  Never waits.

        Raises ConfigError unless the key that seals now is one of them, and then nothing has changed.
        """
        keys = self._following(settings)
        self.flush()
        if keys[0] is not self._key:
            self._append(self._sealer.hand_over(keys[0], self._now_ms()))
        self._settings, self._keys, self._key = settings, keys, keys[0]
        self._sealer.checkpoint_every = settings.checkpoint_every
        if self._keep is not None:
            self._keep = settings.max_entries

    def _following(self, settings: Audit) -> list[SigningKey]:
        """The keys that would go on.  The one that seals now stays the object that it is."""
        keys = [self._key if key.id == self._key.id else key for key in _keys_of(settings)]
        if self._key not in keys:
            raise ConfigError([NOT_HANDED_OVER.format(self._key.id)])
        return keys

    async def _end_behind(self, checkpoint: Checkpoint) -> Head:
        resume = Resume(self._keys, checkpoint)
        after = resume.read_after
        while rows := await self._log.read(after, PAGE):
            for row in rows:
                resume.feed(row.body)
            after = rows[-1].position
        return resume.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """A service: signs and puts down how far the log reaches, after each group of entries; forgets the oldest."""
        task_status.started()
        with self._scope:
            while True:
                with trio.move_on_after(TALLY_S if len(self._tally) else math.inf):
                    await self._has_news.wait()
                    await trio.sleep(GATHER_S)
                self.flush()
                self._has_news = trio.Event()
                try:
                    if self._chain.number > self._signed_number:
                        await self._put_checkpoint()
                    await self._forget_oldest()
                except StorageError as error:
                    self._last_error = str(error)
                    self._has_news.set()
                    await trio.sleep(RETRY_S)

    async def sign(self) -> None:
        """Put down how far the log reaches now, by the key of now.  Where the disk fails, `run` comes back to it."""
        self.flush()
        self._signed_number = -1
        self._has_news.set()
        try:
            await self._put_checkpoint()
        except StorageError as error:
            self._last_error = str(error)

    async def close(self) -> None:
        """Seal all there is and sign the end of the log.  `run` ends, if it has not; the store is still there.

        A disk that fails does not keep the house from closing: the log then reaches behind its checkpoint.
        """
        self._scope.cancel(reason="the audit trail is closed")
        self._facts += [fact_of_tally(tallied, self._now_ms()) for tallied in self._tally.due(0, all_of_them=True)]
        self.flush()
        try:
            await self._put_checkpoint()
        except StorageError as error:
            _logger.error("the last checkpoint of the audit log could not be written: %s", error)

    # -- what happened -----------------------------------------------------------------------------------------------

    def note(
        self,
        event: str,
        level: Level,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        **metadata: Any,
    ) -> None:
        """It has happened now.  Never waits, never fails."""
        self._add(fact(self._now_ms(), event, level, message, metadata, provider=provider, model=model))

    def tally(self, event: str, message: str, *, subject: str = "", **metadata: Any) -> None:
        """The same of what anybody can cause at will: the first is noted, the others of a minute are counted."""
        now_ms = self._now_ms()
        if self._tally.add(event, subject, now_ms):
            self._add(fact(now_ms, event, "warn", message, metadata))

    def record(self, record: Record, details: Details | None = None) -> None:
        """A request is over.  Those that ask for no inference are not told of."""
        if record.kind is None:
            return
        counted_as = tallied_as(record)
        if counted_as is None or self._tally.add(*counted_as, self._now_ms()):
            self._add(fact_of_record(record, counted_as, details, with_content=self._settings.content))

    def _add(self, happened: Fact) -> None:
        if not self._facts:
            self._has_news.set()
        self._facts.append(happened)

    def flush(self) -> int:
        """Seal what has happened and append it.  Returns the last entry's number, for `Log.wait_kept`."""
        facts, self._facts = self._facts, []
        if len(self._tally):
            now_ms = self._now_ms()
            facts += [fact_of_tally(tallied, now_ms) for tallied in self._tally.due(now_ms)]
        if facts:
            self._append([line for happened in facts for line in self._sealer.seal(happened)])
        return self._chain.number

    def _append(self, lines: list[bytes]) -> None:
        self._log.append(lines)
        self._has_news.set()

    # -- both ends of the log ----------------------------------------------------------------------------------------

    async def _put_checkpoint(self, cut: Head | None = None) -> None:
        async with self._puts:
            checkpoint = self._chain.checkpoint(self._now_ms(), cut or self._cut)
            await self._table.put(CHECKPOINT_KEY, encode_checkpoint(checkpoint))
            self._cut, self._signed_number = checkpoint.cut, checkpoint.number
            self._last_error = None

    async def _forget_oldest(self) -> None:
        """First the checkpoint says that they are gone, then they go."""
        if self._keep is None or self._chain.number - self._cut.number <= self._keep + self._keep // 10:
            return
        async with self._verifying:
            last = self._chain.number - self._keep
            (row,) = await self._log.read(last - 1, 1)
            await self._put_checkpoint(head_at(row.body))
            await self._log.trim(last + 1)

    def statistics(self) -> AuditStatistics:
        chain = self._chain
        return AuditStatistics(
            chain.number - self._cut.number, chain.number, chain.head_hash, self._key.id, self._last_error
        )

    # -- what is kept ------------------------------------------------------------------------------------------------

    @property
    def first(self) -> int:
        """The number of the oldest entry that is kept, or will be."""
        return self._cut.number + 1

    async def read(self, after: int = 0, limit: int = PAGE) -> list[AuditEntry]:
        """Entries behind number `after`, oldest first.  Raises StorageError."""
        self.flush()
        try:
            return [decode_entry(row.body) for row in await self._log.read(max(after, self._cut.number), limit)]
        except ValueError:
            raise StorageError("An entry of the audit log cannot be read; verify the log.") from None

    async def recent(self, count: int) -> list[AuditEntry]:
        """The last entries, oldest first.  Raises StorageError."""
        return await self.read(self.flush() - count, count)

    async def verify(self) -> Verdict:
        """Verify all that is kept, in bites.  Whoever asks while that is being done gets the same verdict."""
        before = self.verified
        async with self._verifying:
            if self.verified is before or self.verified is None:
                self.verified = await self._verify(), self._now_ms()
            return self.verified[0]

    async def _verify(self) -> Verdict:
        """Raises StorageError where the log cannot be read."""
        self.flush()
        checkpoint = self._chain.checkpoint(self._now_ms(), self._cut)
        verifier = Verifier(self._keys, checkpoint)
        after = checkpoint.cut_number
        while after < checkpoint.number:
            rows = await self._log.read(after, min(PAGE, checkpoint.number - after))
            for at in range(0, len(rows), BITE):
                if not all(verifier.feed(row.body) for row in rows[at : at + BITE]):
                    return verifier.close()
                await trio.lowlevel.checkpoint()
            if not rows:
                break
            after = rows[-1].position
        return verifier.close()


def _keys_of(settings: Audit) -> list[SigningKey]:
    """The one that seals, and perhaps the one before it.  Raises ConfigError."""
    if settings.signing_key is None:
        raise ConfigError([NO_KEY])
    return [SigningKey(secret) for secret in (settings.signing_key, settings.previous_key) if secret is not None]


_logger = logging.getLogger("hoosh.audit")
