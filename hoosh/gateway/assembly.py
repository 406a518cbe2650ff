"""Config → everything built and wired.  The only place that calls constructors of rooms and ways.

Config ──build_gateway──▶ Gateway ──open_gateway──▶ services running
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType

import trio

import hoosh
from hoosh.catalogue import load_models, load_sizes
from hoosh.config import Config, Provider, environment_providers
from hoosh.config.address import place_of
from hoosh.config.state import SQLITE
from hoosh.dialects.contract import UpstreamDialect
from hoosh.dialects.registry import upstream_dialect
from hoosh.errors import StorageError
from hoosh.events import Bus
from hoosh.gateway.config_watch import Look, look_at
from hoosh.gateway.dialling import dialer_for, tls_for
from hoosh.gateway.discovery import Discovery
from hoosh.gateway.fleet import EchoUpstream, Fleet, HttpUpstream, Upstream
from hoosh.gateway.gateway import Gateway
from hoosh.gateway.hardware import Hardware, Looks, eyes_for, ready
from hoosh.gateway.media import MediaFetcher, fetch_media
from hoosh.gateway.own_whisper import OWN_WHISPER, OwnWhisper, own_whisper_route
from hoosh.gateway.readings import readings_of
from hoosh.gateway.relay import COMMENT_S, SilenceWatch
from hoosh.gateway.reload import Reloader
from hoosh.gateway.wanted import Wanted
from hoosh.gateway.webhooks import Webhooks
from hoosh.http.addresses import is_public_or_own_address
from hoosh.http.client import Pool, PoolLimits
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import Dialer, GuardedDialer, SocketDialer
from hoosh.http.message import Header, Origin
from hoosh.observe.export import Traces
from hoosh.observe.lag import LagWatch
from hoosh.observe.logs import AccessLog
from hoosh.observe.metrics import Metrics
from hoosh.routing import Route
from hoosh.speech.engine import SpeechEngine
from hoosh.storage.opening import open_store
from hoosh.storage.uploads import Uploads
from hoosh.values import Secret

__all__ = ["OpenGateway", "build_gateway", "build_upstream", "open_gateway"]

LAST_WORDS_S = 5.0
LAST = 1_000_000
"""A priority behind all others: where the embedded model stands in lists."""
USER_AGENT = f"hoosh/{hoosh.__version__}".encode()


def open_gateway(
    config: Config | None = None,
    *,
    dialer: Dialer | None = None,
    environ: Mapping[str, str] | None = None,
    wall_s: Callable[[], float] = time.time,
    chance: Random | None = None,
    looks: Looks | None = None,
) -> OpenGateway:
    """A gateway inside your own Trio program: `async with open_gateway(config) as gateway`.

    Its services run in a nursery of its own until the block is left.  Its books are in memory unless
    `config.storage.url` names a file.  Entering raises StorageError where that cannot be used.  `dialer` replaces the
    network, `wall_s` the clock of the books and `chance` the dice of routing and retries (tests), `environ` the
    environment in which provider keys are looked for, and `looks` whoever looks at the machine (tests).
    """
    environ = os.environ if environ is None else environ
    return OpenGateway(config or Config(), dialer or SocketDialer(), environ, wall_s, chance or Random(), looks)


class OpenGateway:
    """The context manager behind `open_gateway`.  Leaving it cancels what still runs."""

    def __init__(
        self,
        config: Config,
        dialer: Dialer,
        environ: Mapping[str, str],
        wall_s: Callable[[], float],
        chance: Random,
        looks: Looks | None = None,
    ) -> None:
        self.gateway = build_gateway(config, environ=environ, dialer=dialer, wall_s=wall_s, chance=chance, looks=looks)
        self._dialer = dialer
        self._running = self._run()

    async def __aenter__(self) -> Gateway:
        try:
            return await self._running.__aenter__()
        except BaseExceptionGroup as group:  # of the nursery that the store runs in
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            raise error from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._running.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[Gateway]:
        gateway = self.gateway
        last = trio.CancelScope(shield=True)
        async with trio.open_nursery() as outer:
            try:
                await outer.start(self._run_what_closes_last, last)
                await gateway.books.open(gateway.snapshot.config.budgets)
                if gateway.trail is not None:
                    await gateway.trail.open()
                    gateway.trail.note("gateway.started", "info", "The gateway has started.", version=gateway.version)
                try:
                    async with trio.open_nursery() as services:
                        await self._start(services)
                        gateway.services, gateway.ready = services, True
                        gateway.herald.hello(gateway.version)
                        try:
                            yield gateway
                        finally:
                            gateway.services, gateway.ready = None, False
                            with trio.move_on_after(LAST_WORDS_S, shield=True):
                                await gateway.close_events()
                            services.cancel_scope.cancel(reason="gateway closed")
                finally:
                    await self._close_books()
            finally:
                last.cancel(reason="everything is written and said")

    async def _run_what_closes_last(
        self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Store, log and traces, shielded: of a house that is cancelled the books are closed and the end is told."""
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.gateway.store.run)
                await nursery.start(self.gateway.log.run)
                await nursery.start(self.gateway.traces.run)
                task_status.started()

    async def _close_books(self) -> None:
        """The last words of the house.  Nobody waits long for them: rows that are late are written by the store."""
        gateway = self.gateway
        gateway.flush()
        with trio.move_on_after(LAST_WORDS_S, shield=True):
            try:
                if gateway.trail is not None:
                    gateway.trail.note("gateway.stopped", "info", "The gateway has stopped.")
                    await gateway.trail.close()
                await gateway.books.save()
            except StorageError as error:
                gateway.log.error("books not closed", error=str(error))

    async def _start(self, services: trio.Nursery) -> None:
        gateway = self.gateway
        await services.start(gateway.books.guard.run)
        await services.start(gateway.caching.run)
        if gateway.trail is not None:
            await services.start(gateway.trail.run)
        await services.start(gateway.recorder.run)
        await services.start(gateway.webhooks.run)
        await services.start(gateway.books.run)
        await services.start(gateway.lag.run)
        await services.start(gateway.uploads.run)
        await services.start(gateway.silence.run)
        await services.start(gateway.supervisor.run)
        await services.start(gateway.hardware.run)
        await services.start(gateway.speech.run)
        for upstream in gateway.fleet:
            if isinstance(upstream, HttpUpstream):
                await services.start(upstream.run)
        discovery = Discovery(gateway, partial(build_upstream, dialer=self._dialer), route_of)
        gateway.when_configured.append(discovery.reconsider)
        await services.start(discovery.run)
        await services.start(gateway.fitting.run)


