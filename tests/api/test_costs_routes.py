"""The costs API: the blueprint over the desk, real totals and prices, with a small stand-in for the gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from quart import Response, g, request
from quart_trio import QuartTrio

from hoosh.api.costs import cost_routes
from hoosh.api.errors import error_response
from hoosh.api.face import as_response
from hoosh.cost import CostsReset, PriceBook, PriceOverride, Totals
from hoosh.errors import HooshError, NoRoute
from hoosh.gateway.costs import Candidate, CostDesk
from hoosh.values import Caller, Capability, ModelCard, ModelFacts, ProviderState, Settlement, Usage

DAY_MS = 86_400_000
NOON_MS = 1_714_564_800_000
"""2024-05-01, noon."""
CALLERS = {
    caller.name: caller
    for caller in (
        Caller("ada", frozenset({"inference"})),
        Caller("kid", frozenset({"inference"}), models=("llama*",)),
        Caller("home", frozenset({"inference"}), local_only=True),
        Caller("root", frozenset({"inference", "admin"})),
        Caller("meter", frozenset({"metrics"})),
    )
}
CANDIDATES: dict[str, list[Candidate]] = {
    "gpt-4o": [("openai", "openai", "gpt-4o", False)],
    "whisper-1": [("openai", "openai", "whisper-1", False)],
    "smart": [("openai", "openai", "gpt-4.1-mini", False), ("box", "ollama", "qwen3", True)],
    "llama3.1": [("box", "ollama", "llama3.1", True)],
    "house": [("lan", "openai-compatible", "house", False)],
    "echo": [("echo", "echo", "echo", True)],
}


def facts(*can: Capability) -> ModelFacts:
    return ModelFacts(frozenset({Capability.CHAT, *can}), frozenset(), 100_000, 10_000)


CARDS = [
    ModelCard("echo", "hoosh", facts=facts(Capability.TOOLS, Capability.VISION)),
    ModelCard("gpt-4o", "openai", facts=facts(Capability.TOOLS, Capability.VISION)),
    ModelCard("smart", "hoosh", facts=facts(Capability.TOOLS)),
    ModelCard("llama3.1", "box", facts=facts()),
    ModelCard("house", "lan", facts=facts(Capability.TOOLS, Capability.VISION)),
    ModelCard("gone", "nobody", facts=facts(Capability.TOOLS, Capability.VISION)),
]


def spent(caller: str, model: str, cost: int | None, day: int = 0, **more: Any) -> Settlement:
    local = model == "llama3.1"
    return Settlement(
        *("r", NOON_MS + day * DAY_MS, caller, "team" if caller == "ada" else "default"),
        provider="box" if local else "openai",
        model=model,
        usage=Usage(1000, 100, cached_tokens=10),
        cost_micro_usd=cost,
        local=local,
        **more,
    )


SPENT = [
    spent("ada", "gpt-4o", 3_500),
    spent("ada", "gpt-4o", 1, 1),
    spent("ada", "llama3.1", 0, 1),
    spent("bob", "gpt-4o", None, 2),
    spent("bob", "gpt-4o", 1_000_000, 2, outcome="cut", estimated=True),
    spent("bob", "gpt-4o", 0, 2, cached=True),
]


class Door:
    """A gateway that has nothing but a desk."""

    def __init__(self, *prices: PriceOverride) -> None:
        self.totals = Totals()
        self.waiting = list(SPENT)
        self.journal: list[CostsReset] = []
        self.kept: list[int] = []
        self.costs = CostDesk(
            self.totals,
            PriceBook(prices),
            write=self.write,
            flush=self.flush,
            resolve=self.resolve,
            models=self.models,
            count_tokens=lambda model, messages: len(bytes(messages)),
            now_ms=lambda: NOON_MS,
            wait_kept=self.wait_kept,
        )
        app = QuartTrio("door")
        app.register_blueprint(cost_routes(self))
        app.before_request(self.authenticate)
        app.register_error_handler(HooshError, self.on_error)
        self.client = app.test_client()

    def write(self, entry: CostsReset) -> int:
        self.flush()
        self.journal.append(entry)
        self.totals.apply(entry)
        return len(self.journal)

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for settlement in waiting:
            self.totals.apply(settlement)

    async def wait_kept(self, position: int) -> None:
        self.kept.append(position)

    def resolve(self, model: str) -> Sequence[Candidate]:
        if model not in CANDIDATES:
            raise NoRoute(model)
        return CANDIDATES[model]

    async def models(self) -> Sequence[ModelCard]:
        return CARDS

    def providers(self) -> list[ProviderState]:
        return [ProviderState("openai", "openai", "https://user:secret@api.example/v1?key=x")]

    async def authenticate(self) -> None:
        g.caller = CALLERS[request.headers["x-caller"]]

    async def on_error(self, error: HooshError) -> Response:
        return as_response(error_response(error, "req_1"))

    async def ask(self, method: str, path: str, body: Any = None, *, as_: str = "root") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = await self.client.open(path, method=method, data=data, headers={"x-caller": as_})
        return response.status_code, json.loads(await response.get_data())

    async def get(self, query: str = "", *, as_: str = "root") -> tuple[int, Any]:
        return await self.ask("GET", f"/v1/costs{query}", as_=as_)


@pytest.fixture
def door() -> Door:
    return Door(PriceOverride(model="priced-*", input=1.0))


# -- reports -----------------------------------------------------------------------------------------------------


async def test_costs_are_told_by_provider_in_the_references_words(door):
    status, costs = await door.get()
    assert status == 200
    assert costs["records"] == [
        {
            "provider": "openai",
            "base_url": "https://api.example/v1",
            "is_local": False,
            "total_input_tokens": 4000,
            "total_output_tokens": 400,
            "request_count": 5,
            "total_cost_usd": 1.003501,
            "total_cost_micro_usd": 1_003_501,
            "requests_unpriced": 1,
            "requests_failed": 1,
            "requests_cached": 1,
            "requests_estimated": 1,
            "cached_tokens": 40,
            "saved_tokens": 1100,
        },
        {
            "provider": "box",
            "is_local": True,
            "total_input_tokens": 1000,
            "total_output_tokens": 100,
            "request_count": 1,
            "total_cost_usd": 0.0,
            "total_cost_micro_usd": 0,
            "requests_unpriced": 0,
            "requests_failed": 0,
            "requests_cached": 0,
            "requests_estimated": 0,
            "cached_tokens": 10,
            "saved_tokens": 0,
        },
    ]
    sums = ("total_requests", "total_prompt_tokens", "total_completion_tokens", "total_cost_micro_usd")
    assert [costs[name] for name in sums] == [6, 5000, 500, 1_003_501]
    assert costs["total_cost_usd"] == 1.003501
    assert (costs["since"], costs["group_by"], costs["truncated"]) == (None, ["provider"], False)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("group_by=key", [("bob", 1_000_000), ("ada", 3_501)]),
        (
            "group_by=key,day",
            [("2024-05-01", "ada", 3_500), ("2024-05-02", "ada", 1), ("2024-05-03", "bob", 1_000_000)],
        ),
        ("group_by=model&key=ada", [("gpt-4o", 3_501), ("llama3.1", 0)]),
        ("group_by=pool&since=2024-05-02&until=2024-05-02", [("team", 1)]),
        ("group_by=%20pool%20&until=2024-05-02", [("team", 3_501)]),
        ("group_by=model&provider=box", [("llama3.1", 0)]),
        ("group_by=key&model=nobody", []),
        ("group_by=day&pool=default", [("2024-05-03", 1_000_000)]),
    ],
)
async def test_costs_are_told_apart_as_asked(door, query, rows):
    status, costs = await door.get(f"?{query}")
    assert status == 200
    told = [(*(row[group] for group in costs["group_by"]), row["total_cost_micro_usd"]) for row in costs["records"]]
    assert told == rows
    assert costs["total_cost_micro_usd"] == sum(row[-1] for row in rows)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("group_by=", "group_by"),
        ("group_by=key,colour", "group_by"),
        ("group_by=key&group_by=day", "group_by"),
        ("since=yesterday", "since"),
        ("since=2024-02-30", "since"),
        ("since=20240501", "since"),
        ("until=2024-5-1", "until"),
        ("until=%D9%A2024-05-01", "until"),
        ("since=2024-05-02&until=2024-05-01", "since"),
        ("key=", "key"),
        ("model=" + "x" * 600, "model"),
        ("groupby=key", "groupby"),
        ("since=", "since"),
    ],
)
async def test_a_question_that_cannot_be_read_is_refused_by_its_name(door, query, param):
    status, body = await door.get(f"?{query}")
    assert (status, body["error"]["param"]) == (400, param)


async def test_without_admin_one_sees_ones_own_costs_and_no_addresses(door):
    status, costs = await door.get("?group_by=key,provider", as_="ada")
    assert status == 200
    assert {row["key"] for row in costs["records"]} == {"ada"}
    assert "base_url" not in costs["records"][0]
    assert costs["total_cost_micro_usd"] == 3_501
    assert (await door.get("?key=ada", as_="ada"))[0] == 200
    assert (await door.get("?key=bob", as_="ada"))[0] == 403
    assert (await door.get(as_="meter"))[0] == 403


async def test_a_report_too_long_to_read_says_so_and_has_the_right_sum(door):
    door.waiting = [spent("ada", f"m{number}", 1) for number in range(1500)]
    _, costs = await door.get("?group_by=model")
    assert (len(costs["records"]), costs["truncated"], costs["total_cost_micro_usd"]) == (1000, True, 1500)


# -- a new beginning ---------------------------------------------------------------------------------------------


async def test_a_reset_tells_what_there_was_and_is_in_the_journal_before_the_answer(door):
    status, body = await door.ask("POST", "/v1/costs/reset", {"reason": " new\n month "})
    assert status == 200
    assert (body["status"], body["reason"]) == ("reset", "new month")
    assert (body["cleared"]["total_requests"], body["cleared"]["total_cost_micro_usd"]) == (6, 1_003_501)
    assert door.journal == [CostsReset(NOON_MS, "root", "new month")]
    assert door.kept == [1]
    _, costs = await door.get()
    assert (costs["records"], costs["total_requests"], costs["since"]) == ([], 0, "2024-05-01T12:00:00Z")


async def test_a_reset_needs_no_reason_but_the_scope(door):
    assert (await door.ask("POST", "/v1/costs/reset"))[0] == 200
    assert (await door.ask("POST", "/v1/costs/reset", as_="ada"))[0] == 403
    assert len(door.journal) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reason": 5}, 400),
        ({"reason": "x" * 501}, 400),
        ([], 400),
        (b"{", 400),
        (b"[" * 9000, 400),
        (b" " * 70_000, 413),
    ],
)
async def test_a_reset_that_cannot_be_read_resets_nothing(door, body, status):
    assert (await door.ask("POST", "/v1/costs/reset", body))[0] == status
    assert door.journal == []


# -- estimates ---------------------------------------------------------------------------------------------------


async def test_an_estimate_is_the_price_where_the_request_would_go_first(door):
    status, body = await door.ask(
        "POST", "/v1/cost/estimate", {"model": "smart", "input_tokens": 1_000_000, "output_tokens": 1000}, as_="ada"
    )
    assert status == 200
    assert body == {
        "model": "smart",
        "input_tokens": 1_000_000,
        "output_tokens": 1000,
        "estimated_cost_micro_usd": 401_600,
        "estimated_cost_usd": "0.401600",
        "provider": "openai",
        "served_model": "gpt-4.1-mini",
        "is_local": False,
    }


@pytest.mark.parametrize(
    ("asked", "tokens", "usd"),
    [
        ({"model": "gpt-4o"}, (0, 0), "0.000000"),
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}, (35, 0), "0.000088"),
        ({"model": "gpt-4o", "messages": [], "input_tokens": 4, "output_tokens": 1}, (4, 1), "0.000020"),
        ({"model": "llama3.1", "input_tokens": 1_000_000_000}, (1_000_000_000, 0), "0.000000"),
    ],
)
async def test_an_estimate_counts_messages_where_no_tokens_are_said(door, asked, tokens, usd):
    status, body = await door.ask("POST", "/v1/cost/estimate", asked)
    assert status == 200
    assert ((body["input_tokens"], body["output_tokens"]), body["estimated_cost_usd"]) == (tokens, usd)


@pytest.mark.parametrize(
    ("asked", "status", "param", "code"),
    [
        ({"model": "house"}, 400, "model", "price_unknown"),
        ({"model": "whisper-1"}, 400, "model", "price_unknown"),  # by the hour, of which nobody has asked
        ({"model": "nobody"}, 404, "model", "model_not_found"),
        ({}, 400, "model", "missing_required_parameter"),
        ({"model": ""}, 400, "model", "invalid_value"),
        ({"model": "x" * 513}, 400, "model", "invalid_value"),
        ({"model": 5}, 400, "model", "invalid_type"),
        ({"model": "gpt-4o", "messages": "hi"}, 400, "messages", "invalid_type"),
        ([], 400, None, "invalid_json"),
        ({"model": "gpt-4o", "input_tokens": -1}, 400, "input_tokens", "invalid_value"),
        ({"model": "gpt-4o", "input_tokens": True}, 400, "input_tokens", "invalid_type"),
        ({"model": "gpt-4o", "input_tokens": "5"}, 400, "input_tokens", "invalid_type"),
        ({"model": "gpt-4o", "output_tokens": 2**64}, 400, "output_tokens", None),
        (b'{"model":"gpt-4o","output_tokens":1e999}', 400, None, None),
        (b'{"model":"gpt-4o","output_tokens":NaN}', 400, None, "invalid_json"),
        (b"", 400, None, "invalid_json"),
        (b"[" * 100_000, 400, None, None),
    ],
)
async def test_an_estimate_that_cannot_be_made_says_why(door, asked, status, param, code):
    got, body = await door.ask("POST", "/v1/cost/estimate", asked)
    assert got == status
    assert param is None or body["error"]["param"] == param
    assert code is None or body["error"]["code"] == code


async def test_an_estimate_asks_what_the_key_may_use(door):
    asked = {"model": "smart", "input_tokens": 1_000_000}
    assert (await door.ask("POST", "/v1/cost/estimate", asked, as_="kid"))[0] == 403
    assert (await door.ask("POST", "/v1/cost/estimate", asked, as_="meter"))[0] == 403
    status, body = await door.ask("POST", "/v1/cost/estimate", asked, as_="home")
    assert (status, body["provider"], body["estimated_cost_micro_usd"]) == (200, "box", 0)
    assert (await door.ask("POST", "/v1/cost/estimate", {"model": "gpt-4o"}, as_="home"))[0] == 404


# -- advice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "caller", "model"),
    [
        ({"input_tokens": 1000, "max_output_tokens": 100}, "root", "llama3.1"),
        ({"input_tokens": 1000, "uses_tools": True}, "root", "smart"),
        ({"input_tokens": 1000, "has_vision": True, "has_system_prompt": True}, "root", "gpt-4o"),
        ({"input_tokens": 1000}, "kid", "llama3.1"),
        ({"uses_tools": True}, "home", "smart"),
    ],
)
async def test_the_cheapest_model_that_can_is_recommended(door, asked, caller, model):
    status, body = await door.ask("POST", "/v1/cost/recommend", asked, as_=caller)
    assert (status, body["model"]) == (200, model)


async def test_a_recommendation_says_what_it_costs(door):
    asked = {"input_tokens": 10_000, "max_output_tokens": 1000, "uses_tools": True, "has_vision": False}
    _, body = await door.ask("POST", "/v1/cost/recommend", asked)
    assert body.pop("reason").startswith("the cheapest of the models with tools")
    assert body == {
        "model": "smart",
        "provider": "openai",
        "estimated_cost_micro_usd": 5600,
        "estimated_cost_usd": "0.005600",
        "is_local": False,
    }


@pytest.mark.parametrize(
    ("asked", "caller", "status"),
    [
        ({"input_tokens": 1_000_000}, "root", 404),
        ({"uses_tools": True}, "kid", 404),
        ({"has_vision": True}, "home", 404),
        ({"uses_tools": 1}, "root", 400),
        ({"input_tokens": 1.5}, "root", 400),
        ({}, "meter", 403),
    ],
)
async def test_where_no_model_can_none_is_recommended(door, asked, caller, status):
    got, body = await door.ask("POST", "/v1/cost/recommend", asked, as_=caller)
    assert got == status
    assert status != 404 or body["error"]["code"] == "no_capable_model"
