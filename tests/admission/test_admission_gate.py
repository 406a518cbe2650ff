"""The gate: all limits of all scopes, or none; whoever leaves gives everything back."""

from __future__ import annotations

import random

import pytest

from hoosh.admission import Gate, Limits, ModelLimits, Pass, Rates, limits_for, model_scope
from hoosh.errors import RateLimited

ADA = ("key", "ada")
BOB = ("key", "bob")
VLLM = ("provider", "vllm")
GPT = ("model", "gpt-*")


def refused(gate: Gate, *scopes: tuple[str, str], tokens: int = 0, now_s: float = 0.0) -> RateLimited:
    before = gate.statistics(now_s)
    with pytest.raises(RateLimited) as caught:
        gate.enter(scopes, tokens, now_s)
    for then, now in zip(before.scopes, gate.statistics(now_s).scopes, strict=True):
        assert (then.requests, then.tokens, then.running) == (now.requests, now.tokens, now.running), (
            "it cost something"
        )
    return caught.value


def counts(gate: Gate, now_s: float = 0.0) -> list[tuple[str, int, int, int]]:
    return [(each.name, each.requests, each.tokens, each.running) for each in gate.statistics(now_s).scopes]


def test_without_limits_everybody_gets_in():
    gate = Gate({ADA: Rates()})
    assert not gate.is_limited(ADA)
    for _ in range(100):
        gate.enter((ADA, VLLM), 10**9, 0.0)
    assert gate.headers(ADA, 0.0) == []
    assert counts(gate) == []


def test_the_limit_is_the_last_that_gets_in_and_a_refusal_costs_nothing():
    gate = Gate({ADA: Rates(rpm=3)})
    for _ in range(3):
        gate.enter((ADA,), 0, 0.0)
    for _ in range(5):
        error = refused(gate, ADA, now_s=0.5)
    assert (error.scope, error.name, error.what, error.code) == ("key", "ada", "requests", "rate_limit_exceeded")
    assert error.retry_after_s == 60.5
    gate.enter((ADA,), 0, 0.5 + error.retry_after_s)
    assert gate.statistics(61.0).scopes[0].refused == 5


def test_every_scope_has_room_or_none_is_touched():
    gate = Gate({ADA: Rates(rpm=9), GPT: Rates(tpm=100), VLLM: Rates(max_concurrent=1)})
    inside = gate.enter((ADA, GPT, VLLM), 60, 0.0)
    assert refused(gate, ADA, GPT, VLLM, tokens=60).what == "tokens"
    assert refused(gate, ADA, VLLM, tokens=1).what == "concurrent"
    assert counts(gate) == [("ada", 1, 60, 1), ("gpt-*", 1, 60, 1), ("vllm", 1, 60, 1)]
    inside.leave(40, 0.0)
    assert counts(gate) == [("ada", 1, 40, 0), ("gpt-*", 1, 40, 0), ("vllm", 1, 40, 0)]
    gate.enter((ADA, GPT, VLLM), 60, 0.0)


def test_two_requests_do_not_both_get_the_last_slot():
    gate = Gate({ADA: Rates(max_concurrent=2)})
    first = gate.enter((ADA,), 0, 0.0)
    gate.enter((ADA,), 0, 0.0)
    error = refused(gate, ADA)
    assert (error.what, error.retry_after_s) == ("concurrent", 1.0)
    first.leave(None, 0.0)
    gate.enter((ADA,), 0, 0.0)
    refused(gate, ADA)


def test_leaving_counts_once():
    gate = Gate({ADA: Rates(tpm=100, max_concurrent=5)})
    inside, other = gate.enter((ADA,), 30, 0.0), gate.enter((ADA,), 30, 0.0)
    for tokens in (10, 90, None):
        inside.leave(tokens, 1.0)
    assert counts(gate, 1.0) == [("ada", 2, 40, 1)]
    other.leave(None, 1.0)
    assert counts(gate, 1.0) == [("ada", 2, 40, 0)]


