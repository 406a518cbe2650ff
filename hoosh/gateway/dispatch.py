"""What the journeys of all requests share: the budgets of retries and hedges, and whom an attempt's end is told.

What an attempt came to is told to the board of health, which says who may be asked, and to the loads, which say how
fast; one request's way is a `Journey`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from hoosh.errors import RateLimited, Throttled, Unavailable, UpstreamError
from hoosh.gateway.account import Account
from hoosh.gateway.admission import Admission
from hoosh.gateway.fleet import Fleet, Upstream
from hoosh.gateway.journey import Journey
from hoosh.health import Board
from hoosh.routing import HedgeBudget, Loads, Retry, RetryBudget, Routing, Strategy
from hoosh.values import Call, ModelFacts, Target

__all__ = ["Dispatcher"]

Upstreams = Mapping[str, Upstream]
MEASURED = frozenset({"lowest_latency", "least_loaded"})


class Dispatcher:
    """What the journeys of all requests share.  Nothing here waits."""

    def __init__(
        self,
        fleet: Fleet,
        board: Board,
        loads: Loads,
        admission: Admission,
        *,
        routing: Routing,
        retry: Retry,
        facts_of: Callable[[str, Target], ModelFacts],
        strategies: Iterable[Strategy],
        total_s: float,
        chance: Random,
    ) -> None:
        """`strategies` are all that are in use; `total_s` is what any request may take."""
        self.fleet = fleet
        self.board = board
        self.loads = loads
        self.admission = admission
        self.facts_of = facts_of
        self.chance = chance
        self.measures = False
        """Somebody wants to know how fast upstreams are."""
        self.budget = RetryBudget(retry.budget_ratio)
        self.hedges: HedgeBudget | None = None
        self.routing, self.retry = routing, retry
        self.configure(routing, retry, strategies, total_s=total_s)

    def configure(self, routing: Routing, retry: Retry, strategies: Iterable[Strategy], *, total_s: float) -> None:
        """From now on, also for journeys that are under way.  A budget that is another begins anew."""
        if retry.budget_ratio != self.retry.budget_ratio:
            self.budget = RetryBudget(retry.budget_ratio)
        if routing.hedge_after_ms is None:
            self.hedges = None
        elif self.hedges is None or routing.hedge_max_ratio != self.routing.hedge_max_ratio:
            self.hedges = HedgeBudget(routing.hedge_max_ratio)
        self.routing = routing
        self.retry = retry
        self.total_s = total_s
        # Once begun it goes on: an attempt that was counted when it began is when it ends.
        self.measures = self.measures or routing.hedge_after_ms is not None or not MEASURED.isdisjoint(strategies)

    def journey(self, account: Account, call: Call, candidates: Sequence[Target]) -> Journey:
        """Raises RateLimited or Unavailable where nobody may be asked now, and then it has cost no limit anything."""
        self.budget.request()
        if self.hedges is not None:
            self.hedges.request()
        try:
            return Journey(self, account, call, candidates)
        except (RateLimited, Throttled, Unavailable):
            account.turn_away()
            raise

    def lost(self, target: Target, begun_s: float, now_s: float, asked: Upstreams) -> None:
        """The attempt has been left because another was faster: it is at least so slow."""
        if self._is_there(target, asked):
            self.board.left(target, begun_s, now_s)
        if self.measures:
            self.loads.of(target).end(now_s, now_s - begun_s, failed=False)

    def begin(self, target: Target, now_s: float) -> None:
        """An attempt there begins; `end` follows."""
        if not self.board.is_quiet:
            self.board.begin(target, now_s)
        if self.measures:
            self.loads.of(target).begin()

    def end(
        self,
        target: Target,
        failure: BaseException | None,
        begun_s: float,
        now_s: float,
        content_at_s: float | None,
        asked: Upstreams,
    ) -> None:
        """The attempt is over.  `asked` are those among whom it was."""
        if not self._is_there(target, asked):
            pass  # somebody else has its name now, or nobody
        elif failure is None:
            self.board.well(target, begun_s, now_s)
        elif isinstance(failure, UpstreamError):
            self.board.ill(target, failure, begun_s, now_s)
        else:
            self.board.left(target, begun_s, now_s)
        if self.measures:
            # A rescue's own first content is not known: `content_at_s` is when the client's stream began.
            content_after_s = None if content_at_s is None or content_at_s < begun_s else content_at_s - begun_s
            self.loads.of(target).end(now_s, content_after_s, failed=isinstance(failure, UpstreamError))

    def _is_there(self, target: Target, asked: Upstreams) -> bool:
        """Is it still the one that `asked` has by its name?"""
        members = self.fleet.members
        return asked is members or asked.get(target.provider) is members.get(target.provider)
