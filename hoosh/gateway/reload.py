"""Another configuration for a gateway that runs: build beside, swap, see off who is gone.

    config ─▶ whom it asks for ─▶ who is new is built in a thread, and his pool runs    ConfigError: nothing has changed
           ─▶ swap, without a wait: upstreams, routes, keys, limits, pools of tokens, prices, …
           ─▶ who is gone is seen off: once no request may ask him any more, his connections end

A request keeps the upstreams that were there when it was decided who may answer it.  Usage of keys and pools, health,
the cache and everything else that lives is carried over; an upstream that is told to be reached in another way begins
anew.  Some keys only take effect at a start: they stay as they are, and the result names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

import trio
from msgspec import Struct
from msgspec.structs import replace

from hoosh import events
from hoosh.access import KeyRing
from hoosh.config import Config, Provider, Server
from hoosh.errors import ConfigError, InvalidRequest, Unavailable
from hoosh.gateway.config_watch import Look
from hoosh.gateway.fleet import HttpUpstream, Upstream
from hoosh.gateway.snapshot import Snapshot
from hoosh.routing import Route, Strategy
from hoosh.values import Reloaded, Secret

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["Reloader", "Wanted", "lets_all_in", "see_off", "strategies_in", "turns_of"]

FIXED: Mapping[str, tuple[str, ...]] = {
    "server": ("bind", "port", "unix_socket", "http2", "tls_cert", "tls_key", "tls_client_ca"),
    "storage": ("url", "durability"),
    "audit": ("enabled", "signing_key", "previous_key", "max_entries", "checkpoint_every"),
}
"""Keys that are looked at when the gateway starts, and only then."""
TOLD = ("changed", "added", "removed", "replaced", "needs_restart")
LOOK_S = 0.5
"""How often it is looked whether somebody still asks an upstream that is gone."""


class Wanted(Struct, frozen=True):
    """An account that a configuration asks for.  `provider` is None for the one that is embedded."""

    name: str
    route: Route
    provider: Provider | None = None
    key: Secret | None = None
    total_s: float = 0.0
    """What any exchange may take."""
    files: tuple[Look, ...] = ()
    """How those looked that belong to its connections."""

    def is_reached_like(self, other: Wanted) -> bool:
        """The same connections will do."""
        return _reached(self) == _reached(other)


def _reached(wanted: Wanted) -> tuple[object, ...]:
    """Without what only routing looks at."""
    provider = wanted.provider
    if provider is not None:
        provider = replace(
            provider,
            **dict.fromkeys(("api_key", "rate_limit_rpm", "tpm", "max_concurrent"), None),
            keys=(),
            weight=1,
            priority=0,
            models=(),
            max_tokens_limit=None,
        )
    return provider, wanted.key, wanted.total_s, wanted.files


class Plan(Protocol):
    def __call__(self, config: Config) -> Iterable[Wanted]:
        """Whom `config` asks for, in the order of the fleet.  Looks at files; raises ConfigError."""
        ...


class Reloader:
    """The only way in which a configuration that runs is replaced; one at a time."""

    def __init__(
        self, gateway: Gateway, wanted: Iterable[Wanted], plan: Plan, build: Callable[[Wanted], Upstream]
    ) -> None:
        """`wanted` are those that are there.

        `build` makes the living counterpart of an account; it may block for a moment, and raises ConfigError.
        """
        self._gateway = gateway
        self._plan = plan
        self._build = build
        self._wanted = {each.name: each for each in wanted}
        self._one_at_a_time = trio.Lock()
        self.generation = 1

    async def reload(self, config: Config | None, *, by: str) -> Reloaded:
        """As `Gateway.reload`; log and audit trail are told."""
        gateway = self._gateway
        try:
            async with self._one_at_a_time:  # read within: who has read first must not be the last to apply it
                told = await self._apply(await self._read() if config is None else config)
        except ConfigError as error:
            gateway.log.error("configuration not reloaded", room="config", mistakes="; ".join(error.mistakes))
            gateway.note("config.refused", "warn", "A configuration was refused.", by=by, mistakes=len(error.mistakes))
            gateway.events.publish(events.Reloaded(ok=False, mistakes=len(error.mistakes)))
            raise
        facts = {name: ", ".join(words) for name in TOLD if (words := getattr(told, name))}
        gateway.log.info("configuration reloaded", room="config", generation=told.generation, **facts)
        message = "The configuration was reloaded."
        gateway.note("config.reloaded", "info", message, by=by, generation=told.generation, **facts)
        gateway.events.publish(events.Reloaded(ok=True, changed=told.changed))
        return told

    async def _read(self) -> Config:
        source = self._gateway.source
        if source is None:
            message = "The configuration of this gateway has not come from a file: it cannot be read again."
            raise InvalidRequest(message, code="no_configuration_file")
        return await trio.to_thread.run_sync(source, abandon_on_cancel=True)

    async def _apply(self, config: Config) -> Reloaded:
        self._services()
        before = self._gateway.snapshot.config
        config, needs_restart = _as_far_as_possible(config, before)
        config.require_lock()
        keys = KeyRing(config.all_keys())
        # In threads, because of files.  Not abandoned: it takes a moment, and nothing runs yet.
        wanted, prepared = await trio.to_thread.run_sync(self._prepare, config)
        built = await self._build_new(wanted)
        try:
            self._services()  # it may have been closed meanwhile
            self._gateway.traces.configure(config.telemetry)
            self._gateway.webhooks.configure(config.webhooks)
        except BaseException:
            self._gateway.traces.configure(before.telemetry)
            _close(built.values())
            raise
        told = self._compare(wanted, before, config, needs_restart)
        self._swap(config, keys, wanted, built)
        for take_effect in prepared:
            take_effect()
        return told

    def _prepare(self, config: Config) -> tuple[dict[str, Wanted], list[Callable[[], object]]]:
        """Whom it asks for, and what is to be done when it takes effect."""
        prepared = [prepare(config) for prepare in self._gateway.preparations]
        return {each.name: each for each in self._plan(config)}, prepared

    async def _build_new(self, wanted: Mapping[str, Wanted]) -> dict[str, Upstream]:
        """Those that are not there, or not so.  Their pools run."""
        new = [each for each in wanted.values() if not self._is_there(each)]
        if not new:
            return {}
        services = self._services()
        upstreams = await trio.to_thread.run_sync(lambda: [self._build(each) for each in new])
        try:
            for upstream in upstreams:
                if isinstance(upstream, HttpUpstream):
                    await services.start(upstream.run)
        except BaseException:
            _close(upstreams)
            raise
        return {upstream.name: upstream for upstream in upstreams}

    def _services(self) -> trio.Nursery:
        """Raises Unavailable where the gateway is not open: its books, for one, are not there then."""
        services = self._gateway.services
        if services is None:
            raise Unavailable("The gateway is not open.")
        return services

    def _is_there(self, wanted: Wanted) -> bool:
        known = self._wanted.get(wanted.name)
        return known is not None and known.is_reached_like(wanted)

    def _compare(
        self, wanted: Mapping[str, Wanted], before: Config, config: Config, needs_restart: tuple[str, ...]
    ) -> Reloaded:
        had = self._wanted
        return Reloaded(
            generation=self.generation + 1,
            changed=tuple(name for name in Config.__struct_fields__ if getattr(before, name) != getattr(config, name)),
            added=tuple(name for name in wanted if name not in had),
            removed=tuple(name for name in had if name not in wanted),
            replaced=tuple(name for name, each in wanted.items() if name in had and not self._is_there(each)),
            needs_restart=needs_restart,
        )

    def _swap(self, config: Config, keys: KeyRing, wanted: Mapping[str, Wanted], built: Mapping[str, Upstream]) -> None:
        """No request sees half of it: nothing in here waits, and nothing is expected to fail."""
        gateway, fleet = self._gateway, self._gateway.fleet
        found = {name: each for name, each in fleet.members.items() if name not in self._wanted and name not in wanted}
        asked_for = {name: built.get(name) or fleet.members[name] for name in wanted}
        left = fleet.become([*asked_for.values(), *found.values()])
        for upstream in left:
            gateway.forget(upstream.name, keeps_list=_is_same_place(upstream, asked_for.get(upstream.name)))
        for name, each in wanted.items():
            _adjust(asked_for[name], each)
        gateway.set_routes({name: each.route for name, each in wanted.items()}, and_of=found)
        self._wanted = dict(wanted)
        _configure(gateway, Snapshot(config, keys, gateway.snapshot.routes))
        self.generation += 1
        services = self._services()
        for upstream in left:
            if isinstance(upstream, HttpUpstream):
                services.start_soon(see_off, gateway, upstream)


def _is_same_place(upstream: Upstream, other: Upstream | None) -> bool:
    """Whoever is there, by whatever key he is asked: what he lists is known."""
    if not isinstance(upstream, HttpUpstream) or not isinstance(other, HttpUpstream):
        return False
    return upstream.kind is other.kind and upstream.base_url == other.base_url


def _close(upstreams: Iterable[Upstream]) -> None:
    for upstream in upstreams:
        if isinstance(upstream, HttpUpstream):
            upstream.close()


def _adjust(upstream: Upstream, wanted: Wanted) -> None:
    """What an upstream that stays is told anew."""
    if isinstance(upstream, HttpUpstream) and wanted.provider is not None:
        upstream.patterns = wanted.provider.models
        upstream.max_tokens_limit = wanted.provider.max_tokens_limit


def _as_far_as_possible(config: Config, before: Config) -> tuple[Config, tuple[str, ...]]:
    """`config`, with what only a start can change as it was; and the names of those keys."""
    late: list[str] = []
    for section, names in FIXED.items():
        new, old = getattr(config, section), getattr(before, section)
        kept = {name: getattr(old, name) for name in names if getattr(new, name) != getattr(old, name)}
        if kept:
            config = replace(config, **{section: replace(new, **kept)})
            late += [f"{section}.{name}" for name in kept]
    return config, tuple(late)


def _configure(gateway: Gateway, snapshot: Snapshot) -> None:
    """Each room in its own way.  What is as before is left alone where being told again would cost something."""
    config, before = snapshot.config, gateway.snapshot.config
    server = config.server
    gateway.facts.configure(config.alias_facts())
    gateway.books.configure(config)
    gateway.board.configure(config.health)
    gateway.supervisor.configure(config.health)
    gateway.chooser.configure(config.routing)
    gateway.dispatcher.configure(config.routing, config.retry, strategies_in(config), total_s=server.request_timeout_s)
    if turns_of(server) != turns_of(before.server):
        gateway.turnstile.configure(*turns_of(server))
    if server.max_lag_ms != before.server.max_lag_ms:
        gateway.shedder.configure(server.max_lag_ms)
    gateway.has_room = lets_all_in(server)
    gateway.uploads.configure(max_bytes=server.max_uploads_bytes)
    if config.cache != before.cache:
        gateway.caching.configure(config.cache)
    gateway.events.configure(config.events)
    gateway.log.configure(config.logging)
    gateway.snapshot = snapshot
    for tell in gateway.when_configured:
        tell(config)
    gateway.reroute()


def lets_all_in(server: Server) -> bool:
    """However many ask: nobody waits for a turn, nobody is turned away."""
    return server.max_concurrent is None and server.max_lag_ms is None


def turns_of(server: Server) -> tuple[int | None, int, float]:
    """How many requests at once, how many may wait, and how long."""
    return server.max_concurrent, server.max_queue, min(server.queue_timeout_s, server.request_timeout_s)


def strategies_in(config: Config) -> tuple[Strategy, ...]:
    """All that are in use."""
    return config.routing.strategy, *(each.strategy for each in config.models if each.strategy)


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
