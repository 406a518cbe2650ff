"""Another fleet for a gateway that runs: who is new joins, who stays is told anew, who is gone is seen off.

Local engines that were found stay, unless one of those who are wanted has their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from hoosh.gateway.fleet import HttpUpstream, Upstream
from hoosh.gateway.steps import Step
from hoosh.gateway.wanted import Wanted

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["FleetChange", "see_off"]

LOOK_S = 0.5
"""How often it is looked whether somebody still asks an upstream that is gone."""


class FleetChange:
    """Those who are `wanted` take the place of those who were.  `built` are the new ones; their pools run."""

    def __init__(
        self,
        gateway: Gateway,
        were: Mapping[str, Wanted],
        wanted: Mapping[str, Wanted],
        built: Mapping[str, Upstream],
    ) -> None:
        self._gateway = gateway
        fleet = gateway.fleet
        self._were, self._wanted = were, wanted
        self._before = {name: fleet.members[name] for name in were}
        self._departed = dict(fleet.departed)
        self._after = {name: built.get(name) or fleet.members[name] for name in wanted}
        named = were.keys() | wanted.keys()
        self.left = [
            each for name, each in fleet.members.items() if name in named and self._after.get(name) is not each
        ]
        """Those who leave, one who is replaced by another among them."""

    @property
    def joining(self) -> Step:
        return Step("fleet", lambda: self._field(self._after, self._wanted), self._return)

    @property
    def parting(self) -> Step:
        """Nothing is held against those who leave, or known of them but for the list of one who stays where it is.

        Undone, their lists are known again; what they were held to be is not, and is soon found out.
        """
        return Step("partings", self._part, self._gateway.lists.keep())

    def _field(self, upstreams: Mapping[str, Upstream], wanted: Mapping[str, Wanted]) -> None:
        gateway = self._gateway
        named = self._were.keys() | self._wanted.keys()
        found = {name: each for name, each in gateway.fleet.members.items() if name not in named}
        gateway.fleet.become([*upstreams.values(), *found.values()])
        for name, each in wanted.items():
            _adjust(upstreams[name], each)
        gateway.set_routes({name: each.route for name, each in wanted.items()}, and_of=found)

    def _return(self) -> None:
        """As it was, but for the table of routes.

        A found engine whose name was taken comes back in the next round of discovery.
        """
        self._field(self._before, self._were)
        self._gateway.fleet.departed = dict(self._departed)

    def _part(self) -> None:
        board, lists = self._gateway.board, self._gateway.lists
        for upstream in self.left:
            board.forget(upstream.name)
            if not _is_same_place(upstream, self._after.get(upstream.name)):
                lists.forget(upstream.name)
        for name, each in self._wanted.items():
            if each.provider is None and name in self._were and self._were[name].route.models != each.route.models:
                lists.forget(name)  # who is in the house lists what its configuration says


def _adjust(upstream: Upstream, wanted: Wanted) -> None:
    """What an upstream that stays is told anew."""
    if isinstance(upstream, HttpUpstream) and wanted.provider is not None:
        upstream.patterns = wanted.provider.models
        upstream.max_tokens_limit = wanted.provider.max_tokens_limit
        upstream.accelerator_bytes = wanted.provider.accelerator_bytes


def _is_same_place(upstream: Upstream, other: Upstream | None) -> bool:
    """Whoever is there, by whatever key he is asked: what he lists is known."""
    if not isinstance(upstream, HttpUpstream) or not isinstance(other, HttpUpstream):
        return False
    return upstream.kind is other.kind and upstream.base_url == other.base_url


async def see_off(gateway: Gateway, upstream: HttpUpstream) -> None:
    """A task: keeps the connections of one that has left until no request may ask it any more."""
    while _is_asked(gateway, upstream):  # noqa: ASYNC110  # to be told would cost every request
        await trio.sleep(LOOK_S)
    upstream.close()
    departed = gateway.fleet.departed
    if departed.get(upstream.name) is upstream:
        del departed[upstream.name]


def _is_asked(gateway: Gateway, upstream: HttpUpstream) -> bool:
    name, pool = upstream.name, upstream.pool.statistics()
    if pool.active or pool.waiting:
        return True
    return any(
        account.upstreams.get(name) is upstream
        for accounts in (gateway.in_flight, gateway.caching.flights.payers())
        for account in accounts
    )
