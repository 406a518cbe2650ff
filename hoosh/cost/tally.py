"""Sums of cells, told apart by whatever was asked for: the way from the running totals to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from hoosh.values.costs import EARLIER, GROUPS, CostQuery, CostReport, CostRow, Group

__all__ = ["Cell", "Key", "Tally", "add_up"]

Key = tuple[str, str, str, str, bool]
"""Caller, pool, provider, model, local."""


class Cell(Struct, array_like=True, gc=False):
    """The sums of one key on one day, in the words of `CostRow`."""

    requests: int = 0
    requests_failed: int = 0
    requests_cached: int = 0
    requests_unpriced: int = 0
    requests_estimated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    cost_micro_usd: int = 0
    audio_ms: int = 0
    characters: int = 0


def add_up(into: Cell, cell: Cell) -> None:
    """Written out: a report adds up tens of thousands."""
    into.requests += cell.requests
    into.requests_failed += cell.requests_failed
    into.requests_cached += cell.requests_cached
    into.requests_unpriced += cell.requests_unpriced
    into.requests_estimated += cell.requests_estimated
    into.prompt_tokens += cell.prompt_tokens
    into.completion_tokens += cell.completion_tokens
    into.cached_tokens += cell.cached_tokens
    into.saved_tokens += cell.saved_tokens
    into.cost_micro_usd += cell.cost_micro_usd
    into.audio_ms += cell.audio_ms
    into.characters += cell.characters


class _Group:
    """Cells that are one row."""

    __slots__ = ("cell", "local")

    def __init__(self) -> None:
        self.cell = Cell()
        self.local = True


class Tally:
    """A report in the making."""

    __slots__ = ("_by", "_groups", "_place", "_wanted")

    def __init__(self, query: CostQuery) -> None:
        self._by = tuple(group for group in GROUPS if group in query.by)
        self._place = _picker([GROUPS.index(group) for group in self._by])
        self._wanted = [(GROUPS.index(group), name) for group, name in query.filters.items() if group in GROUPS]
        self._groups: dict[Any, _Group] = {}

    def add(self, day: str, cells: Mapping[Key, Cell]) -> None:
        """Count one day."""
        groups, place_of, wanted = self._groups, self._place, self._wanted
        for key, cell in cells.items():
            names = (day, *key)
            if wanted and any(names[place] != name for place, name in wanted):
                continue
            place = place_of(names)
            group = groups.get(place)
            if group is None:
                group = groups[place] = _Group()
            group.local = group.local and key[4]
            add_up(group.cell, cell)

    def report(self, *, max_rows: int, since_ms: int | None = None) -> CostReport:
        """By day, then the dearest first; `earlier` comes before all days."""
        groups = [((place,) if len(self._by) == 1 else place, group) for place, group in self._groups.items()]
        groups.sort(key=self._rank)
        total = _Group()
        for _, group in groups:
            add_up(total.cell, group.cell)
            total.local = total.local and group.local
        return CostReport(
            rows=tuple(_row(self._by, names, group) for names, group in groups[:max_rows]),
            total=_row((), (), total),
            since_ms=since_ms,
            truncated=len(groups) > max_rows,
        )

    def _rank(self, item: tuple[Any, _Group]) -> tuple[object, ...]:
        names, group = item
        day = names[0] if "day" in self._by and names[0] != EARLIER else ""
        return (day, -group.cell.cost_micro_usd, -group.cell.requests, names)


def _picker(places: Sequence[int]) -> Any:
    """Names at `places`: a tuple, or the name itself where it is one."""
    return itemgetter(*places) if places else lambda names: ()


def _row(by: Sequence[Group], names: Sequence[str], group: _Group) -> CostRow:
    named: dict[str, Any] = dict(zip(by, names, strict=True))
    return CostRow(**named, **asdict(group.cell), local=group.local and group.cell.requests > 0)
