"""The page of the queue, over a state as the gateway gives it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from quart import g
from quart_trio import QuartTrio

from hoosh.api.errors import error_response
from hoosh.api.face import as_response
from hoosh.api.queue import queue_routes
from hoosh.errors import HooshError
from hoosh.values import Caller, CallerQueue, QueueState

STATE = QueueState(
    queued={"critical": 0, "high": 1, "normal": 4, "low": 0, "background": 2},
    running=8,
    max_concurrent=8,
    max_queue=100,
    timeout_s=30.0,
    longest_wait_s=12.5,
    refused=3,
    callers=(CallerQueue("ada", 5, 12.5), CallerQueue("bob", 2, 0.25)),
    shedding=("low", "background"),
)


def app_over(state: QueueState, *, scopes: frozenset[str] = frozenset({"admin"})) -> QuartTrio:
    app = QuartTrio("test")
    app.register_blueprint(queue_routes(SimpleNamespace(queue_state=lambda: state)))

    @app.before_request
    async def authenticate() -> None:
        g.caller = Caller("ada", scopes)

    @app.errorhandler(HooshError)
    async def refuse(error: HooshError) -> Any:
        return as_response(error_response(error, "req_1"))

    return app


async def test_the_page_has_the_reference_s_names_and_all_that_is_known_besides():
    answer = await app_over(STATE).test_client().get("/v1/queue/status")
    assert answer.status_code == 200
    assert await answer.get_json() == {
        "queued": 7,
        "pending": 7,
        "processing": 8,
        "classes": {"critical": 0, "high": 1, "normal": 4, "low": 0, "background": 2},
        "max_concurrent": 8,
        "max_queue": 100,
        "timeout_s": 30.0,
        "longest_wait_s": 12.5,
        "refused": 3,
        "callers": [
            {"caller": "ada", "queued": 5, "longest_wait_s": 12.5},
            {"caller": "bob", "queued": 2, "longest_wait_s": 0.25},
        ],
        "shedding": ["low", "background"],
    }


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({"inference", "metrics"})])
async def test_only_admins_may_see_who_waits(scopes):
    answer = await app_over(STATE, scopes=scopes).test_client().get("/v1/queue/status")
    assert answer.status_code == 403
