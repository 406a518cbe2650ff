"""Which models can be asked for now?  All upstreams are asked at once; what they said is kept for a while.

A list that cannot be had stands in for itself by the names the configuration spells out (globs are not models).
Requests that ask at the same time wait for the same round of questions.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from hoosh.errors import HooshError
from hoosh.gateway.fleet import Fleet, Upstream
from hoosh.routing import RouteTable
from hoosh.values import ModelCard

__all__ = ["ModelLists"]

FRESH_S = 30.0
AGAIN_S = 2.0
"""After this, one that did not answer is asked again."""
ASK_S = 5.0


class ModelLists:
    """What each upstream serves, by its own word.  `known` is for routing; `merged` for clients."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._cards: dict[str, tuple[ModelCard, ...]] = {}
        self._next_at: dict[str, float] = {}
        self._round = trio.Lock()

    def learn(self, provider: str, cards: Iterable[ModelCard]) -> None:
        """`provider` has just said this of itself."""
        self._cards[provider] = tuple(cards)
        self._next_at[provider] = trio.current_time() + FRESH_S

    def forget(self, provider: str) -> None:
        self._cards.pop(provider, None)
        self._next_at.pop(provider, None)

    def known(self, provider: str) -> frozenset[str] | None:
        cards = self._cards.get(provider)
        return None if cards is None else frozenset(card.id for card in cards)

    async def refresh(self) -> None:
        """Ask whoever has not been asked lately, all at once.  Waits at most ASK_S; never raises for an upstream."""
        async with self._round:
            now = trio.current_time()
            stale = [u for u in self._fleet if now >= self._next_at.get(u.name, now)]
            async with trio.open_nursery() as nursery:
                for upstream in stale:
                    nursery.start_soon(self._ask, upstream)

    async def _ask(self, upstream: Upstream) -> None:
        cards: list[ModelCard] = []
        with trio.move_on_after(ASK_S):
            try:
                cards = await upstream.list_models()
            except HooshError:
                pass  # it is down, or has no such list: what it said before still stands
        if cards:
            self.learn(upstream.name, cards)
        else:
            self._next_at[upstream.name] = trio.current_time() + AGAIN_S

    def merged(self, routes: RouteTable) -> list[ModelCard]:
        """Every model once, aliases and all; whoever would be asked first owns it."""
        merged = {name: ModelCard(name, "hoosh") for name in routes.aliases}
        for route in routes.routes:
            for card in self._cards.get(route.name, ()):
                if routes.serves(route, card.id):
                    merged.setdefault(card.id, card)
            if route.name not in self._cards and not route.presumed:
                for name in route.models:
                    if not any(sign in name for sign in "*?["):
                        merged.setdefault(name, ModelCard(name, route.name))
        return list(merged.values())
