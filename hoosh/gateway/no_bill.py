"""In the place of a `Bill`: of a request that nobody pays for, and of an answer that has been paid for."""

from __future__ import annotations

from collections.abc import Callable

from hoosh.gateway.consumption import NOTHING
from hoosh.gateway.terms import UNBOUNDED
from hoosh.values import Outcome, Settlement, Target, Usage

__all__ = ["HIT", "NO_BILL", "NoBill"]


class NoBill:
    """Of a request that nobody pays for."""

    __slots__ = ()

    chunks_allowed = UNBOUNDED
    settlement: Settlement | None = None

    def cost_of(self, provider: str, model: str) -> Callable[[Usage], int] | None:
        return None

    def has_room(self, chunks: int) -> bool:
        return True

    def guess(self, reply_bytes: int) -> Usage | None:
        return None

    async def keep(self, *, is_whole: bool = True) -> None:
        return None

    def settle(self, outcome: Outcome) -> None:
        return None

    def turn_to(self, target: Target) -> None:
        return None

    def can_hedge(self, target: Target) -> bool:
        return True

    def add(self, usage: Usage, *, is_estimated: bool, target: Target | None = None) -> None:
        return None

    def tokens(self) -> int:
        return 0

    def prompt_tokens(self) -> int:
        return 0

    def usage(self, *, is_over: bool = False) -> tuple[Usage, bool]:
        return NOTHING, False

    def usage_of_others(self) -> Usage:
        return NOTHING


NO_BILL = NoBill()
HIT = NoBill()
"""Of an answer out of the cache whose row has been handed over."""
