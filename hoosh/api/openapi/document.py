"""The routes as an OpenAPI document.

    document(version)     the document, as plain JSON values
    served(version)       its bytes and their ETag, made once

Every route may answer with what belongs to HTTP itself: 400, 408, 413, 431, 503; beside that to 401 where a key is
asked for, to 403 where the key must have a scope, to 415 where there is a body, and to what its line in the table says.
A hot route may pass on any other verdict of an upstream on the request: `4XX`.

Pure.  Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.api.openapi import answers as got
from hoosh.api.openapi.cold_routes import COLD_ROUTES
from hoosh.api.openapi.hot_routes import HOT_ROUTES
from hoosh.api.openapi.placement_routes import PLACEMENT_ROUTES
from hoosh.api.openapi.route import JSON, Content, Parameter, Route
from hoosh.api.openapi.schemas import Components, Schema
from hoosh.api.openapi.words import ERROR_HEADERS, HEADERS, REPLY_HEADERS, SECURITY, STATUSES, TAGS, about

__all__ = ["ROUTES", "document", "served"]

ROUTES: tuple[Route, ...] = (*HOT_ROUTES, *COLD_ROUTES, *PLACEMENT_ROUTES)
EVERYWHERE = (400, 408, 413, 431, 503)
ERRORS: dict[str, type[Struct]] = {
    "openai": got.OpenAIError,
    "anthropic": got.AnthropicError,
    "ollama": got.OllamaError,
}
DIALECT_HEADER = "anthropic-version"


@lru_cache(maxsize=4)
def served(version: str) -> tuple[bytes, str]:
    """Compact JSON and a strong ETag (RFC 9110, section 8.8.3)."""
    body = msgspec.json.encode(document(version))
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def document(version: str) -> dict[str, Any]:
    components = Components()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": about(version),
        "servers": [{"url": "/", "description": "Where this document is."}],
        "security": [{name: []} for name in SECURITY],
        "tags": [{"name": name, "description": note} for name, note in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }


def statuses_of(route: Route) -> list[int]:
    """Every status but 200 that we ourselves may answer with."""
    found = {*EVERYWHERE, *route.refusals}
    if route.scope != "open":
        found.add(401)
    if route.scope not in ("open", "any"):
        found.add(403)
    if route.method == "POST":
        found.add(415)
    return sorted(found)


def _operation(route: Route, components: Components) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "tags": [route.tag]}
    if route.scope in ("inference", "admin", "metrics"):
        operation["description"] = f"The key needs the scope `{route.scope}`."
        operation["x-hoosh-scope"] = route.scope
    if route.scope == "open":
        operation["security"] = []
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.bodies:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": _content(route.bodies, components, route.sent),
        }
    responses: dict[str, Any] = {"200": _answer(route, components)}
    error = _error_content(route, components)
    for status in statuses_of(route):
        responses[str(status)] = _refusal(status, error)
    if route.hot:
        responses["4XX"] = _refusal(0, error)
    return operation | {"responses": responses}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    said = {"name": parameter.name, "in": parameter.where, "description": parameter.note, "schema": parameter.schema}
    return said | ({"required": True} if parameter.required else {})


def _content(contents: Iterable[Content], components: Components, example: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for media_type, holds in contents:
        schema = _schema(holds, components)
        if media_type == "multipart/form-data":
            schema = {"allOf": [schema], "type": "object", "properties": {"file": FILE}, "required": ["file"]}
        found[media_type] = {"schema": schema}
        if example is not None and media_type == JSON:
            found[media_type]["example"] = example
    return found


FILE: Schema = {"type": "string", "format": "binary", "description": "The sound."}


def _schema(holds: Any, components: Components) -> Any:
    """A struct, or a schema in which structs stand for theirs."""
    if isinstance(holds, type):
        return components.schema(holds)
    if isinstance(holds, dict):
        return {word: _schema(value, components) for word, value in holds.items()}
    if isinstance(holds, list):
        return [_schema(value, components) for value in holds]
    return holds


def _answer(route: Route, components: Components) -> dict[str, Any]:
    names = ["x-request-id", *(REPLY_HEADERS if route.hot else ())]
    if route.path == "/openapi.json":
        names.append("etag")
    return {
        "description": "The answer.",
        "headers": _headers(names),
        "content": _content(route.answers, components, route.example),
    }


def _error_content(route: Route, components: Components) -> dict[str, Any]:
    schema: Schema = components.schema(ERRORS[route.language])
    if route.language == "openai" and any(parameter.name == DIALECT_HEADER for parameter in route.parameters):
        schema = {"anyOf": [schema, components.schema(got.AnthropicError)]}
    return {JSON: {"schema": schema}}


def _refusal(status: int, content: dict[str, Any]) -> dict[str, Any]:
    refusal = {
        "description": STATUSES[status],
        "headers": _headers(["x-request-id", *ERROR_HEADERS.get(status, ())]),
    }
    return refusal if status == 304 else refusal | {"content": content}


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
