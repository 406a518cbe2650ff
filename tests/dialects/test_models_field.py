"""`models` in the body: whom to ask after `model`, in the languages that have such a field."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects.openai import OpenAIUpstream, read_chat, read_completion, read_embedding
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind

Read = Callable[[bytes], Call]


def read_response(body: bytes) -> Call:
    return ResponsesDownstream().read(CallKind.CHAT, body)


def read_count(body: bytes) -> Call:
    return ResponsesDownstream().read(CallKind.TOKEN_COUNT, body)


READERS: list[Read] = [read_chat, read_completion, read_embedding, read_response, read_count]
every_language = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


def body(**fields: Any) -> bytes:
    """Everything that one of the readers needs."""
    asked = {"messages": [{"role": "user", "content": "hi"}], "prompt": "p", "input": "i"}
    return json.dumps({"model": "m", **asked, **fields}).encode()


def without_model(**fields: Any) -> bytes:
    asked = json.loads(body(**fields))
    del asked["model"]
    return json.dumps(asked).encode()


@every_language
def test_models_are_asked_after_the_model_and_go_to_no_upstream(read: Read):
    call = read(body(models=["b", "c/d"]))
    assert (call.model, call.models) == ("m", ("b", "c/d"))
    assert "models" not in call.fields


@every_language
def test_without_a_model_the_first_of_them_is_the_model(read: Read):
    for wire in (without_model(models=["é", "b"]), body(model=None, models=["é", "b"])):
        call = read(wire)
        assert (call.model, call.models) == ("é", ("b",))
        assert json.loads(bytes(call.fields["model"])) == "é"


@every_language
def test_nothing_is_asked_twice(read: Read):
    assert read(body(models=["m", "b", "m", "b"])).models == ("b",)
    assert read(without_model(models=["a", "a"])).models == ()


@every_language
@pytest.mark.parametrize("nothing", [None, []])
def test_an_empty_list_says_nothing(read: Read, nothing: Any):
    call = read(body(models=nothing))
    assert (call.model, call.models) == ("m", ())
    assert "models" not in call.fields
    with pytest.raises(InvalidRequest) as caught:
        read(without_model(models=nothing))
    assert caught.value.param == "model"


def test_sixteen_of_the_longest_names_are_allowed():
    names = ["\N{GRINNING FACE}" * 255 + chr(97 + number) for number in range(16)]
    assert read_chat(body(models=names)).models == tuple(names)


WRONG = [
    # (models, code, part of the message)
    ("b", "invalid_type", "expected an array of strings, but got a string"),
    ({"a": "b"}, "invalid_type", "an object"),
    (3, "invalid_type", "an integer"),
    (["b", 3], "invalid_type", "expected a string, but got an integer"),
    ([None], "invalid_type", "null"),
    ([["b"]], "invalid_type", "an array"),
    ([""], "invalid_value", "expected a name"),
    (["a\nb"], "invalid_value", "control characters"),
    (["x" * 257], "string_above_max_length", "256"),
    (["b"] * 17, "array_above_max_length", "maximum length 16"),
    ([0] * 100_000, "array_above_max_length", "maximum length 16"),
]


@every_language
@pytest.mark.parametrize(("models", "code", "words"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_no_list_of_names_is_refused(read: Read, models: Any, code: str, words: str):
    with pytest.raises(InvalidRequest) as caught:
        read(body(models=models))
    assert (caught.value.param, caught.value.code) == ("models", code)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("half", [b"\\ud800", b"\\udc00", b"\\ud800-", b"a\\ud800\\u0041"])
def test_half_of_a_surrogate_pair_is_refused(half: bytes):
    with pytest.raises(InvalidRequest):
        read_chat(body(models=["@"]).replace(b"@", half))


def test_the_last_of_two_lists_counts_and_neither_goes_on():
    wire = body(models=["b"])[:-1] + b', "models": ["c"]}'
    call = read_chat(wire)
    assert call.models == ("c",)
    passage = OpenAIUpstream().passage(call)
    assert passage is not None
    assert b"models" not in passage.outgoing(call, model="x").body


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)
)


@given(anything)
def test_any_value_is_a_list_of_names_or_a_mistake(models: Any):
    try:
        call = read_chat(body(models=models))
    except InvalidRequest as error:
        found = error
    else:
        assert all(name and name != "m" for name in call.models)
        return
    assert found.param == "models"
