"""The queue for those who run the gateway: who waits, for how long, what is turned away.  Needs the scope `admin`.

Source: reference section 2.13, whose names are kept: `queued` and `pending` are those who wait, `processing` those who
have had their turn.  The rest is ours.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import asdict
from quart import Blueprint, Response

from hoosh.api.face import json_response, require
from hoosh.values import QueueState

__all__ = ["QueueFace", "queue_routes"]


class QueueFace(Protocol):
    def queue_state(self) -> QueueState: ...


def queue_routes(gateway: QueueFace) -> Blueprint:
    routes = Blueprint("queue", __name__)

    @routes.get("/v1/queue/status")
    async def status() -> Response:
        """How many requests wait for their turn, whose they are, and what the limits are."""
        require("admin")
        return json_response(page_of(gateway.queue_state()))

    return routes


def page_of(state: QueueState) -> dict[str, object]:
    facts = asdict(state)
    classes = facts.pop("queued")
    queued = sum(classes.values())
    return {"queued": queued, "pending": queued, "processing": facts.pop("running"), "classes": classes, **facts}
