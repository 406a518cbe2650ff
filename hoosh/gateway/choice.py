"""Whom a request may ask now: of its candidates one that is well, has room, and has not been given up.

    choice = Choice(board, admission, account, call, candidates)
    target = choice.first()             a place is taken for it; raises where nobody may be asked now
    place = choice.take_place()         the attempt's own from now on; None where requests are not limited
    choice.give_up(target)              for this request
    target = choice.next()

Nothing here waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import trio

from hoosh.admission import Pass, sooner
from hoosh.errors import RateLimited, Throttled, Unavailable
from hoosh.gateway.account import Account
from hoosh.gateway.admission import Admission
from hoosh.health import Board
from hoosh.values import Call, Target

__all__ = ["Choice"]

NOBODY: frozenset[Target] = frozenset()


class Choice:
    """One request's.  `candidates` are in the order in which they are asked, and at least one."""

    __slots__ = ("_account", "_admission", "_board", "_call", "_given_up", "_place", "candidates")

    def __init__(
        self, board: Board, admission: Admission, account: Account, call: Call, candidates: Sequence[Target]
    ) -> None:
        self._board = board
        self._admission = admission
        self._account = account
        self._call = call
        self.candidates = candidates
        self._given_up = NOBODY
        self._place: Pass | None = None
        """Among the requests of the provider to be asked, where these are limited."""

    def first(self) -> Target:
        """Raises as `next` does."""
        target = self.candidates[0]
        if self._board.is_quiet and not self._admission.gate.is_limited(("provider", target.provider)):
            return target
        return self._first_of(self.candidates)

    def next(self, *, again: Target | None = None, besides: Target | None = None) -> Target:
        """The first that may be asked now; its place is taken, and an earlier one given back.

        `again` comes before all others, `besides` is left out.  Raises RateLimited, Throttled, Unavailable.
        """
        self.give_back()
        candidates = self.candidates if again is None else (again, *self.candidates)
        return self._first_of(each for each in candidates if each != besides)

    def _first_of(self, candidates: Iterable[Target]) -> Target:
        board, now_s = self._board, trio.current_time()
        refused: RateLimited | None = None
        wait_s, is_limited = math.inf, True
        for target in candidates:
            if target in self._given_up:
                continue
            ill_s = board.wait_s(target, now_s)
            if ill_s > 0:
                wait_s = min(wait_s, ill_s)
                is_limited = is_limited and board.is_limited(target, now_s)
                continue
            try:
                self._place = self._admission.place_at(self._account, self._call, target, now_s)
            except RateLimited as full:
                refused = full if refused is None else sooner(refused, full)
            else:
                return target
        if refused is not None:
            raise refused
        if is_limited and wait_s < math.inf:
            raise Throttled(self._call.model, wait_s)
        raise Unavailable(
            f"No upstream of the model `{self._call.model[:200]}` is healthy now.",
            retry_after_s=None if wait_s == math.inf else wait_s,
        )

    def has_another(self, than: Target) -> bool:
        """Could somebody else be asked?"""
        if len(self.candidates) == 1:
            return False
        board, now_s = self._board, trio.current_time()
        return any(
            each != than and each not in self._given_up and (board.is_quiet or board.wait_s(each, now_s) == 0)
            for each in self.candidates
        )

    def has_a_healthy_one(self) -> bool:
        """One of those not given up has nothing against it: no failure in a row, no trial."""
        return any(each not in self._given_up and self._board.is_well(each) for each in self.candidates)

    def give_up(self, *targets: Target) -> None:
        """They are not asked for this request again."""
        self._given_up = self._given_up.union(targets)

    def take_place(self) -> Pass | None:
        """Whoever takes it has to leave it."""
        place, self._place = self._place, None
        return place

    def give_back(self) -> None:
        """Nobody will be asked: that must not use up the limits of others."""
        if (place := self.take_place()) is not None:
            place.undo(trio.current_time())
