"""What strangers and loops can cause at will is counted, not written down one by one.

    first of a kind ──▶ an entry at once; further ones within PERIOD_MS ──counted──▶ one entry with their count

So an event is seen when it begins, a flood costs one entry a minute and kind, and none is forgotten.  Kinds are an
event and a subject (a pool, a caller); beyond KINDS_MAX at once the subject is left out.

Time is Unix milliseconds and comes in as an argument; a clock that goes back ends the period.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["KINDS_MAX", "PERIOD_MS", "Tallied", "Tally"]

PERIOD_MS = 60_000
KINDS_MAX = 256


class Tallied(Struct, frozen=True, gc=False):
    """`count` more of a kind since `from_ms`."""

    event: str
    subject: str
    count: int
    from_ms: int


class _Count:
    __slots__ = ("count", "from_ms")

    def __init__(self, from_ms: int) -> None:
        self.from_ms = from_ms
        self.count = 0


class Tally:
    """Counts by kind."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    def add(self, event: str, subject: str, at_ms: int) -> bool:
        """Count one.  True: it is the first of its kind, and the caller writes it down."""
        kind = (event, subject)
        count = self._counts.get(kind)
        if count is None and len(self._counts) >= KINDS_MAX:
            kind = (event, "")
            count = self._counts.get(kind)
        if count is None:
            self._counts[kind] = _Count(at_ms)
            return True
        count.count += 1
        return False

    def due(self, at_ms: int, *, all_of_them: bool = False) -> list[Tallied]:
        """The counts whose period is over, or all; they begin anew.  Kinds that were not seen again say nothing."""
        over = []
        for kind, count in list(self._counts.items()):
            if all_of_them or not 0 <= at_ms - count.from_ms < PERIOD_MS:
                del self._counts[kind]
                if count.count:
                    over.append(Tallied(*kind, count.count, count.from_ms))
                    self._counts[kind] = _Count(at_ms)
        return over

    def __len__(self) -> int:
        return len(self._counts)
