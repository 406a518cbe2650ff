"""Whoever would have to run a model that does not fit comes last, whatever the strategy; nobody is left out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_routing_strategies import STRATEGIES, House

from hoosh.routing import Route, RouteTable
from hoosh.routing.plan import plan_of, put_behind
from hoosh.values import Target

SEED = 11


def steps(table: RouteTable, model: str, **named: object) -> list[list[str]]:
    plan = table.plan(model, **named)  # type: ignore[arg-type]
    found: dict[object, list[str]] = {}
    for target in plan.targets:
        found.setdefault(plan.step_of[target], []).append(f"{target.provider}/{target.model}")
    return list(found.values())


def table(*routes: Route, too_large: str = "", **fields: object) -> RouteTable:
    """`too_large` are providers, a letter each."""
    return RouteTable(routes, is_too_large=lambda target: target.provider in too_large, **fields)  # type: ignore[arg-type]


HOME, OTHER = Route("h", local=True), Route("o", local=True)
FAR, DEAR = Route("f"), Route("d", priority=20)


def test_it_is_asked_after_all_others_whatever_their_priority():
    assert steps(table(HOME, FAR, DEAR), "m") == [["h/m"], ["f/m"], ["d/m"]]
    assert steps(table(HOME, FAR, DEAR, too_large="h"), "m") == [["f/m"], ["d/m"], ["h/m"]]
    assert steps(table(HOME, OTHER, FAR, too_large="h"), "m") == [["o/m"], ["f/m"], ["h/m"]]


def test_where_nobody_else_is_there_it_stays_where_it_was():
    for all_too_large in (table(HOME, too_large="h"), table(HOME, OTHER, too_large="ho")):
        plan = all_too_large.plan("m")
        assert plan.only is not None
        assert plan.targets[0].provider == "h"


def test_those_who_come_last_keep_their_order_and_their_steps():
    first = Route("a", priority=1, local=True)
    assert steps(table(HOME, OTHER, first, FAR, too_large="hoa"), "m") == [["f/m"], ["a/m"], ["h/m", "o/m"]]


def test_a_provider_that_is_named_is_asked():
    both = table(HOME, FAR, too_large="h")
    assert steps(both, "h/m") == [["h/m"]]
    assert steps(both, "m", provider="h") == [["h/m"]]


@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
def test_it_is_so_for_an_alias_too(strategy: str | None):
    strategies = {} if strategy is None else {"big": strategy}
    found = table(HOME, FAR, DEAR, too_large="h", aliases={"big": ["h/m", "f/x", "d/y"]}, strategies=strategies)
    targets = found.candidates("big")
    assert targets[-1] == Target("h", "m")
    plan = found.plan("big")
    assert {step.strategy for step in plan.step_of.values()} == {strategy}


def test_of_several_names_each_is_put_in_order_apart():
    routes = (HOME, Route("f", models=("m",)), Route("d", models=("n",)))
    plan = table(*routes, too_large="h").plan("m", models=("n",))
    assert [f"{each.provider}/{each.model}" for each in plan.targets] == ["f/m", "h/m", "d/n", "h/n"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_strategy_asks_it_first(strategy: str):
    house = House(strategy, routes=[HOME, OTHER, FAR, Route("g")], is_too_large=lambda target: target.provider in "ho")
    for _ in range(12):
        order = house.ask()
        assert set(order[:2]) == {"f", "g"}
        assert set(order[2:]) == {"h", "o"}


def test_who_is_too_large_is_asked_about_once_for_each_name():
    asked: list[Target] = []

    def too_large(target: Target) -> bool:
        asked.append(target)
        return False

    routes = RouteTable([HOME, FAR], is_too_large=too_large)
    assert routes.candidates("m") is routes.candidates("m")
    assert asked == [Target("h", "m"), Target("f", "m")]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=4), st.sets(st.integers(0, 9)))
def test_putting_behind_moves_nobody_else_and_mixes_no_steps(groups: list[list[int]], last: set[int]):
    plan = plan_of((None, [Target("p", str(number)) for number in group]) for group in groups)
    whom = [Target("p", str(number)) for number in last]
    Random(SEED).shuffle(whom)
    moved = put_behind(plan, whom)
    kept = [target for target in plan.targets if target not in whom]
    gone = [target for target in plan.targets if target in whom]
    assert list(moved.targets) == (kept + gone if kept else list(plan.targets))
    for one in moved.targets:
        for other in moved.targets:
            together = moved.step_of[one] is moved.step_of[other]
            before = plan.step_of[one] is plan.step_of[other]
            assert together == (before and ((one in whom) == (other in whom) or not kept))
    if not gone or not kept:
        assert moved is plan
