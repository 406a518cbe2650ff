"""All or nothing: steps are taken one after another, and where one fails those before it are undone, the last first.

    take ─▶ take ─▶ take ✗
    undo ◀─ undo ◀─ undo        also the one that has failed: it may have done half of it

Nothing here waits, so nobody sees what is half done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from hoosh.errors import ConfigError, HooshError

__all__ = ["RoomFailed", "Step", "nothing", "take_all"]


def nothing() -> None:
    """To be done where there is nothing to do."""


class Step(Struct, frozen=True):
    """What a room does when another configuration takes effect, and what makes that undone."""

    room: str
    take: Callable[[], object]
    undo: Callable[[], object] = nothing
    """Also of a step that was taken by half."""


class RoomFailed(HooshError):
    """A bug: `room` could not be told of a configuration.  All the others work by the one before."""

    def __init__(self, room: str) -> None:
        super().__init__("The configuration was not taken over: the gateway has a bug, and its log says more.")
        self.room = room


def take_all(steps: Iterable[Step], on_stuck: Callable[[str, Exception], object]) -> None:
    """Take `steps`.  Raises ConfigError as a step does, and RoomFailed for its bug; then all are undone.

    A step that cannot be undone does not keep the others from it; `on_stuck` hears of it.
    """
    taken: list[Step] = []
    for step in steps:
        taken.append(step)
        try:
            step.take()
        except ConfigError:
            _undo(taken, on_stuck)
            raise
        except BaseException as bug:
            _undo(taken, on_stuck)
            if not isinstance(bug, Exception):
                raise
            raise RoomFailed(step.room) from bug


def _undo(taken: list[Step], on_stuck: Callable[[str, Exception], object]) -> None:
    for step in reversed(taken):
        try:
            step.undo()
        except Exception as bug:
            on_stuck(step.room, bug)