def build_gateway(
    config: Config,
    *,
    environ: Mapping[str, str],
    dialer: Dialer,
    wall_s: Callable[[], float] = time.time,
    chance: Random | None = None,
    looks: Looks | None = None,
) -> Gateway:
    """Everything, wired, with nothing running yet.  Raises ConfigError for what only shows when it is built."""
    load_models()
    load_sizes()
    speech = SpeechEngine(config.whisper)
    build = partial(build_wanted, dialer=dialer, speech=speech)
    wanted = wanted_in(config, environ)
    fleet = Fleet()
    fleet.become([build(each) for each in wanted])
    routes = {each.name: each.route for each in wanted}
    log = AccessLog(sys.stderr, config.logging)
    events = Bus(config.events, wall_s=wall_s)
    gateway = Gateway(
        config,
        fleet=fleet,
        routes=routes,
        metrics=Metrics(version=hoosh.__version__),
        log=log,
        traces=Traces(config.telemetry, version=hoosh.__version__, log=log, environ=environ),
        lag=LagWatch(),
        silence=SilenceWatch(COMMENT_S),
        fetch_media=partial(fetch_media, fetcher=_media_fetcher(dialer)),
        events=events,
        webhooks=Webhooks(
            config.webhooks, events, dialer=_webhook_dialer(dialer), log=log, wall_s=wall_s, chance=chance
        ),
        hardware=_hardware(config, looks, environ, log, wall_s),
        speech=speech,
        store=open_store(config.storage, now=wall_s),
        uploads=_uploads(config),
        wall_s=wall_s,
        chance=chance or Random(),
    )
    gateway.reloader = Reloader(gateway, wanted, partial(wanted_in, environ=environ), build)
    gateway.metrics.read, gateway.metrics.type_of = partial(readings_of, gateway), gateway.type_name_of
    gateway.traces.type_of = gateway.type_name_of
    return gateway


def _hardware(
    config: Config, looks: Looks | None, environ: Mapping[str, str], log: AccessLog, wall_s: Callable[[], float]
) -> Hardware:
    """This machine, unless somebody else's eyes are given: then nothing is kept on the disk either."""
    eyes = partial(eyes_for, environ) if looks is None else partial(ready, looks)
    return Hardware(config.hardware, eyes, log, wall_s=wall_s)


def wanted_in(config: Config, environ: Mapping[str, str]) -> list[Wanted]:
    """The accounts that `config` asks for, those that the environment has keys for, and those in the house."""
    total_s = config.server.request_timeout_s
    providers = [*filter(lambda each: each.enabled, config.providers), *environment_providers(config, environ)]
    wanted = [
        Wanted(account, route_of(provider, account), provider, key, total_s, looks_of(provider))
        for provider in providers
        for account, key in provider.accounts()
    ]
    if (route := own_whisper_route(config.whisper)) is not None:
        wanted.append(Wanted(OWN_WHISPER, route, total_s=total_s))
    if config.discovery.echo:
        wanted.append(Wanted("echo", Route("echo", priority=LAST, models=("echo",), local=True, embedded=True)))
    return wanted


