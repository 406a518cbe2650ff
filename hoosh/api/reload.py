"""Have the configuration read again.  Needs the scope `admin`.

    POST /v1/admin/reload     200, and what has changed; 400 with every mistake, and nothing has changed

Source: product section 6; docs/reload.md.
"""

from __future__ import annotations

from typing import Protocol

from quart import Blueprint, Response, request

from hoosh.api.face import json_response, require
from hoosh.errors import ConfigError, InvalidRequest
from hoosh.values import Reloaded

__all__ = ["ReloadFace", "reload_routes"]


class ReloadFace(Protocol):
    async def reload(self, *, by: str) -> Reloaded: ...


def reload_routes(gateway: ReloadFace) -> Blueprint:
    routes = Blueprint("reload", __name__)

    @routes.post("/v1/admin/reload")
    async def reload() -> Response:
        """Read the configuration again, and work by it."""
        caller = require("admin")
        await request.get_data()  # nothing is asked for, but what comes has limits
        try:
            told = await gateway.reload(by=caller.name)
        except ConfigError as error:
            raise InvalidRequest(str(error), code="invalid_configuration") from None
        return json_response(told)

    return routes
