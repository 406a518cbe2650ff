"""Who waits for a turn: the queue as its status page, the metrics and the tests see it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from hoosh.values.caller import Priority

__all__ = ["CallerQueue", "QueueState"]


class CallerQueue(Struct, frozen=True):
    """The waiting requests of one caller."""

    caller: str
    queued: int
    longest_wait_s: float


class QueueState(Struct, frozen=True):
    """The queue at one moment."""

    queued: Mapping[Priority, int]
    """By the class that they came with; every class is there."""
    running: int
    """That have had their turn and are not over.  Counted only while there is a limit."""
    max_concurrent: int | None
    max_queue: int
    timeout_s: float
    longest_wait_s: float
    """Of those who wait now."""
    refused: int
    """Since the start: the queue was full, a better one took the place, or the turn came too late."""
    callers: tuple[CallerQueue, ...] = ()
    """Those with the most waiting requests, twenty at most."""
    shedding: tuple[Priority, ...] = ()
    """The classes that are turned away at the door, because the gateway itself is behind."""
