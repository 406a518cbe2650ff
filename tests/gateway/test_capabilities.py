"""Nobody is asked for what it is known not to do; whoever may be able is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_house import ASK, CHAT, FakeUpstream, config, house_with

from hoosh.config import Alias
from hoosh.errors import InvalidRequest
from hoosh.gateway.capabilities import FactBook, able, require
from hoosh.gateway.fleet import Fleet
from hoosh.gateway.models import ModelLists
from hoosh.routing import Route, RouteTable
from hoosh.testing.upstream import json_reply
from hoosh.values import Capability, ModelCard, ModelFacts, Target

TOOLS, VISION, REASONING, EMBEDDINGS = (
    Capability.TOOLS,
    Capability.VISION,
    Capability.REASONING,
    Capability.EMBEDDINGS,
)
FACTS = {
    "blind": ModelFacts(frozenset({TOOLS}), frozenset({VISION})),
    "clumsy": ModelFacts(frozenset({VISION}), frozenset({TOOLS})),
    "unknown": ModelFacts(),
    "able": ModelFacts(frozenset({TOOLS, VISION})),
}


def targets(*models: str) -> list[Target]:
    return [Target("p", model) for model in models]


def left(needs: set[Capability], *models: str) -> list[str]:
    found = able(targets(*models), frozenset(needs), lambda target: FACTS[target.model], model="asked")
    return [target.model for target in found]


def test_a_known_lack_is_refused_by_name_and_by_the_field_that_asks():
    with pytest.raises(InvalidRequest) as caught:
        require(frozenset({VISION, TOOLS}), FACTS["blind"], "blind", language="responses")
    error = caught.value
    assert (error.code, error.param) == ("unsupported_capability", "input")
    assert "vision" in str(error)
    assert "`blind`" in str(error)
    assert "tools" not in str(error)


def test_what_nobody_has_said_is_let_through():
    require(frozenset({VISION, TOOLS}), ModelFacts(), "unknown")
    require(frozenset(), FACTS["blind"], "blind")


def test_candidates_that_lack_something_are_passed_over_in_their_order():
    assert left(set(), "blind", "clumsy") == ["blind", "clumsy"]
    assert left({VISION}, "blind", "clumsy", "unknown", "able") == ["clumsy", "unknown", "able"]
    assert left({VISION, TOOLS}, "blind", "clumsy", "unknown", "able") == ["unknown", "able"]
    assert left({REASONING}, "able", "blind") == ["able", "blind"]


def test_the_refusal_speaks_of_the_first_candidate():
    with pytest.raises(InvalidRequest, match="`asked` does not support images") as caught:
        left({VISION, TOOLS}, "blind", "clumsy")
    assert caught.value.param == "messages"


class Upstream:
    """As much of one as a fact book looks at."""

    def __init__(self, name: str, can: set[Capability]) -> None:
        self.name = name
        self.dialect = self
        self.capabilities = frozenset(can)


async def test_owner_over_provider_over_catalogue_and_the_dialect_bounds_what_they_say():
    fleet = Fleet()
    fleet.join(Upstream("p", {Capability.CHAT, TOOLS, VISION}))  # type: ignore[arg-type]
    lists = ModelLists(fleet)
    book = FactBook(fleet, lists, {"mine": ModelFacts(context_tokens=5, source="config")})
    gpt = Target("p", "gpt-4o")
    assert VISION in book.of("gpt-4o", gpt).can
    assert (book.of("gpt-4o", gpt).context_tokens, book.of("gpt-4o", gpt).source) == (128000, "catalogue")
    assert {Capability.STRUCTURED_OUTPUT, REASONING, EMBEDDINGS} <= book.of("gpt-4o", gpt).cannot
    assert not {Capability.CHAT, Capability.STREAMING} & book.of("gpt-4o", gpt).cannot
    told = ModelFacts(frozenset(), frozenset({VISION}), 32000, source="provider")
    lists.learn("p", [ModelCard("gpt-4o", "p", facts=told)])
    assert VISION in book.of("gpt-4o", gpt).cannot
    assert (book.of("gpt-4o", gpt).context_tokens, book.of("mine", gpt).context_tokens) == (32000, 5)
    lists.forget("p")
    assert VISION in book.of("gpt-4o", gpt).can
    assert book.of("x", Target("gone", "x")) == ModelFacts()


async def test_merged_lists_tell_what_is_known_and_an_alias_is_as_able_as_its_first_target():
    lists = ModelLists(Fleet())
    lists.learn("a", [ModelCard("m", "one", 7), ModelCard("gpt-4o", "openai")])
    table = RouteTable(
        [Route("a", models=("*",)), Route("b", models=("spelled", "gpt-*"))],
        aliases={"fast": ["a/gpt-4o"], "nowhere": ["c-model"]},
        known={"a": frozenset({"m", "gpt-4o"})},
    )
    book = FactBook(Fleet(), lists, {"fast": ModelFacts(context_tokens=9, source="config")})
    cards = {card.id: card for card in lists.merged(table, book.of)}
    assert [card.id for card in cards.values()] == ["fast", "nowhere", "m", "gpt-4o", "spelled"]
    assert (cards["m"].owned_by, cards["m"].created, cards["m"].facts) == ("one", 7, ModelFacts())
    assert cards["gpt-4o"].facts.context_tokens == 128000
    assert (cards["fast"].owned_by, cards["fast"].facts.context_tokens) == ("hoosh", 9)
    assert VISION in cards["fast"].facts.can
    assert cards["spelled"].owned_by == "b"


IMAGE: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}]
}
OK = json_reply({"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]})


@pytest.mark.parametrize(
    ("changes", "capability", "param"),
    [
        ({"model": "o3-mini", **IMAGE}, "vision", "messages"),
        ({"model": "gpt-4o", "reasoning_effort": "high"}, "reasoning", "reasoning_effort"),
        ({"model": "llama2", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "tools"),
        (
            {"model": "gpt-3.5-turbo", "response_format": {"type": "json_schema"}},
            "structured_output",
            "response_format",
        ),
        ({"model": "text-embedding-3-small"}, "chat", "model"),
        ({"model": "o1-pro", "stream": True}, "streaming", "stream"),
        ({"model": "mine", **IMAGE}, "vision", "messages"),
    ],
)
async def test_a_request_for_what_a_model_lacks_gets_400_before_anybody_is_asked(
    autojump_clock, changes, capability, param
):
    upstream = FakeUpstream(OK)
    mine = Alias(name="mine", targets=("mock/gpt-4o",), capabilities=(Capability.TOOLS,))
    async with house_with(upstream, config(models=(mine,))) as house:
        status, _, body = await house.post(CHAT, {**ASK, **changes})
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "unsupported_capability", param)
    assert capability in error["message"]
    assert upstream.requests == []


@pytest.mark.parametrize(
    "changes", [{**IMAGE}, {"model": "gpt-4o", **IMAGE}, {"model": "gpt-5", "reasoning_effort": "low"}]
)
async def test_a_request_for_what_a_model_may_be_able_to_do_is_passed_on(autojump_clock, changes):
    async with house_with(FakeUpstream(OK)) as house:
        assert (await house.post(CHAT, {**ASK, **changes}))[0] == 200
