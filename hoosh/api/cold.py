"""The Quart-Trio app behind our own listener: everything that is not hot.

Importing Quart takes longer than starting the rest of the house.  So it happens in a thread, beside the listener,
which answers inference requests meanwhile; a cold request that comes too early waits for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType

import trio

from hoosh.gateway.gateway import Gateway
from hoosh.http.asgi import AsgiHost, run_lifespan
from hoosh.http.exchange import Exchange, Handler
from hoosh.http.message import Limits

__all__ = ["ColdApp"]

IMPORT_AGAIN_S = 1.0
NEEDED = {"hoosh.api.app", "hoosh.dialects.anthropic", "hoosh.dialects.ollama", "hoosh.dialects.responses"}
IMPORT_TRIES = 30


class ColdApp:
    """A service that brings the app up, and the handler that passes requests to it."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        hot: Mapping[tuple[str, str], Handler],
        limits: Limits,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._gateway = gateway
        self._hot = hot
        self._limits = limits
        self._on_crash = on_crash
        self._host: AsgiHost | None = None
        self._configure: Callable[[Limits], None] | None = None
        self._up = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ready at once; requests wait until the app is there."""
        task_status.started()
        module = await self._import()
        app = module.build_app(
            self._gateway,
            hot=self._hot,
            limits=self._limits,
            on_crash=self._on_crash,
            on_finished=self._gateway.record,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(run_lifespan, app)
            self._configure = app.configure
            app.configure(self._limits)  # they may have changed since the import began
            self._host = AsgiHost(app, on_error=module.answer_error, max_body_bytes=self._limits.body_bytes)
            self._up.set()

    def configure(self, limits: Limits) -> None:
        """From now on these are the limits, of the app as soon as it is there."""
        self._limits = limits
        if self._host is not None and self._configure is not None:
            self._configure(limits)
            self._host.max_body_bytes = limits.body_bytes

    async def _import(self) -> ModuleType:
        """Raises ImportError when it goes on failing: an installation that is not whole."""
        tries = 0
        while True:
            tries += 1
            try:
                if sys.modules.keys() >= NEEDED:  # an embedder's second house, or a test's
                    return _import_app()
                return await trio.to_thread.run_sync(_import_app)
            except (OSError, ImportError) as error:
                # No file left to open, most likely (a shared object that cannot be opened is an ImportError): inference
                # needs none of these modules, and a crowd passes.
                if isinstance(error, ImportError) and tries >= IMPORT_TRIES:
                    raise
                self._gateway.log.error("app not loaded", room="api", error=str(error), again_s=IMPORT_AGAIN_S)
            await trio.sleep(IMPORT_AGAIN_S)

    async def wait_up(self) -> None:
        """Until the app is there."""
        await self._up.wait()

    async def __call__(self, exchange: Exchange) -> None:
        if self._host is None:
            await self._up.wait()
        assert self._host is not None
        await self._host(exchange)


def _import_app() -> ModuleType:
    known = set(sys.modules)
    try:
        import hoosh.api.app

        # NEEDED.  Languages that somebody will speak sooner or later: not when he does, while everybody waits.
        import hoosh.dialects.anthropic
        import hoosh.dialects.ollama
        import hoosh.dialects.responses
    except BaseException:
        # What an import that failed has left behind is half a package: the next try would stumble over it.
        for name in set(sys.modules) - known:
            del sys.modules[name]
        raise
    return hoosh.api.app
