"""Who has spent how much, on what: the running sums of all settlements, by day.  Whole tokens, whole micro-USD.

    Settlement ──add──▶ cell of (day) (caller, pool, provider, model, local) ──report──▶ rows by any of these
    CostsReset ──reset─▶ no cells; the settlements stay in the journal

A fold: replaying the journal gives the same sums.  It looks at no clock, so a clock that jumps makes odd days, not
wrong sums.  What it keeps is bounded, though model names come from clients: a day's models beyond DAY_CELLS are called
`other`, and the oldest days go into one heap (`earlier`) once there are more than MAX_DAYS days or MAX_CELLS cells.  No
settlement is ever forgotten: `total()` is the sum of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import msgspec
from msgspec import Struct

from hoosh.cost.tally import Cell, Key, Tally, add_up
from hoosh.errors import StorageError
from hoosh.values.costs import EARLIER, CostQuery, CostReport, CostRow
from hoosh.values.settlement import Settlement

__all__ = ["OTHER", "CostsReset", "Totals"]

DAY_MS = 86_400_000
MAX_DAYS = 400
MAX_CELLS = 50_000
DAY_CELLS = 5_000
OTHER = "other"
VERSION = 1
SNAPSHOT = "The snapshot of the costs"
EPOCH = date(1970, 1, 1)


class CostsReset(Struct, frozen=True, tag="costs_reset"):
    """The owner begins anew.  An entry of the journal, like the settlements before it."""

    at_ms: int
    by: str
    reason: str = ""


class _State(Struct, forbid_unknown_fields=True):
    version: int
    since_ms: int | None
    heap: list[tuple[Key, Cell]]
    days: list[tuple[int, list[tuple[Key, Cell]]]]


class Totals:
    """The sums.  One writer; nothing here waits."""

    __slots__ = ("_cells", "_days", "_heap", "since_ms")

    def __init__(self) -> None:
        self._days: dict[int, dict[Key, Cell]] = {}
        self._heap: dict[Key, Cell] = {}
        """What is older than the days that are kept."""
        self._cells = 0
        self.since_ms: int | None = None
        """When the books were begun anew; None: never."""

    def __len__(self) -> int:
        """How many cells there are."""
        return self._cells + len(self._heap)

    # -- the fold --------------------------------------------------------------------------------------------------

    def add(self, settlement: Settlement) -> None:
        """Count one request."""
        key = (settlement.caller, settlement.pool, settlement.provider, settlement.model, settlement.local)
        try:
            cell = self._days[settlement.at_ms // DAY_MS][key]
        except KeyError:
            cell = self._cell(settlement.at_ms // DAY_MS, key)
        cell.requests += 1
        usage = settlement.usage
        if settlement.cached:
            cell.requests_cached += 1
            cell.saved_tokens += usage.prompt_tokens + usage.completion_tokens
            return
        cell.prompt_tokens += usage.prompt_tokens
        cell.completion_tokens += usage.completion_tokens
        cell.cached_tokens += usage.cached_tokens
        if usage.audio_ms or usage.characters:
            cell.audio_ms += usage.audio_ms
            cell.characters += usage.characters
        is_ok = settlement.outcome == "ok"
        if not is_ok:
            cell.requests_failed += 1
        if settlement.estimated:
            cell.requests_estimated += 1
        if settlement.cost_micro_usd is not None:
            cell.cost_micro_usd += settlement.cost_micro_usd
        elif is_ok or usage.prompt_tokens or usage.completion_tokens:  # who came to nothing has cost nothing
            cell.requests_unpriced += 1

    def reset(self, entry: CostsReset) -> None:
        """Begin anew."""
        self._days.clear()
        self._heap.clear()
        self._cells = 0
        self.since_ms = entry.at_ms

    def apply(self, entry: Settlement | CostsReset) -> None:
        """One entry of the journal."""
        if isinstance(entry, Settlement):
            self.add(entry)
        else:
            self.reset(entry)

    def _cell(self, day: int, key: Key) -> Cell:
        """The cell of a key that its day has not seen yet."""
        is_full = self._cells >= MAX_CELLS or (len(self._days) >= MAX_DAYS and day not in self._days)
        if is_full:
            self._heap_up_oldest()
        return self._cell_among(self._days.setdefault(day, {}), key)

    def _heap_up_oldest(self) -> None:
        day = min(self._days)
        cells = self._days.pop(day)
        self._cells -= len(cells)
        for key, cell in cells.items():
            add_up(self._cell_among(self._heap, key), cell)

    def _cell_among(self, cells: dict[Key, Cell], key: Key) -> Cell:
        cell = cells.get(key)
        if cell is None and len(cells) >= DAY_CELLS:
            key = (*key[:3], OTHER, key[4])
            cell = cells.get(key)
        if cell is None:
            cell = cells[key] = Cell()
            self._cells += cells is not self._heap
        return cell

    # -- what it has come to ---------------------------------------------------------------------------------------

    def total(self) -> CostRow:
        """Everything since the last reset."""
        return self.report(CostQuery(by=()), max_rows=1).total

    def report(self, query: CostQuery, *, max_rows: int) -> CostReport:
        """The rows that were asked for: by day, then the dearest first."""
        tally = Tally(query)
        for part in self.parts(query):
            tally.add(*part)
        return tally.report(max_rows=max_rows, since_ms=self.since_ms)

    def parts(self, query: CostQuery) -> list[tuple[str, Mapping[Key, Cell]]]:
        """The days that `query` is about, for a Tally: who must not take long at once adds one after the other."""
        since = _day_number(query.since_day)
        until = _day_number(query.until_day)
        days: list[tuple[str, Mapping[Key, Cell]]] = [
            (_day_name(day), cells)
            for day, cells in self._days.items()
            if (since is None or day >= since) and (until is None or day <= until)
        ]
        return [(EARLIER, self._heap), *days] if since is None else days  # the heap is before every `until`

    # -- keeping it ------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """All of it, for a snapshot."""
        days = [(day, list(cells.items())) for day, cells in self._days.items()]
        return msgspec.json.encode(_State(VERSION, self.since_ms, list(self._heap.items()), days))

    def restore(self, state: bytes) -> None:
        """Be as when `state` was taken.  Raises StorageError, and then nothing has changed."""
        try:
            kept = msgspec.json.decode(state, type=_State)
        except (ValueError, RecursionError):
            raise StorageError.unreadable(SNAPSHOT) from None
        if kept.version != VERSION:
            raise StorageError.unreadable(SNAPSHOT)
        self._heap = dict(kept.heap)
        self._days = {day: dict(cells) for day, cells in kept.days}
        self._cells = sum(map(len, self._days.values()))
        self.since_ms = kept.since_ms


def _day_name(day: int) -> str:
    try:
        return (EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:  # a clock that is far off
        return EARLIER


def _day_number(day: str | None) -> int | None:
    return None if day is None else (date.fromisoformat(day) - EPOCH).days
