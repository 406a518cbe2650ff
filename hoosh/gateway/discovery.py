"""Local engines: found at their usual loopback ports, and looked for again and again while the house is open.

    every few seconds, all ports at once: the model list (GET /v1/models; Ollama's own GET /api/tags)
        a list             whose is it?  join the fleet, or bring its list up to date
        no list            an engine that never has one?  (whisper.cpp, Piper: see `catalogue.recognition`)
        nothing            after a few misses, leave it

The first round is short, and happens beside the listener, never before it: whoever needs its result waits for
`gateway.discovered`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import trio
from msgspec import Struct
from msgspec.structs import replace

from hoosh.catalogue import PROVIDER_TYPES, SIGNS, ProviderType, engine_at, is_sign_of, local_ports, model_facts
from hoosh.config import Config, Provider, local_provider
from hoosh.errors import HooshError
from hoosh.gateway.fleet import HttpUpstream
from hoosh.gateway.fleet_change import see_off
from hoosh.gateway.gateway import Gateway
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HttpRequest, RequestHead
from hoosh.routing import Route
from hoosh.values import Capability, ModelCard

__all__ = ["Discovery"]

FIRST_ROUND_S = 0.3
ROUND_S = 2.0
EVERY_S = 10.0
MISSES = 3
"""Rounds without an answer before a found engine is forgotten."""
SPEAKS = frozenset({Capability.SPEECH})
SIGN_BYTES = 1024 * 1024
"""Piper's `/voices` tells each voice's whole configuration."""


class Build(Protocol):
    def __call__(self, provider: Provider, *, total_s: float) -> HttpUpstream: ...


class Found(Struct, frozen=True):
    """Who answers at a port, and with which models."""

    kind: ProviderType
    cards: Sequence[ModelCard]


class Post:
    """One port we keep an eye on: the engine we take it for, and how long it has been silent."""

    __slots__ = ("misses", "port", "upstream")

    def __init__(self, port: int, upstream: HttpUpstream) -> None:
        self.port = port
        self.upstream = upstream
        self.misses = 0


class Discovery:
    """A service.  Ready at once; `gateway.discovered` is set after the first round, FIRST_ROUND_S later at most."""

    def __init__(self, gateway: Gateway, build: Build, route_of: Callable[[Provider], Route]) -> None:
        self._gateway = gateway
        self._build = build
        self._route_of = route_of
        self._posts: dict[int, Post] = {}
        self._usual = local_ports()
        self._pools: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as pools:
            self._pools = pools
            task_status.started()
            await self._round(FIRST_ROUND_S, pools)
            self._gateway.discovered.set()
            while True:
                await trio.sleep(EVERY_S)
                await self._round(ROUND_S, pools)

    def reconsider(self, config: Config) -> None:
        """Leave those that the configuration does not want to be found any more; the others may take as long as it
        says.  Who has not been found yet is looked for in a while."""
        for post in list(self._posts.values()):
            provider, upstream = local_provider(config, post.upstream.kind, post.port), post.upstream
            if provider is None:
                del self._posts[post.port]
                self._give_up(post)
            else:
                total_s = min(provider.timeouts.total_s, config.server.request_timeout_s)
                upstream.timeouts = replace(upstream.timeouts, total_s=total_s)

    async def _look_at_more(self, pools: trio.Nursery) -> None:
        """Ports that nobody looks at, and somebody may."""
        for port, kinds in self._usual.items():
            if port not in self._posts and port != self._gateway.snapshot.config.server.port:  # that is ourselves
                await self._watch(port, kinds[0], pools)

    async def _watch(self, port: int, kind: ProviderType, pools: trio.Nursery) -> Post | None:
        """Take `port` for an engine of `kind`, unless the configuration knows better."""
        provider = local_provider(self._gateway.snapshot.config, kind, port)
        if provider is None:
            return None
        upstream = self._build(provider, total_s=self._gateway.snapshot.config.server.request_timeout_s)
        await pools.start(upstream.run)
        post = self._posts[port] = Post(port, upstream)
        return post

    async def _round(self, within_s: float, pools: trio.Nursery) -> None:
        await self._look_at_more(pools)
        if not self._posts:
            return
        answers: dict[int, Found] = {}
        with trio.move_on_after(within_s):
            async with trio.open_nursery() as probes:
                for post in self._posts.values():
                    probes.start_soon(self._probe, post, answers)
        for post in list(self._posts.values()):
            found = answers.get(post.port)
            if self._posts.get(post.port) is not post:
                pass  # the configuration has changed meanwhile
            elif found is not None:
                await self._learn(post, found, pools)
            else:
                await self._miss(post, pools)
        self._gateway.reroute()

    # -- who is there? --------------------------------------------------------------------------------------------

    async def _probe(self, post: Post, answers: dict[int, Found]) -> None:
        found = await self._listed(post) or await self._unlisted(post)
        if found is not None:
            answers[post.port] = found

    async def _listed(self, post: Post) -> Found | None:
        """An engine that lists its models, in the words of the one we take it for."""
        if post.upstream.kind.unlisted:
            return None
        try:
            cards = await post.upstream.list_models()
        except HooshError:
            return None
        # A gateway like this one is not an engine, and might ask us back.
        if not cards or any(card.owned_by == "hoosh" for card in cards):
            return None
        return Found(self._owner(post, cards), cards)

    def _owner(self, post: Post, cards: Sequence[ModelCard]) -> ProviderType:
        kind = post.upstream.kind
        if kind.dialect != "openai":
            return kind
        if all(model_facts(card.id).can == SPEAKS for card in cards):
            return PROVIDER_TYPES["openedai"]
        return engine_at(post.port, [card.owned_by for card in cards]) or kind

    async def _unlisted(self, post: Post) -> Found | None:
        """An engine that has no such list, known by another sign."""
        for kind in self._usual[post.port]:
            if kind.wire in SIGNS and await self._gives_itself_away(post.upstream, kind):
                return Found(kind, [ModelCard(name, kind.wire) for name in kind.unlisted])
        return None

    async def _gives_itself_away(self, upstream: HttpUpstream, kind: ProviderType) -> bool:
        request = HttpRequest(RequestHead(upstream.origin, "GET", SIGNS[kind.wire].path))
        timeouts = Timeouts(connect_s=ROUND_S, first_byte_s=ROUND_S, idle_s=ROUND_S, total_s=ROUND_S)
        try:
            status, headers, body = await upstream.pool.fetch(request, timeouts, max_bytes=SIGN_BYTES)
        except HooshError:
            return False
        return is_sign_of(kind, status, headers.text(b"server") or "", body)

    # -- what of it? ----------------------------------------------------------------------------------------------

    async def _learn(self, post: Post, found: Found, pools: trio.Nursery) -> None:
        if found.kind is not post.upstream.kind:
            self._give_up(post)
            watched = await self._watch(post.port, found.kind, pools)
            if watched is None:
                return
            post = watched
        post.misses = 0
        upstream, gateway = post.upstream, self._gateway
        if upstream.name not in gateway.fleet.members:
            provider = local_provider(gateway.snapshot.config, upstream.kind, post.port)
            if provider is None:
                return
            gateway.fleet.join(upstream)
            gateway.add_route(self._route_of(provider))
        if gateway.fleet[upstream.name] is upstream:  # else two ports are taken for one engine: the first has it
            self._gateway.board.probed(upstream.name, None, trio.current_time())
            gateway.lists.learn(upstream.name, found.cards)

    async def _miss(self, post: Post, pools: trio.Nursery) -> None:
        post.misses += 1
        if post.misses < MISSES:
            return
        likeliest = self._usual[post.port][0]
        if post.upstream.kind is likeliest:
            self._lose(post)
        else:  # somebody else may come in its place
            self._give_up(post)
            await self._watch(post.port, likeliest, pools)

    def _give_up(self, post: Post) -> None:
        """Nobody looks at it as this engine any more."""
        self._lose(post)
        assert self._pools is not None, "there are posts only while it runs"
        self._pools.start_soon(see_off, self._gateway, post.upstream)

    def _lose(self, post: Post) -> None:
        name, fleet = post.upstream.name, self._gateway.fleet
        if fleet.members.get(name) is post.upstream:
            fleet.leave(name)
            self._gateway.forget(name)
            self._gateway.reroute()  # at once: a request must not find a route to nobody
