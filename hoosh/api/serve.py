"""Running the house: listeners, the app, signals, drain.

    serve(config)             a service for your nursery
    create_app(config)        the same house as an ASGI app, for Hypercorn or to mount
    run_server(config, …)     what the command line runs: signals, the start screen, the exit code

Shutdown: stop accepting, let what runs finish for `drain_s`, then end it with an error its client can read, then go.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from hoosh.api.cold import ColdApp
from hoosh.api.crash import report_crash
from hoosh.api.errors import error_page, unwrap
from hoosh.api.inference import InferenceDoor
from hoosh.api.reread import ConfigFile, open_and_watch, reload_at, reload_when_changed
from hoosh.api.screen import start_screen
from hoosh.config import Config, load, store_path
from hoosh.errors import ConfigError, HooshError, Unavailable
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.gateway import Gateway
from hoosh.gateway.steps import Step
from hoosh.http.message import Limits
from hoosh.http.server import HttpServer, listen_tcp, listen_unix
from hoosh.http.tls import server_context
from hoosh.values import stack_of, words_of

if TYPE_CHECKING:
    from hoosh.api.app import HooshApp

__all__ = [
    "GRACE_S",
    "LISTEN_ADVICE",
    "CannotListen",
    "House",
    "Source",
    "build_app_of",
    "build_server",
    "create_app",
    "run_server",
    "serve",
    "server_tls",
]

Source = Callable[[], Config]
"""Reads the configuration.  Blocks; raises ConfigError."""

GRACE_S = 0.4
"""After the drain: for the last error events to leave."""


async def serve(
    config: Config | None = None, *, task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve `config` until cancelled.  Ready, with the gateway, once the listener accepts.

    Raises ConfigError, and CannotListen (an OSError) when the address cannot be had.
    """
    house = House(config or Config())
    async with trio.open_nursery() as nursery:
        await nursery.start(house.run)
        task_status.started(house.gateway)


def create_app(config: Config | Path | None = None) -> HooshApp:
    """The house as an ASGI app: its services run within the lifespan of whatever server carries it.

    The configuration that is in a file, given by its path, can be read again: when an administrator says so, and, where
    `[server] watch_config` is set, when the file has been changed.  Blocks to read it, and raises ConfigError.
    """
    if not isinstance(config, Path):
        return build_app_of(config or Config())
    file = ConfigFile.at(config)
    source = partial(load, config, os.environ)
    return build_app_of(source(), source, file)


def build_app_of(config: Config, source: Source | None = None, file: ConfigFile | None = None) -> HooshApp:
    """As `create_app`.  `source` reads the configuration again; `file` is where it has come from, to be watched."""
    from hoosh.api.app import build_app

    opening = open_gateway(config)
    gateway = opening.gateway
    gateway.source = source
    on_crash = partial(report_crash, gateway)
    app = build_app(
        gateway,
        hot=InferenceDoor(gateway, on_crash=on_crash).hot,
        context=opening if file is None else open_and_watch(opening, file),
        limits=limits_for(config),
        on_crash=on_crash,
        on_finished=gateway.record,
    )
    gateway.when_configured.append(lambda config: app.configure(limits_for(config)))
    return app


