"""Is it alive, is it ready, and how are its providers?  `/livez` and `/readyz` need no key: probes have none."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from quart import Blueprint, Response

from hoosh.api.face import GatewayFace, json_response
from hoosh.errors import Unavailable
from hoosh.storage import StoreStatistics
from hoosh.values import ProviderState

__all__ = ["OPEN_PATHS", "health_routes", "provider_json", "shown_url", "summary_json"]

OPEN_PATHS = frozenset({"/livez", "/readyz"})
ILL = frozenset({"unhealthy", "error"})


def health_routes(gateway: GatewayFace) -> Blueprint:
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

    return routes


def summary_json(
    version: str, not_ready: str | None, providers: list[ProviderState], store: StoreStatistics
) -> dict[str, Any]:
    """Degraded: not ready, an enabled provider is ill, or the books do not get to where they belong."""
    is_ill = any(state.enabled and state.status in ILL for state in providers) or store.status != "ok"
    return {
        "status": "degraded" if not_ready is not None or is_ill else "ok",
        "version": version,
        "providers_configured": len(providers),
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
        "models": list(state.models),
        "capabilities": [capability.value for capability in state.capabilities],
    }


def shown_url(url: str) -> str:
    """`url` without user, password, query and fragment: keys are put into all of them."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{parts.path}" if host else ""