def test_a_scope_that_is_named_twice_is_one_request():
    gate = Gate({ADA: Rates(max_concurrent=1)})
    gate.enter((ADA, ADA), 0, 0.0).leave(None, 0.0)
    assert counts(gate) == [("ada", 1, 0, 0)]


def test_more_than_was_thought_is_counted_and_waited_for():
    gate = Gate({ADA: Rates(tpm=100)})
    gate.enter((ADA,), 50, 0.0).leave(500, 30.0)
    error = refused(gate, ADA, tokens=1, now_s=30.0)
    assert (error.what, error.retry_after_s) == ("tokens", 31.0)
    gate.enter((ADA,), 100, 61.0)


def test_a_stream_that_ends_after_its_second_has_left_corrects_nothing():
    gate = Gate({ADA: Rates(tpm=100)})
    long = gate.enter((ADA,), 50, 0.0)
    gate.enter((ADA,), 30, 61.0)
    long.leave(0, 62.0)
    assert counts(gate, 62.0) == [("ada", 1, 30, 1)]


def test_what_can_never_fit_is_told_so():
    gate = Gate({ADA: Rates(tpm=100)})
    error = refused(gate, ADA, tokens=101)
    assert error.retry_after_s is None
    assert "can never fit" in str(error)
    gate.enter((ADA,), 100, 0.0)


def test_the_longest_wait_is_told():
    gate = Gate({ADA: Rates(rpm=1, max_concurrent=1), GPT: Rates(tpm=10)})
    gate.enter((ADA,), 0, 0.0)
    assert refused(gate, ADA, now_s=5.0).what == "requests"
    assert refused(gate, ADA, GPT, tokens=11, now_s=5.0).retry_after_s is None


@pytest.mark.parametrize(
    ("rates", "tokens", "now_s", "message"),
    [
        (
            Rates(rpm=1),
            0,
            54.8,
            "Rate limit of the key `ada` reached on requests per min (RPM): Limit 1, Used 1, Requested 1. "
            "Please try again in 6.2s.",
        ),
        (
            Rates(tpm=100),
            50,
            60.994,
            "Rate limit of the key `ada` reached on tokens per min (TPM): Limit 100, Used 70, Requested 50. "
            "Please try again in 6ms.",
        ),
        (
            Rates(max_concurrent=1),
            0,
            0.0,
            "Rate limit of the key `ada` reached on requests at once: Limit 1, Used 1, Requested 1. "
            "Please try again in 1s.",
        ),
        (
            Rates(tpm=100),
            700,
            0.0,
            "The request can never fit the limit of tokens per min (TPM) of the key `ada`: Limit 100, Used 70, "
            "Requested 700. Shorten the prompt or ask for a shorter reply.",
        ),
    ],
)
def test_a_refusal_names_the_limit_and_says_when_to_come_back(rates, tokens, now_s, message):
    gate = Gate({ADA: rates})
    gate.enter((ADA,), 70, 0.0)
    assert str(refused(gate, ADA, tokens=tokens, now_s=now_s)) == message


def test_a_clock_that_goes_back_lets_nobody_in_early():
    gate = Gate({ADA: Rates(rpm=1)})
    inside = gate.enter((ADA,), 0, 100.0)
    refused(gate, ADA, now_s=3.0)
    inside.leave(None, 2.0)
    refused(gate, ADA, now_s=160.0)
    gate.enter((ADA,), 0, 161.0)


# -- reload ------------------------------------------------------------------------------------------