class House:
    """A gateway behind our own listener.  `run` is a service; `drain` lets it come to its end."""

    gateway: Gateway
    cold: ColdApp

    def __init__(self, config: Config, source: Source | None = None) -> None:
        """`source` reads the configuration again, where it has come from a file."""
        self.config = config
        self._source = source
        self.address = ""
        self.cut_short = False
        self._server: HttpServer
        self.over = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until drained or cancelled.  Ready once the listener accepts."""
        config = self.config
        context = open_gateway(config)
        self.gateway = context.gateway
        self.gateway.source = self._source
        self._server, self.cold = build_server(self.gateway)
        self.gateway.server = self._server
        listeners = open_listeners(config)
        self.address = self.gateway.address = _address_of(config, listeners[0])
        try:
            # The listeners are open already: whoever comes now waits in their queue, not before a closed door.
            async with context, trio.open_nursery() as nursery:
                await nursery.start(self.cold.run)
                await self._serve(listeners, task_status)
                nursery.cancel_scope.cancel(reason="drained")
        finally:
            self.over.set()
            for listener in listeners:
                listener.close()
            if config.server.unix_socket:
                _remove(config.server.unix_socket)

    async def _serve(self, listeners: list[socket.socket], task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._server.run, listeners)
            task_status.started()

    async def drain(self) -> None:
        """Stop accepting; wait for what runs, `drain_s` at most; then end it, with an error for each client."""
        gateway = self.gateway
        gateway.begin_draining()
        self._server.drain()
        with trio.move_on_after(gateway.snapshot.config.server.drain_s):
            await self.over.wait()
            return
        gateway.interrupt_all(Unavailable("The gateway is shutting down.", retry_after_s=1.0))
        with trio.move_on_after(GRACE_S):
            await self.over.wait()


def build_server(gateway: Gateway) -> tuple[HttpServer, ColdApp]:
    """Our own server before `gateway`, and the app behind it, which is a service to be started first.

    Raises ConfigError for TLS files that cannot be used.
    """
    config = gateway.snapshot.config
    limits = limits_for(config)
    on_crash = partial(report_crash, gateway)
    door = InferenceDoor(gateway, on_crash=on_crash)
    cold = door.cold = ColdApp(gateway, hot=door.hot, limits=limits, on_crash=on_crash)
    server = HttpServer(
        door,
        error_page=error_page,
        limits=limits,
        tls=server_tls(config),
        http2=config.server.http2,
        on_crash=on_crash,
    )

    def configure(config: Config) -> None:
        limits = limits_for(config)
        server.configure(limits)
        cold.configure(limits)

    def renewal(config: Config) -> Step:
        return Step("tls", partial(server.renew_tls, server_tls(config)), partial(server.renew_tls, server.tls))

    gateway.when_configured.append(configure)
    if server.tls is not None:
        gateway.preparations.append(renewal)
    return server, cold


class CannotListen(OSError):
    """The address cannot be had.  One line: where, why, and what to do."""

    def __init__(self, config: Config, error: OSError) -> None:
        server, number = config.server, error.errno or 0
        where = f"unix:{server.unix_socket}" if server.unix_socket else f"{server.bind}:{server.port}"
        reason = os.strerror(number) if number > 0 else str(error)
        super().__init__(f"cannot listen on {where}: {reason}{LISTEN_ADVICE.get(number, '')}")


LISTEN_ADVICE = {
    errno.EADDRINUSE: "; somebody listens there already: stop them, or choose another with --port or [server].port",
    errno.EACCES: "; this user may not: choose a port above 1023, or a place it may write to",
    errno.EADDRNOTAVAIL: "; this machine has no such address: change --bind or [server].bind",
}


def open_listeners(config: Config) -> list[socket.socket]:
    """The listening sockets.  Raises CannotListen, and ConfigError for an address that strangers could use."""
    config.require_lock()
    try:
        if config.server.unix_socket:
            return [listen_unix(config.server.unix_socket)]
        return listen_tcp(config.server.bind, config.server.port)
    except OSError as error:
        raise CannotListen(config, error) from error


def _remove(socket_path: str) -> None:
    Path(socket_path).unlink(missing_ok=True)


def limits_for(config: Config) -> Limits:
    server = config.server
    return Limits(
        body_bytes=server.max_body_bytes,
        head_s=server.head_timeout_s,
        keepalive_s=server.keepalive_s,
        connections=server.max_connections,
        streams=server.max_streams,
    )


def server_tls(config: Config) -> ssl.SSLContext | None:
    """What its listener speaks TLS with, the files read anew; None for none.  Blocking.  Raises ConfigError."""
    server = config.server
    if server.tls_cert is None or server.tls_key is None:
        return None
    return server_context(server.tls_cert, server.tls_key, client_ca=server.tls_client_ca, http2=server.http2)


def _address_of(config: Config, listener: socket.socket) -> str:
    if config.server.unix_socket:
        return f"unix:{config.server.unix_socket}"
    host, port = listener.getsockname()[:2]
    scheme = "https" if config.server.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


# -- the command -------------------------------------------------------------------------------------------------


def run_server(config: Config, *, file: ConfigFile | None, read: Source, server: str) -> int:
    """Serve until a signal; `read` reads the configuration again when it is to be reloaded, `file` is where it is from.

    Returns the exit code: 0 after a drain, 1 when it could not start or was cut short.
    """
    raise_file_limit()

    def source() -> Config:
        return with_store(read(), os.environ)

    try:
        config = with_store(config, os.environ)
        if server == "hypercorn":
            from hoosh.api.hypercorn import run_hypercorn

            return trio.run(run_hypercorn, config, file, source)
        return trio.run(_run_until_signal, config, file, source)
    except* ConfigError as group:
        print(unwrap(group), file=sys.stderr)
    except* (CannotListen, HooshError) as group:
        print(f"hoosh-trio: {unwrap(group)}", file=sys.stderr)
    except* Exception as bugs:  # Python itself would print what they say
        stack = stack_of(bugs, with_text=config.logging.exception_text)
        print(f"{stack}\nhoosh-trio: a bug has ended it; the lines above say where.", file=sys.stderr)
    return 1


def with_store(config: Config, environ: Mapping[str, str]) -> Config:
    """`config` with its books in the state directory, where it names no other place.  Raises ConfigError."""
    if config.storage.url:
        return config
    return replace(config, storage=replace(config.storage, url=f"sqlite:///{store_path(environ)}"))


def raise_file_limit() -> None:
    """Ask for as many open files as this process may have: each stream is two, and the usual 1024 are soon gone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # macOS has a lower limit than it says


