"""Stands in for rooms that are being built; goes when they are there."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import trio

from hoosh.values import Target


class Verdict(StrEnum):
    AGAIN = "again"
    ONCE_MORE = "once_more"
    ELSEWHERE = "elsewhere"
    LARGER = "larger"
    NOBODY = "nobody"


def judge(error: Any) -> Verdict:
    status = error.status
    if status is None or status >= 500 or status in (401, 403, 429):
        return Verdict.ELSEWHERE
    return Verdict.NOBODY


def wait_for(*args: Any, **named: Any) -> float | None:
    return None


class RetryBudget:
    def __init__(self, ratio: float) -> None:
        return None

    def request(self) -> None:
        return None

    def try_spend(self) -> bool:
        return True


class Loads:
    def of(self, target: Target) -> Any:
        return None


class Chooser:
    def __init__(self, *args: Any, **named: Any) -> None:
        return None

    def order(self, candidates: Sequence[Target], **named: Any) -> Sequence[Target]:
        return candidates


def prefix_digest(call: Any) -> bytes:
    return b""


def within(candidates: Sequence[Target], **named: Any) -> Sequence[Target]:
    return candidates


class Change:
    provider = model = to = reason = ""


class Board:
    is_quiet = True

    def __init__(self, *args: Any, **named: Any) -> None:
        return None

    def wait_s(self, target: Target, now_s: float) -> float:
        return 0.0

    def begin(self, target: Target, now_s: float) -> None:
        return None

    def well(self, target: Target, now_s: float) -> None:
        return None

    def left(self, target: Target, now_s: float) -> None:
        return None

    def ill(self, target: Target, error: Any, now_s: float) -> None:
        return None

    def state(self, state: Any, now_s: float) -> Any:
        return state

    def heartbeats(self, now_s: float) -> Any:
        return ()


class Supervisor:
    def __init__(self, *args: Any) -> None:
        return None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()
