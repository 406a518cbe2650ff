"""What became of the attempts at upstreams, counted as requests end.

    tried   (openai, 503) (openai, 503)     answered by azure     ──▶ openai/503: 2, one retry, one failover

A request that was answered at its first attempt has nothing to be counted here: `Metrics` does it alone.  A hedge is no
failover: both were asked at the same time, and the slower one has done nothing wrong.

Label values are bounded: a reason is one of our words or an HTTP error, all else is "other".
"""

from __future__ import annotations

from collections.abc import Callable

from hoosh.values import AttemptRecord, Outcome, Record

__all__ = ["HEDGED", "OK", "REASONS", "Attempts", "bounded"]

OK = "ok"
HEDGED = "hedged"
OTHER = "other"
REASONS = frozenset(
    {"connect", "first_byte", "first_token", "idle", "total", "broke", "cut", "unsupported", HEDGED, OK}
    | {str(status) for status in range(400, 600)}
)


def bounded(reason: str) -> str:
    """The label for why an attempt ended."""
    return reason if reason in REASONS else OTHER if reason else OK


class Attempts:
    """Counts of the requests that took more than one attempt, or failed at their first."""

    __slots__ = ("_label", "ended", "failovers", "hedges_lost", "rescued_streams", "retries")

    def __init__(self, label: Callable[[str], str]) -> None:
        """`label` bounds the names of providers."""
        self._label = label
        self.ended: dict[tuple[str, str], int] = {}
        """By provider and reason.  Those that answered at once are in `Series.answered`."""
        self.failovers = 0
        self.retries = 0
        self.rescued_streams = 0
        self.hedges_lost = 0

    def add(self, record: Record) -> None:
        """Count what `record` has tried."""
        for attempt in record.tried:
            self._count(attempt.provider, bounded(attempt.reason))
        in_turn = [attempt for attempt in record.tried if attempt.reason != HEDGED]
        self.hedges_lost += len(record.tried) - len(in_turn)
        targets = _targets(in_turn, record)
        self.retries += len(targets) - len(set(targets))
        if record.outcome is Outcome.OK and record.attempts > len(record.tried):
            self._count(record.provider or "", OK)
            self.failovers += targets[-1] != targets[0]
            self.rescued_streams += record.rescued

    def _count(self, provider: str, reason: str) -> None:
        key = (self._label(provider), reason)
        self.ended[key] = self.ended.get(key, 0) + 1


def _targets(in_turn: list[AttemptRecord], record: Record) -> list[tuple[str, str]]:
    """Whom the request has asked one after another.  The last one is not among the `tried` unless it failed, too."""
    targets = [(attempt.provider, attempt.model) for attempt in in_turn]
    if record.attempts > len(record.tried) or not targets:
        targets.append((record.provider or "", record.served_model or ""))
    return targets
