"""What the tests of the health room share: a board with a memory, and the errors that upstreams make."""

from __future__ import annotations

import random

from hoosh.errors import HooshError, UpstreamBroke, UpstreamError, UpstreamTimeout
from hoosh.health import Board, Change, Health
from hoosh.values import Target

A = Target("a", "small")
A_LARGE = Target("a", "large")
B = Target("b", "small")


def answer(status: int, *, code: str | None = None, wait_s: float | None = None, message: str = "no") -> UpstreamError:
    return UpstreamError(message, provider="a", status=status, code=code, retry_after_s=wait_s)


def unconnected() -> UpstreamError:
    error = UpstreamBroke("Provider `a` failed.", provider="a")
    error.code = "connect_failed"
    return error


def cut() -> UpstreamError:
    return UpstreamBroke("Provider `a` failed.", provider="a")


def late(phase: str) -> UpstreamTimeout:
    return UpstreamTimeout("Provider `a` was too slow.", provider="a", phase=phase)


class Always(random.Random):
    """Chance that always gives the same."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


class Desk:
    """A board, attempts that take no time, and what it has told."""

    def __init__(self, settings: Health | None = None, *, chance: float = 0.0) -> None:
        self.changes: list[Change] = []
        self.board = Board(settings or Health(), on_change=self.changes.append, chance=Always(chance))

    def attempt(self, target: Target, error: HooshError | None, now_s: float) -> bool:
        """One attempt if it may be made; was it?"""
        if self.board.wait_s(target, now_s):
            return False
        self.board.begin(target, now_s)
        if error is None:
            self.board.well(target, now_s, now_s)
        else:
            self.board.ill(target, error, now_s, now_s)
        return True

    def fail(self, target: Target, error: HooshError, *times_s: float) -> None:
        for now_s in times_s:
            assert self.attempt(target, error, now_s)

    @property
    def told(self) -> list[str]:
        return [f"{c.provider}/{c.model} {c.from_} > {c.to}: {c.reason}" for c in self.changes]
