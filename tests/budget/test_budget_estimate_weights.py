"""How heavy a prompt is: bodies of every language, measured without being read."""

from __future__ import annotations

import json
import timeit
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.budget import Estimator, ModelKey, reply_limit, weigh
from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import DownstreamDialect
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.values import Call, CallKind, ModelFacts

LANGUAGES: dict[str, DownstreamDialect] = {
    "openai": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "anthropic": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}
TEXT = "Tell me of the sea. " * 20
NOTHING_KNOWN = ModelFacts()


def call(body: dict[str, Any], language: str = "openai", kind: CallKind = CallKind.CHAT, **dump: Any) -> Call:
    given = {"model": "m", "max_tokens": 5, **body}
    return LANGUAGES[language].read(kind, json.dumps(given, separators=(",", ":"), ensure_ascii=False, **dump).encode())


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


# -- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "kind", "body"),
    [
        ("openai", CallKind.CHAT, user(TEXT)),
        ("openai", CallKind.CHAT, user([{"type": "text", "text": TEXT}])),
        ("openai", CallKind.COMPLETION, {"prompt": TEXT}),
        ("openai", CallKind.COMPLETION, {"prompt": [TEXT]}),
        ("openai", CallKind.EMBEDDING, {"input": TEXT}),
        ("openai", CallKind.EMBEDDING, {"input": [TEXT[:200], TEXT[200:]]}),
        ("responses", CallKind.CHAT, {"input": TEXT}),
        ("responses", CallKind.CHAT, {"input": "Go on.", "instructions": TEXT[6:]}),
        ("responses", CallKind.CHAT, {"input": [{"role": "user", "content": [{"type": "input_text", "text": TEXT}]}]}),
        ("responses", CallKind.TOKEN_COUNT, {"input": TEXT}),
        ("anthropic", CallKind.CHAT, user(TEXT)),
        ("anthropic", CallKind.CHAT, {**user(TEXT[:100]), "system": TEXT[100:]}),
        ("anthropic", CallKind.CHAT, {**user("Hi"), "system": [{"type": "text", "text": TEXT[2:]}]}),
        ("anthropic", CallKind.TOKEN_COUNT, user(TEXT)),
        ("ollama", CallKind.CHAT, user(TEXT)),
        ("ollama", CallKind.COMPLETION, {"prompt": TEXT[:100], "system": TEXT[100:]}),
        ("ollama", CallKind.EMBEDDING, {"input": [TEXT]}),
    ],
)
def test_the_same_text_weighs_the_same_however_it_is_said(language: str, kind: CallKind, body: dict[str, Any]):
    weight = weigh(call(body, language, kind))
    assert weight.text_bytes == pytest.approx(len(TEXT), abs=12)
    assert (weight.messages, weight.fixed_tokens, weight.tool_bytes, weight.has_tools) == (1, 0, 0, False)


def test_messages_are_counted():
    turns = [{"role": role, "content": TEXT} for role in ("system", "user", "assistant", "user")]
    weight = weigh(call({"messages": turns}))
    assert weight.messages == 4
    assert weight.text_bytes == pytest.approx(4 * len(TEXT), abs=40)


@pytest.mark.parametrize("text", ["Привет, как дела? " * 300, "天気はどうですか。" * 300])
def test_escaped_text_weighs_about_what_it_weighs_in_utf_8(text: str):
    plain, escaped = (
        weigh(call_of(json.dumps({"model": "m", **user(text)}, ensure_ascii=ascii).encode())) for ascii in (False, True)
    )
    assert escaped.text_bytes == pytest.approx(plain.text_bytes, rel=0.4)


def call_of(body: bytes, language: str = "openai", kind: CallKind = CallKind.CHAT) -> Call:
    return Call(kind, "m", msgspec.json.decode(body, type=dict[str, Raw]), language=language)


@pytest.mark.parametrize(
    ("given", "tokens"), [([1, 2, 3], 3), ([[1, 2], [3, 4, 5]], 5), ([7], 1), ([[]], 1), (["1", "2"], 0)]
)
def test_a_prompt_of_tokens_is_as_many_tokens(given: list[Any], tokens: int):
    weight = weigh(call_of(json.dumps({"input": given}, separators=(",", ":")).encode(), kind=CallKind.EMBEDDING))
    assert weight.fixed_tokens == tokens
    assert (weight.text_bytes == 0) is (tokens > 0)


@pytest.mark.parametrize("text", ["5 apples, 6 pears, and what do they weigh?", "[[1, 2], [3, 4]] transposed, please"])
def test_a_text_that_begins_like_tokens_is_text(text: str):
    weight = weigh(call({"input": text}, "responses"))
    assert (weight.text_bytes, weight.fixed_tokens) == (len(text), 0)


# -- tools -----------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "Where to look"}}}


