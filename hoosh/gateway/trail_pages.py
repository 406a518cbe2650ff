"""The audit trail as one reads it: a page of entries, and what the last verification said.

Pages go backwards from the newest entry (`before`) or forwards (`after`); within a page the oldest entry comes first.
A filter looks at SCAN_MAX entries at most, so that a word that matches nothing does not read the whole log; `next`
says where to go on.
"""

from __future__ import annotations

from msgspec import Struct

from hoosh.audit import AuditEntry, Verdict
from hoosh.gateway.trail import AuditTrail

__all__ = ["AuditPage", "AuditPages"]

PAGE = 500
PAGE_WITH_WORDS = 50
SCAN_MAX = 20_000


class AuditPage(Struct, frozen=True):
    """Some entries, oldest first."""

    entries: list[AuditEntry]
    total: int
    """Kept, whether they match or not."""
    chain_valid: bool | None
    """As the last verification found; None: nobody has asked for one yet."""
    verified_through: int | None
    """The last good entry then."""
    verified_at: int | None
    """Unix milliseconds."""
    next: int | None
    """What to send as `after`, or else as `before`, for the next page; None: there is none."""


class AuditPages:
    """Reads one trail.  Every method raises StorageError."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def page(
        self,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        event: str | None = None,
        level: str | None = None,
    ) -> AuditPage:
        """The newest `limit` entries that match: before number `before`, or the oldest behind `after`.

        Fewer where entries hold the words of requests: a page must not be hundreds of megabytes.
        """
        if self._trail.keeps_words:
            limit = min(limit, PAGE_WITH_WORDS)
        wanted = _Filter(event, level)
        if after is None:
            entries, following = await self._backwards(before, limit, wanted)
        else:
            entries, following = await self._forwards(after, limit, wanted)
        verified = self._trail.verified
        return AuditPage(
            entries,
            self._trail.statistics().entries,
            None if verified is None else verified[0].valid,
            None if verified is None else verified[0].through_number,
            None if verified is None else verified[1],
            following,
        )

    async def verify(self) -> Verdict:
        return await self._trail.verify()

    async def _forwards(self, after: int, limit: int, wanted: _Filter) -> tuple[list[AuditEntry], int | None]:
        found: list[AuditEntry] = []
        end = self._trail.flush()
        after = max(after, self._trail.first - 1)
        scan_end = after + SCAN_MAX
        while after < min(end, scan_end):
            entries = await self._trail.read(after, min(PAGE, end - after))
            if not entries:
                return found, None
            for entry in entries:
                after = entry.number
                if wanted.matches(entry):
                    found.append(entry)
                    if len(found) == limit:
                        return found, after if after < end else None
        return found, after if after < end else None

    async def _backwards(self, before: int | None, limit: int, wanted: _Filter) -> tuple[list[AuditEntry], int | None]:
        found: list[AuditEntry] = []
        end = self._trail.flush()
        before = end + 1 if before is None else min(before, end + 1)
        scan_end = before - SCAN_MAX
        while (first := self._trail.first) < before and before > scan_end:
            after = max(first - 1, before - 1 - (limit if wanted.is_empty else PAGE))
            for entry in reversed(await self._trail.read(after, before - 1 - after)):
                before = entry.number
                if wanted.matches(entry):
                    found.append(entry)
                    if len(found) == limit:
                        return found[::-1], before if before > first else None
            before = after + 1
        return found[::-1], before if before > self._trail.first else None


class _Filter(Struct, frozen=True):
    event: str | None
    level: str | None

    @property
    def is_empty(self) -> bool:
        return self.event is None and self.level is None

    def matches(self, entry: AuditEntry) -> bool:
        return self.event in (None, entry.event) and self.level in (None, entry.level)
