"""What the event loop and the writer's thread hand to each other, and how they wake each other.

event loop                                writer's thread
rows, Question ──▶ queue, Bell.ring ──▶   Bell.wait, Bell.hear, take all
kept, answers  ◀── one call for a batch   Outcome
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import trio
from msgspec import Struct

from hoosh.errors import StorageError
from hoosh.storage.database import Database

__all__ = ["Bell", "Limits", "Outcome", "Question"]

T = TypeVar("T")


class Limits(Struct, frozen=True):
    """How long and how much."""

    gather_s: float = 0.02
    """So far apart begin transactions that nobody waits for: rows that come closer to each other share one."""
    busy_s: float = 0.1
    """For another program to end its transaction, before rows go into the spool."""
    retry_s: float = 0.1
    retry_max_s: float = 5.0
    memory_rows: int = 100_000
    memory_bytes: int = 64 * 1024 * 1024
    """With so much in memory the store is `full`; at twice as much it loses rows, and says so."""
    spool_bytes: int = 256 * 1024 * 1024
    close_s: float = 10.0
    """For writing the rest when the store ends.  A disk that hangs longer keeps what it has."""


class Question(Generic[T]):
    """Something to do in the writer's thread, and its answer."""

    __slots__ = ("answer", "answered", "changes", "error", "in_order", "is_withdrawn", "undo", "work")

    def __init__(
        self,
        work: Callable[[Database], T],
        *,
        changes: bool = False,
        in_order: bool = False,
        undo: Callable[[Database], object] | None = None,
    ) -> None:
        self.work = work
        self.changes = changes
        self.in_order = in_order or changes
        """It means nothing unless all that was given before has been written."""
        self.undo = undo
        """Sets right what was done for somebody who no longer waits."""
        self.is_withdrawn = False
        self.answered = trio.Event()
        self.answer: T | None = None
        self.error: Exception | None = None


class Outcome(Struct, frozen=True):
    """What has come of a batch."""

    kept: dict[str, int]
    """By log: the last position that would survive a power cut."""
    questions: list[Question[Any]]
    failure: StorageError | None
    """Why rows are not kept."""


class Bell:
    """Wakes the writer's thread.  To ring again before it has been heard costs nothing."""

    __slots__ = ("_is_rung", "_lock")

    def __init__(self) -> None:
        self._is_rung = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        if not self._is_rung:
            self._is_rung = True
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        """Until it is rung; -1 is for ever.  It stays rung until `hear`."""
        return self._lock.acquire(timeout=timeout_s)

    def hear(self) -> None:
        """Call before looking at what it was rung for: what comes later rings again."""
        self._is_rung = False