@pytest.mark.parametrize(
    ("language", "tools"),
    [
        ("openai", {"tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]}),
        ("openai", {"functions": [{"name": "weather", "parameters": SCHEMA}]}),
        ("anthropic", {"tools": [{"name": "weather", "input_schema": SCHEMA}]}),
        ("responses", {"tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}]}),
        ("ollama", {"tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]}),
    ],
)
def test_tools_weigh_what_they_say(language: str, tools: dict[str, Any]):
    asked = {"input": "Hi"} if language == "responses" else user("Hi")
    weight = weigh(call({**asked, **tools}, language))
    assert weight.has_tools
    assert weight.tool_bytes >= len(json.dumps(SCHEMA, separators=(",", ":")))


@pytest.mark.parametrize("tools", [[], None])
def test_no_tools_are_no_tools(tools: Any):
    assert weigh(call({**user("Hi"), "tools": tools})).has_tools is False


def test_a_schema_for_the_answer_weighs_too():
    wanted = {"type": "json_schema", "json_schema": {"name": "r", "schema": SCHEMA}}
    weight = weigh(call({**user("Hi"), "response_format": wanted}))
    assert weight.tool_bytes > 80
    assert not weight.has_tools
    assert weigh(call({**user("Hi"), "response_format": {"type": "json_object"}})).tool_bytes == 0


# -- whatever comes --------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80) | st.sampled_from(["image_url", "data:image/png"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9) | st.sampled_from(["type", "role"]), inner),
    max_leaves=8,
)
names = st.sampled_from(["messages", "input", "prompt", "system", "tools", "images", "response_format", "n", "best_of"])


@settings(max_examples=40)
@given(st.dictionaries(names, json_values), st.sampled_from([*LANGUAGES, "of-a-plugin"]), st.booleans())
def test_no_body_breaks_it(fields: dict[str, Any], language: str, ascii: bool):
    asked = call_of(json.dumps(fields, ensure_ascii=ascii).encode("utf-8", "replace"), language)
    weight = weigh(asked)
    assert min(weight.text_bytes, weight.fixed_tokens, weight.tool_bytes) >= 0
    assert weight.messages >= 1
    assert reply_limit(asked, NOTHING_KNOWN) >= 0


@given(st.text(), st.text(), st.sampled_from(["openai", "anthropic", "ollama"]))
def test_more_text_is_never_fewer_tokens(text: str, more: str, language: str):
    estimator, key = Estimator(), ModelKey("openai", "m")
    short, long = (
        estimator.prompt_tokens(
            key, weigh(call_of(json.dumps(user(said), ensure_ascii=False).encode("utf-8", "replace"), language))
        )
        for said in (text, text + more)
    )
    assert short <= long


def test_a_body_of_nothing_but_quotes_is_not_walked():
    body = b'{"messages":[{"type":"x","image_url":"' + rb"\"" * 400_000 + b'"}]}'
    assert weigh(call_of(body)).text_bytes > 700_000


# -- the reply -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "facts", "limit"),
    [
        ({}, ModelFacts(), 1024),
        ({}, ModelFacts(max_output_tokens=4096), 4096),
        ({"max_tokens": 7}, ModelFacts(max_output_tokens=4096), 7),
        ({"max_tokens": 7, "n": 3}, ModelFacts(), 21),
        ({"max_tokens": 7, "n": 10**30}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": 100_000}, ModelFacts(), 7 * 128),
        ({"max_tokens": 7, "n": -3}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": 0}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": None}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": "3"}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": 2.5}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": [3]}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": True}, ModelFacts(), 7),
        ({"max_tokens": 7, "n": 2, "best_of": 5}, ModelFacts(), 35),
        ({"max_tokens": 2**63}, ModelFacts(), 1_000_000),
        ({}, ModelFacts(max_output_tokens=-1), 0),
    ],
)
def test_what_a_reply_may_take(body: dict[str, Any], facts: ModelFacts, limit: int):
    fields = call_of(json.dumps({**user("Hi"), **body}).encode()).fields
    assert reply_limit(Call(CallKind.CHAT, "m", fields, max_tokens=body.get("max_tokens")), facts) == limit


@pytest.mark.parametrize("language", ["anthropic", "responses", "ollama"])
def test_other_languages_have_one_choice(language: str):
    asked = Call(CallKind.CHAT, "m", {"n": Raw(b"3")}, max_tokens=7, language=language)
    assert reply_limit(asked, NOTHING_KNOWN) == 7


@pytest.mark.parametrize("kind", [CallKind.EMBEDDING, CallKind.TOKEN_COUNT])
def test_what_has_no_reply_takes_nothing(kind: CallKind):
    assert reply_limit(Call(kind, "m", {}, max_tokens=7), ModelFacts(max_output_tokens=9)) == 0


def test_how_fast_it_is(capsys: pytest.CaptureFixture[str]):
    figures = []
    for size in (10, 40, 500, 5000):
        asked = call(user(TEXT[:20] * size))
        seconds = min(timeit.repeat(lambda asked=asked: weigh(asked), number=200, repeat=5)) / 200  # type: ignore[misc]
        figures.append(f"{size * 20} bytes {seconds * 1e6:.1f} µs")
    with capsys.disabled():
        print(f"\nweigh: {', '.join(figures)}")
