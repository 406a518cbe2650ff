"""Another configuration for a gateway that runs: build beside, swap, see off who is gone.

    config ─▶ whom it asks for ─▶ who is new is built in a thread, and his pool runs    ConfigError: nothing has changed
           ─▶ swap, without a wait: upstreams, routes, keys, limits, pools of tokens, prices, …  a bug in a room: undone
           ─▶ who is gone is seen off: once no request may ask him any more, his connections end

A request keeps the upstreams that were there when it was decided who may answer it.  Usage of keys and pools, health,
the cache and everything else that lives is carried over; an upstream that is told to be reached in another way begins
anew.  Some keys only take effect at a start: they stay as they are, and the result names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio
from msgspec.structs import replace

from hoosh import events
from hoosh.access import KeyRing
from hoosh.config import Config
from hoosh.errors import ConfigError, InvalidRequest, Unavailable
from hoosh.gateway.fleet import HttpUpstream, Upstream
from hoosh.gateway.fleet_change import FleetChange, see_off
from hoosh.gateway.rooms import steps_of_rooms
from hoosh.gateway.snapshot import Snapshot
from hoosh.gateway.steps import RoomFailed, Step, nothing, take_all
from hoosh.gateway.trail_change import TrailChange
from hoosh.gateway.wanted import Wanted
from hoosh.values import Reloaded

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["Reloader"]

FIXED: Mapping[str, tuple[str, ...]] = {
    "server": ("bind", "port", "unix_socket", "http2", "tls_cert", "tls_key", "tls_client_ca"),
    "storage": ("url", "durability"),
}
"""Keys that are looked at when the gateway starts, and only then."""
TOLD = ("changed", "added", "removed", "replaced", "needs_restart")


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
                told = await self._apply(await self._read() if config is None else config, by)
        except ConfigError as error:
            self._tell_refused(by, len(error.mistakes), {"mistakes": "; ".join(error.mistakes)})
            raise
        except RoomFailed as error:
            self._tell_refused(by, 0, self._told_of(error.room, error.__cause__))
            raise
        facts = {name: ", ".join(words) for name in TOLD if (words := getattr(told, name))}
        gateway.log.info("configuration reloaded", room="config", generation=told.generation, **facts)
        message = "The configuration was reloaded."
        gateway.note("config.reloaded", "info", message, by=by, generation=told.generation, **facts)
        gateway.events.publish(events.Reloaded(ok=True, changed=told.changed))
        return told

    def _tell_refused(self, by: str, mistakes: int, facts: Mapping[str, str]) -> None:
        """`mistakes` are the file's, with none it is ours; `facts` are for the log."""
        gateway = self._gateway
        gateway.log.error("configuration not reloaded", room="config", **facts)
        gateway.note("config.refused", "warn", "A configuration was refused.", by=by, mistakes=mistakes)
        gateway.events.publish(events.Reloaded(ok=False, mistakes=mistakes))

    def _told_of(self, room: str, bug: BaseException | None) -> dict[str, str]:
        """A bug, for the log."""
        stack = "" if bug is None else self._gateway.log.stack_of(bug)
        return {"failed": room, "error": type(bug).__name__, "stack": stack}

    def _tell_stuck(self, room: str, bug: Exception) -> None:
        self._gateway.log.error("configuration not undone", room="config", **self._told_of(room, bug))

    async def _read(self) -> Config:
        source = self._gateway.source
        if source is None:
            message = "The configuration of this gateway has not come from a file: it cannot be read again."
            raise InvalidRequest(message, code="no_configuration_file")
        return await trio.to_thread.run_sync(source, abandon_on_cancel=True)

    async def _apply(self, config: Config, by: str) -> Reloaded:
        self._services()
        before = self._gateway.snapshot.config
        config, needs_restart = _as_far_as_possible(config, before)
        config.require_lock()
        keys = KeyRing(config.all_keys())
        # In threads, because of files.  Not abandoned: it takes a moment, and nothing runs yet.
        wanted, prepared = await trio.to_thread.run_sync(self._prepare, config)
        built = await self._build_new(wanted)
        trail = TrailChange(self._gateway, config.audit, by)
        try:
            await trail.prepare()
            services = self._services()  # it may have been closed meanwhile
            told = self._compare(wanted, before, config, needs_restart)
            fleet = FleetChange(self._gateway, self._wanted, wanted, built)
            self._swap(Snapshot(config, keys, self._gateway.snapshot.routes), fleet, prepared, trail)
        except BaseException:
            _close(built.values())
            await trail.withdraw()
            raise
        self._wanted, self.generation = wanted, told.generation
        for upstream in fleet.left:
            if isinstance(upstream, HttpUpstream):
                services.start_soon(see_off, self._gateway, upstream)
        await trail.settle(services)
        return told

    def _prepare(self, config: Config) -> tuple[dict[str, Wanted], list[Step]]:
        """Whom it asks for, and what is to be done when it takes effect."""
        prepared = [prepare(config) for prepare in self._gateway.preparations]
        return {each.name: each for each in self._plan(config)}, prepared

    async def _build_new(self, wanted: Mapping[str, Wanted]) -> dict[str, Upstream]:
        """Those that are not there, or not so.  Their pools run."""
        new = [each for each in wanted.values() if not self._is_there(each)]
        if not new:
            return {}
        upstreams = await trio.to_thread.run_sync(lambda: [self._build(each) for each in new])
        try:
            for upstream in upstreams:
                if isinstance(upstream, HttpUpstream):
                    await self._services().start(upstream.run)  # it may be closing by now
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

    def _swap(self, snapshot: Snapshot, fleet: FleetChange, prepared: Iterable[Step], trail: TrailChange) -> None:
        """No request sees half of it: nothing in here waits, and where a step fails all are undone.

        Raises ConfigError and RoomFailed.
        """
        gateway = self._gateway
        before, config = gateway.snapshot, snapshot.config

        def show(snapshot: Snapshot) -> None:
            gateway.snapshot = snapshot

        steps = [
            Step("routes as before", nothing, gateway.reroute),  # undone last: what leads where is asked of the rooms
            *steps_of_rooms(gateway, config),
            fleet.joining,
            Step("snapshot", partial(show, snapshot), partial(show, before)),
            fleet.parting,
            Step("routes", gateway.reroute),
            *prepared,
            # Late: whom discovery gives up it has to find again.
            *(Step("doors", partial(tell, config), partial(tell, before.config)) for tell in gateway.when_configured),
            trail.step,
        ]
        take_all(steps, self._tell_stuck)


def _close(upstreams: Iterable[Upstream]) -> None:
    for upstream in upstreams:
        if isinstance(upstream, HttpUpstream):
            upstream.close()


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
