"""The response cache for those who run it: what it has done, and how to empty it.  Both need the scope `admin`.

Source: reference section 2.13, whose names are kept; `bytes`, `max_bytes` and `shared` are ours.
"""

from __future__ import annotations

from typing import Protocol, cast

import trio
from msgspec import Struct
from quart import Blueprint, Response, request

from hoosh.api.face import json_response, require
from hoosh.dialects.bodies import read_fields, string_of
from hoosh.errors import InvalidRequest

__all__ = ["CacheFace", "KeptAnswers", "cache_routes", "read_clearing"]


class KeptAnswers(Protocol):
    """The cache, as its door sees it.  `now_s` is Trio's clock."""

    def sweep(self, now_s: float) -> int: ...

    def statistics(self) -> Struct: ...

    def clear(self, *, model: str | None = None, caller: str | None = None) -> int: ...


class CacheFace(Protocol):
    @property
    def cache(self) -> KeptAnswers: ...


def cache_routes(gateway: CacheFace) -> Blueprint:
    routes = Blueprint("cache", __name__)

    @routes.get("/v1/cache/stats")
    async def stats() -> Response:
        """What the response cache holds and has done."""
        require("admin")
        gateway.cache.sweep(trio.current_time())
        return json_response(gateway.cache.statistics())

    @routes.post("/v1/cache/clear")
    async def clear() -> Response:
        """Forget kept answers: all, or those of a `model`, or those to the holder of a `key`, by its name."""
        require("admin")
        body = cast(bytes, await request.get_data())
        return json_response({"cleared": gateway.cache.clear(**read_clearing(body))})

    return routes


NAMES = {"model": "model", "key": "caller"}
"""The body's words and the cache's."""


def read_clearing(body: bytes) -> dict[str, str]:
    """Which answers to forget; all of them where nothing is said.  Raises InvalidRequest.

    What is not understood is refused: half a wish would clear too much.
    """
    wanted: dict[str, str] = {}
    for name, raw in read_fields(body).items() if body.strip() else ():
        if name not in NAMES:
            raise InvalidRequest(
                f"Unknown field `{name[:100]}`: expected `model` or `key`.", param=name[:100], code="unknown_parameter"
            )
        wanted[NAMES[name]] = string_of(bytes(raw), name)
    return wanted