async def _run_until_signal(config: Config, file: ConfigFile | None, source: Source) -> int:
    house = House(config, source)
    with (
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        trio.open_signal_receiver(signal.SIGHUP) as hangups,
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(house.run)
            nursery.start_soon(reload_at, hangups, house.gateway)
            if file is not None:
                nursery.start_soon(reload_when_changed, file, house.gateway)
            nursery.start_soon(_greet, house, None if file is None else file.path)
            nursery.start_soon(_freeze_what_stays, house)
            nursery.start_soon(_obey, signals, house, nursery.cancel_scope)
            await house.over.wait()
            nursery.cancel_scope.cancel(reason="house closed")
    return 1 if house.cut_short else 0


async def _greet(house: House, config_path: Path | None) -> None:
    """Print the start screen once it is known what is there.  A house that cannot be introduced serves all the same."""
    gateway = house.gateway
    try:
        models = await gateway.models()
        screen = start_screen(
            house.config,
            version=gateway.version,
            address=house.address,
            config_path=config_path,
            providers=gateway.providers(),
            models=models,
            ledger=gateway.store_state().place,
        )
        print(screen, flush=True)
    except Exception as bug:
        gateway.log.error("start screen not shown", room="api", error=words_of(bug))


YOUNG_OBJECTS = 5_000


async def _freeze_what_stays(house: House) -> None:
    """Take what start-up has made out of the garbage collector's sight.

    A full collection walks some 60 000 objects of the libraries, 30 ms in which nothing else happens; frozen, none.
    And collect rarely: requests that run hold more objects than the 700 after which Python looks for rubbish, which
    then looks at them again and again, a twentieth of a chat's time.  Only here, where the process is ours.
    """
    await house.cold.wait_up()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


async def _obey(signals: AsyncIterator[int], house: House, scope: trio.CancelScope) -> None:
    """The first signal drains, a second ends it all at once."""
    await anext(signals)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_short, signals, house, scope)
        await house.drain()
        scope.cancel(reason="drained")


async def _cut_short(signals: AsyncIterator[int], house: House, scope: trio.CancelScope) -> None:
    await anext(signals)
    house.cut_short = True
    scope.cancel(reason="second signal")
