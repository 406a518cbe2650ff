"""The gateway: what the doors ask, and what an embedder holds.  It owns the service nursery.

    async with open_gateway(config) as gateway:      # services are running
        await gateway.models()
        async with httpx.AsyncClient(transport=hoosh.transport(gateway), base_url="http://gateway") as client: ...

What a request reads is one frozen `Snapshot`; what lives (fleet, in-flight requests, measurements) is kept here and
survives a change of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from random import Random
from typing import TYPE_CHECKING

import trio
from msgspec import Raw
from msgspec.structs import replace

import hoosh
from hoosh.access import KeyRing
from hoosh.admission import Shedder, Turnstile
from hoosh.audit import Level
from hoosh.config import Config
from hoosh.cost import CostsReset
from hoosh.dialects.contract import DownstreamDialect
from hoosh.dialects.registry import downstream_dialect
from hoosh.errors import Forbidden, HooshError, InvalidRequest, NoRoute, Unavailable
from hoosh.events import (
    Bus,
    RequestsCancelled,
)
from hoosh.gateway.account import Account
from hoosh.gateway.bill import Bill
from hoosh.gateway.books import Books
from hoosh.gateway.caching import CacheDesk, Caching
from hoosh.gateway.capabilities import FactBook
from hoosh.gateway.costs import Candidate, CostDesk
from hoosh.gateway.dispatch import Dispatcher
from hoosh.gateway.fitting import Fitting
from hoosh.gateway.fleet import Fleet, HttpUpstream, Upstream
from hoosh.gateway.hardware import Hardware
from hoosh.gateway.herald import Herald
from hoosh.gateway.journey import Journey
from hoosh.gateway.live import LiveDesk
from hoosh.gateway.models import ModelLists
from hoosh.gateway.recorder import Recorder
from hoosh.gateway.relay import SilenceWatch
from hoosh.gateway.reload import Reloader
from hoosh.gateway.rooms import lets_all_in, strategies_in, turns_of
from hoosh.gateway.snapshot import Snapshot
from hoosh.gateway.sound_bill import SoundBill
from hoosh.gateway.steps import Step
from hoosh.gateway.tokens import TokenDesk
from hoosh.gateway.trail import AuditTrail, trail_in
from hoosh.gateway.trail_pages import AuditPages
from hoosh.gateway.way import FetchMedia
from hoosh.gateway.webhooks import Webhooks
from hoosh.gateway.wishes import read_wishes
from hoosh.gateway.witness import Witness
from hoosh.health import Board, Supervisor
from hoosh.http.message import Headers
from hoosh.observe.export import Traces
from hoosh.observe.lag import LagWatch
from hoosh.observe.logs import AccessLog
from hoosh.observe.metrics import Metrics
from hoosh.routing import Chooser, Loads, Route, RouteTable, prefix_digest, within
from hoosh.speech.engine import SpeechEngine
from hoosh.storage import Store, StoreStatistics
from hoosh.storage.uploads import Uploads
from hoosh.values import (
    Call,
    Caller,
    CallKind,
    ModelCard,
    Node,
    Priority,
    ProviderState,
    QueueState,
    Record,
    Reloaded,
    Target,
)

if TYPE_CHECKING:
    from hoosh.dialects.responses import ResponseStore
    from hoosh.gateway.placement import PlacementDesk
    from hoosh.http.server import HttpServer

__all__ = ["Gateway"]

UNAUTHENTICATED = 401
MICRO = 1_000_000


class Gateway:
    """Put together by `assembly.py`; its services run while `open_gateway` is open."""

    ready = False
    draining = False
    address = ""
    """Of our own listener, as a URL."""
    services: trio.Nursery | None = None
    """Where the gateway's services live, while it is open."""
    server: HttpServer | None = None
    """Our own listener, where one serves this gateway."""
    source: Callable[[], Config] | None = None
    """Reads the configuration again: blocks, and raises ConfigError.  None where a program has made it."""

    def __init__(
        self,
        config: Config,
        *,
        fleet: Fleet,
        routes: Mapping[str, Route],
        metrics: Metrics,
        log: AccessLog,
        traces: Traces,
        lag: LagWatch,
        silence: SilenceWatch,
        fetch_media: FetchMedia,
        events: Bus,
        webhooks: Webhooks,
        hardware: Hardware,
        speech: SpeechEngine,
        store: Store,
        uploads: Uploads,
        wall_s: Callable[[], float],
        chance: Random,
    ) -> None:
        self.version = hoosh.__version__
        self.fleet = fleet
        self.metrics = metrics
        self.log = log
        self.traces = traces
        self.lag = lag
        self.silence = silence
        self.fetch_media = fetch_media
        self.events = events
        """Who wants to know; see docs/events.md."""
        self.herald = Herald(log, events, fleet)
        self.webhooks = webhooks
        self.hardware = hardware
        self.speech = speech
        """Speech to text in the house."""
        self._downstreams: dict[str, DownstreamDialect] = {}
        self.lists = ModelLists(fleet)
        self.fitting = Fitting(fleet, self.lists, self.hardware, log, config.routing, reroute=self.reroute)
        self.facts = FactBook(fleet, self.lists, config.alias_facts())
        self.store = store
        self.uploads = uploads
        """Recordings that clients send, while their requests run."""
        books = self.books = Books(
            config,
            store,
            type_of=self.type_name_of,
            is_local=self.is_local,
            facts_of=self.facts.of,
            wall_s=wall_s,
            on_low=self.herald.pool_low,
        )
        self._open_ways(config, chance)
        self.caching = Caching(config.cache, books.admission.leave, books.keep_hit if books.waits_for_disk else None)
        self.herald.trail = trail_in(store, config.audit, books.now_ms) if config.audit.enabled else None
        self.recorder = Recorder(metrics, log, books, self.herald, events, traces)
        self._open_desks()
        self.in_flight: set[Account] = set()
        self.live = LiveDesk(self.in_flight, self.herald.cancelled)
        self.discovered = trio.Event()
        """Local engines have been looked for once (or are not to be)."""
        self.reloader: Reloader
        """Set by `assembly.py`."""
        self.preparations: list[Callable[[Config], Step]] = []
        """What else is to be read from files for another configuration: each blocks, raises ConfigError, and gives what
        is to be done when that takes effect."""
        self.when_configured: list[Callable[[Config], object]] = []
        """Told of a configuration that has taken the place of another, at once; or of the one before, once more, where
        that could not be done."""
        self._routes = dict(routes)
        self._routed_version = self.lists.version
        """Of the lists that the table of routes was made with."""
        self.snapshot = Snapshot(config, KeyRing(config.all_keys()), self._route_table(config))

    def _open_ways(self, config: Config, chance: Random) -> None:
        """To upstreams: who is well, who is quick, who is asked, and how many at once."""
        self.board = Board(config.health, on_change=self.herald.health_changed, chance=chance)
        self.supervisor = Supervisor(self.board, lambda: self.fleet, config.health, chance)
        self.loads = Loads()
        self.chooser = Chooser(
            config.routing, self.loads, chance, weight_of=self._weight_of, price_of=self.books.reply_price
        )
        self.dispatcher = Dispatcher(
            self.fleet,
            self.board,
            self.loads,
            self.books.admission,
            routing=config.routing,
            retry=config.retry,
            facts_of=self.facts.of,
            strategies=strategies_in(config),
            total_s=config.server.request_timeout_s,
            chance=chance,
        )
        server = config.server
        self.turnstile = Turnstile(*turns_of(server))
        self.shedder = Shedder(server.max_lag_ms)
        self.has_room = lets_all_in(server)

    def _open_desks(self) -> None:
        """Where owners and outsiders ask."""
        books = self.books
        wait_kept = books.wait_kept if books.waits_for_disk else None
        self.audit = _pages_of(self.trail)
        self.cache = CacheDesk(self.caching.exact, self.note)
        self.tokens = TokenDesk(books.ledger, books.write, wait_kept, books.now_ms, books.require_room)
        self.costs = CostDesk(
            books.totals,
            books.prices,
            write=self._begin_costs_anew,
            flush=books.flush,
            resolve=self._resolve,
            models=self.models,
            count_tokens=self._count_tokens,
            now_ms=books.now_ms,
            wait_kept=wait_kept,
        )

    @property
    def trail(self) -> AuditTrail | None:
        """None while the owner keeps none."""
        return self.herald.trail

    # -- what the doors ask ---------------------------------------------------------------------------------------

    def authenticate(self, headers: Headers) -> Caller:
        """Who is asking.  Raises Unauthenticated."""
        authorization = headers.get(b"authorization")
        x_api_key = headers.get(b"x-api-key")
        return self.snapshot.keys.authenticate(authorization, x_api_key, now_s=self.books.now_ms() / 1000)

    async def models(self) -> list[ModelCard]:
        """Every model that can be asked for now.  Waits for upstreams, but not long."""
        await self.discovered.wait()
        await self.lists.refresh()
        if self.fitting.refresh() or self.lists.version != self._routed_version:
            self._swap_routes()
        return self.lists.merged(self.snapshot.routes, self.facts.of, self.fitting.of)

    def providers(self) -> list[ProviderState]:
        now_s = trio.current_time()
        return [upstream.state(self.board.state(upstream.name, now_s)) for upstream in self.fleet]

    def heartbeats(self) -> tuple[Node, ...]:
        now_s, node = trio.current_time(), self.board.heartbeats.node
        return tuple(node(upstream.name, self._group_of(upstream.name), now_s) for upstream in self.fleet)

    def queue_state(self) -> QueueState:
        """Who waits for a turn."""
        return replace(self.turnstile.statistics(), shedding=self.shedder.turned_away(self.lag.last_s))

    def readiness(self) -> str | None:
        """None when requests are welcome, else why they are not."""
        if self.draining:
            return "shutting down"
        if self.store.statistics().status == "full":
            return "the books cannot be written"
        return None if self.ready else "starting"

    def metrics_text(self) -> bytes:
        self.flush()
        return self.metrics.text()

    def flush(self) -> None:
        """Have everything that has ended counted, now."""
        self.recorder.flush()

    def store_state(self) -> StoreStatistics:
        """How the books are being written."""
        return self.store.statistics()

    @cached_property
    def placement(self) -> PlacementDesk:
        """What models this machine can carry."""
        from hoosh.gateway.placement import PlacementDesk

        return PlacementDesk(
            lambda: self.hardware,
            settings=lambda: self.snapshot.config.hardware,
            aliases=lambda: self.snapshot.config.aliases(),
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

    def bill(self, account: Account, call: Call, journey: Journey) -> Bill:
        """What `account` asks for, to be paid.  A context manager; see `bill.py`."""
        return Bill(self.books, account, call, journey)

    def sound_bill(self, account: Account, call: Call, journey: Journey) -> SoundBill:
        """The same, of a request for sound."""
        return SoundBill(self.books, account, call, journey)

    def ordered(self, call: Call, candidates: Sequence[Target], account: Account) -> Sequence[Target]:
        """The candidates as they are to be asked, best first.  Raises InvalidRequest where all are too dear."""
        routing, routes = self.snapshot.config.routing, self.snapshot.routes
        wish = account.wishes.max_price_usd
        max_price = routing.max_price_usd if wish is None else min(wish, routing.max_price_usd or wish)
        candidates = within(
            candidates,
            prompt_tokens=partial(self.books.prompt_tokens, call),
            reply_tokens=call.max_tokens or 0,
            body_bytes=account.body_bytes,
            context_of=lambda target: self.facts.of(call.model, target).context_tokens,
            price_of=self.books.reply_price,
            max_price=None if max_price is None else int(max_price * MICRO),
        )
        return self.chooser.order(
            candidates,
            routes.plan(call.model, call.kind, account.named_provider, call.models),
            model=call.model,
            sticky_key=partial(prefix_digest, call),
            now_s=trio.current_time(),
        )

    def require_breath(self, priority: Priority) -> None:
        """Raises Unavailable while the event loop is too far behind for requests of this priority."""
        if self.shedder.refuses(priority, self.lag.last_s):
            raise Unavailable("The gateway is overloaded; requests of this priority have to wait.", retry_after_s=1.0)

    async def local_only(self, candidates: Sequence[Target], wish: str | None, caller: Caller) -> Sequence[Target]:
        """Those on the owner's own machines, where the key or the client's `wish` asks for that.

        Waits for the list of an engine that may send on what it is asked, where that is not known or old; what it does
        not list then does not count as local.  Raises InvalidRequest, and Forbidden where nobody is left.
        """
        if wish is not None and wish not in ("local", "any"):
            raise InvalidRequest("The header x-hoosh-privacy must say `local` or `any`.", param="x-hoosh-privacy")
        if wish != "local" and not caller.local_only:
            return candidates
        passing = {t.provider for t in candidates if self.is_local(t) and _passes_on(self.fleet[t.provider])}
        if passing:
            await self.lists.refresh(passing)
            passing = {name for name in passing if self.lists.cards(name) is None}
        left = tuple(target for target in candidates if target.provider not in passing and self.is_local(target))
        if not left:
            raise Forbidden("This request may only be answered by a local provider, and none has this model.")
        return left

    def admit(self, account: Account) -> None:
        """A request begins.  Raises Unavailable while the house is closing, or its books cannot be written."""
        self.in_flight.add(account)
        wishes = account.wishes = read_wishes(account.exchange.headers)
        if wishes.timeout_s is not None:
            account.deadline_at = account.started_at + wishes.timeout_s
        if self.herald.trail is not None:
            account.witness = Witness(self.snapshot.config.audit.content)
        if self.traces.is_on:
            account.trace = self.traces.begin(account.exchange.headers.raw)
        if self.draining:
            raise Unavailable("The gateway is shutting down.", retry_after_s=1.0)
        self.books.require_room()

    def dismiss(self, account: Account) -> None:
        """A request is over, however: its one Record will be written."""
        self.in_flight.discard(account)
        self.books.close(account)
        self.recorder.put(account)

    def record(self, record: Record) -> None:
        """A request that was none of the hot ones has ended."""
        self.recorder.write(record)
        if record.status == UNAUTHENTICATED and self.trail is not None:
            self.trail.tally("auth.failed", "Someone without a valid key asked.")

    def begin_draining(self) -> None:
        """Welcome no new request, and say so to whoever asks.  Those that wait for their turn have waited in vain."""
        self.herald.goodbye(len(self.in_flight))
        self.events.begin_closing()
        self.draining = True
        self.turnstile.drain(Unavailable("The gateway is shutting down.", retry_after_s=1.0))

    def interrupt_all(self, error: HooshError) -> int:
        """Make everything that waits for an upstream or its turn fail with `error`; each client is told.

        Returns how many.
        """
        running = [account for account in self.in_flight if account.attempt is not None]
        for account in running:
            account.interrupt(error)
        if running:
            self.events.publish(RequestsCancelled(len(running), None))
        return len(running)

    def type_name_of(self, provider: str) -> str:
        """Of a provider that may have left, then ""."""
        upstream = self.fleet.known(provider)
        return "" if upstream is None else upstream.type_name

    def is_local(self, target: Target) -> bool:
        """It runs on the owner's own machines, as far as its provider tells."""
        upstream = self.fleet.known(target.provider)
        return upstream is not None and upstream.local and not self.lists.is_remote(target)

    def note(self, event: str, level: Level, message: str, **facts: str | int) -> None:
        """Something has happened that the owner may want proven."""
        self.herald.note(event, level, message, **facts)

    def _weight_of(self, provider: str) -> int:
        return self.snapshot.routes.weight_of(provider)

    def _group_of(self, account: str) -> str:
        route = self._routes.get(account)
        return account if route is None else route.group or account

    def _begin_costs_anew(self, reset: CostsReset) -> int:
        self.note("admin.costs_reset", "warn", "The costs were reset.", by=reset.by, reason=reset.reason)
        return self.books.write(reset)

    def _resolve(self, model: str) -> list[Candidate]:
        """Who would be asked for `model`.  Raises NoRoute."""
        targets = self.snapshot.routes.candidates(model, CallKind.CHAT)
        found = []
        for target in targets:
            kind = self.type_name_of(target.provider)
            found.append((target.provider, kind, target.model, self.is_local(target)))
        return found

    def _count_tokens(self, model: str, messages: Raw) -> int:
        """A guess at what `messages` of an OpenAI chat come to.  Raises NoRoute."""
        call = Call(CallKind.CHAT, model, {"messages": messages})
        return self.books.prompt_tokens(call, self.snapshot.routes.candidates(model, CallKind.CHAT)[0])

    # -- events ---------------------------------------------------------------------------------------------------

    async def close_events(self) -> None:
        """The last ones, and a last short attempt to deliver them: `webhooks.LAST_S` at most."""
        self.recorder.flush()
        self.herald.goodbye(len(self.in_flight))
        self.events.close()
        await self.webhooks.finish()

    # -- configuration --------------------------------------------------------------------------------------------

    async def reload(self, config: Config | None = None, *, by: str = "") -> Reloaded:
        """Let `config`, or what its source says now, take the place of the configuration that runs; see `reload.py`.

        `by` is the name of the key that asks for it.  Waits for files, and for upstreams that are new.  Raises
        ConfigError, InvalidRequest where there is no source, and Unavailable where the gateway is not open; nothing has
        changed then.
        """
        return await self.reloader.reload(config, by=by)

    def keep_trail(self, trail: AuditTrail | None) -> None:
        """From now on what happens is told to this one."""
        self.herald.trail = trail
        self.audit = _pages_of(trail)

    def forget(self, name: str) -> None:
        """An upstream has left the fleet: nothing leads to it, is held against its name or known of it."""
        self._routes.pop(name, None)
        self.board.forget(name)
        self.lists.forget(name)

    def add_route(self, route: Route) -> None:
        self._routes[route.name] = route

    def set_routes(self, routes: Mapping[str, Route], *, and_of: Iterable[str] = ()) -> None:
        """These, in this order, and behind them those there are of the names in `and_of`."""
        self._routes = {**routes, **{name: self._routes[name] for name in and_of if name in self._routes}}

    def reroute(self) -> None:
        """Routes, lists or what fits have changed: swap in a table that knows.  Running requests keep theirs."""
        self.fitting.refresh()
        self._swap_routes()

    def _swap_routes(self) -> None:
        self.books.forget_terms()
        self.snapshot = replace(self.snapshot, routes=self._route_table(self.snapshot.config))
        self._routed_version = self.lists.version

    def _route_table(self, config: Config) -> RouteTable:
        known = {name: models for name in self._routes if (models := self.lists.known(name)) is not None}
        strategies = {alias.name: alias.strategy for alias in config.models if alias.strategy is not None}
        return RouteTable(
            self._routes.values(),
            aliases=config.aliases(),
            known=known,
            strategies=strategies,
            local_first=config.routing.local_first,
            is_too_large=self.fitting.is_too_large,
            is_remote=self.lists.is_remote,
        )

    async def candidates(self, call: Call, provider: str | None) -> tuple[Target, ...]:
        """Who may answer.  Waits only in the first moments of the house, for a local engine that may turn up.

        Raises NoRoute, and InvalidRequest where nobody does what is asked for.
        """
        try:
            return self.snapshot.routes.candidates(call.model, call.kind, provider=provider, models=call.models)
        except NoRoute:
            if self.discovered.is_set():
                raise
        await self.discovered.wait()
        return self.snapshot.routes.candidates(call.model, call.kind, provider=provider, models=call.models)


def _passes_on(upstream: Upstream) -> bool:
    return isinstance(upstream, HttpUpstream) and upstream.passes_on


def _pages_of(trail: AuditTrail | None) -> AuditPages | None:
    return None if trail is None else AuditPages(trail)
