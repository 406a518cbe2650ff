"""What all answers together say.  Only good ones are timed: a quick refusal must not look like a quick answer."""

from __future__ import annotations

from collections.abc import Iterable

from hoosh.cli.bench.answer import Usage
from hoosh.cli.bench.spread import Spread

__all__ = ["Tally"]

KINDS_MAX = 50
OTHER = "other"


class Tally:
    """Counts and durations."""

    def __init__(self) -> None:
        self.good = 0
        self.failures: dict[str, int] = {}
        """By kind."""
        self.examples: dict[str, str] = {}
        """What the first of each kind said."""
        self.first = Spread()
        """Streams: from the request to its first content."""
        self.gaps = Spread()
        """Streams: from one content to the next."""
        self.whole = Spread()
        """From the request to the end of its answer."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.without_usage = 0
        self.chunks = 0
        self.received_bytes = 0

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def ended(self) -> int:
        return self.good + self.failed

    def succeed(
        self, whole_s: float, *, usage: Usage | None, first_s: float | None = None, gaps_s: Iterable[float] = ()
    ) -> None:
        self.good += 1
        self.whole.add(whole_s)
        if usage is None:
            self.without_usage += 1
        else:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
        if first_s is not None:
            self.first.add(first_s)
            self.chunks += 1
        for gap_s in gaps_s:
            self.gaps.add(gap_s)
            self.chunks += 1

    def fail(self, kind: str, said: str = "") -> None:
        if kind not in self.failures and len(self.failures) >= KINDS_MAX:
            kind = OTHER
        self.failures[kind] = self.failures.get(kind, 0) + 1
        if said:
            self.examples.setdefault(kind, said)
