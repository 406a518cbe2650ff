"""How the engine is: what metrics, the admin API and tests read."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["LoadedModel", "SpeechStatistics"]


class LoadedModel(Struct, frozen=True):
    """A child and what it holds."""

    name: str
    pid: int | None
    threads: int
    is_busy: bool
    idle_s: float
    memory_bytes: int
    """What it has said last, or the estimate while that is more."""


class SpeechStatistics(Struct, frozen=True):
    """How it is; counted since the start."""

    slots: int
    running: int
    waiting: int
    loaded: tuple[LoadedModel, ...]
    begun: int
    ended: int
    aborted: int
    """Their clients left, or their deadline came."""
    killed: int
    """Of the aborted, those that had not stopped in time."""
    died: int
    audio_s: float
