from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.routing import Chooser, Loads, Route, RouteTable, Routing
from hoosh.values import Target

STRATEGIES = ["priority", "direct", "round_robin", "lowest_latency", "least_loaded", "cheapest", "sticky"]
SEED = 5


class House:
    """Three equal providers, or others; `ask` gives the providers in the order in which they would be asked."""

    def __init__(self, strategy="priority", *, weights=(1, 1, 1), prices=None, **table):
        table.setdefault("routes", [Route(name, weight=weight) for name, weight in zip("abc", weights, strict=True)])
        self.table = RouteTable(table.pop("routes"), **table)
        self.loads = Loads()
        settings = Routing(strategy=strategy)
        price_of = (prices or {}).get
        self.chooser = Chooser(
            settings,
            self.loads,
            Random(SEED),
            weight_of=self.table.weight_of,
            price_of=lambda target: price_of(target.provider),
        )

    def order(self, model="m", *, without="", key=b"key", now_s=0.0, models=()):
        plan = self.table.plan(model, models=models)
        candidates = plan.targets
        if without:
            candidates = tuple(target for target in candidates if target.provider not in without)
        return self.chooser.order(candidates, plan, model=model, sticky_key=lambda: key, now_s=now_s)

    def ask(self, model="m", **options):
        return "".join(target.provider for target in self.order(model, **options))

    def first(self, times, **options):
        return "".join(self.ask(**options)[0] for _ in range(times))

    def answered(self, provider, content_after_s, *, now_s=0.0, model="m"):
        load = self.loads.of(Target(provider, model))
        load.begin()
        load.end(now_s, content_after_s, failed=content_after_s is None)


def test_where_nothing_is_to_be_chosen_the_candidates_come_back_themselves():
    for strategy in ("priority", "direct"):
        house = House(strategy)
        assert house.order() is house.table.plan("m").targets
    one = House("round_robin", routes=[Route("a")])
    assert one.order() is one.table.plan("m").targets


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(STRATEGIES), st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_everybody_is_kept_and_nobody_leaves_his_step(strategy, ranks):
    routes = [Route(f"p{number}", priority=rank, local=local) for number, (rank, local) in enumerate(ranks)]
    house = House(strategy, routes=routes)
    order = house.order()
    assert sorted(order, key=repr) == sorted(house.table.plan("m").targets, key=repr)
    tiers = [(rank, not local) for rank, local in (ranks[int(target.provider[1:])] for target in order)]
    assert tiers == sorted(tiers)


def test_turns_are_taken_smoothly_by_weight():
    """The example of nginx."""
    assert House("round_robin", weights=(5, 1, 1)).first(14) == "aabacaa" * 2
    assert House("round_robin").first(6) == "abcabc"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.integers(1, 3))
def test_in_each_round_everybody_has_exactly_his_share(weights, rounds):
    routes = [Route(f"p{number}", weight=weight) for number, weight in enumerate(weights)]
    house = House("round_robin", routes=routes)
    counts = Counter(house.order()[0].provider for _ in range(rounds * sum(weights)))
    assert [counts[f"p{number}"] for number in range(len(weights))] == [rounds * weight for weight in weights]


def test_each_model_has_turns_of_its_own():
    house = House("round_robin")
    assert [house.ask(model)[0] for model in ("m", "n", "m", "n")] == ["a", "a", "b", "b"]


