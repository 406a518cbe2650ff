from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.errors import InvalidRequest, NoRoute
from hoosh.routing import Route, RouteTable
from hoosh.routing.table import MAX_MODEL_CHARS
from hoosh.values import CallKind, Target

ECHO = Route("echo", priority=0, models=("echo",), local=True, embedded=True)


def ask(table: RouteTable, model: str, provider: str | None = None) -> list[str]:
    """The candidates as `provider/model`; none when there is no route."""
    try:
        return [f"{target.provider}/{target.model}" for target in table.candidates(model, provider=provider)]
    except NoRoute:
        return []


def test_routes_are_asked_by_priority_then_local_first_then_as_written():
    table = RouteTable(
        [
            Route("late", priority=20, local=True),
            Route("remote", priority=10),
            Route("second", priority=10, local=True),
            Route("third", priority=10, local=True),
            Route("first", priority=1),
        ]
    )
    assert ask(table, "m") == ["first/m", "second/m", "third/m", "remote/m", "late/m"]


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("llama*", "llama3.2:latest", "codellama"),
        ("*-mini", "gpt-4o-mini", "gpt-4o-mini-2024"),
        ("gpt-*-mini", "gpt-4o-mini", "gpt-4o"),
        ("o[0-9]*", "o3-pro", "ox"),
        ("gpt-4?", "gpt-4o", "gpt-4"),
        ("llama3.2", "llama3.2", "llama3x2"),
        ("GPT-*", "GPT-4", "gpt-4"),
        ("*", "meta/llama\nx", None),
    ],
)
def test_model_globs_are_real_globs(glob, yes, no):
    table = RouteTable([Route("p", models=(glob,))])
    assert ask(table, yes) == [f"p/{yes}"]
    if no is not None:
        assert ask(table, no) == []


@settings(deadline=None)
@given(st.lists(st.text("ab*?[]!-", max_size=6), min_size=1, max_size=4), st.text("ab-[", min_size=1, max_size=8))
def test_globs_mean_what_fnmatch_means(globs, model):
    table = RouteTable([Route("p", models=tuple(globs))])
    assert (ask(table, model) != []) == any(fnmatchcase(model, glob) for glob in globs)


def test_a_route_that_is_switched_off_is_never_asked():
    table = RouteTable([Route("off", enabled=False), Route("on", models=("a",))])
    assert ask(table, "a") == ["on/a"]
    assert ask(table, "off/a") == []
    assert ask(table, "a", "off") == []


def test_nobody_to_ask_is_an_error_that_names_the_model():
    with pytest.raises(NoRoute, match="`b`") as caught:
        RouteTable([Route("p", models=("a",))]).candidates("b")
    assert caught.value.model == "b"


def test_echo_answers_only_to_its_own_name_and_nobody_else_does():
    table = RouteTable([Route("any", priority=0), ECHO])
    assert ask(table, "echo") == ["echo/echo"]
    assert ask(table, "echo2") == ["any/echo2"]
    assert ask(RouteTable([ECHO]), "echo2") == []
    assert ask(table, "echo/echo") == ["echo/echo"]
    assert ask(RouteTable([ECHO]), "echo/gpt") == []
    assert ask(table, "echo", "any") == []
    assert [table.serves(route, "echo") for route in table.routes] == [True, False]


def test_a_model_may_be_asked_of_one_provider_directly():
    table = RouteTable([Route("ollama", local=True), Route("openai", models=("gpt-*",))])
    assert ask(table, "openai/gpt-4o") == ["openai/gpt-4o"]
    assert ask(table, "gpt-4o", "openai") == ["openai/gpt-4o"]
    # The owner's globs hold for direct requests, too.
    assert ask(table, "o3", "openai") == []
    assert ask(table, "x", "nobody") == []


def test_a_prefix_that_is_no_provider_belongs_to_the_model():
    table = RouteTable([Route("openrouter", models=("*/*",)), Route("openai", models=("gpt-*",))])
    assert ask(table, "meta-llama/llama-3") == ["openrouter/meta-llama/llama-3"]
    assert ask(table, "openrouter/meta-llama/llama-3") == ["openrouter/meta-llama/llama-3"]
    assert ask(table, "openai/") == ["openrouter/openai/"]