def looks_of(provider: Provider) -> tuple[Look, ...]:
    """The files of its connections, as they are now: with another certificate in them it begins anew."""
    verify = (provider.verify,) if isinstance(provider.verify, str) else ()
    paths = (*verify, *provider.tls_pinned_certs, provider.client_cert, provider.client_key)
    return tuple(look_at(Path(path)) for path in paths if path is not None)


def build_wanted(wanted: Wanted, dialer: Dialer, speech: SpeechEngine) -> Upstream:
    """Its living counterpart.  Raises ConfigError."""
    if wanted.provider is None:
        dialect = upstream_dialect("openai-compatible")
        if wanted.name == OWN_WHISPER:
            return OwnWhisper(speech, dialect, wanted.total_s)
        return EchoUpstream(dialect)
    return build_upstream(wanted.provider, dialer, total_s=wanted.total_s, account=wanted.name, key=wanted.key)


def _uploads(config: Config) -> Uploads:
    """Beside the books, where these are in a file; else where this machine keeps what is temporary."""
    url = config.storage.url
    if url.startswith(SQLITE):
        beside = Path(url.removeprefix(SQLITE)).parent
        return Uploads(lambda: beside, max_bytes=config.server.max_uploads_bytes)
    return Uploads(_temporary_folder, max_bytes=config.server.max_uploads_bytes, sweeps_at_start=False)


def _temporary_folder() -> Path:
    """Raises OSError."""
    from tempfile import gettempdir  # not at the start: few programs send recordings

    return Path(gettempdir())


def _webhook_dialer(dialer: Dialer) -> Dialer:
    """To the public and the owner's own networks; never to a metadata service."""
    return GuardedDialer(is_public_or_own_address) if type(dialer) is SocketDialer else dialer


def _media_fetcher(dialer: Dialer) -> MediaFetcher:
    """Through a guard of its own, unless the network is replaced altogether."""
    return MediaFetcher() if isinstance(dialer, SocketDialer) else MediaFetcher(dialer=dialer)


def route_of(provider: Provider, account: str = "") -> Route:
    """Of its first account, unless another is named."""
    return Route(
        account or provider.name,
        group=provider.name,
        weight=provider.weight,
        priority=provider.priority,
        models=provider.models,
        enabled=provider.enabled,
        local=provider.is_local,
        presumed=provider.origin != "config",
        unlisted=provider.kind.unlisted,
        kinds=provider.kind.kinds,
    )


def build_upstream(
    provider: Provider, dialer: Dialer, *, total_s: float, account: str = "", key: Secret | None = None
) -> HttpUpstream:
    """The living counterpart of one of a provider's accounts, the first unless another is named.

    Its pool does not run yet.  `total_s` bounds every exchange of the house.
    """
    if not account:
        account, key = provider.accounts()[0]
    place = place_of(provider.base_url)
    origin = Origin(place.scheme, place.host, place.port, place.unix_path)
    pool = Pool(
        origin,
        dialer=dialer_for(provider, dialer),
        http2=provider.http2.value,
        tls=tls_for(provider, place.scheme),
        limits=PoolLimits(max_connections=provider.max_connections),
    )
    limits = provider.timeouts
    dialect = upstream_dialect(provider.type)
    return HttpUpstream(
        account,
        provider.kind,
        origin=origin,
        base_path=place.path,
        base_url=provider.base_url,
        headers=_headers(provider, dialect, key),
        pool=pool,
        dialect=dialect,
        timeouts=Timeouts(limits.connect_s, limits.first_byte_s, limits.idle_s, min(limits.total_s, total_s)),
        local=provider.is_local,
        patterns=provider.models,
        max_tokens_limit=provider.max_tokens_limit,
        first_token_s=limits.first_token_s,
        accelerator_bytes=provider.accelerator_bytes,
    )


def _headers(provider: Provider, dialect: UpstreamDialect, key: Secret | None) -> list[Header]:
    headers: list[Header] = [
        (b"user-agent", USER_AGENT),
        (b"accept-encoding", b"identity"),
    ]
    if key is not None:
        headers += dialect.auth(key.reveal())
    for name, value in provider.headers.items():
        lowered = name.lower().encode("latin-1")
        headers = [header for header in headers if header[0] != lowered]
        headers.append((lowered, value.reveal().encode("latin-1")))
    return headers
