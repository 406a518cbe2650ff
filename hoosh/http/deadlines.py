"""The deadlines of one upstream exchange, as plain arithmetic.

    connect ──> first_byte ──> idle ──> idle ──> ...
    └────────────────── total ──────────────────────┘

`connect` covers waiting for a connection and making one; `first_byte` runs from the request being sent to the whole
response head; `idle` from asking for more of the body until some of it is there.  While the caller is busy with what
it received only `total` counts: a slow client must not look like a silent upstream.

Durations are seconds; points in time are whatever clock the caller passes in.  `http/watch.py` waits for them.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from msgspec import Struct

from hoosh.errors import TransportTimeout

__all__ = ["Deadline", "Phase", "Timeouts"]

Phase = Literal["connect", "first_byte", "idle"]


class Timeouts(Struct, frozen=True):
    """How long an exchange may take.  `math.inf` switches a phase's limit off, None the total's."""

    connect_s: float = 5.0
    first_byte_s: float = 30.0
    idle_s: float = 30.0
    total_s: float | None = 600.0


class Deadline:
    """When the present phase of an exchange ends: `due`, never later than `total_at`."""

    __slots__ = ("due", "phase", "timeouts", "total_at")

    def __init__(self, timeouts: Timeouts, now_s: float) -> None:
        self.timeouts = timeouts
        self.total_at = inf if timeouts.total_s is None else now_s + timeouts.total_s
        self.phase: Phase = "connect"
        self.due = self.total_at

    def enter(self, phase: Phase, now_s: float) -> None:
        """Begin `phase` now; entering it again begins it anew."""
        self.phase = phase
        timeouts = self.timeouts
        if phase == "idle":  # the common one: once a chunk
            due = now_s + timeouts.idle_s
        else:
            due = now_s + (timeouts.first_byte_s if phase == "first_byte" else timeouts.connect_s)
        self.due = due if due < self.total_at else self.total_at

    def rest(self) -> None:
        """Nothing is expected from the upstream just now: only the total counts."""
        self.due = self.total_at

    def expired(self) -> TransportTimeout:
        """The error to raise once `due` has passed."""
        if self.due == self.total_at and self.timeouts.total_s is not None:
            return TransportTimeout("total", self.timeouts.total_s)
        timeouts = self.timeouts
        limits_s = {"connect": timeouts.connect_s, "first_byte": timeouts.first_byte_s, "idle": timeouts.idle_s}
        return TransportTimeout(self.phase, limits_s[self.phase])
