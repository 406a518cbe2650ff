"""Which models can be asked for: OpenAI's model list, restricted to what the caller may use."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from quart import Blueprint, Response

from hoosh.api.face import GatewayFace, json_response, require
from hoosh.errors import NoRoute
from hoosh.values import Caller, ModelCard

__all__ = ["model_json", "model_routes", "visible"]


def model_routes(gateway: GatewayFace) -> Blueprint:
    routes = Blueprint("models", __name__)

    @routes.get("/v1/models")
    async def list_models() -> Response:
        """The models that can be asked for."""
        cards = visible(await gateway.models(), require("inference"))
        return json_response({"object": "list", "data": [model_json(card) for card in cards]})

    @routes.get("/v1/models/<path:model_id>")  # ids contain slashes
    async def get_model(model_id: str) -> Response:
        """One model."""
        for card in visible(await gateway.models(), require("inference")):
            if card.id == model_id:
                return json_response(model_json(card))
        raise NoRoute(model_id)

    return routes


def model_json(card: ModelCard) -> dict[str, Any]:
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": card.owned_by}


def visible(cards: list[ModelCard], caller: Caller) -> list[ModelCard]:
    """Those that the caller's key is for."""
    if not caller.models:
        return cards
    return [card for card in cards if any(fnmatchcase(card.id, glob) for glob in caller.models)]
