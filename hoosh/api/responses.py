"""Responses that were kept: shown, listed and deleted.  Each caller sees its own.

Source: OpenAI's API reference, Responses.
"""

from __future__ import annotations

from quart import Blueprint, Response, request

from hoosh.api.face import GatewayFace, require
from hoosh.errors import InvalidRequest, NoSuchPath

__all__ = ["NoSuchResponse", "response_routes"]

PAGE = 20
SHOWN_CHARS = 100


class NoSuchResponse(NoSuchPath):
    """None of that id is kept for this caller: never, or not any more."""

    code = "response_not_found"

    def __init__(self, identity: str) -> None:
        InvalidRequest.__init__(self, f"Response with id '{identity[:SHOWN_CHARS]}' not found.", param="response_id")


def response_routes(gateway: GatewayFace) -> Blueprint:
    routes = Blueprint("responses", __name__)

    @routes.get("/v1/responses/<identity>")
    async def get_response(identity: str) -> Response:
        """A response that was kept."""
        return _answer(gateway.responses.response(require("inference").name, identity), identity)

    @routes.delete("/v1/responses/<identity>")
    async def delete_response(identity: str) -> Response:
        """Keep it no longer."""
        return _answer(gateway.responses.delete(require("inference").name, identity), identity)

    @routes.get("/v1/responses/<identity>/input_items")
    async def input_items(identity: str) -> Response:
        """What a response that was kept was the answer to."""
        caller, query = require("inference").name, request.args
        limit, order, after = query.get("limit", ""), query.get("order", "desc"), query.get("after")
        size = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else PAGE
        return _answer(gateway.responses.input_items(caller, identity, limit=size, order=order, after=after), identity)

    return routes


def _answer(body: bytes | None, identity: str) -> Response:
    if body is None:
        raise NoSuchResponse(identity)
    return Response(body, 200, content_type="application/json")
