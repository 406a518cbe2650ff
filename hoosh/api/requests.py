"""What runs at this moment, and how the owner ends it.  All of it needs the scope `admin`.

    GET    /v1/admin/requests          those that match `key`, `pool`, `model`, `phase`; oldest first, `limit` at most
    GET    /v1/admin/requests/{id}     one of them
    DELETE /v1/admin/requests/{id}     end it
    DELETE /v1/admin/requests          end those that match `key`, `pool`, `model`, or with `all=true` every one

What is not understood is refused: half a wish would end too much.  Source: docs/requests.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from quart import Blueprint, Response, request

from hoosh.api.face import json_response, require
from hoosh.dialects.mistakes import invalid_value
from hoosh.errors import InvalidRequest, NoSuchEntry
from hoosh.values import LIVE_PHASES, RunningPage, RunningRequest, Selection

__all__ = ["LiveFace", "LiveRequests", "limit_of", "request_routes", "selection_of"]

LIMIT = 100
LIMIT_MAX = 1000
MAX_NAME_CHARS = 512
NAMES = ("key", "pool", "model")

Said = Mapping[str, Sequence[str]]
"""A query string."""


class LiveRequests(Protocol):
    """The desk behind these routes."""

    def running(self, wanted: Selection, limit: int | None) -> RunningPage: ...

    def find(self, request_id: str) -> RunningRequest | None: ...

    async def withdraw(self, wanted: Selection, *, by: str) -> int:
        """Returns how many it has ended."""
        ...


class LiveFace(Protocol):
    """The gateway, as far as these routes know it."""

    @property
    def live(self) -> LiveRequests: ...


def request_routes(gateway: LiveFace) -> Blueprint:
    routes = Blueprint("requests", __name__)

    @routes.get("/v1/admin/requests")
    async def running() -> Response:
        """The requests that run now."""
        require("admin")
        said = _said()
        page = gateway.live.running(selection_of(said, *NAMES, "phase", besides=("limit",)), limit_of(said))
        return json_response({"object": "list", "data": page.requests, "total": page.total})

    @routes.get("/v1/admin/requests/<request_id>")
    async def find(request_id: str) -> Response:
        """One request that runs now."""
        require("admin")
        found = gateway.live.find(request_id)
        if found is None:
            raise _not_running(request_id)
        return json_response(found)

    @routes.delete("/v1/admin/requests/<request_id>")
    async def withdraw(request_id: str) -> Response:
        """End one request."""
        caller = require("admin")
        if not await gateway.live.withdraw(Selection(id=request_id), by=caller.name):
            raise _not_running(request_id)
        return json_response({"cancelled": 1})

    @routes.delete("/v1/admin/requests")
    async def withdraw_all() -> Response:
        """End the requests that match."""
        caller = require("admin")
        wanted = _meant(_said())
        return json_response({"cancelled": await gateway.live.withdraw(wanted, by=caller.name)})

    return routes


def _said() -> Said:
    return cast(Said, request.args.to_dict(flat=False))


def _not_running(request_id: str) -> NoSuchEntry:
    return NoSuchEntry(f"No request `{request_id[:64]}` is running; it may have ended.", param="id")


def _meant(said: Said) -> Selection:
    """Which requests to end.  Raises InvalidRequest where it is not clear."""
    wanted = selection_of(said, *NAMES, besides=("all",))
    if said.get("all", ["true"]) != ["true"]:
        raise InvalidRequest("Invalid 'all': it can only be `true`.", param="all", code="invalid_value")
    if ("all" in said) == (wanted != Selection()):
        raise InvalidRequest("Say which requests: by `key`, `pool` or `model`, or `all=true` alone.", param="all")
    return wanted


def selection_of(said: Said, *filters: str, besides: Sequence[str] = ()) -> Selection:
    """The query string as a selection by `filters`.  Raises InvalidRequest; `besides` may be said, too."""
    names: dict[str, str] = {}
    for name, values in said.items():
        if name not in filters and name not in besides:
            raise InvalidRequest(f"Unknown query parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter")
        if len(values) > 1:
            raise InvalidRequest(f"'{name}' may be given once.", param=name, code="invalid_value")
        if name in filters:
            names[name] = _name(name, values[0])
    phase = names.pop("phase", None)
    if phase is not None and phase not in LIVE_PHASES:
        raise invalid_value("phase", phase, LIVE_PHASES)
    return Selection(**names, phase=phase)


def _name(param: str, text: str) -> str:
    if 1 <= len(text) <= MAX_NAME_CHARS:
        return text
    raise InvalidRequest(f"Invalid '{param}': 1 to {MAX_NAME_CHARS} characters.", param=param, code="invalid_value")


def limit_of(said: Said) -> int:
    """How many to show.  Raises InvalidRequest."""
    text = said.get("limit", [str(LIMIT)])[0]
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIMIT_MAX:
        return int(text)
    raise InvalidRequest(f"Invalid 'limit': 1 to {LIMIT_MAX}.", param="limit", code="invalid_value")
