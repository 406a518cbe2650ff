"""The same house on Hypercorn, for whoever wants a standard ASGI server.

Stock Hypercorn can be stopped by one hostile HTTP/2 client and buffers without bound (docs/servers.md), so ours is the
default; behind a proxy that one trusts, Hypercorn does.  Honest ones are safe: `passage.WholeRequest`.
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NoReturn, cast

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve as hypercorn_serve
from hypercorn.utils import LifespanFailureError

from hoosh.api.errors import unwrap
from hoosh.api.reread import ConfigFile, reload_at
from hoosh.api.serve import GRACE_S, LISTEN_ADVICE, CannotListen, Source, build_app_of
from hoosh.config import Config
from hoosh.errors import HooshError, Unavailable
from hoosh.gateway.gateway import Gateway

__all__ = ["adjust", "hypercorn_config", "run_hypercorn"]

STUCK_S = 2.0
"""After the drain and the last words: how long Hypercorn may take to end."""


def hypercorn_config(config: Config) -> HypercornConfig:
    """Hypercorn's settings for ours.  Its request ceiling a connection is lifted: reaching it loses running streams."""
    server = config.server
    settings = HypercornConfig()
    settings.bind = [f"unix:{server.unix_socket}" if server.unix_socket else f"{server.bind}:{server.port}"]
    settings.accesslog = None
    settings.errorlog = "-"
    settings.keep_alive_max_requests = 10**9
    settings.h2_max_header_list_size = 32 * 1024
    settings.alpn_protocols = ["h2", "http/1.1"] if server.http2 else ["http/1.1"]
    settings.certfile, settings.keyfile, settings.ca_certs = server.tls_cert, server.tls_key, server.tls_client_ca
    if server.tls_client_ca is not None:  # Hypercorn asks nobody for a certificate just because it knows authorities
        settings.verify_mode = ssl.CERT_REQUIRED
    adjust(settings, config)
    return settings


def adjust(settings: HypercornConfig, config: Config) -> None:
    """What Hypercorn looks at anew for each connection, and when it ends."""
    server = config.server
    settings.graceful_timeout = server.drain_s + GRACE_S
    settings.keep_alive_timeout = server.keepalive_s
    settings.h2_max_concurrent_streams = server.max_streams


async def run_hypercorn(config: Config, file: ConfigFile | None, source: Source) -> int:
    """Serve until SIGINT or SIGTERM, then drain.  Returns the exit code.  Raises CannotListen."""
    app = build_app_of(config, source, file)
    gateway = cast(Gateway, app.gateway)
    settings = hypercorn_config(config)
    gateway.when_configured.append(partial(adjust, settings))
    draining = trio.Event()
    print(f"hoosh on Hypercorn, {settings.bind[0]}", file=sys.stdout, flush=True)
    with (
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        trio.open_signal_receiver(signal.SIGHUP) as hangups,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, gateway, draining)
            nursery.start_soon(reload_at, hangups, gateway)
            try:
                await hypercorn_serve(cast(Any, app), settings, shutdown_trigger=draining.wait, mode="asgi")
            except* OSError as group:
                error = unwrap(group)
                if isinstance(error, OSError) and error.errno in LISTEN_ADVICE:
                    raise CannotListen(config, error) from error
                raise
            except* LifespanFailureError as group:  # in the words of `passage.live`, which hold nothing of a request's
                raise HooshError(str(unwrap(group))) from None
            nursery.cancel_scope.cancel(reason="house closed")
    return 0


async def _obey(signals: AsyncIterator[int], gateway: Gateway, draining: trio.Event) -> None:
    """The first signal drains, a second ends it all at once."""
    await anext(signals)
    gateway.begin_draining()
    draining.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_short, signals)
        await trio.sleep(gateway.snapshot.config.server.drain_s)
        gateway.interrupt_all(Unavailable("The gateway is shutting down.", retry_after_s=1.0))
        await trio.sleep(GRACE_S + STUCK_S)
        _leave(0)


async def _cut_short(signals: AsyncIterator[int]) -> None:
    await anext(signals)
    _leave(1)


def _leave(code: int) -> NoReturn:
    """End the process.  Hypercorn shields its sends, and waits for ever for a client that does not read."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
