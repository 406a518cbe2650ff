from __future__ import annotations

import base64
import json
import math
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects import echo
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.openai import DONE, OpenAIUpstream, read_chat, read_completion, read_embedding
from hoosh.errors import InvalidRequest
from hoosh.values import Call, Usage


def chat(content: Any, **fields: Any) -> Call:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": content}]
    return read_chat(json.dumps({"model": "echo", "messages": messages, **fields}).encode())


def whole(call: Call) -> Any:
    return json.loads(echo.reply(call, request_id="req_1", created=1700000000))


def events(call: Call) -> list[Any]:
    *wire, done = echo.stream_chunks(call, request_id="req_1", created=1700000000)
    assert done == DONE
    return [json.loads(event.removeprefix(b"data: ")) for event in wire]


def said(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_the_last_user_message_comes_back_with_true_counts():
    answer = whole(chat("salam  donya"))
    assert answer["choices"][0]["message"]["content"] == "salam  donya"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    assert (answer["id"], answer["created"], answer["model"]) == ("chatcmpl-req_1", 1700000000, "echo")


def test_a_stream_has_role_words_finish_and_usage():
    first, *words, finish, usage = events(chat("salam  donya"))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in words] == ["salam", "  donya"]
    assert finish["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.integers(1, 5))
def test_white_space_comes_back_exactly_and_stream_and_whole_agree(text: str, limit: int | None):
    call = chat(text, max_tokens=limit)
    answer, chunks = whole(call), events(call)
    echoed = answer["choices"][0]["message"]["content"]
    assert said(chunks) == echoed
    assert chunks[-1]["usage"] == answer["usage"]
    if limit is None or len(text.split()) <= limit:
        assert echoed == text
        assert answer["choices"][0]["finish_reason"] == "stop"
    else:
        assert text.startswith(echoed)
        assert len(echoed.split()) == limit == answer["usage"]["completion_tokens"]
        assert answer["choices"][0]["finish_reason"] == "length"


def test_the_tap_reads_echo_like_any_upstream():
    call = chat("one two three", stream=True)
    passage = OpenAIUpstream().passage(call)
    assert passage is not None
    tap = passage.tap(call, Stamp("r", "echo", 1), provider="echo")
    out = tap.feed(b"".join(echo.stream_chunks(call, request_id="r", created=1)))
    assert tap.close() == (b"", Ending.COMPLETE)
    assert tap.usage == Usage(5, 3)
    assert b'"choices":[]' not in out


def test_parts_are_joined_and_images_named():
    parts = [
        {"type": "text", "text": "see "},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": " there"},
    ]
    answer = whole(chat(parts, tools=[{"type": "function"}]))
    assert answer["choices"][0]["message"]["content"] == "see [image] there"
    assert answer["usage"]["completion_tokens"] == 3


def test_nothing_is_echoed_as_nothing():
    for content in ("", None, []):
        answer = whole(chat(content))
        assert answer["choices"][0]["message"]["content"] == ""
        assert answer["usage"]["completion_tokens"] == 0


def test_completions_echo_their_prompt():
    call = read_completion(b'{"model":"echo","prompt":["a b","c"],"max_tokens":2}')
    choice = whole(call)["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("a b", "length")
    assert [chunk["choices"][0]["text"] for chunk in events(call)[:-1]] == ["a", " b", ""]


@pytest.mark.parametrize("messages", [["x"], [{"role": "user", "content": 3}], [{"role": "user", "content": [1]}]])
def test_messages_that_are_none_are_refused(messages: Any):
    call = read_chat(json.dumps({"model": "echo", "messages": messages}).encode())
    with pytest.raises(InvalidRequest) as caught:
        echo.stream_chunks(call, request_id="r", created=1)
    assert str(caught.value.param if caught.value.param else caught.value).startswith(("messages", "Invalid"))


def test_a_context_has_an_end():
    with pytest.raises(InvalidRequest) as caught:
        whole(chat("x" * (echo.TEXT_CHARS_MAX + 1)))
    assert caught.value.code == "context_length_exceeded"


def embed(**fields: Any) -> Any:
    return whole(read_embedding(json.dumps({"model": "echo", **fields}).encode()))


def test_equal_texts_have_equal_unit_vectors():
    answer = embed(input=["a b", "c", "a b"])
    one, other, same = (item["embedding"] for item in answer["data"])
    assert one == same != other
    assert len(one) == 64
    assert math.isclose(math.hypot(*one), 1, rel_tol=1e-6)
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_base64_holds_the_same_numbers_as_little_endian_floats():
    plain = embed(input="a", dimensions=5)["data"][0]["embedding"]
    packed = base64.b64decode(embed(input="a", dimensions=5, encoding_format="base64")["data"][0]["embedding"])
    assert len(packed) == 20
    assert array("f", packed).tolist() == plain


def test_token_lists_are_inputs_too():
    assert embed(input=[1, 2, 3])["usage"]["prompt_tokens"] == 3
    assert len(embed(input=[[1], [2, 3]])["data"]) == 2


@pytest.mark.parametrize(
    "fields",
    [{"input": []}, {"input": 3}, {"input": [1, "a"]}, {"input": [[]]}, {"input": [-1]}]
    + [{"input": "a", "dimensions": value} for value in (0, 3073, 1.5, "9")]
    + [{"input": ["a"] * 2048, "dimensions": 3072}, {"input": "a", "encoding_format": "hex"}],
)
def test_an_embedding_that_cannot_be_is_refused(fields: dict[str, Any]):
    with pytest.raises(InvalidRequest):
        embed(**fields)
