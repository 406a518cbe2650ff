"""The audit routes over a real trail in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from quart import Response, g, request
from quart_trio import QuartTrio

from hoosh.api.audit import audit_routes
from hoosh.api.errors import error_response
from hoosh.api.face import as_response
from hoosh.audit import Audit
from hoosh.errors import HooshError
from hoosh.gateway.trail import AuditTrail
from hoosh.gateway.trail_pages import AuditPages
from hoosh.storage import MemoryStore
from hoosh.values import Caller, Secret

SETTINGS = Audit(enabled=True, signing_key=Secret("the key of the house"), checkpoint_every=100_000)


class Door:
    """A gateway that has nothing but an audit log."""

    def __init__(self, settings: Audit = SETTINGS) -> None:
        store = MemoryStore()
        self.log = store.log("audit")
        self.trail = AuditTrail(settings, self.log, store.table("audit"), lambda: 1_000_000)
        self.audit: AuditPages | None = AuditPages(self.trail)
        app = QuartTrio("door")
        app.register_blueprint(audit_routes(self))
        app.before_request(self.authenticate)
        app.register_error_handler(HooshError, self.on_error)
        self.client = app.test_client()

    async def authenticate(self) -> None:
        scopes = frozenset(request.headers.get("x-scopes", "admin").split())
        g.caller = Caller("ada", scopes)

    async def on_error(self, error: HooshError) -> Response:
        return as_response(error_response(error, "req_1"))

    async def get(self, query: str = "", *, scopes: str = "admin") -> tuple[int, Any]:
        response = await self.client.get(f"/v1/audit{query}", headers={"x-scopes": scopes})
        return response.status_code, json.loads(await response.get_data())


@pytest.fixture
async def door() -> Door:
    door = Door()
    await door.trail.open()
    for number in range(250):
        door.trail.note("even" if number % 2 == 0 else "odd", "warn" if number % 5 == 0 else "info", "y", n=number)
    return door


async def test_the_newest_entries_come_oldest_first(door: Door):
    status, page = await door.get()
    assert status == 200
    assert [entry["number"] for entry in page["entries"]] == list(range(151, 251))
    assert {name: page[name] for name in ("total", "chain_valid", "verified_through", "verified_at", "next")} == {
        "total": 250, "chain_valid": None, "verified_through": None, "verified_at": None, "next": 151,
    }  # fmt: skip
    entry = page["entries"][-1]
    assert entry["metadata"] == {"n": 249}
    assert set(entry) == {"number", "id", "timestamp", "event", "level", "message", "metadata", "integrity"}
    assert set(entry["integrity"]) == {"version", "key_id", "previous_hash", "signature"}


async def test_pages_go_both_ways_and_can_be_filtered(door: Door):
    numbers = {
        "?limit=2&before=101": [99, 100],
        "?limit=2&after=100": [101, 102],
        "?limit=1000": list(range(1, 251)),
        "?limit=99999": list(range(1, 251)),
        "?after=250": [],
        "?before=1": [],
        "?limit=3&event=odd": [246, 248, 250],
        "?limit=2&level=warn&after=0": [1, 6],
        "?event=even&level=error": [],
    }
    for query, wanted in numbers.items():
        status, page = await door.get(query)
        assert (status, [entry["number"] for entry in page["entries"]]) == (200, wanted), query


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=-1",
        "?limit=x",
        "?limit=1e3",
        "?limit=9999999999999999",
        "?limit=%D9%A1",
        "?before=-1",
        "?after=true",
        "?before=5&after=5",
        "?level=loud",
        "?levle=warn",
        f"?event={'x' * 101}",
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(door: Door, query: str):
    status, answer = await door.get(query)
    assert (status, answer["error"]["param"]) == (400, query[1:].rpartition("&")[2].partition("=")[0])


async def test_verifying_tells_what_it_found_and_pages_repeat_it(door: Door):
    status, verdict = await door.get("/verify")
    assert (status, verdict["valid"], verdict["entries"], verdict["first_bad"]) == (200, True, 250, None)
    page = (await door.get("?limit=1"))[1]
    assert (page["chain_valid"], page["verified_through"], page["verified_at"]) == (True, 250, 1_000_000)
    door.log._bodies[99] = door.log._bodies[99].replace(b'"y"', b'"z"')
    status, verdict = await door.get("/verify")
    assert (status, verdict["valid"], verdict["first_bad"], verdict["reason"] != "") == (200, False, 100, True)
    page = (await door.get("?limit=1"))[1]
    assert (page["chain_valid"], page["verified_through"]) == (False, 99)


async def test_verifications_do_not_pile_up(door: Door, monkeypatch: pytest.MonkeyPatch):
    verified = 0
    verify = door.trail._verify

    async def counted() -> Any:
        nonlocal verified
        verified += 1
        return await verify()

    monkeypatch.setattr(door.trail, "_verify", counted)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(door.get, "/verify")
    assert verified < 10


@pytest.mark.parametrize("path", ["", "/verify"])
async def test_only_an_admin_may_read_it(door: Door, path: str):
    for scopes in ("inference metrics", "metrics"):
        status, answer = await door.get(path, scopes=scopes)
        assert (status, answer["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["", "/verify"])
async def test_where_it_is_disabled_the_answer_says_how_to_enable_it(door: Door, path: str):
    door.audit = None
    status, answer = await door.get(path)
    assert (status, answer["error"]["code"]) == (404, "audit_disabled")
    assert "[audit]" in answer["error"]["message"]
