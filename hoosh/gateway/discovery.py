"""Local engines: found at their usual loopback ports, and looked for again and again while the house is open.

    every few seconds, all ports at once: GET /v1/models
        a model list   join the fleet, or bring its list up to date
        nothing        after a few misses, leave it

The first round is short, and happens beside the listener, never before it: whoever needs its result waits for
`gateway.discovered`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from hoosh.catalogue import ProviderType, engine_at, local_ports
from hoosh.config import Provider, local_provider
from hoosh.errors import HooshError
from hoosh.gateway.fleet import HttpUpstream
from hoosh.gateway.gateway import Gateway
from hoosh.routing import Route
from hoosh.values import ModelCard

__all__ = ["Discovery"]

FIRST_ROUND_S = 0.3
ROUND_S = 2.0
EVERY_S = 10.0
MISSES = 3
"""Rounds without an answer before a found engine is forgotten."""


class Post:
    """One port we keep an eye on: the engine we take it for, and how long it has been silent."""

    __slots__ = ("misses", "port", "upstream")

    def __init__(self, port: int, upstream: HttpUpstream) -> None:
        self.port = port
        self.upstream = upstream
        self.misses = 0


class Discovery:
    """A service.  Ready at once; `gateway.discovered` is set after the first round, FIRST_ROUND_S later at most."""

    def __init__(
        self, gateway: Gateway, build: Callable[[Provider], HttpUpstream], route_of: Callable[[Provider], Route]
    ) -> None:
        self._gateway = gateway
        self._build = build
        self._route_of = route_of
        self._posts: dict[int, Post] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as pools:
            for port, kinds in local_ports().items():
                if port != self._gateway.snapshot.config.server.port:  # that is ourselves
                    await self._watch(port, kinds[0], pools)
            task_status.started()
            await self._round(FIRST_ROUND_S, pools)
            self._gateway.discovered.set()
            while True:
                await trio.sleep(EVERY_S)
                await self._round(ROUND_S, pools)

    async def _watch(self, port: int, kind: ProviderType, pools: trio.Nursery) -> None:
        """Take `port` for an engine of `kind`, unless the configuration knows better."""
        provider = local_provider(self._gateway.snapshot.config, kind, port)
        if provider is not None:
            upstream = self._build(provider)
            await pools.start(upstream.pool.run)
            self._posts[port] = Post(port, upstream)

    async def _round(self, within_s: float, pools: trio.Nursery) -> None:
        answers: dict[int, list[ModelCard]] = {}
        with trio.move_on_after(within_s):
            async with trio.open_nursery() as probes:
                for post in self._posts.values():
                    probes.start_soon(self._probe, post, answers)
        for post in list(self._posts.values()):
            cards = answers.get(post.port)
            if cards:
                await self._learn(post, cards, pools)
            else:
                self._miss(post)
        self._gateway.reroute()

    async def _probe(self, post: Post, answers: dict[int, list[ModelCard]]) -> None:
        try:
            cards = await post.upstream.list_models()
        except HooshError:
            return
        # A gateway like this one is not an engine, and might ask us back.
        if not any(card.owned_by == "hoosh" for card in cards):
            answers[post.port] = cards

    async def _learn(self, post: Post, cards: list[ModelCard], pools: trio.Nursery) -> None:
        kind = engine_at(post.port, [card.owned_by for card in cards]) or post.upstream.kind
        if kind is not post.upstream.kind:
            self._lose(post)
            await self._watch(post.port, kind, pools)
            post = self._posts[post.port]
        post.misses = 0
        upstream, gateway = post.upstream, self._gateway
        if upstream.name not in gateway.fleet.members:
            provider = local_provider(gateway.snapshot.config, kind, post.port)
            if provider is None:
                return
            gateway.fleet.join(upstream)
            gateway.add_route(self._route_of(provider))
        if gateway.fleet[upstream.name] is upstream:  # else two ports are taken for one engine: the first has it
            upstream.pulse.well()
            gateway.lists.learn(upstream.name, cards)

    def _miss(self, post: Post) -> None:
        post.misses += 1
        if post.misses >= MISSES:
            self._lose(post)

    def _lose(self, post: Post) -> None:
        name, fleet = post.upstream.name, self._gateway.fleet
        if fleet.members.get(name) is post.upstream:
            fleet.leave(name)
            self._gateway.remove_route(name)
