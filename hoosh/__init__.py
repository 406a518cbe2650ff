"""hoosh: an AI inference gateway on Trio.  One request is one nursery.

    hoosh.open_gateway(config)            a gateway inside your Trio program: `async with … as gateway`
    hoosh.transport(gateway)              an httpx transport to it, without a socket
    hoosh.serve(config, task_status=…)    a gateway that listens, as a service for your nursery
    hoosh.create_app(config)              the gateway as an ASGI app (Quart-Trio)
    hoosh.HooshClient(server)             a client of a gateway, on Trio or asyncio; SyncHooshClient blocks
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
    from hoosh.catalogue import ProviderType
    from hoosh.client import (
        HooshClient,
        InferenceRequest,
        InferenceResponse,
        ModelInfo,
        SyncHooshClient,
        ToolCall,
        ToolChoice,
        ToolDefinition,
        ToolResult,
    )
    from hoosh.config import Config, GatewayBuilder
    from hoosh.errors import HooshError
    from hoosh.gateway.assembly import open_gateway
    from hoosh.gateway.gateway import Gateway
    from hoosh.reference.cache import ResponseCache
    from hoosh.reference.pools import TokenBudget, TokenPool
    from hoosh.reference.providers import LlmProvider, ProviderRegistry
    from hoosh.reference.routes import ProviderRoute, Router, RoutingStrategy

__version__ = "0.1.0"

__all__ = ["Config", "Gateway", "GatewayBuilder", "HooshError", "__version__", "blocking_gateway", "create_app"]
__all__ += ["open_gateway", "serve", "transport"]
__all__ += ["HooshClient", "InferenceRequest", "InferenceResponse", "ModelInfo", "SyncHooshClient"]
__all__ += ["ToolCall", "ToolChoice", "ToolDefinition", "ToolResult"]
__all__ += ["LlmProvider", "ProviderRegistry", "ProviderRoute", "ProviderType", "ResponseCache", "Router"]
__all__ += ["RoutingStrategy", "TokenBudget", "TokenPool"]

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
    **dict.fromkeys(["HooshClient", "SyncHooshClient", "InferenceRequest", "InferenceResponse"], "hoosh.client"),
    **dict.fromkeys(["ModelInfo", "ToolCall", "ToolChoice", "ToolDefinition", "ToolResult"], "hoosh.client"),
    "ProviderType": "hoosh.catalogue",
    **dict.fromkeys(["LlmProvider", "ProviderRegistry"], "hoosh.reference.providers"),
    **dict.fromkeys(["ProviderRoute", "Router", "RoutingStrategy"], "hoosh.reference.routes"),
    **dict.fromkeys(["TokenBudget", "TokenPool"], "hoosh.reference.pools"),
    "ResponseCache": "hoosh.reference.cache",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
