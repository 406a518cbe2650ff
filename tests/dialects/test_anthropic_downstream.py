"""What clients of the Messages API ask of us, read leanly and in our own words; and how errors are told to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicExtension, AnthropicUpstream
from hoosh.dialects.anthropic.wire import STOP
from hoosh.dialects.contract import ErrorFacts
from hoosh.dialects.openai import OpenAIUpstream
from hoosh.dialects.translation import Translation
from hoosh.errors import InvalidRequest
from hoosh.values import (
    CacheMark,
    Call,
    CallKind,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    OpaquePart,
    Reasoning,
    ReasoningPart,
    Role,
    SchemaFormat,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
)

DOWN, UP = AnthropicDownstream(), AnthropicUpstream()
HI = {"role": "user", "content": "hi"}


def body(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": messages or [HI], **more}).encode()


def read(*messages: Any, **more: Any) -> Call:
    return DOWN.read(CallKind.CHAT, body(*messages, **more))


def ask(*messages: Any, **more: Any) -> ChatRequest:
    return DOWN.chat_request(read(*messages, **more))


def parts(*blocks: Any, role: str = "user") -> tuple[Any, ...]:
    (message,) = ask({"role": role, "content": blocks}).messages
    return message.parts


# -- reading leanly ----------------------------------------------------------------------------------------------


def test_a_body_is_read_leanly():
    call = read(stream=True, pool="p", provider="q", unknown={"a": 1})
    assert (call.model, call.stream, call.max_tokens, call.language) == ("m", True, 9, "anthropic")
    assert (call.pool, call.provider) == ("p", "q")
    assert list(call.fields) == ["model", "max_tokens", "messages", "stream", "unknown"]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b'{"messages":[{}]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b'{"model":"m","messages":[ ]}', "messages"),
        (b'{"model":"m","messages":[{}],"max_tokens":-5}', "max_tokens"),
        (b'{"model":"m","messages":[{}],"max_tokens":"9"}', "max_tokens"),
        (b'{"model":"m","messages":[{}],"stream":1}', "stream"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(wrong: bytes, param: str | None):
    with pytest.raises(InvalidRequest) as caught:
        DOWN.read(CallKind.CHAT, wrong)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("asked", "limit", "tokens", "budget"),
    [
        ({}, 20, 9, None),
        ({"max_tokens": None}, 20, 20, None),
        ({"max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 8_000}}, 4_000, 4_000, 2_000),
        ({"max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 1_024}}, 4_000, 4_000, 1_024),
        ({"max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 1_024}}, 900, 900, None),
    ],
)
def test_a_limit_lowers_what_is_asked_for_and_the_budget_with_it(
    asked: Any, limit: int, tokens: int, budget: int | None
):
    call = DOWN.limit_tokens(read(**asked), limit)
    assert (call.max_tokens, int(bytes(call.fields["max_tokens"]))) == (tokens, tokens)
    thinking = json.loads(bytes(call.fields.get("thinking", b"{}")))
    assert thinking.get("budget_tokens") == budget


# -- in our own words --------------------------------------------------------------------------------------------


def test_system_text_and_blocks_are_the_first_message():
    assert ask(system="Be brief.").messages[0] == Message(Role.SYSTEM, (TextPart("Be brief."),))
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert ask(system=[marked]).messages[0] == Message(Role.SYSTEM, (TextPart("x", CacheMark("1h")),))
    assert [message.role for message in ask(system="").messages] == [Role.USER]
    turns = ask(HI, {"role": "system", "content": "late"}).messages
    assert [message.role for message in turns] == [Role.USER, Role.SYSTEM]


def test_results_and_text_of_one_turn_are_two_messages():
    result = {"type": "tool_result", "tool_use_id": "a", "is_error": True, "content": [{"type": "text", "text": "21"}]}
    bare = {"type": "tool_result", "tool_use_id": "b"}
    tool, user = ask({"role": "user", "content": [{"type": "text", "text": "and"}, result, bare]}).messages
    expected = (ToolResultPart("a", (TextPart("21"),), is_error=True), ToolResultPart("b", ()))
    assert tool == Message(Role.TOOL, expected)
    assert user == Message(Role.USER, (TextPart("and"),))
    assert len(ask({"role": "user", "content": [result]}).messages) == 1


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            ImagePart(DataSource("image/png", "AA==")),
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://x"}}, ImagePart(UrlSource("https://x"))),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, ImagePart(FileSource("file_1"))),
        (
            {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
            FilePart(DataSource("text/plain", "SGk="), "t"),
        ),
        ({"type": "document", "source": {"type": "url", "url": "https://x"}}, FilePart(UrlSource("https://x"))),
        (
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            ReasoningPart("hm", "s", origin="anthropic"),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": ""}, ReasoningPart("hm")),
        (
            {"type": "thinking", "thinking": "hm", "signature": "hoosh:gemini:s"},
            ReasoningPart("hm", "s", origin="gemini"),
        ),
        ({"type": "redacted_thinking", "data": "d"}, ReasoningPart(data="d", origin="anthropic")),
        (
            {"type": "redacted_thinking", "data": "hoosh:openai#d#rs_1:d"},
            ReasoningPart(data="d", origin="openai", id="rs_1"),
        ),
        ({"type": "tool_use", "id": "a", "name": "n", "input": {"b": 1.0}}, ToolCallPart("a", "n", '{"b": 1.0}')),
        (
            {"type": "tool_use", "id": "a__sig_Z3M", "name": "n", "input": {}},
            ToolCallPart("a", "n", "{}", "gs"),
        ),
    ],
)
def test_blocks_are_parts(block: Any, part: Any):
    assert parts(block) == (part,)


def test_a_block_that_only_anthropic_knows_is_kept_word_for_word():
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    (part,) = parts(block, role="assistant")
    assert isinstance(part, OpaquePart)
    assert (part.dialect, part.kind, json.loads(bytes(part.raw))) == ("anthropic", "server_tool_use", block)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
            Reasoning(budget_tokens=2_000, enabled=True, summary="auto"),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "xhigh"}},
            Reasoning(Effort.XHIGH, enabled=True),
        ),
        ({"output_config": {"effort": "low"}}, Reasoning(Effort.LOW)),
        ({"thinking": {"block_binding": {}}}, None),
        ({"thinking": {"block_binding": {}}, "output_config": {"effort": "low"}}, Reasoning(Effort.LOW)),
    ],
)
def test_thinking_is_reasoning(asked: Any, expected: Reasoning | None):
    assert ask(**asked).reasoning == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice(ToolMode.AUTO)),
        ({"type": "any"}, ToolChoice(ToolMode.REQUIRED)),
        ({"type": "none"}, ToolChoice(ToolMode.NONE)),
        ({"type": "tool", "name": "n"}, ToolChoice(ToolMode.NAMED, "n")),
    ],
)
def test_tool_choices_are_read(choice: Any, expected: ToolChoice):
    assert ask(tool_choice=choice).tool_choice == expected
    assert ask(tool_choice={**choice, "disable_parallel_tool_use": True}).parallel_tool_calls is False


def test_settings_are_read():
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    request = ask(
        stop_sequences=["a"], temperature=1, top_p=0.5, top_k=4, metadata={"user_id": "ann"}, output_format=schema
    )
    sampling = request.sampling
    assert (sampling.stop, sampling.temperature, sampling.top_p, sampling.top_k) == (("a",), 1.0, 0.5, 4)
    assert (sampling.max_tokens, request.user) == (9, "ann")
    assert isinstance(request.reply_format, SchemaFormat)
    assert json.loads(bytes(request.reply_format.schema)) == {"type": "object"}
    assert ask(output_config={"format": schema}).reply_format == request.reply_format


def test_a_server_tool_keeps_its_place_and_is_refused_elsewhere_by_its_type():
    tools = [{"type": "web_search_20250305", "name": "web_search"}, {"name": "n", "input_schema": {"type": "object"}}]
    call = read(tools=tools)
    request = DOWN.chat_request(call)
    assert [tool.name for tool in request.tools] == ["n"]
    assert isinstance(request.extensions[0], AnthropicExtension)
    assert json.loads(UP.encode_chat(request, model="claude-opus-5").body)["tools"] == tools
    with pytest.raises(InvalidRequest, match="web_search_20250305"):
        Translation(DOWN, OpenAIUpstream()).outgoing(call, model="m")


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([{"role": "tool", "content": "x"}], "messages.0.role"),
        ([{"role": "user"}], "messages"),
        ([HI, {"role": "user", "content": 5}], "messages.1.content"),
        ([{"role": "user", "content": [{"text": "x"}]}], "messages.0.content.0"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages.0.content.0"),
        ([{"role": "user", "content": [{"type": "image", "source": {"type": "what"}}]}], "messages.0.content.0"),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "text", "data": ""}}]}],
            "messages.0.content.0",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(messages: list[Any], path: str):
    with pytest.raises(InvalidRequest) as caught:
        ask(*messages)
    assert caught.value.param == path


@pytest.mark.parametrize(
    "more",
    [
        {"system": 5},
        {"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        {"tools": {}},
        {"tools": [{}]},
        {"tool_choice": {"type": "what"}},
        {"tool_choice": {"type": "tool"}},
        {"thinking": "on"},
        {"output_config": {"effort": "huge"}},
        {"stop_sequences": "a"},
        {"temperature": "hot"},
    ],
)
def test_a_setting_of_the_wrong_type_is_refused(more: Any):
    with pytest.raises(InvalidRequest):
        ask(**more)


# -- the way to Anthropic itself ---------------------------------------------------------------------------------


def test_a_clients_own_bytes_go_through_with_another_model():
    wire = b'{"messages":[{"role": "user","content":"hi"}] , "model":"m","odd": 1.0,"max_tokens":9}'
    call = DOWN.read(CallKind.CHAT, wire)
    passage = UP.passage(call)
    assert passage is not None
    sent = passage.outgoing(call, model="claude")
    assert sent.path == "/v1/messages"
    assert sent.body == b'{"messages":[{"role": "user","content":"hi"}],"model":"claude","odd":1.0,"max_tokens":9}'
    counted = DOWN.read(CallKind.TOKEN_COUNT, wire)
    assert passage.outgoing(counted, model="claude").path == "/v1/messages/count_tokens"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "hm", "signature": "hoosh:gemini:s"},
        {"type": "redacted_thinking", "data": "hoosh:openai#d:s"},
        {
            "type": "text",
            "text": "x",
            "citations": [{"type": "web_search_result_location", "url": "u", "encrypted_index": ""}],
        },
    ],
)
def test_what_another_provider_sealed_never_reaches_anthropic(block: Any):
    call = read(HI, {"role": "assistant", "content": [block, {"type": "text", "text": "yes"}]}, HI)
    assert UP.passage(call) is None
    sent = json.loads(UP.encode_chat(DOWN.chat_request(call), model="claude-opus-5").body)
    text = {"type": "text", "text": "yes"}
    assert sent["messages"][1]["content"] in ([text], [{"type": "text", "text": "x"}, text])


def test_words_about_seals_are_no_seals():
    assert UP.passage(read({"role": "user", "content": '"signature":"hoosh:gemini:s"'})) is not None


# -- errors and small things -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "told", "expected"),
    [
        (400, "invalid_request_error", 400, "invalid_request_error"),
        (401, "invalid_request_error", 401, "authentication_error"),
        (413, "invalid_request_error", 413, "request_too_large"),
        (422, "invalid_request_error", 422, "invalid_request_error"),
        (429, "tokens", 429, "rate_limit_error"),
        (400, "billing_error", 400, "billing_error"),
        (500, "server_error", 500, "api_error"),
        (502, "server_error", 502, "api_error"),
        (503, "server_error", 529, "overloaded_error"),
        (504, "server_error", 504, "timeout_error"),
    ],
)
def test_errors_are_told_in_anthropics_words(status: int, kind: str, told: int, expected: str):
    facts = ErrorFacts(status, "so \ud800", kind, request_id="r")
    assert DOWN.error_status(facts) == told
    error = json.loads(DOWN.error_body(facts))
    assert error == {"type": "error", "error": {"type": expected, "message": "so \ufffd"}, "request_id": "r"}
    assert DOWN.error_event(facts) == b"event: error\ndata: " + DOWN.error_body(facts) + b"\n\n"


def test_small_things():
    assert DOWN.terminator == STOP == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert DOWN.keep_alive(read()) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert DOWN.encode_token_count(7) == b'{"input_tokens":7}'
    assert DOWN.immediate(read()) is None
    assert DOWN.for_caller("ann") is DOWN
    with pytest.raises(InvalidRequest):
        DOWN.embedding_request(read())
