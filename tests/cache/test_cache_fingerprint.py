"""Equal requests have one fingerprint, and no two different ones do."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from hoosh.cache import fingerprint
from hoosh.cache.fingerprint import CANONICAL_BYTES
from hoosh.dialects.bodies import read_fields
from hoosh.values import Call, CallKind

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "salam"}],
    "temperature": 0,
    "max_tokens": 10,
}


def call_of(body: dict[str, Any] | bytes, *, language: str = "openai", **more: Any) -> Call:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call(more.pop("kind", CallKind.CHAT), "m", read_fields(text), language=language, **more)


def mark(body: dict[str, Any] | bytes, *, scope: object = (), **more: Any) -> bytes:
    return fingerprint(call_of(body, **more), scope=scope)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(st.text(max_size=6), JSON, max_size=5)


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(name, shuffled(inner, chance)) for name, inner in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [shuffled(inner, chance) for inner in value] if isinstance(value, list) else value


@given(BODIES, st.randoms(use_true_random=False))
def test_the_order_of_keys_white_space_and_escapes_make_no_difference(body, chance):
    other = shuffled(body, chance)
    spaced = json.dumps(other, indent=chance.choice([None, 1, 4]), ensure_ascii=chance.random() < 0.5)
    try:
        as_bytes = spaced.encode()
    except UnicodeEncodeError:
        return  # half of a surrogate pair, which the door refuses
    compact = json.dumps(body, separators=(",", ":")).encode()
    assert mark(compact) == mark(as_bytes)


@given(BODIES, BODIES)
def test_different_bodies_have_different_fingerprints(one, other):
    for body in (one, other):
        for name in ("stream", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"):
            body.pop(name, None)
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (mark(one) == mark(other)) == same


CHANGES = [
    {"temperature": 0.0},
    {"temperature": False},
    {"max_tokens": 11},
    {"seed": 18446744073709551617},
    {"seed": 18446744073709551618},
    {"n": 2},
    {"top_p": 1},
    {"response_format": {"type": "json_object"}},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"tool_choice": "none"},
    {"stream_options": {"include_usage": True}},
    {"service_tier": "flex"},
    {"unheard_of": 1},
    {"messages": [{"role": "user", "content": "salam "}]},
    {"messages": [{"role": "system", "content": "salam"}]},
    {"messages": [{"role": "user", "content": "salam"}, {"role": "user", "content": "salam"}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,1"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,2"}}]}]},
]


def test_whatever_may_change_the_answer_changes_the_fingerprint():
    marks = [
        mark(BODY),
        *(mark(BODY | change) for change in CHANGES),
        mark(BODY, stream=True),
        mark(BODY, language="anthropic"),
        mark(BODY, kind=CallKind.COMPLETION),
        fingerprint(replace(call_of(BODY), model="m2"), scope=()),
        *(mark(BODY, scope=scope) for scope in (("ada",), ("bob",), ("ada", "pool"), (["ada", "pool"],), ("adapool",))),
    ]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize(
    ("language", "change"),
    [
        ("openai", {"user": "u1"}),
        ("openai", {"safety_identifier": "u1"}),
        ("openai", {"prompt_cache_key": "k"}),
        ("openai", {"stream": False}),
        ("anthropic", {"metadata": {"user_id": "u1"}}),
        ("ollama", {"keep_alive": "5m"}),
    ],
)
def test_what_cannot_change_the_answer_does_not(language, change):
    assert mark(BODY, language=language) == mark(BODY | change, language=language)
    if "stream" not in change:
        assert mark(BODY, language="responses") != mark(BODY | change, language="responses")  # told back there


@pytest.mark.parametrize("space", ["", " "])
def test_a_key_given_twice_is_not_taken_for_one_given_once(space):
    """An upstream may read the other one: the answer to `bad` must not be served to those who ask `good`."""
    good = b'{"messages":[{"content":"good"}]%b}' % space.encode()
    twice = b'{"messages":[{"content":"bad","content":"good"}]%b}' % space.encode()
    escaped = b'{"messages":[{"content":"bad","c\\u006fntent":"good"}]%b}' % space.encode()
    assert len({mark(good), mark(twice), mark(escaped)}) == 3


@pytest.mark.parametrize(
    "value",
    [b'"\\ud800"', b"1e400", b"-0.0", b"1" * 5000, b"[" * 500 + b"]" * 500, b'"' + b"x" * CANONICAL_BYTES + b'"'],
)
def test_what_does_not_decode_or_is_long_counts_as_it_was_written(value):
    call = Call(CallKind.CHAT, "m", {"a": Raw(value)})
    assert fingerprint(call, scope=()) == fingerprint(Call(CallKind.CHAT, "m", {"a": Raw(value)}), scope=())
    assert fingerprint(call, scope=()) != fingerprint(Call(CallKind.CHAT, "m", {"b": Raw(value)}), scope=())
