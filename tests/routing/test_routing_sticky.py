from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.routing import prefix_digest
from hoosh.routing.sticky import PART_BYTES, rank
from hoosh.values import Call, CallKind, Target


def digest(model="m", **fields):
    raw = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}
    return prefix_digest(Call(CallKind.CHAT, model, raw))


def said(role, content):
    return {"role": role, "content": content}


SYSTEM = said("system", 'be ] nice } and say "{[": "role": "user" ')
HELLO = said("user", [{"type": "text", "text": 'hel]}lo "\\ there'}])


@pytest.mark.parametrize("begin", [[HELLO], [SYSTEM, HELLO], [said("assistant", "Yes?"), HELLO]])
@pytest.mark.parametrize("field", ["messages", "input"])
def test_a_conversation_that_grows_keeps_its_digest(field, begin):
    grown = [*begin, {"content": "first the content", "role": "assistant"}, said("user", "x" * 9000)]
    assert digest(**{field: begin}) == digest(**{field: grown[:-1]}) == digest(**{field: grown})


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=30)), max_size=6))
def test_whatever_is_said_growing_after_the_user_has_spoken_changes_nothing(turns):
    messages = [said(*turn) for turn in turns]
    begin = [SYSTEM, HELLO]
    assert digest(messages=begin) == digest(messages=[*begin, *messages])


def test_a_long_first_message_counts_by_its_beginning():
    long = said("user", 'a"{' * PART_BYTES)
    assert digest(messages=[long]) == digest(messages=[long, said("assistant", "b"), HELLO])


def test_others_have_another_digest():
    base = {"messages": [SYSTEM, HELLO]}
    different = [
        digest(**base),
        digest(model="n", **base),
        digest(messages=[HELLO]),
        digest(messages=[SYSTEM, said("user", "bye")]),
        digest(**base, tools=[{"name": "f"}]),
        digest(**base, system="x"),
        digest(**base, instructions="x"),
        digest(input="x"),
        digest(prompt="x"),
        digest(),
    ]
    assert len(set(different)) == len(different)
    assert digest(**base, temperature=0, user="u") == digest(**base)


def test_a_clients_own_key_is_what_counts():
    assert digest(prompt_cache_key="k", messages=[HELLO]) == digest(prompt_cache_key="k", messages=[SYSTEM])
    assert digest(prompt_cache_key="k") != digest(prompt_cache_key="l")
    assert digest(prompt_cache_key="k") != digest(model="n", prompt_cache_key="k")
    assert digest(prompt_cache_key=None, messages=[HELLO]) == digest(messages=[HELLO])


@pytest.mark.parametrize(
    "raw",
    [
        b"[",
        b"[]",
        b"]",
        b"[" * 9000,
        b'["' + b'\\"' * 9000,
        b"[" + b"{}," * 9000,
        b"\xff\x00",
        b"7",
        b'[{"role":"user"',
    ],
)
def test_any_bytes_have_a_digest(raw):
    assert len(prefix_digest(Call(CallKind.CHAT, "m\ud800", {"messages": Raw(raw)}))) == 16


# -- rendezvous ----------------------------------------------------------------------------------------------------

TARGETS = [Target(name, "m") for name in "abcd"]
KEYS = [b"%d" % number for number in range(2000)]


def test_a_lost_upstream_moves_only_its_own_share_each_to_its_second_best():
    before = {key: rank(key, TARGETS, lambda _: 1) for key in KEYS}
    for lost in TARGETS:
        left = [target for target in TARGETS if target != lost]
        for key, order in before.items():
            assert rank(key, left, lambda _: 1) == [target for target in order if target != lost]


def test_shares_go_by_weight():
    weights = {"a": 1, "b": 1, "c": 2, "d": 4}
    firsts = Counter(rank(key, TARGETS, weights.__getitem__)[0].provider for key in KEYS)
    for name, weight in weights.items():
        assert firsts[name] / len(KEYS) == pytest.approx(weight / 8, abs=0.03)


def test_a_weight_that_grows_only_draws_conversations_to_it():
    light, heavy = (dict.fromkeys("abcd", 1), {**dict.fromkeys("abcd", 1), "b": 3})
    for key in KEYS:
        before, after = (rank(key, TARGETS, weights.__getitem__)[0] for weights in (light, heavy))
        assert after in (before, Target("b", "m"))
