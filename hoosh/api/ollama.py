"""What clients of Ollama ask beside inference: which models there are, what each can do, and who is answering.

The list is the gateway's own, of every provider: to such a client all of them are models of one Ollama.
Source: wire notes 2.9; Ollama's API documentation.
"""

from __future__ import annotations

from typing import Any

import msgspec
from quart import Blueprint, Response, request

from hoosh.api.face import GatewayFace, json_response, require
from hoosh.api.models import visible
from hoosh.dialects.ollama import listing
from hoosh.errors import InvalidRequest, NoRoute
from hoosh.values import ModelCard

__all__ = ["SPEAKS_LIKE", "ollama_routes"]

SPEAKS_LIKE = "0.12.0"
"""The release whose API this is: clients refuse to work with one that is older than what they need."""


class _Asked(msgspec.Struct):
    model: str = ""
    name: str = ""
    """What it was called before."""


def ollama_routes(gateway: GatewayFace) -> Blueprint:
    routes = Blueprint("ollama", __name__)

    async def cards() -> list[ModelCard]:
        return visible(await gateway.models(), require("inference"))

    @routes.get("/api/tags")
    async def tags() -> Response:
        """The models that can be asked for, in Ollama's shape."""
        return json_response(listing.tags(await cards()))

    @routes.post("/api/show")
    async def show() -> Response:
        """One model, in Ollama's shape."""
        return json_response(listing.show(named(await cards(), asked_for(await request.get_data()))))

    @routes.get("/api/version")
    async def version() -> Response:
        """The Ollama release whose API this is."""
        require("inference")
        return json_response(listing.version(SPEAKS_LIKE))

    @routes.get("/api/ps")
    async def ps() -> Response:
        """Models in memory: a gateway has none."""
        require("inference")
        return json_response(listing.ps())

    return routes


def asked_for(body: Any) -> str:
    """The model that a request names.  Raises InvalidRequest."""
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body must be a JSON object that names a model.", code="invalid_json") from None
    model = asked.model or asked.name
    if not model:
        raise InvalidRequest("model is required", param="model")
    return model


def named(cards: list[ModelCard], model: str) -> ModelCard:
    """The card of `model`; to Ollama a name without a tag is its `latest`.  Raises NoRoute."""
    by_id = {card.id: card for card in cards}
    found = by_id.get(model) or by_id.get(f"{model}:latest") or by_id.get(model.removesuffix(":latest"))
    if found is None:
        raise NoRoute(model[:256])
    return found
