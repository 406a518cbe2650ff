"""A gateway for programs that do not run on Trio: it has a thread, and an event loop, of its own.

    with hoosh.blocking_gateway(config) as address:       # http://127.0.0.1:54321
        client = OpenAI(base_url=f"{address}/v1", api_key="none")

The block's thread waits for the listener to accept, and at the end for the house to be closed.  It may be entered
anywhere: in a plain script, beside asyncio, in a thread of a web server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import trio

from hoosh.api.errors import unwrap
from hoosh.api.serve import serve
from hoosh.config import Config

__all__ = ["blocking_gateway"]

Ready = tuple[str, trio.lowlevel.TrioToken, trio.CancelScope]


@contextmanager
def blocking_gateway(config: Config | None = None) -> Iterator[str]:
    """Serve `config` while the block runs; gives the address.  Leaving ends what still runs.

    Raises what `serve` raises; what breaks the house while the block runs is raised at its end, unless the block has
    raised already.
    """
    ready: Future[Ready] = Future()
    broken: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(config, ready, broken), name="hoosh", daemon=True)
    thread.start()
    try:
        yield ready.result()[0]
    finally:
        _end(ready)
        thread.join()
    if broken:
        raise broken[0]


def _end(ready: Future[Ready]) -> None:
    """Cancel the house.  One that is not open yet finds nobody waiting, and closes at once."""
    if ready.cancel() or ready.exception() is not None:
        return
    _, token, scope = ready.result()
    try:
        token.run_sync_soon(scope.cancel)
    except trio.RunFinishedError:
        pass  # it has ended by itself, and `broken` says why


def _run(config: Config | None, ready: Future[Ready], broken: list[BaseException]) -> None:
    try:
        trio.run(_serve, config, ready)
    except BaseException as group:
        error = unwrap(group)
        if ready.done():
            broken.append(error)
        else:
            ready.set_exception(error)


async def _serve(config: Config | None, ready: Future[Ready]) -> None:
    async with trio.open_nursery() as nursery:
        gateway = await nursery.start(serve, config)
        if ready.set_running_or_notify_cancel():
            ready.set_result((gateway.address, trio.lowlevel.current_trio_token(), nursery.cancel_scope))
        else:
            nursery.cancel_scope.cancel(reason="nobody waits for it")
