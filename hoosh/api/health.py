"""Is it alive, is it ready, and how are its providers?  `/livez` and `/readyz` need no key: probes have none."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from quart import Blueprint, Response

from hoosh.api.face import GatewayFace, json_response
from hoosh.api.hardware import HasHardware
from hoosh.config.address import shown_url
from hoosh.errors import Unavailable
from hoosh.storage import StoreStatistics
from hoosh.values import Node, ProviderState
from hoosh.values.hardware import Inventory

__all__ = ["OPEN_PATHS", "HealthFace", "health_routes", "heartbeat_json", "provider_json", "shown_url", "summary_json"]

OPEN_PATHS = frozenset({"/livez", "/readyz"})
ILL = frozenset({"unhealthy", "error"})
MIB = 1024**2


class HealthFace(HasHardware, GatewayFace, Protocol):
    """What these routes ask of the gateway."""

    def heartbeats(self) -> tuple[Node, ...]:
        """Every account, and when it was last heard of."""
        ...


def health_routes(gateway: HealthFace) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/livez")
    async def livez() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @routes.get("/readyz")
    async def readyz() -> Response:
        """Requests are welcome; 503 with the reason where they are not."""
        reason = gateway.readiness()
        if reason is not None:
            raise Unavailable(reason, retry_after_s=1.0)
        return json_response({"status": "ready"})

    @routes.get("/v1/health")
    async def health() -> Response:
        """Health of the whole; always 200."""
        summary = summary_json(gateway.version, gateway.readiness(), gateway.providers(), gateway.store_state())
        return json_response(summary)

    @routes.get("/v1/health/providers")
    async def providers() -> Response:
        """Health of each provider."""
        return json_response([provider_json(state) for state in gateway.providers()])

    @routes.get("/v1/health/heartbeat")
    async def heartbeat() -> Response:
        """Who has been heard of lately."""
        return json_response(heartbeat_json(gateway.heartbeats(), gateway.hardware.inventory))

    return routes


def summary_json(
    version: str, not_ready: str | None, providers: list[ProviderState], store: StoreStatistics
) -> dict[str, Any]:
    """Degraded: not ready, an enabled provider is ill, or the books do not get to where they belong."""
    down = sum(state.enabled and state.status in ILL for state in providers)
    is_ok = not_ready is None and not down and store.status == "ok"
    return {
        "status": "ok" if is_ok else "degraded",
        "version": version,
        "providers_configured": len(providers),
        "providers_down": down,
        "storage": {
            "kind": store.kind,
            "status": store.status,
            "waiting_rows": store.waiting_rows,
            "spooled_rows": store.spooled_rows,
        },
    }


def provider_json(state: ProviderState) -> dict[str, Any]:
    return {
        "provider": state.name,
        "type": state.type,
        "base_url": shown_url(state.base_url),
        "enabled": state.enabled,
        "local": state.local,
        "status": state.status if state.enabled else "disabled",
        "consecutive_failures": state.consecutive_failures,
        # Always the same words: what was caught may name addresses or repeat an upstream's text.
        "last_error": None if state.last_error is None else "health check failed",
        "last_check_age_s": state.last_check_age_s,
        "breakers": dict(state.breakers),
        "models": list(state.models),
        "capabilities": [capability.value for capability in state.capabilities],
    }


def heartbeat_json(nodes: tuple[Node, ...], inventory: Inventory | None = None) -> dict[str, Any]:
    """The totals count nodes, and the accelerators of this machine, each once: they belong to no node."""
    met = Counter(node.status for node in nodes)
    known = inventory or Inventory(devices=(), system_memory_bytes=0)
    return {
        "total_nodes": len(nodes),
        "online": met["online"],
        "suspect": met["suspect"],
        "offline": met["offline"],
        "total_gpus": len(known.accelerators),
        "total_vram_mb": known.vram_bytes // MIB,
        "available_vram_mb": known.free_vram_bytes() // MIB,
        "nodes": [
            {
                "id": node.id,
                "provider": node.provider,
                "status": node.status,
                "age_s": None if node.age_s is None else round(node.age_s, 3),
            }
            for node in nodes
        ],
    }