def test_who_is_out_for_a_while_does_not_get_his_turns_all_at_once_after_it():
    house = House("round_robin")
    assert Counter(house.first(30, without="a")) == {"b": 15, "c": 15}
    assert Counter(house.first(30)) == {"a": 10, "b": 10, "c": 10}
    # Whoever fails over leaves it to the other two, to each as often.
    assert Counter(house.ask()[1] for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


def test_only_some_models_and_targets_have_turns():
    house = House("round_robin")
    for number in range(3000):
        house.ask(f"m{number}")
    assert len(house.chooser._turns._scores) <= 1024


def test_the_fastest_is_first_once_all_have_been_tried():
    house = House("lowest_latency")
    house.answered("a", 0.3)
    house.answered("b", 0.1)
    assert house.ask() == "cba"
    house.answered("c", 0.2)
    assert house.ask() == "bca"
    house.answered("b", None)
    assert house.ask() == "cab"


def test_two_are_drawn_and_the_less_loaded_of_them_is_first():
    house = House("least_loaded")
    for provider, seconds in (("a", 0.1), ("b", 0.15), ("c", 0.2)):
        house.answered(provider, seconds)
    firsts = Counter(house.first(3000))
    assert firsts["c"] == 0
    assert 0.6 < firsts["a"] / 3000 < 0.73  # it is in two of three pairs
    assert {house.ask() for _ in range(100)} == {"abc", "bac"}
    house.loads.of(Target("a", "m")).begin()
    assert {house.ask() for _ in range(100)} == {"bac", "abc"}
    house.loads.of(Target("a", "m")).begin()
    assert {house.ask() for _ in range(100)} == {"bca", "cba"}


def test_who_is_far_worse_than_the_best_is_not_drawn_while_the_others_have_room():
    house = House("least_loaded")
    for provider, seconds in (("a", None), ("b", 1.5), ("c", 0.1)):
        house.answered(provider, seconds)
    assert {house.ask() for _ in range(100)} == {"cba"}
    for _ in range(20):
        house.loads.of(Target("c", "m")).begin()
    assert "b" in house.first(100)


def test_of_two_the_less_loaded_is_always_first():
    house = House("least_loaded", routes=[Route("a"), Route("b")])
    house.answered("a", 0.2)
    house.answered("b", 0.1)
    assert set(house.first(50)) == {"b"}


def test_the_cheapest_is_first_and_who_has_no_known_price_last():
    assert House("cheapest", prices={"b": 5, "c": 0}).ask() == "cba"
    assert House("cheapest", prices={"a": 1, "b": 1, "c": 1}).ask() == "abc"


def test_a_conversation_stays_where_it_is_and_others_go_elsewhere():
    house = House("sticky")
    assert len({house.ask(key=b"one") for _ in range(20)}) == 1
    assert {house.ask(key=b"%d" % number)[0] for number in range(50)} == set("abc")


def test_a_strategy_works_on_each_name_apart():
    house = House("round_robin")
    order = [[(each.provider, each.model) for each in house.order("m", models=("n",))] for _ in range(2)]
    assert order == [
        [("a", "m"), ("b", "m"), ("c", "m"), ("a", "n"), ("b", "n"), ("c", "n")],
        [("b", "m"), ("c", "m"), ("a", "m"), ("b", "n"), ("c", "n"), ("a", "n")],
    ]


def test_whoever_has_left_the_table_since_is_chosen_by_the_houses_strategy():
    house, newer = House("cheapest", prices={"a": 2, "b": 1, "c": 3}), RouteTable([Route("c"), Route("d", priority=20)])
    candidates, plan = house.table.candidates("m"), newer.plan("m")
    order = house.chooser.order(candidates, plan, model="m", sticky_key=bytes, now_s=0.0)
    assert "".join(target.provider for target in order) == "bac"


def test_an_aliass_strategy_goes_before_the_houses():
    options = {"aliases": {"x": ["b/m", "a/m", "c/m"]}, "prices": {"a": 1, "b": 3, "c": 2}}
    assert House("priority", strategies={"x": "cheapest"}, **options).ask("x") == "acb"
    assert House("cheapest", strategies={"x": "priority"}, **options).ask("x") == "bac"
    assert House("cheapest", **options).ask("x") == "bac"  # each target is a step of its own
    assert House("cheapest", strategies={"x": "priority"}, **options).ask("m") == "acb"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_key_of_a_conversation_is_only_made_where_it_is_wanted(strategy):
    house = House(strategy)
    plan, made = house.table.plan("m"), []
    house.chooser.order(plan.targets, plan, model="m", sticky_key=lambda: made.append(1) or b"", now_s=0.0)
    assert bool(made) == (strategy == "sticky")
