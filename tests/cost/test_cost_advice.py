"""The cheapest model that is known to be able."""

from __future__ import annotations

import pytest

from hoosh.catalogue.prices import FREE, Price
from hoosh.cost import Offer, cheapest
from hoosh.values import Capability, ModelFacts
from hoosh.values.costs import Need

CHAT, TOOLS, VISION = Capability.CHAT, Capability.TOOLS, Capability.VISION
DEAR, CHEAP = Price(10_000_000, 30_000_000), Price(1_000_000, 2_000_000)


def offer(model: str, price: Price | None, *can: Capability, context: int | None = 8000, local: bool = False) -> Offer:
    return Offer(model, f"at-{model}", price, ModelFacts(frozenset({CHAT, *can}), frozenset(), context, 4000), local)


OFFERS = [
    offer("unpriced", None, TOOLS, VISION),
    offer("dear", DEAR, TOOLS, VISION, context=1_000_000),
    offer("cheap", CHEAP, TOOLS),
    offer("gift", FREE),
    offer("own", FREE, local=True),
    offer("vague", FREE, TOOLS, VISION, context=None),
    Offer("vectors", "p", FREE, ModelFacts(frozenset({Capability.EMBEDDINGS}), frozenset(), 8000), True),
]


@pytest.mark.parametrize(
    ("need", "model"),
    [
        (Need(100, 100), "own"),
        (Need(100, 100, has_system_prompt=True), "own"),
        (Need(100, 100, uses_tools=True), "cheap"),
        (Need(100, 100, has_vision=True), "dear"),
        (Need(6000, 2000, uses_tools=True), "cheap"),
        (Need(6000, 2001, uses_tools=True), "dear"),
        (Need(100, 4001), None),
        (Need(2_000_000, 1), None),
    ],
)
def test_the_cheapest_that_can_is_advised(need, model):
    advice = cheapest(OFFERS, need)
    assert (advice and advice.model) == model


def test_the_advice_says_what_it_would_cost_and_why():
    advice = cheapest(OFFERS, Need(1000, 500, uses_tools=True))
    assert advice is not None
    assert (advice.provider, advice.cost_micro_usd, advice.local) == ("at-cheap", 2000, False)
    assert advice.reason == (
        "the cheapest of the models with tools that take 1500 tokens; is offered by a remote provider"
    )


def test_of_equals_the_first_is_advised():
    assert cheapest([offer("a", CHEAP), offer("b", CHEAP)], Need(1, 1)).model == "a"  # type: ignore[union-attr]
