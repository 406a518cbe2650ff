from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects.openai import (
    FAMILY,
    OpenAIUpstream,
    read_chat,
    read_completion,
    read_embedding,
)
from hoosh.errors import InvalidRequest
from hoosh.values import Call, CallKind

MESSAGES = [{"role": "user", "content": "hi"}]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode()


def outgoing(call: Call, *, model: str, upstream: OpenAIUpstream | None = None) -> bytes:
    passage = (upstream or OpenAIUpstream()).passage(call)
    assert passage is not None
    return passage.outgoing(call, model=model).body


def refusal(wire: bytes, read: Any = read_chat) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(wire)
    return caught.value


def test_what_hoosh_acts_upon_is_read():
    call = read_chat(body(stream=True, stream_options={"include_usage": True}, max_tokens=7, pool="p", provider="x"))
    assert (call.kind, call.model, call.stream, call.include_usage) == (CallKind.CHAT, "m", True, True)
    assert (call.max_tokens, call.pool, call.provider) == (7, "p", "x")


def test_our_own_fields_are_taken_out_and_a_vendors_object_of_that_name_stays():
    assert set(read_chat(body(pool="p", provider="x")).fields) == {"model", "messages"}
    call = read_chat(body(provider={"order": ["a"]}, pool=None))
    assert call.provider is None
    assert set(call.fields) == {"model", "messages", "provider"}


def test_the_newer_limit_wins_and_null_means_none():
    assert read_chat(body(max_tokens=5, max_completion_tokens=9)).max_tokens == 9
    assert read_chat(body(max_tokens=5, max_completion_tokens=None)).max_tokens == 5
    assert read_chat(body(max_tokens=-1)).max_tokens is None  # llama.cpp, LM Studio: no limit
    assert read_completion(body(prompt="p", max_tokens=0)).max_tokens == 0


@pytest.mark.parametrize(
    ("fields", "param", "code", "words"),
    [
        ({"model": None}, "model", None, "you must provide a model parameter"),
        ({"model": ""}, "model", None, "you must provide a model parameter"),
        ({"model": 3}, "model", "invalid_type", "expected a string, but got an integer"),
        ({"model": "x" * 257}, "model", "string_above_max_length", "257|256"),
        ({"model": "a\nb"}, "model", "invalid_value", "control"),
        ({"model": "a\x7fb"}, "model", "invalid_value", "control"),
        ({"messages": None}, "messages", "missing_required_parameter", "messages"),
        ({"messages": "hi"}, "messages", "invalid_type", "expected an array, but got a string"),
        ({"messages": []}, "messages", "empty_array", "empty array"),
        ({"stream": "yes"}, "stream", "invalid_type", "expected a boolean"),
        ({"stream_options": 1}, "stream_options", "invalid_type", "expected an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type", "boolean"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value", ">= 1, but got 0"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type", "a decimal"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens", "invalid_type", "a string"),
        ({"pool": 1}, "pool", "invalid_type", "a string"),
        ({"pool": "a\r\nb"}, "pool", "invalid_value", "name"),
        ({"provider": ["a"]}, "provider", "invalid_type", "an array"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str, code: str | None, words: str):
    error = refusal(body(**fields))
    assert (error.param, error.code) == (param, code)
    assert any(word in str(error) for word in words.split("|"))


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"   ",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"{'model': 'm'}",
        b'{"model": "m"} x',
        b'{"model": "m", "messages": [{"content": "\xff"}]}',
        b'{"mod\xff": 1}',
        b'{"model": "m", "messages": ' + b"[" * 200_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"model": "m", "messages": [NaN]}',
        b'{"model": "\\ud800", "messages": [1]}',
    ],
)
def test_a_body_that_is_no_json_object_is_refused(wire: bytes):
    assert "JSON body of your request" in str(refusal(wire))


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_body_whatever_gets_past_or_breaks_anything(wire: bytes):
    for read in (read_chat, read_completion, read_embedding):
        try:
            read(wire)
        except InvalidRequest:
            pass


def test_an_empty_list_is_empty_with_blanks_in_it_too():
    assert refusal(b'{"model":"m","messages":[ \n ]}').code == "empty_array"


def test_what_is_sent_is_what_was_decided_on_when_a_key_is_given_twice():
    wire = b'{"model":"a","stream":true,"messages":[1],"model":"b","stream":false,"max_tokens":1,"max_tokens":2}'
    call = read_chat(wire)
    assert (call.model, call.stream, call.max_tokens) == ("b", False, 2)
    sent = outgoing(call, model=call.model)
    pairs = json.loads(sent, object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs)
    assert (dict(pairs)["model"], dict(pairs)["stream"], dict(pairs)["max_tokens"]) == ("b", False, 2)


def test_every_value_but_the_model_goes_on_byte_for_byte():
    wire = b'{"top_p":1.0000,"model":"a","messages":[ {"b":1, "a":1e2,"b":"\\u00e9\xc3\xa9"} ],"seed":1234567890123456}'
    expected = wire.replace(b'"a","mess', b'"z\xc3\xa9","mess')
    assert outgoing(read_chat(wire), model="zé") == expected


def test_usage_is_asked_for_when_streaming_beside_the_clients_own_options():
    def options(wire: bytes) -> Any:
        return json.loads(outgoing(read_chat(wire), model="m")).get("stream_options", "none")

    assert options(body(stream=True)) == {"include_usage": True}
    assert options(body(stream=True, stream_options=None)) == {"include_usage": True}
    mixed = {"include_usage": False, "include_obfuscation": False}
    assert options(body(stream=True, stream_options=mixed)) == {"include_usage": True, "include_obfuscation": False}
    assert options(body()) == "none"


def test_mistral_is_not_asked_what_it_refuses():
    call = read_chat(body(stream=True, stream_options={}))
    sent = outgoing(call, model="m", upstream=OpenAIUpstream(FAMILY["mistral"]))
    assert "stream_options" not in json.loads(sent)


def test_an_embedding_needs_an_input():
    call = read_embedding(b'{"model":"e","input":[[1,2]],"pool":"p"}')
    assert (call.kind, call.pool, call.stream) == (CallKind.EMBEDDING, "p", False)
    passage = OpenAIUpstream().passage(call)
    assert passage is not None
    assert passage.outgoing(call, model="e").path == "/v1/embeddings"
    assert refusal(b'{"model":"e","input":null}', read_embedding).param == "input"
