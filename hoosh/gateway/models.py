"""Which models can be asked for now?  All upstreams are asked at once; what they said is kept for a while.

A list that cannot be had stands in for itself by the names the configuration spells out (globs are not models).
Requests that ask at the same time wait for the same round of questions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import trio
from msgspec.structs import replace

from hoosh.catalogue.ollama_names import is_cloud_name, whole_name
from hoosh.errors import HooshError, InvalidRequest
from hoosh.gateway.fleet import Fleet, Upstream
from hoosh.routing import RouteTable
from hoosh.values import Fit, ModelCard, ModelFacts, Target

__all__ = ["ModelLists"]

FRESH_S = 30.0
AGAIN_S = 2.0
"""After this, one that did not answer is asked again."""
ASK_S = 5.0

NOTHING_KNOWN = ModelFacts()

FactsOf = Callable[[str, Target], ModelFacts]
"""What is known of a target, asked for by that name: `FactBook.of`."""
FitOf = Callable[[Target], Fit | None]
"""Does it fit where it runs?  `Fitting.of`."""


class _List(NamedTuple):
    """What one upstream has said."""

    cards: Mapping[str, ModelCard]
    remote: frozenset[str]
    """The whole names of models that it has run elsewhere."""


class ModelLists:
    """What each upstream serves, by its own word.  `known` is for routing; `merged` for clients."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lists: dict[str, _List] = {}
        self._next_at: dict[str, float] = {}
        self._round = trio.Lock()
        self.version = 0
        """Goes up whenever somebody has said something new."""

    def learn(self, provider: str, cards: Iterable[ModelCard]) -> None:
        """`provider` has just said this of itself."""
        listed = {card.id: card for card in cards}
        if listed != self.cards(provider):
            remote = frozenset(whole_name(name) for name, card in listed.items() if card.is_remote)
            self._lists[provider] = _List(listed, remote)
            self.version += 1
        self._next_at[provider] = trio.current_time() + FRESH_S

    def forget(self, provider: str) -> None:
        self._next_at.pop(provider, None)
        if self._lists.pop(provider, None) is not None:
            self.version += 1

    def keep(self) -> Callable[[], None]:
        """What makes all that was learnt or forgotten since then undone."""
        lists, next_at = dict(self._lists), dict(self._next_at)

        def go_back() -> None:
            if self._lists != lists:
                self.version += 1
            self._lists, self._next_at = lists, next_at

        return go_back

    def cards(self, provider: str) -> Mapping[str, ModelCard] | None:
        """By name; None where it has not said yet."""
        found = self._lists.get(provider)
        return None if found is None else found.cards

    def known(self, provider: str) -> frozenset[str] | None:
        cards = self.cards(provider)
        return None if cards is None else frozenset(cards)

    def facts(self, provider: str, model: str) -> ModelFacts:
        """What `provider` itself has told of `model`."""
        card = (self.cards(provider) or {}).get(model)
        return NOTHING_KNOWN if card is None else card.facts

    def is_remote(self, target: Target) -> bool:
        """Its provider is known to have it run elsewhere, by its name or by the list."""
        if is_cloud_name(target.model):
            return True
        found = self._lists.get(target.provider)
        return found is not None and bool(found.remote) and whole_name(target.model) in found.remote

    async def refresh(self, only: Collection[str] | None = None) -> None:
        """Ask whoever has not been asked lately, all at once, or those of the names in `only`.

        Waits at most ASK_S, and for the round that others have begun; never raises for an upstream.
        """
        if not self._stale(only):
            return  # a round may be waiting for somebody else
        async with self._round, trio.open_nursery() as nursery:
            for upstream in self._stale(only):
                nursery.start_soon(self._ask, upstream)

    def _stale(self, only: Collection[str] | None) -> list[Upstream]:
        now = trio.current_time()
        asked = (upstream for upstream in self._fleet if only is None or upstream.name in only)
        return [upstream for upstream in asked if now >= self._next_at.get(upstream.name, now)]

    async def _ask(self, upstream: Upstream) -> None:
        cards: list[ModelCard] = []
        with trio.move_on_after(ASK_S):
            try:
                cards = await upstream.list_models()
            except HooshError:
                pass  # it is down, or has no such list: what it said before still stands
        if self._fleet.members.get(upstream.name) is not upstream:
            return  # it has left meanwhile; somebody else may have its name
        if cards:
            self.learn(upstream.name, cards)
        else:
            self._next_at[upstream.name] = trio.current_time() + AGAIN_S

    def merged(
        self, routes: RouteTable, facts_of: FactsOf | None = None, fit_of: FitOf | None = None
    ) -> list[ModelCard]:
        """Every model once, aliases and all; whoever would be asked first owns it.

        With `facts_of` each card tells all that is known of it, else only what its provider has told; with `fit_of`
        also whether it fits where it runs.
        """
        merged: dict[str, ModelCard] = {}

        def add(card: ModelCard, target: Target) -> None:
            facts = card.facts if facts_of is None else facts_of(card.id, target)
            merged[card.id] = replace(card, facts=facts, fit=None if fit_of is None else fit_of(target))

        for name in routes.aliases:
            card = merged[name] = ModelCard(name, "hoosh")
            first = _first(routes, name)
            if first is not None:  # an alias is as able as the first it stands for
                add(card, first)
        for route in routes.routes:
            cards = self.cards(route.name)
            for card in (cards or {}).values():
                if card.id not in merged and routes.serves(route, card.id):
                    add(card, Target(route.name, card.id))
            if cards is None and not route.presumed:
                for name in route.models or route.unlisted:
                    if not any(sign in name for sign in "*?[") and name not in merged:
                        add(ModelCard(name, route.name), Target(route.name, name))
        return list(merged.values())


def _first(routes: RouteTable, alias: str) -> Target | None:
    """Whom an alias would be asked of; None where nobody serves it now, or not for chats."""
    try:
        first, *_ = routes.candidates(alias)
    except InvalidRequest:
        return None
    return first
