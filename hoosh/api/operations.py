"""For those who run it: who is this, what does it measure, what can be called."""

from __future__ import annotations

import re
from typing import Any

from quart import Blueprint, Response, current_app
from werkzeug.routing import Map

from hoosh.api.face import GatewayFace, json_response, require

__all__ = ["METRICS_TYPE", "openapi_json", "operation_routes"]

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
        """This document."""
        docs = {name: view.__doc__ for name, view in current_app.view_functions.items()}
        return json_response(openapi_json(current_app.url_map, docs, gateway.version))

    return routes


def openapi_json(url_map: Map, docs: dict[str, str | None], version: str) -> dict[str, Any]:
    """The paths that exist, with their methods: a stub that tools can list, not yet one they can generate from."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(url_map.iter_rules(), key=lambda rule: rule.rule):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        names = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in rule.arguments
        ]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operation: dict[str, Any] = {"responses": {"200": {"description": "OK"}}}
            operation["summary"] = (docs.get(rule.endpoint) or path).strip().partition("\n")[0]
            if names:
                operation["parameters"] = names
            paths.setdefault(path, {})[method.lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "hoosh", "version": version}, "paths": paths}
