"""Whom to ask first, among those who are as good as one another.

    priority, direct    as the plan has them
    round_robin         in turns, by weight, for each model apart
    lowest_latency      who begins to answer soonest; who has not been tried is
    least_loaded        of two by chance, none of them far worse than the best, the one that it burdens less
    cheapest            by the price of a reply; who has no known price comes last
    sticky              who has answered the same conversation before: its prompt cache knows it

All candidates are kept: those behind the first are whom to fail over to.  Nobody leaves his step (`plan.py`).

`now_s` is a monotonic clock.  Source: reference section 4.3; nginx's smooth weighted round robin
(`ngx_http_upstream_round_robin.c`); Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from random import Random

from hoosh.routing.load import Loads
from hoosh.routing.plan import FIXED, Plan
from hoosh.routing.settings import Routing, Strategy
from hoosh.routing.sticky import rank
from hoosh.values import Target

__all__ = ["Chooser", "Turns"]

COMPARABLE = 3.0
"""So many times the least pressure is not yet another class of upstream."""
MODELS_KEPT = 1024
TARGETS_KEPT = 256


class Turns:
    """Smooth weighted turns: of weights 5, 1, 1 comes a a b a c a a, and never five times a in a row.

    Everybody's score grows by its weight, the highest is next and pays what all have got together.  Whoever is not
    there keeps its score.
    """

    __slots__ = ("_scores", "_weight_of")

    def __init__(self, weight_of: Callable[[str], int]) -> None:
        self._scores: dict[str, dict[Target, int]] = {}
        self._weight_of = weight_of

    def take(self, model: str, equals: Sequence[Target]) -> list[Target]:
        """Whose turn it is, and then those whose turn comes soonest."""
        scores = self._scores.get(model)
        if scores is None or len(scores) > TARGETS_KEPT:
            scores = self._anew(model)
        total = 0
        for target in equals:
            weight = self._weight_of(target.provider)
            scores[target] = scores.get(target, 0) + weight
            total += weight
        ranked = sorted(equals, key=scores.__getitem__, reverse=True)
        scores[ranked[0]] -= total
        return ranked

    def _anew(self, model: str) -> dict[Target, int]:
        if len(self._scores) >= MODELS_KEPT:
            del self._scores[next(iter(self._scores))]
        scores = self._scores[model] = {}
        return scores


class Chooser:
    """Puts candidates in order.  What it remembers are whose turn it is, and the loads, which others write down."""

    def __init__(
        self,
        settings: Routing,
        loads: Loads,
        chance: Random,
        *,
        weight_of: Callable[[str], int],
        price_of: Callable[[Target], int | None],
    ) -> None:
        """`weight_of` takes an account; `price_of` is that of a reply, in any unit, None where nobody knows it."""
        self.configure(settings)
        self._loads = loads
        self._chance = chance
        self._weight_of = weight_of
        self._price_of = price_of
        self._turns = Turns(weight_of)

    def configure(self, settings: Routing) -> None:
        """From now on this is the strategy."""
        self._strategy = settings.strategy
        self._is_fixed = settings.strategy in FIXED

    def order(
        self, candidates: Sequence[Target], plan: Plan, *, model: str, sticky_key: Callable[[], bytes], now_s: float
    ) -> Sequence[Target]:
        """All of `candidates`, best first; the same object where nothing is to be chosen.

        They come from `plan`, or from one that has been replaced since; `model` is the client's word.  `sticky_key` is
        only called where somebody wants it.
        """
        if (self._is_fixed and plan.is_plain) or len(candidates) < 2:
            return candidates
        only = plan.only
        if only is not None:
            return self._among(only.strategy or self._strategy, candidates, model, sticky_key, now_s)
        ordered: list[Target] = []
        for step, members in groupby(candidates, plan.step_of.get):
            equals = list(members)
            if len(equals) > 1:
                own = None if step is None else step.strategy
                ordered += self._among(own or self._strategy, equals, model, sticky_key, now_s)
            else:
                ordered += equals
        return ordered

    def _among(
        self, strategy: Strategy, equals: Sequence[Target], model: str, sticky_key: Callable[[], bytes], now_s: float
    ) -> Sequence[Target]:
        match strategy:
            case "priority" | "direct":
                return equals
            case "round_robin":
                return self._turns.take(model, equals)
            case "lowest_latency":
                of = self._loads.of
                return sorted(equals, key=lambda target: of(target).expected_s(now_s))
            case "least_loaded":
                return self._least_loaded(equals, now_s)
            case "cheapest":
                return sorted(equals, key=self._price_or_last)
            case "sticky":
                return rank(sticky_key(), equals, self._weight_of)

    def _least_loaded(self, equals: Sequence[Target], now_s: float) -> list[Target]:
        """Of two by chance the better one: whoever is best would get everything until he is not.

        Not of any two: among three, every third pair is of the worst, and these may be stalled or failing.
        """
        of = self._loads.of
        pressures = [(of(target).pressure(now_s), place) for place, target in enumerate(equals)]
        pressures.sort()
        ranked = [equals[place] for _, place in pressures]
        most = pressures[0][0] * COMPARABLE
        count = sum(pressure <= most for pressure, _ in pressures)
        if count > 2:
            chance = self._chance.random
            one, other = int(chance() * count), int(chance() * (count - 1))
            if other >= one:  # another one: any but `one` is as likely
                other += 1
            ranked.insert(0, ranked.pop(min(one, other)))
        return ranked

    def _price_or_last(self, target: Target) -> float:
        price = self._price_of(target)
        return math.inf if price is None else price