def test_the_full_name_of_somebody_elses_model_is_not_taken_for_a_direct_request():
    known = {
        "openai": frozenset({"gpt-4o"}),
        "groq": frozenset({"openai/gpt-oss-120b"}),
        "openrouter": frozenset({"openrouter/auto"}),
    }
    table = RouteTable([Route("openai"), Route("groq"), Route("openrouter")], known=known)
    assert ask(table, "openai/gpt-oss-120b") == ["groq/openai/gpt-oss-120b"]
    assert ask(table, "openrouter/auto") == ["openrouter/openrouter/auto"]
    # Nobody lists it: the provider asked for may know better than its list.
    assert ask(table, "openai/gpt-9") == ["openai/gpt-9"]


def test_a_provider_named_beside_the_model_gets_the_name_word_for_word():
    assert ask(RouteTable([Route("openrouter")]), "openrouter/auto", "openrouter") == ["openrouter/openrouter/auto"]


def test_a_known_list_says_what_a_route_serves():
    routes = [Route("ollama", local=True), Route("openai", priority=20)]
    table = RouteTable(routes, known={"ollama": frozenset({"llama3"})})
    assert ask(table, "llama3") == ["ollama/llama3", "openai/llama3"]
    assert ask(table, "gpt-4o") == ["openai/gpt-4o"]


def test_globs_and_a_known_list_must_both_agree():
    table = RouteTable([Route("p", models=("gpt-*",))], known={"p": frozenset({"gpt-4o", "o3"})})
    assert ask(table, "gpt-4o") == ["p/gpt-4o"]
    assert ask(table, "o3") == []
    assert ask(table, "gpt-5") == []


def test_the_globs_of_a_presumed_route_give_way_to_its_list():
    route = Route("openai", models=("gpt-*",), presumed=True)
    assert ask(RouteTable([route]), "gpt-4o") == ["openai/gpt-4o"]
    assert ask(RouteTable([route]), "sora") == []
    known = RouteTable([route], known={"openai": frozenset({"sora"})})
    assert ask(known, "sora") == ["openai/sora"]
    assert ask(known, "gpt-4o") == []


def test_an_alias_stands_for_its_targets_in_order():
    routes = [Route("ollama", models=("llama*",)), Route("openai", models=("gpt-*",))]
    table = RouteTable(routes, aliases={"fast": ["openai/gpt-4o-mini", "llama3", "openai/gpt-4o-mini", "nobody"]})
    assert ask(table, "fast") == ["openai/gpt-4o-mini", "ollama/llama3"]
    assert ask(table, "fast", "ollama") == ["ollama/llama3"]
    assert ask(table, "fast", "none") == []


def test_an_alias_may_name_what_the_globs_leave_out():
    table = RouteTable([Route("openai", models=("gpt-4o-mini",))], aliases={"best": ["openai/gpt-4o"]})
    assert ask(table, "best") == ["openai/gpt-4o"]


def test_an_alias_may_have_the_name_of_a_model():
    table = RouteTable([Route("a"), Route("b")], aliases={"m": ["b/m", "m"]})
    assert ask(table, "m") == ["b/m", "a/m"]


def test_only_some_names_are_remembered():
    table = RouteTable([Route("p")])
    for number in range(10_000):
        table.candidates(f"model-{number}")
    assert len(table._remembered) <= 4096
    assert table.candidates("model-1") == (Target("p", "model-1"),)


@pytest.mark.parametrize("model", ["", "m" * (MAX_MODEL_CHARS + 1)])
def test_an_impossible_model_name_reaches_nobody(model):
    with pytest.raises(NoRoute) as caught:
        RouteTable([Route("p")]).candidates(model)
    assert len(str(caught.value)) < 200


def test_only_whose_model_it_is_can_say_that_it_does_something_else():
    """A whisper.cpp takes any name; that makes it nobody to ask for a chat, and no owner of unknown models."""
    ears = frozenset({CallKind.TRANSCRIPTION})
    routes = [Route("whisper", kinds=ears), Route("own", models=("large-v3",), kinds=ears)]
    table = RouteTable([*routes, Route("openai", models=("gpt-5*",))], aliases={"ears": ["whisper/w"]})
    with pytest.raises(NoRoute):
        table.candidates("gpt-4o")
    for model, provider in (("large-v3", None), ("ears", None), ("whisper/x", None), ("x", "whisper")):
        with pytest.raises(InvalidRequest) as caught:
            table.candidates(model, provider=provider)
        assert caught.value.code == "unsupported_operation"
    assert table.candidates("anything", CallKind.TRANSCRIPTION) == (Target("whisper", "anything"),)
    with pytest.raises(InvalidRequest) as caught:  # where nobody chats at all, that is the news
        RouteTable([*routes, ECHO]).candidates("gpt-4o")
    assert caught.value.code == "unsupported_operation"


