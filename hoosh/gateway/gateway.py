"""The gateway: what the doors ask, and what an embedder holds.  It owns the service nursery.

    async with open_gateway(config) as gateway:      # services are running
        await gateway.models()
        async with httpx.AsyncClient(transport=hoosh.transport(gateway), base_url="http://gateway") as client: ...

What a request reads is one frozen `Snapshot`; what lives (fleet, in-flight requests, measurements) is kept here and
survives a change of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

import hoosh
from hoosh.access import KeyRing
from hoosh.config import Config
from hoosh.dialects.contract import DownstreamDialect
from hoosh.dialects.registry import downstream_dialect
from hoosh.errors import HooshError, NoRoute, Unavailable
from hoosh.gateway.account import Account
from hoosh.gateway.capabilities import FactBook
from hoosh.gateway.fleet import Fleet
from hoosh.gateway.models import ModelLists
from hoosh.gateway.recorder import Recorder
from hoosh.gateway.relay import SilenceWatch
from hoosh.gateway.snapshot import Snapshot
from hoosh.gateway.way import FetchMedia
from hoosh.http.message import Headers
from hoosh.observe.lag import LagWatch
from hoosh.observe.logs import AccessLog
from hoosh.observe.metrics import Metrics, Readings
from hoosh.routing import Route, RouteTable, Target
from hoosh.values import Call, Caller, ModelCard, ProviderState, Record

if TYPE_CHECKING:
    from hoosh.dialects.responses import ResponseStore
    from hoosh.http.server import HttpServer

__all__ = ["Gateway"]


class Gateway:
    """Put together by `assembly.py`; its services run while `open_gateway` is open."""

    def __init__(
        self,
        config: Config,
        *,
        fleet: Fleet,
        routes: Mapping[str, Route],
        metrics: Metrics,
        log: AccessLog,
        lag: LagWatch,
        silence: SilenceWatch,
        fetch_media: FetchMedia,
    ) -> None:
        self.version = hoosh.__version__
        self.fleet = fleet
        self.metrics = metrics
        self.log = log
        self.lag = lag
        self.silence = silence
        self.fetch_media = fetch_media
        self._downstreams: dict[str, DownstreamDialect] = {}
        self.lists = ModelLists(fleet)
        self.facts = FactBook(fleet, self.lists, config.alias_facts())
        self.recorder = Recorder(metrics, log)
        self.in_flight: set[Account] = set()
        self.draining = False
        self.ready = False
        self.services: trio.Nursery | None = None
        """Where the gateway's services live, while it is open."""
        self.address = ""
        """Of our own listener, as a URL."""
        self.discovered = trio.Event()
        """Local engines have been looked for once (or are not to be)."""
        self.server: HttpServer | None = None
        """Our own listener, where one serves this gateway."""
        self._routes = dict(routes)
        self.snapshot = Snapshot(config, KeyRing(config.all_keys()), self._route_table(config))

    # -- what the doors ask ---------------------------------------------------------------------------------------

    def authenticate(self, headers: Headers) -> Caller:
        """Who is asking.  Raises Unauthenticated."""
        authorization = headers.get(b"authorization")
        x_api_key = None if authorization is not None else headers.get(b"x-api-key")
        return self.snapshot.keys.authenticate(authorization, x_api_key, now_s=time.time())

    async def models(self) -> list[ModelCard]:
        """Every model that can be asked for now.  Waits for upstreams, but not long."""
        await self.discovered.wait()
        await self.lists.refresh()
        self.reroute()
        return self.lists.merged(self.snapshot.routes, self.facts.of)

    def providers(self) -> list[ProviderState]:
        return [upstream.state() for upstream in self.fleet]

    def readiness(self) -> str | None:
        """None when requests are welcome, else why they are not."""
        if self.draining:
            return "shutting down"
        return None if self.ready else "starting"

    def metrics_text(self) -> bytes:
        self.recorder.flush()
        return self.metrics.text()

    def readings(self) -> Readings:
        """What the metrics show of this moment."""
        lag = self.lag.statistics()
        connections = []
        for upstream in self.fleet:
            pool = upstream.statistics()
            if pool is not None:
                connections += [(upstream.name, "idle", pool.idle), (upstream.name, "active", pool.active)]
        return Readings(
            in_flight=len(self.in_flight),
            connections=0 if self.server is None else self.server.statistics().open_connections,
            providers_configured=len(self.fleet),
            upstream_connections=connections,
            loop_lag_s=lag.last_s,
            loop_lag_max_s=lag.max_s,
        )

    @cached_property
    def responses(self) -> ResponseStore:
        """What clients of the Responses API may come back to."""
        from hoosh.dialects.responses import ResponseStore

        return ResponseStore()

    def downstream(self, language: str) -> DownstreamDialect:
        """The dialect in which clients of `language` are served."""
        dialect = self._downstreams.get(language)
        if dialect is None:
            dialect = self._downstreams[language] = downstream_dialect(language, lambda: self.responses)
        return dialect

    # -- requests -------------------------------------------------------------------------------------------------

    def admit(self, account: Account) -> None:
        """A request begins.  Raises Unavailable while the house is closing."""
        self.in_flight.add(account)
        if self.draining:
            raise Unavailable("The gateway is shutting down.", retry_after_s=1.0)

    def dismiss(self, account: Account) -> None:
        """A request is over, however: its one Record will be written."""
        self.in_flight.discard(account)
        self.recorder.put(account)

    def record(self, record: Record) -> None:
        """A request that was none of the hot ones has ended."""
        self.recorder.write(record)

    def begin_draining(self) -> None:
        """Welcome no new request, and say so to whoever asks."""
        self.draining = True

    def interrupt_all(self, error: HooshError) -> int:
        """Make every running upstream exchange fail with `error`; each client is told.  Returns how many."""
        running = [account for account in self.in_flight if account.attempt is not None]
        for account in running:
            account.interrupt(error)
        return len(running)

    # -- configuration --------------------------------------------------------------------------------------------

    def add_route(self, route: Route) -> None:
        self._routes[route.name] = route

    def remove_route(self, name: str) -> None:
        self._routes.pop(name, None)
        self.lists.forget(name)

    def reroute(self) -> None:
        """Routes or lists have changed: swap in a table that knows.  Running requests keep the one they have."""
        self.snapshot = replace(self.snapshot, routes=self._route_table(self.snapshot.config))

    def _route_table(self, config: Config) -> RouteTable:
        known = {name: models for name in self._routes if (models := self.lists.known(name)) is not None}
        return RouteTable(self._routes.values(), aliases=config.aliases(), known=known)

    async def candidates(self, call: Call, provider: str | None) -> tuple[Target, ...]:
        """Who may answer.  Waits only in the first moments of the house, for a local engine that may turn up.

        Raises NoRoute, and InvalidRequest where nobody does what is asked for.
        """
        try:
            return self.snapshot.routes.candidates(call.model, call.kind, provider=provider)
        except NoRoute:
            if self.discovered.is_set():
                raise
        await self.discovered.wait()
        return self.snapshot.routes.candidates(call.model, call.kind, provider=provider)
