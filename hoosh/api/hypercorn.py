"""The same house on Hypercorn, for whoever wants a standard ASGI server.

Stock Hypercorn can be stopped by one HTTP/2 client and buffers without bound (docs/servers.md), so ours is the
default; behind a proxy that one trusts, Hypercorn does.
"""

from __future__ import annotations

import signal
import sys
from typing import Any, cast

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve as hypercorn_serve

from hoosh.api.serve import create_app
from hoosh.config import Config
from hoosh.gateway.gateway import Gateway

__all__ = ["hypercorn_config", "run_hypercorn"]


def hypercorn_config(config: Config) -> HypercornConfig:
    """Hypercorn's settings for ours.  Its request ceiling a connection is lifted: reaching it loses running streams."""
    server = config.server
    settings = HypercornConfig()
    settings.bind = [f"unix:{server.unix_socket}" if server.unix_socket else f"{server.bind}:{server.port}"]
    settings.accesslog = None
    settings.errorlog = "-"
    settings.graceful_timeout = server.drain_s
    settings.keep_alive_timeout = server.keepalive_s
    settings.keep_alive_max_requests = 10**9
    settings.h2_max_concurrent_streams = server.max_streams
    settings.h2_max_header_list_size = 32 * 1024
    settings.alpn_protocols = ["h2", "http/1.1"] if server.http2 else ["http/1.1"]
    settings.certfile, settings.keyfile, settings.ca_certs = server.tls_cert, server.tls_key, server.tls_client_ca
    return settings


async def run_hypercorn(config: Config) -> None:
    """Serve until SIGINT or SIGTERM, then drain as far as Hypercorn does."""
    app = create_app(config)
    gateway = cast(Gateway, app.gateway)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

        async def until_signal() -> None:
            await anext(signals)
            gateway.begin_draining()

        settings = hypercorn_config(config)
        print(f"hoosh on Hypercorn, {settings.bind[0]}", file=sys.stdout, flush=True)
        await hypercorn_serve(cast(Any, app), settings, shutdown_trigger=until_signal, mode="asgi")
