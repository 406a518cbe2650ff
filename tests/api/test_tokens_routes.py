"""The tokens API: the blueprint over the desk and a ledger, with a small stand-in for the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from quart import Response, g, request
from quart_trio import QuartTrio

from hoosh.api.errors import error_response
from hoosh.api.face import as_response
from hoosh.api.tokens import token_routes
from hoosh.budget import Budget, Ledger, decode_entry, encode_entry
from hoosh.budget.reservations import MOST_LIVING
from hoosh.errors import HooshError, StorageError
from hoosh.gateway.tokens import TokenDesk
from hoosh.values import Caller
from hoosh.values.settlement import Settlement

NOON_S = 1_714_564_800
"""2024-05-01, noon."""
CALLERS = {
    caller.name: caller
    for caller in (
        Caller("ada", frozenset({"inference"})),
        Caller("bob", frozenset({"inference"})),
        Caller("kid", frozenset({"inference"}), pool="small"),
        Caller("root", frozenset({"inference", "admin"}), pool="small"),
        Caller("meter", frozenset({"metrics"})),
    )
}
BUDGETS = (
    Budget(name="shared", capacity=1000),
    Budget(name="small", capacity=10, window="day", on_exhausted="finish"),
    Budget(name="money", capacity=1.5, unit="usd"),
)


class Door:
    """A gateway that has nothing but a desk."""

    def __init__(self) -> None:
        self.ledger = Ledger(BUDGETS)
        self.now_s = float(NOON_S)
        self.journal: list[bytes] = []
        self.kept: list[int] = []
        self.disk_is_full = False
        self.tokens = TokenDesk(self.ledger, self.write, self.wait_kept, lambda: int(self.now_s * 1000))
        app = QuartTrio("door")
        app.register_blueprint(token_routes(self))
        app.before_request(self.authenticate)
        app.register_error_handler(HooshError, self.on_error)
        self.client = app.test_client()

    def write(self, entry) -> int:
        self.journal.append(encode_entry(entry))
        return len(self.journal)

    async def wait_kept(self, position: int) -> None:
        if self.disk_is_full:
            raise StorageError("The disk is full.")
        self.kept.append(position)

    async def authenticate(self) -> None:
        g.caller = CALLERS[request.headers["x-caller"]]

    async def on_error(self, error: HooshError) -> Response:
        return as_response(error_response(error, "req_1"))

    async def post(self, what: str, body: Any, caller: str = "ada") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        response = await self.client.post(f"/v1/tokens/{what}", data=data, headers={"x-caller": caller})
        return response.status_code, json.loads(await response.get_data())

    async def pools(self, caller: str = "ada") -> dict[str, Any]:
        response = await self.client.get("/v1/tokens/pools", headers={"x-caller": caller})
        assert response.status_code == 200
        return {pool["name"]: pool for pool in json.loads(await response.get_data())["pools"]}


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    replay = Ledger(BUDGETS)  # whatever a test does, its journal tells all of it
    for row in door.journal:
        replay.apply(decode_entry(row))
    at_ms = int(door.now_s * 1000)
    assert replay.pools(at_ms) == door.ledger.pools(at_ms)


async def test_what_is_reserved_is_reported_and_the_rest_is_free_again(door):
    assert await door.post("check", {"pool": "shared", "tokens": 1000}) == (200, {"allowed": True, "available": 1000})
    status, promised = await door.post("reserve", {"pool": "shared", "tokens": 600})
    assert (status, promised["reserved"], promised["available"]) == (200, True, 400)
    assert promised["expires_at"] == NOON_S + 600
    assert await door.post("check", {"pool": "shared", "tokens": 401}) == (200, {"allowed": False, "available": 400})
    report = {"id": promised["id"], "actual": 550}
    assert await door.post("report", report) == (200, {"used": 550, "available": 450})
    assert (await door.post("report", report))[0] == 404
    assert len(door.journal) == 2


async def test_a_refusal_is_an_answer(door):
    _, first = await door.post("reserve", {"pool": "shared", "tokens": 1000})
    assert await door.post("reserve", {"pool": "shared", "tokens": 1}) == (200, {"reserved": False, "available": 0})
    assert await door.post("release", {"id": first["id"]}) == (200, {"released": True, "available": 1000})
    too_many = {"pool": "shared", "tokens": 2**64 - 1}
    assert await door.post("reserve", too_many) == (200, {"reserved": False, "available": 1000})
    assert await door.post("check", too_many) == (200, {"allowed": False, "available": 1000})


async def test_a_pool_without_an_end_has_null_available(door):
    assert await door.post("check", {"pool": "default", "tokens": 5}) == (200, {"allowed": True, "available": None})
    assert (await door.post("reserve", {"pool": "default", "tokens": 5}))[1]["available"] is None
    assert await door.post("report", {"pool": "default", "reserved": 5, "actual": 7}) == (
        200,
        {"used": 7, "available": None},
    )


async def test_the_references_form_without_ids_cancels_only_the_callers_own(door):
    await door.post("reserve", {"pool": "shared", "tokens": 100}, "bob")
    await door.post("reserve", {"pool": "shared", "tokens": 100})
    report = {"pool": "shared", "reserved": 5000, "actual": 30}
    assert await door.post("report", report) == (200, {"used": 30, "available": 870})
    assert (await door.pools())["shared"]["reserved"] == 100


async def test_a_reservation_is_its_owners_or_an_administrators(door):
    _, promised = await door.post("reserve", {"pool": "shared", "tokens": 100})
    for what, body in (("report", {"id": promised["id"], "actual": 0}), ("release", {"id": promised["id"]})):
        status, error = await door.post(what, body, "bob")
        assert (status, error["error"]["code"], error["error"]["param"]) == (404, "not_found", "id")
    assert await door.post("release", {"id": promised["id"]}, "root") == (200, {"released": True, "available": 1000})


async def test_a_key_with_a_pool_sees_and_names_no_other_unless_it_is_an_administrators(door):
    for what, body in (
        ("check", {"pool": "shared", "tokens": 1}),
        ("reserve", {"pool": "shared", "tokens": 1}),
        ("report", {"pool": "shared", "reserved": 0, "actual": 1}),
        ("check", {"pool": "nobody", "tokens": 1}),
    ):
        status, error = await door.post(what, body, "kid")
        assert (status, error["error"]["code"], error["error"]["param"]) == (403, "forbidden", "pool")
    assert await door.post("check", {"pool": "small", "tokens": 1}, "kid") == (200, {"allowed": True, "available": 10})
    assert list(await door.pools("kid")) == ["small"]
    assert (await door.post("check", {"pool": "shared", "tokens": 1}, "root"))[0] == 200
    assert list(await door.pools("root")) == ["default", "shared", "small", "money"]


async def test_without_the_scope_there_is_nothing_to_see(door):
    assert (await door.post("check", {"pool": "shared", "tokens": 1}, "meter"))[0] == 403
    assert (await door.client.get("/v1/tokens/pools", headers={"x-caller": "meter"})).status_code == 403


async def test_pools_are_listed_with_all_that_is_promised(door):
    hold = door.ledger.hold("small", 4, NOON_S * 1000)
    await door.post("reserve", {"pool": "small", "tokens": 3})
    pools = await door.pools()
    assert pools["small"] == {
        "name": "small",
        "capacity": 10,
        "used": 0,
        "reserved": 7,
        "available": 3,
        "unit": "tokens",
        "window": "day",
        "on_exhausted": "finish",
        "window_ends_at": NOON_S + 12 * 3600,
    }
    assert pools["default"]["capacity"] is pools["default"]["available"] is pools["default"]["window_ends_at"] is None
    assert (pools["money"]["capacity"], pools["money"]["unit"]) == (1_500_000, "usd")
    door.ledger.settle(hold, Settlement("r", NOON_S * 1000, "ada", "small"))


@pytest.mark.parametrize("what", ["check", "reserve", "report"])
async def test_an_unknown_pool_is_not_found(door, what):
    body = {"pool": "nobody" * 1000, "tokens": 1, "actual": 1}
    status, error = await door.post(what, body)
    assert (status, error["error"]["code"], error["error"]["param"]) == (404, "unknown_pool", "pool")
    assert len(error["error"]["message"]) < 300


async def test_a_reservation_is_over_at_its_time_whoever_looks_first(door):
    _, promised = await door.post("reserve", {"pool": "shared", "tokens": 1000, "ttl_s": 60})
    door.now_s += 59.999
    assert (await door.post("check", {"pool": "shared", "tokens": 1}))[1]["allowed"] is False
    door.now_s += 0.001
    assert (await door.post("report", {"id": promised["id"], "actual": 1}))[0] == 404
    assert (await door.post("check", {"pool": "shared", "tokens": 1000}))[1]["allowed"] is True


async def test_one_caller_cannot_fill_the_house_with_reservations(door):
    for number in range(MOST_LIVING):
        entry = door.ledger.reserve("default", "ada", 1, ttl_s=600, at_ms=NOON_S * 1000, reservation_id=f"r{number}")
        door.write(entry)
    status, error = await door.post("reserve", {"pool": "shared", "tokens": 1})
    assert (status, error["error"]["code"]) == (429, "too_many_reservations")
    assert (await door.post("reserve", {"pool": "shared", "tokens": 1}, "bob"))[1]["reserved"] is True
    await door.post("release", {"id": "r7"})
    assert (await door.post("reserve", {"pool": "shared", "tokens": 1}))[1]["reserved"] is True


async def test_answers_that_move_a_balance_wait_until_that_is_kept(door):
    await door.post("check", {"pool": "shared", "tokens": 1})
    assert door.kept == []
    _, promised = await door.post("reserve", {"pool": "shared", "tokens": 1})
    await door.post("release", {"id": promised["id"]})
    assert door.kept == [1, 2]
    door.disk_is_full = True
    status, error = await door.post("reserve", {"pool": "shared", "tokens": 1})
    assert (status, error["error"]["code"]) == (503, "storage_error")


WRONG = [None, True, 1.0, 1.5, -1, 2**64, 10**400, "1", [], {}]


@pytest.mark.parametrize(("what", "field"), [("check", "tokens"), ("reserve", "tokens"), ("report", "reserved")])
@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:8])
async def test_what_is_no_amount_is_refused_with_its_name(door, what, field, value):
    body = json.dumps({"pool": "shared", "actual": 1, field: value}).encode()
    status, error = await door.post(what, body)
    assert (status, error["error"]["type"], error["error"]["param"]) == (400, "invalid_request_error", field)


@pytest.mark.parametrize(
    ("what", "body", "param"),
    [
        ("reserve", {"pool": "shared", "tokens": 0}, "tokens"),
        ("reserve", {"pool": "shared", "tokens": 1, "ttl_s": 0}, "ttl_s"),
        ("reserve", {"pool": "shared", "tokens": 1, "ttl_s": -5}, "ttl_s"),
        ("reserve", {"pool": "shared", "tokens": 1, "ttl_s": 86_401}, "ttl_s"),
        ("reserve", {"pool": "shared", "tokens": 1, "ttl_s": True}, "ttl_s"),
        ("reserve", b'{"pool":"shared","tokens":1,"ttl_s":1e999}', "ttl_s"),
        ("reserve", {"pool": "shared"}, "tokens"),
        ("reserve", {"tokens": 1}, "pool"),
        ("reserve", {"pool": 7, "tokens": 1}, "pool"),
        ("check", {"tokens": 1}, "pool"),
        ("report", {"pool": "shared"}, "actual"),
        ("report", {"pool": "shared", "actual": 2**53 + 1}, "actual"),
        ("report", {"pool": "shared", "actual": -1}, "actual"),
        ("report", {"actual": 1}, "id"),
        ("report", {"actual": 1, "id": 5}, "id"),
        ("release", {}, "id"),
        ("release", {"id": None}, "id"),
        ("check", b"[]", None),
        ("check", b"", None),
        ("check", b"{", None),
        ("check", b"\xff", None),
        ("check", b'{"x":' * 50_000, None),
        ("check", b'{"pool":"\\ud800","tokens":1}', None),
    ],
)
async def test_a_body_that_cannot_be_understood_is_refused(door, what, body, param):
    status, error = await door.post(what, body)
    assert (status, error["error"]["param"]) == (400, param)
    assert not door.journal


async def test_what_is_refused_is_said_in_openais_words_with_limits_that_would_be_taken(door):
    _, wrong = await door.post("check", {"pool": "shared", "tokens": 1.5})
    assert wrong["error"]["message"] == "Invalid type for 'tokens': expected an integer, but got a number instead."
    _, wrong = await door.post("check", b"[]")
    assert "Expected an object, but got an array instead." in wrong["error"]["message"]
    _, wrong = await door.post("check", {"pool": "shared", "tokens": 2**64})
    most = int(wrong["error"]["message"].rpartition(" ")[2].rstrip("."))
    assert (await door.post("check", {"pool": "shared", "tokens": most}))[0] == 200


async def test_numbers_at_the_edge_are_understood(door):
    assert (await door.post("check", {"pool": "shared", "tokens": 0}))[1]["allowed"] is True
    assert (await door.post("reserve", {"pool": "shared", "tokens": 1, "ttl_s": 86_400}))[1]["reserved"] is True
    assert (await door.post("report", {"pool": "shared", "reserved": 2**64 - 1, "actual": 0}))[0] == 200
    assert await door.post("report", {"pool": "shared", "actual": 2**53}) == (200, {"used": 2**53, "available": 0})
    assert (await door.post("release", {"id": "x" * 10_000}))[0] == 404
