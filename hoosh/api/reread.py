"""When the configuration is read again without being asked over HTTP: at SIGHUP, and when its file has been changed.

Nobody waits for what comes of it: that is in the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import trio
from msgspec import Struct

from hoosh.api.crash import report_crash
from hoosh.errors import HooshError
from hoosh.gateway.config_watch import Look, look_at, watch_file
from hoosh.gateway.gateway import Gateway

__all__ = ["ConfigFile", "open_and_watch", "reload_at", "reload_when_changed"]


class ConfigFile(Struct, frozen=True):
    """Where a configuration has come from."""

    path: Path
    known: Look
    """As it was then."""

    @classmethod
    def at(cls, path: Path) -> ConfigFile:
        """As it is now: to be asked before it is read.  Blocks for a moment."""
        return cls(path, look_at(path))


async def reload_at(hangups: AsyncIterator[int], gateway: Gateway) -> None:
    """At each SIGHUP."""
    async for _ in hangups:
        await _reload(gateway, by="SIGHUP")


async def reload_when_changed(file: ConfigFile, gateway: Gateway) -> NoReturn:
    """A service: after each change of `file`, as long as `[server] watch_config` says so."""

    def is_wanted() -> bool:
        return gateway.snapshot.config.server.watch_config

    await watch_file(file.path, partial(_reload, gateway, by="file"), file.known, is_wanted=is_wanted)


@asynccontextmanager
async def open_and_watch(context: AbstractAsyncContextManager[Gateway], file: ConfigFile) -> AsyncIterator[Gateway]:
    """The gateway that `context` opens, and the file it has come from is watched as long as it is open."""
    async with context as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(reload_when_changed, file, gateway)
        yield gateway
        nursery.cancel_scope.cancel(reason="gateway closed")


async def _reload(gateway: Gateway, *, by: str) -> None:
    try:
        await gateway.reload(by=by)
    except HooshError:
        pass
    except Exception as bug:
        report_crash(gateway, bug)
