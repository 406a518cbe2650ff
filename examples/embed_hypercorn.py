"""A gateway under Hypercorn, which a program starts itself.

    pip install hoosh-trio
    python examples/embed_hypercorn.py 8088       (or: hypercorn -k trio examples/embed_hypercorn:app)

Hypercorn runs the app's lifespan, and with it the gateway's services.  `hoosh-trio serve` has a server of its own,
which is quicker and stands more; docs/servers.md says when this one will do.
"""

from __future__ import annotations

import sys
from functools import partial

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve

import hoosh
from hoosh.config import Discovery

app = hoosh.create_app(hoosh.GatewayBuilder().add(Discovery(local=False, environment=False)).build())


async def main(port: int, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve until cancelled.  Ready, with the addresses, once it accepts."""
    settings = HypercornConfig()
    settings.bind = [f"127.0.0.1:{port}"]
    settings.accesslog = None
    await serve(app, settings, mode="asgi", task_status=task_status)


if __name__ == "__main__":
    trio.run(partial(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8088))
