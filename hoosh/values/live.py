"""A request that runs now, as the live view shows it, and which requests are meant."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct, field

from hoosh.values.attempt import AttemptRecord
from hoosh.values.caller import Priority

__all__ = ["LIVE_PHASES", "LivePhase", "RunningPage", "RunningRequest", "Selection"]

LivePhase = Literal["reading", "queued", "asking", "waiting", "streaming", "settling"]
"""What a request is about: its own body, its turn, an upstream, the time to ask again, the answer, its end."""
LIVE_PHASES: tuple[LivePhase, ...] = get_args(LivePhase)


class RunningRequest(Struct, frozen=True, kw_only=True):
    """Facts about one moment of it.  What is not known yet is None; durations are whole milliseconds, in seconds."""

    id: str
    method: str
    path: str
    kind: str
    phase: LivePhase
    age_s: float
    caller: str | None = field(name="key", default=None)
    """The name of the key."""
    pool: str | None = None
    """The budget that pays."""
    model: str | None = None
    """As the client asked."""
    provider: str | None = None
    """Who is asked, or was asked last."""
    served_model: str | None = None
    """As the upstream is asked."""
    stream: bool = False
    priority: Priority = "normal"
    attempts: int = 0
    """Begun."""
    tried: tuple[AttemptRecord, ...] = ()
    """The attempts that did not answer, and why, in their order."""
    deadline_left_s: float | None = None
    """None where it has no deadline, 0 where that has passed."""
    body_bytes: int = 0
    """Received."""
    sent_bytes: int = 0
    chunks: int = 0
    """Pieces of a streamed reply, as the upstream has sent them."""
    cache: str = "bypass"
    """As the header `x-hoosh-cache` says or will say."""


class RunningPage(Struct, frozen=True):
    """The oldest of those that are meant, and how many these are."""

    requests: tuple[RunningRequest, ...]
    total: int


class Selection(Struct, frozen=True, kw_only=True):
    """Which requests are meant: those that match in everything that is said.  Names are whole names, not globs."""

    id: str | None = None
    key: str | None = None
    """Of the caller, by name."""
    pool: str | None = None
    model: str | None = None
    """As the client asked, or as the upstream is asked."""
    phase: LivePhase | None = None
