"""For those who run it: who is this, what does it measure, what can be called."""

from __future__ import annotations

import trio
from quart import Blueprint, Response, request

from hoosh.api.face import GatewayFace, json_response, require

__all__ = ["METRICS_TYPE", "operation_routes"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def operation_routes(gateway: GatewayFace) -> Blueprint:
    routes = Blueprint("operations", __name__)

    @routes.get("/")
    async def root() -> Response:
        """Name and version."""
        status = "ok" if gateway.readiness() is None else "unavailable"
        return json_response({"name": "hoosh", "version": gateway.version, "status": status})

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Prometheus metrics; needs the scope `metrics`."""
        require("metrics")
        return Response(gateway.metrics_text(), content_type=METRICS_TYPE)

    @routes.get("/openapi.json")
    async def openapi() -> Response:
        """The OpenAPI document of the whole surface."""
        body, etag = await trio.to_thread.run_sync(_document, gateway.version, abandon_on_cancel=True, limiter=_making)
        if request.if_none_match.contains_weak(etag.strip('"')):
            return Response(b"", 304, {"etag": etag})
        return Response(body, content_type="application/json", headers={"etag": etag, "cache-control": "no-cache"})

    return routes


_making = trio.CapacityLimiter(1)


def _document(version: str) -> tuple[bytes, str]:
    """The document and its ETag.  In a thread, because the first one takes its time: nothing of it is loaded before."""
    from hoosh.api.openapi import served

    return served(version)
