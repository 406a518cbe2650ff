"""hoosh: an AI inference gateway on Trio.  One request is one nursery.

    hoosh.open_gateway(config)            a gateway inside your Trio program: `async with … as gateway`
    hoosh.transport(gateway)              an httpx transport to it, without a socket
    hoosh.serve(config, task_status=…)    a gateway that listens, as a service for your nursery
    hoosh.create_app(config)              the gateway as an ASGI app (Quart-Trio)
    hoosh.blocking_gateway(config)        a gateway in a thread of its own, for programs without Trio
    hoosh.GatewayBuilder()                a configuration put together by a program

Names are loaded when they are first used: `import hoosh` alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hoosh.api.embed import transport
    from hoosh.api.serve import create_app, serve
    from hoosh.api.thread import blocking_gateway
    from hoosh.config import Config, GatewayBuilder
    from hoosh.errors import HooshError
    from hoosh.gateway.assembly import open_gateway
    from hoosh.gateway.gateway import Gateway

__version__ = "0.1.0"

__all__ = ["Config", "Gateway", "GatewayBuilder", "HooshError", "__version__", "blocking_gateway", "create_app"]
__all__ += ["open_gateway", "serve", "transport"]

_HOMES = {
    "Config": "hoosh.config",
    "Gateway": "hoosh.gateway.gateway",
    "GatewayBuilder": "hoosh.config",
    "HooshError": "hoosh.errors",
    "blocking_gateway": "hoosh.api.thread",
    "create_app": "hoosh.api.serve",
    "open_gateway": "hoosh.gateway.assembly",
    "serve": "hoosh.api.serve",
    "transport": "hoosh.api.embed",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