def test_new_limits_keep_what_is_known_of_those_that_stay():
    gate = Gate({ADA: Rates(rpm=5, max_concurrent=5), BOB: Rates(rpm=1)})
    passes = [gate.enter((ADA,), 10, 0.0) for _ in range(3)]
    gate.enter((BOB,), 0, 0.0)
    gate.configure({ADA: Rates(rpm=2, tpm=20), VLLM: Rates(rpm=1)})
    assert counts(gate) == [("ada", 3, 30, 3), ("vllm", 0, 0, 0)], "below what is used: nobody is thrown out"
    assert refused(gate, ADA).what == "requests"
    assert not gate.is_limited(BOB)
    for each in passes:
        each.leave(0, 1.0)
    assert counts(gate, 1.0)[0] == ("ada", 3, 0, 0)


def test_who_is_inside_a_scope_that_goes_may_leave():
    gate = Gate({ADA: Rates(max_concurrent=1)})
    inside = gate.enter((ADA,), 0, 0.0)
    gate.configure({})
    gate.configure({ADA: Rates(max_concurrent=1)})
    inside.leave(None, 0.0)
    assert counts(gate) == [("ada", 0, 0, 0)]


# -- what limits there are -----------------------------------------------------------------------------


def test_a_key_takes_what_it_lacks_from_the_defaults_and_strangers_share_them():
    limits = Limits(rpm=10, models=(ModelLimits(name="gpt-*", tpm=7), ModelLimits(name="free")))
    found = limits_for(
        {"ada": Rates(rpm=3, tpm=9), "bob": Rates()}, limits, {"vllm": Rates(max_concurrent=2), "x": Rates()}
    )
    assert found == {
        ("key", "anonymous"): Rates(rpm=10),
        ADA: Rates(rpm=3, tpm=9),
        BOB: Rates(rpm=10),
        VLLM: Rates(max_concurrent=2),
        GPT: Rates(tpm=7),
    }
    assert limits_for({"ada": Rates()}, Limits(), {}) == {}


@pytest.mark.parametrize(
    ("model", "scope"),
    [("gpt-4o", GPT), ("gpt-4o-free", ("model", "*-free")), ("GPT-4o", None), ("llama", None), ("", None)],
)
def test_the_first_glob_that_matches_a_model_counts(model, scope):
    globs = ("*-free", "gpt-*", "gpt-4o")
    assert model_scope(Limits(models=tuple(ModelLimits(name=name, rpm=1) for name in globs)), model) == scope


# -- at random ---------------------------------------------------------------------------------------


def test_whatever_happens_everything_is_given_back():
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    scopes = [ADA, BOB, VLLM, GPT]
    limits = [Rates(rpm=30, tpm=900, max_concurrent=4), Rates(max_concurrent=2), Rates(tpm=500), Rates(rpm=20)]
    gate = Gate(dict(zip(scopes, limits, strict=True)))
    now_s, inside, gone = 0.0, list[tuple[Pass, set[tuple[str, str]]]](), list[Pass]()
    for _ in range(3000):
        now_s = max(0.0, now_s + dice.choice([0.0, 0.001, 0.7, 5.0, 61.0, -3.0]))
        step = dice.random()
        if step < 0.5:
            wanted = dice.sample(scopes, dice.randrange(1, 4))
            try:
                inside.append((gate.enter(wanted, dice.randrange(200), now_s), set(wanted)))
            except RateLimited:
                pass
        elif inside:
            entered, _ = inside.pop(dice.randrange(len(inside)))
            entered.leave(dice.choice([None, 0, dice.randrange(400)]), now_s)
            gone.append(entered)
        elif gone:
            dice.choice(gone).leave(5, now_s)
        for state, rates in zip(gate.statistics(now_s).scopes, limits, strict=True):
            assert state.running == sum((state.kind, state.name) in has for _, has in inside)
            assert rates.max_concurrent is None or state.running <= rates.max_concurrent
            assert rates.rpm is None or state.requests <= rates.rpm
            assert state.tokens >= 0
    for entered, _ in inside:
        entered.leave(None, now_s)
    assert all(state.running == 0 for state in gate.statistics(now_s).scopes)
    later_s = now_s + 200
    assert all(state.requests == state.tokens == 0 for state in gate.statistics(later_s).scopes)
