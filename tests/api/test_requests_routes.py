"""The live view over HTTP, in front of a small desk: who may look, what is shown, and what is ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from quart import Response

from hoosh.api.app import HooshApp, build_app
from hoosh.errors import Unauthenticated
from hoosh.http.message import Headers
from hoosh.values import AttemptRecord, Caller, RunningPage, RunningRequest, Selection

PATH = "/v1/admin/requests"
CALLERS = {
    name: Caller(name, frozenset(scopes))
    for name, scopes in {"root": ["admin"], "ada": ["inference"], "meter": ["metrics"]}.items()
}


def running(number: int, **facts: Any) -> RunningRequest:
    said: dict[str, Any] = {"method": "POST", "path": "/v1/chat/completions", "kind": "chat", "phase": "streaming"}
    return RunningRequest(id=f"req_{number}", age_s=10.0 - number, **said | facts)


RUNNING = [
    running(0, caller="ada", pool="team", model="smart", provider="mock", served_model="m-1"),
    running(1, caller="bob", pool="team", model="m", tried=(AttemptRecord("slow", "m", 1.5, "503"),)),
    running(2, caller="bob", pool="own", model="m", phase="queued"),
    running(3, phase="reading"),
]


class Desk:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.limits: list[int | None] = []
        self.ended: list[tuple[Selection, str]] = []

    def running(self, wanted: Selection, limit: int | None) -> RunningPage:
        self.limits.append(limit)
        found = [one for one in RUNNING if self._matches(one, wanted)]
        return RunningPage(tuple(found[:limit]), len(found))

    def find(self, request_id: str) -> RunningRequest | None:
        return next((one for one in RUNNING if one.id == request_id), None)

    async def withdraw(self, wanted: Selection, *, by: str) -> int:
        self.ended.append((wanted, by))
        return sum(self._matches(one, wanted) for one in RUNNING)

    def _matches(self, one: RunningRequest, wanted: Selection) -> bool:
        pairs = [
            (wanted.id, one.id),
            (wanted.key, one.caller),
            (wanted.pool, one.pool),
            (wanted.model, one.model),
            (wanted.phase, one.phase),
        ]
        return all(wish is None or wish == fact for wish, fact in pairs)


class Door:
    """The whole app over a gateway that has keys and a desk, and nothing else."""

    def __init__(self) -> None:
        self.live = Desk()
        self.app: HooshApp = build_app(self)  # type: ignore[arg-type]

    def authenticate(self, headers: Headers) -> Caller:
        name = (headers.text(b"authorization") or "").removeprefix("Bearer ")
        if name not in CALLERS:
            raise Unauthenticated("Incorrect API key provided.")
        return CALLERS[name]

    async def ask(self, query: str = "", method: str = "GET", *, key: str = "root") -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {key}"}
        response: Response = await self.app.test_client().open(PATH + query, method=method, headers=headers)  # type: ignore[assignment]
        return response.status_code, json.loads(await response.get_data())


@pytest.fixture
async def door() -> Door:
    return Door()


async def test_what_runs_is_a_list_in_openais_shape(door: Door):
    status, answer = await door.ask()
    assert (status, answer["object"], answer["total"]) == (200, "list", 4)
    assert [one["id"] for one in answer["data"]] == ["req_0", "req_1", "req_2", "req_3"]
    assert answer["data"][1] == {
        "id": "req_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "kind": "chat",
        "phase": "streaming",
        "age_s": 9.0,
        "key": "bob",
        "pool": "team",
        "model": "m",
        "provider": None,
        "served_model": None,
        "stream": False,
        "priority": "normal",
        "attempts": 0,
        "deadline_left_s": None,
        "cache": "bypass",
        "body_bytes": 0,
        "sent_bytes": 0,
        "chunks": 0,
        "tried": [{"provider": "slow", "model": "m", "duration_s": 1.5, "reason": "503"}],
    }
    assert door.live.limits == [100]


@pytest.mark.parametrize(
    ("query", "numbers", "total"),
    [
        ("?key=bob", [1, 2], 2),
        ("?pool=team&model=m", [1], 1),
        ("?phase=queued", [2], 1),
        ("?key=nobody", [], 0),
        ("?limit=1&key=bob", [1], 2),
        ("?limit=1000", [0, 1, 2, 3], 4),
    ],
)
async def test_it_can_be_filtered_and_the_total_counts_what_is_not_shown(door: Door, query, numbers, total):
    status, answer = await door.ask(query)
    assert (status, [one["id"] for one in answer["data"]]) == (200, [f"req_{number}" for number in numbers])
    assert answer["total"] == total


async def test_one_is_found_by_its_id_and_404_says_that_it_does_not_run(door: Door):
    status, answer = await door.ask("/req_2")
    assert (status, answer["id"], answer["phase"]) == (200, "req_2", "queued")
    for method in ("GET", "DELETE"):
        status, answer = await door.ask(f"/{'x' * 2000}", method)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "not_found", "id")
        assert len(answer["error"]["message"]) < 150


ENDINGS: Sequence[tuple[str, Selection, int]] = [
    ("/req_1", Selection(id="req_1"), 1),
    ("?key=bob", Selection(key="bob"), 2),
    ("?pool=team", Selection(pool="team"), 2),
    ("?model=m&pool=own", Selection(model="m", pool="own"), 1),
    ("?model=llama%2Fm%20%2A", Selection(model="llama/m *"), 0),
    ("?all=true", Selection(), 4),
]


@pytest.mark.parametrize(("query", "wanted", "count"), ENDINGS)
async def test_ending_says_how_many_and_who_has_done_it(door: Door, query, wanted, count):
    assert await door.ask(query, "DELETE") == (200, {"cancelled": count})
    assert door.live.ended == [(wanted, "root")]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "all"),
        ("?all=false", "all"),
        ("?all=", "all"),
        ("?all=true&all=true", "all"),
        ("?all=true&key=bob", "all"),
        ("?key=", "key"),
        ("?key=ada&key=bob", "key"),
        (f"?model={'x' * 513}", "model"),
        ("?modle=m", "modle"),
        ("?phase=queued", "phase"),
        ("?limit=1&key=bob", "limit"),
    ],
)
async def test_half_a_wish_ends_nothing(door: Door, query, param):
    status, answer = await door.ask(query, "DELETE")
    assert (status, answer["error"]["type"], answer["error"]["param"]) == (400, "invalid_request_error", param)
    assert door.live.ended == []


@pytest.mark.parametrize(
    "query",
    [
        *(
            "?limit=0",
            "?limit=1001",
            "?limit=-1",
            "?limit=1e2",
            "?limit=",
            "?limit=true",
            "?limit=%D9%A1",
            "?limit=1.0",
        ),
        *(
            "?limit=99999999999999999999",
            "?limit=1&limit=2",
            "?phase=asleep",
            "?phase=",
            "?pool=",
            "?all=true",
            "?id=x",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(door: Door, query):
    status, answer = await door.ask(query)
    assert (status, answer["error"]["param"]) == (400, query[1:].partition("=")[0])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("query", ["", "/req_1", "?key=bob", "?all=true"])
async def test_only_an_admin_may_look_or_end(door: Door, method, query):
    for key, refused, code in (("", 401, "invalid_api_key"), ("ada", 403, "forbidden"), ("meter", 403, "forbidden")):
        status, answer = await door.ask(query, method, key=key)
        assert (status, answer["error"]["code"]) == (refused, code)
    assert door.live.ended == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_other_methods_are_not_allowed(door: Door, method):
    for query in ("", "/req_1"):
        status, answer = await door.ask(query, method)
        assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