# -- accounts, steps and further names -----------------------------------------------------------------------------

ACCOUNTS = [Route("openai", group="openai"), Route("openai#2", group="openai", weight=3), Route("groq")]


def steps(table: RouteTable, model: str, *models: str) -> list[list[str]]:
    """The candidates step by step; a step's strategy, where it has one, comes first."""
    plan = table.plan(model, models=models)
    found: dict[int, list[str]] = {}
    for target in plan.targets:
        step = plan.step_of[target]
        begin = [step.strategy] if step.strategy else []
        found.setdefault(id(step), begin).append(f"{target.provider}/{target.model}")
    assert plan.is_plain == (not any(step.strategy for step in plan.step_of.values()))
    return list(found.values())


def test_a_providers_name_means_all_of_its_accounts_and_an_accounts_name_that_one():
    table = RouteTable(ACCOUNTS, aliases={"a": ["openai/m", "groq/m"], "one": ["openai#2/m"]})
    both = ["openai/m", "openai#2/m"]
    assert ask(table, "openai/m") == both
    assert ask(table, "m", "openai") == both
    assert ask(table, "a") == [*both, "groq/m"]
    assert ask(table, "a", "openai") == both
    assert ask(table, "openai#2/m") == ask(table, "m", "openai#2") == ask(table, "one") == ["openai#2/m"]
    assert ask(table, "a", "openai#2") == ["openai#2/m"]
    assert [table.weight_of(name) for name in ("openai", "openai#2", "gone")] == [1, 3, 1]


def test_a_name_that_one_account_lists_is_asked_of_its_provider():
    known = {"openai": frozenset({"a"}), "openai#2": frozenset({"a", "b"}), "groq": frozenset({"openai/b", "openai/c"})}
    table = RouteTable(ACCOUNTS, known=known)
    assert ask(table, "openai/b") == ["openai/b", "openai#2/b"]
    assert ask(table, "openai/c") == ["groq/openai/c"]


def test_equals_in_priority_are_a_step_and_local_ones_one_of_their_own():
    routes = [Route("a"), Route("b"), Route("home", local=True), Route("late", priority=20)]
    assert steps(RouteTable(routes), "m") == [["home/m"], ["a/m", "b/m"], ["late/m"]]
    assert steps(RouteTable(routes, local_first=False), "m") == [["a/m", "b/m", "home/m"], ["late/m"]]


def test_the_targets_of_an_alias_keep_their_order_unless_it_has_a_strategy():
    routes = [*ACCOUNTS, Route("home", local=True, models=("q",))]
    aliases = dict.fromkeys(["plain", "mixed", "fixed"], ("groq/g", "openai/m", "q"))
    table = RouteTable(routes, aliases=aliases, strategies={"mixed": "cheapest", "fixed": "priority"})
    wide = [["groq/g"], ["openai/m", "openai#2/m"], ["home/q"], ["openai/q", "openai#2/q", "groq/q"]]
    assert steps(table, "plain") == wide
    everywhere = [name for step in (wide[0], wide[1], wide[3]) for name in step]
    assert steps(table, "mixed") == [["cheapest", "home/q"], ["cheapest", *everywhere]]
    assert steps(table, "fixed") == [["priority", *(name for step in wide for name in step)]]


def test_further_names_are_asked_after_the_model_and_never_in_one_step_with_it():
    table = RouteTable(ACCOUNTS, aliases={"fast": ["groq/g"]}, strategies={"fast": "sticky"})
    names = ("fast", "openai/m", "openai#2/n", "m")
    assert steps(table, "m", *names) == [
        ["openai/m", "openai#2/m", "groq/m"],
        ["sticky", "groq/g"],
        ["openai#2/n"],
    ]
    assert table.candidates("m", models=names) is table.candidates("m", models=names)


def test_names_that_nobody_serves_are_skipped_while_one_is_served():
    table = RouteTable([Route("p", models=("a",)), Route("ears", models=("w",), kinds=frozenset())])
    assert table.candidates("x", models=("w", "a", "y")) == (Target("p", "a"),)
    with pytest.raises(NoRoute, match="`x`"):  # the first one's error is the news
        table.candidates("x", models=("w", "y"))
    with pytest.raises(InvalidRequest) as caught:
        table.candidates("w", models=("x",))
    assert caught.value.code == "unsupported_operation"
