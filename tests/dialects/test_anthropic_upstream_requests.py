"""What Anthropic is asked, for what was asked of us."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec import Raw

from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicExtension, AnthropicUpstream
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    CacheMark,
    CallKind,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    FilePart,
    FileSource,
    ImagePart,
    JsonFormat,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
)

UPSTREAM = AnthropicUpstream()
NEW, OLD, BUDGET, MIXED = "claude-opus-5", "claude-3-haiku-20240307", "claude-sonnet-4-5", "claude-sonnet-4-6"
SCHEMA = Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}')
WEATHER = Tool("weather", "The weather.", SCHEMA)


def say(*parts: Part, role: Role = Role.USER) -> Message:
    return Message(role, parts)


def text(words: str, role: Role = Role.USER) -> Message:
    return say(TextPart(words), role=role)


HI = text("hi")


def ask(*messages: Message, model: str = BUDGET, **more: Any) -> dict[str, Any]:
    outgoing = UPSTREAM.encode_chat(ChatRequest("m", messages or (HI,), **more), model=model)
    assert (outgoing.method, outgoing.path) == ("POST", "/v1/messages")
    assert (b"anthropic-version", b"2023-06-01") in outgoing.headers
    body: dict[str, Any] = json.loads(outgoing.body)
    return body


def block(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_the_least_request():
    assert ask() == {"model": BUDGET, "messages": [{"role": "user", "content": [block("hi")]}], "max_tokens": 64_000}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-3-haiku-20240307", 4_096),
        ("claude-3-5-sonnet-latest", 8_192),
        ("claude-3-7-sonnet-20250219", 32_000),
        ("claude-sonnet-4-20250514", 32_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 64_000),
        ("anthropic/claude-haiku-4.5", 64_000),
        ("claude-opus-4-8", 64_000),
        ("claude-fable-5-2", 64_000),
        ("claude-mythos-preview", 64_000),
        ("deepseek-chat", 8_192),
    ],
)
def test_a_limit_that_nobody_names_is_the_models_own(model: str, tokens: int):
    assert ask(model=model)["max_tokens"] == tokens
    assert ask(model=model, sampling=Sampling(max_tokens=7))["max_tokens"] == 7


def test_system_messages_are_joined_before_a_model_that_knows_one_place_for_them():
    system, developer = text("Be brief.", Role.SYSTEM), say(TextPart("Be kind.", CacheMark("1h")), role=Role.DEVELOPER)
    body = ask(system, HI, developer)
    marked = {**block("Be kind."), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert body["system"] == [block("Be brief."), marked]
    assert [turn["role"] for turn in body["messages"]] == ["user"]


def test_a_new_model_hears_a_system_message_where_it_was_said_if_the_api_allows_that_place():
    late, answer = text("Be brief.", Role.SYSTEM), text("yes", Role.ASSISTANT)
    for conversation, roles in (
        ((HI, late, late, answer, HI), ["user", "system", "system", "assistant", "user"]),
        ((HI, late), ["user", "system"]),
        ((HI, late, HI, answer), ["user", "user", "assistant"]),
        ((HI, answer, late, HI), ["user", "assistant", "user"]),
    ):
        body = ask(text("first", Role.SYSTEM), *conversation, model=NEW)
        assert [turn["role"] for turn in body["messages"]] == roles
        assert body["system"] == [block("first")] + [block("Be brief.")] * (1 - ("system" in roles))


def test_tool_results_go_before_the_text_of_the_same_turn():
    calls = say(ToolCallPart("a", "weather", '{"city": "Bam"}'), ToolCallPart("b:1", "now", ""), role=Role.ASSISTANT)
    first = say(ToolResultPart("a", (TextPart("21"),)), role=Role.TOOL)
    second = say(ToolResultPart("b:1", (), is_error=True, cache=CacheMark()), role=Role.TOOL)
    for order in ([first, second, HI], [first, HI, second]):
        _, assistant, user = ask(HI, calls, *order)["messages"]
        assert assistant["content"] == [
            {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Bam"}},
            {"type": "tool_use", "id": "b_1", "name": "now", "input": {}},
        ]
        assert user["content"] == [
            {"type": "tool_result", "tool_use_id": "a", "content": "21"},
            {
                "type": "tool_result",
                "tool_use_id": "b_1",
                "is_error": True,
                "cache_control": {"type": "ephemeral"},
            },
            block("hi"),
        ]


def test_a_tool_may_answer_with_pictures():
    result = ToolResultPart("a", (TextPart("see"), ImagePart(UrlSource("https://x.example/a.png"))))
    content = ask(say(result, role=Role.TOOL))["messages"][0]["content"][0]["content"]
    assert content == [block("see"), {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}]


PDF = base64.b64encode(b"%PDF-1.4").decode()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ImagePart(DataSource("image/png", "AA==")), ("image", "base64", "image/png")),
        (ImagePart(DataSource("", "/9j/AA==")), ("image", "base64", "image/jpeg")),
        (ImagePart(FileSource("file_1")), ("image", "file", None)),
        (FilePart(DataSource("application/pdf", PDF), "a.pdf"), ("document", "base64", "application/pdf")),
        (FilePart(DataSource("", PDF)), ("document", "base64", "application/pdf")),
        (FilePart(DataSource("text/markdown", "SGk="), "a.md"), ("document", "text", "text/plain")),
        (FilePart(DataSource("", "SGk="), "a.txt"), ("document", "text", "text/plain")),
        (FilePart(DataSource("image/webp", "AA==")), ("image", "base64", "image/webp")),
        (FilePart(UrlSource("https://x.example/a.pdf")), ("document", "url", None)),
    ],
)
def test_media_goes_as_a_block_of_its_kind(part: Part, expected: tuple[str, str, str | None]):
    made = ask(say(part))["messages"][0]["content"][0]
    assert (made["type"], made["source"]["type"], made["source"].get("media_type")) == expected


def test_a_kept_file_asks_for_the_beta_of_files():
    outgoing = UPSTREAM.encode_chat(ChatRequest("m", (say(ImagePart(FileSource("file_1"))),)), model=NEW)
    assert (b"anthropic-beta", b"files-api-2025-04-14") in outgoing.headers


def test_only_anthropics_own_thoughts_go_back_byte_for_byte():
    parts = (
        ReasoningPart("hm ", "sig==", origin="anthropic"),
        ReasoningPart(data="red", origin="anthropic"),
        ReasoningPart("foreign", "AQ==", origin="gemini"),
        ReasoningPart("unsigned"),
        TextPart(""),
        RefusalPart("no"),
        ToolCallPart("a", "now", "{}", signature="gs"),
    )
    content = ask(HI, say(*parts, role=Role.ASSISTANT), HI)["messages"][1]["content"]
    assert content == [
        {"type": "thinking", "thinking": "hm ", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "red"},
        block("no"),
        {"type": "tool_use", "id": "a", "name": "now", "input": {}},
    ]


def test_a_prefill_loses_the_white_space_at_its_end():
    assert ask(HI, text("Sure: \n", Role.ASSISTANT))["messages"][1]["content"] == [block("Sure:")]
    assert len(ask(HI, text(" \n", Role.ASSISTANT))["messages"]) == 1


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.AUTO), None, {"type": "auto"}),
        (ToolChoice(ToolMode.REQUIRED), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.NONE), False, {"type": "none"}),
        (ToolChoice(ToolMode.NAMED, "weather"), None, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choices(choice: ToolChoice | None, parallel: bool | None, expected: Any):
    body = ask(tools=(WEATHER, Tool("now", strict=True)), tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == expected
    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    assert body["tools"] == [
        {"name": "weather", "description": "The weather.", "input_schema": json.loads(bytes(SCHEMA))},
        {"name": "now", "input_schema": empty, "strict": True},
    ]
    assert "tool_choice" not in ask(tool_choice=choice, parallel_tool_calls=parallel)


def test_only_the_allowed_tools_are_offered():
    body = ask(tools=(WEATHER, Tool("now")), tool_choice=ToolChoice(ToolMode.REQUIRED, allowed=("now",)))
    assert [tool["name"] for tool in body["tools"]] == ["now"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_schema_is_closed_at_every_level_and_keeps_its_order():
    schema = {
        "type": "object",
        "properties": {
            "properties": {"type": ["object", "null"], "required": ["z", "a"]},
            "list": {"type": "array", "items": {"anyOf": [{"properties": {}}, {"type": "string", "enum": ["object"]}]}},
            "open": {"type": "object", "additionalProperties": {"type": "object"}},
        },
        "$defs": {"d": {"type": "object", "additionalProperties": True}},
    }
    sent = ask(reply_format=SchemaFormat(Raw(json.dumps(schema).encode())))["output_config"]
    assert sent["format"]["type"] == "json_schema"
    closed = sent["format"]["schema"]
    properties = closed["properties"]
    assert list(closed) == ["type", "properties", "$defs", "additionalProperties"]
    assert closed["additionalProperties"] is False
    assert properties["properties"]["additionalProperties"] is False
    assert properties["list"]["items"]["anyOf"][0]["additionalProperties"] is False
    assert "additionalProperties" not in properties["list"]["items"]["anyOf"][1]
    assert properties["open"]["additionalProperties"] == {"type": "object", "additionalProperties": False}
    assert closed["$defs"]["d"]["additionalProperties"] is True


Thinking = tuple[Any, Any, int]
SHOWN = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("model", "reasoning", "limit", "expected"),
    [
        (NEW, Reasoning(Effort.HIGH), None, (SHOWN, "high", 64_000)),
        (NEW, Reasoning(Effort.MINIMAL), None, (SHOWN, "low", 64_000)),
        (NEW, Reasoning(Effort.XHIGH, summary="auto"), 9, (SHOWN, "xhigh", 9)),
        (NEW, Reasoning(budget_tokens=20_000), None, (SHOWN, "high", 64_000)),
        (NEW, Reasoning(enabled=True), None, (SHOWN, None, 64_000)),
        (NEW, Reasoning(Effort.NONE), None, ({"type": "disabled"}, None, 64_000)),
        (MIXED, Reasoning(Effort.XHIGH), None, ({"type": "adaptive"}, "high", 64_000)),
        (MIXED, Reasoning(Effort.NONE), None, (None, None, 64_000)),
        (MIXED, Reasoning(budget_tokens=2_000), None, ({"type": "enabled", "budget_tokens": 2_000}, None, 64_000)),
        (BUDGET, Reasoning(Effort.MEDIUM), None, ({"type": "enabled", "budget_tokens": 10_240}, None, 64_000)),
        (BUDGET, Reasoning(Effort.HIGH), 8_000, ({"type": "enabled", "budget_tokens": 6_976}, None, 8_000)),
        (BUDGET, Reasoning(Effort.LOW), 500, ({"type": "enabled", "budget_tokens": 1_024}, None, 1_524)),
        (BUDGET, Reasoning(budget_tokens=5), None, ({"type": "enabled", "budget_tokens": 1_024}, None, 64_000)),
        (BUDGET, Reasoning(enabled=False), None, (None, None, 64_000)),
        (BUDGET, Reasoning(summary="auto"), None, (None, None, 64_000)),
        (OLD, Reasoning(Effort.NONE), None, (None, None, 4_096)),
    ],
)
def test_thinking_is_asked_for_as_the_model_knows_it(
    model: str, reasoning: Reasoning, limit: int | None, expected: Thinking
):
    body = ask(model=model, reasoning=reasoning, sampling=Sampling(max_tokens=limit))
    effort = body.get("output_config", {}).get("effort")
    assert (body.get("thinking"), effort, body["max_tokens"]) == expected


def test_an_effort_alone_in_anthropics_words_does_not_ask_for_thoughts():
    body = ask(model=MIXED, reasoning=Reasoning(Effort.MEDIUM), extensions=(AnthropicExtension(),))
    assert "thinking" not in body
    assert body["output_config"] == {"effort": "medium"}


BINDING = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}


@pytest.mark.parametrize(
    ("model", "said", "expected"),
    [
        (NEW, BINDING, BINDING),
        (NEW, {"type": "adaptive", **BINDING}, {"type": "adaptive", **BINDING}),
        (NEW, {"type": "disabled", **BINDING}, {"type": "disabled", **BINDING}),
        (OLD, BINDING, None),
    ],
)
def test_what_becomes_of_thoughts_that_do_not_fit_is_told_to_a_model_that_thinks(model: str, said: Any, expected: Any):
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "thinking": said}
    call = AnthropicDownstream().read(CallKind.CHAT, json.dumps(body).encode())
    outgoing = UPSTREAM.encode_chat(AnthropicDownstream().chat_request(call), model=model)
    assert json.loads(outgoing.body).get("thinking") == expected


def test_thinking_gives_way_to_a_forced_tool_and_to_calls_that_another_model_thought_of():
    forced = {"tools": (WEATHER,), "tool_choice": ToolChoice(ToolMode.REQUIRED), "reasoning": Reasoning(Effort.LOW)}
    assert "thinking" not in ask(**forced)
    assert ask(model=NEW, **forced)["output_config"] == {"effort": "low"}
    call = say(ToolCallPart("a", "weather", "{}"), role=Role.ASSISTANT)
    result = say(ToolResultPart("a", (TextPart("21"),)), role=Role.TOOL)
    thought = ReasoningPart("hm", "sig", origin="anthropic")
    reasoning = Reasoning(Effort.LOW)
    assert "thinking" not in ask(HI, call, result, reasoning=reasoning)
    assert "thinking" in ask(HI, call, result, reasoning=reasoning, model=NEW)
    assert "thinking" in ask(HI, say(thought, *call.parts, role=Role.ASSISTANT), result, reasoning=reasoning)


@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        (OLD, None, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}),
        (BUDGET, None, {"temperature": 0.5, "top_k": 3}),
        (BUDGET, Reasoning(Effort.LOW), {}),
        (NEW, None, {}),
    ],
)
def test_samplers_go_where_they_are_taken(model: str, reasoning: Reasoning | None, expected: Any):
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=3, seed=1, presence_penalty=1.0, stop=("a", " \n", ""))
    body = ask(model=model, reasoning=reasoning, sampling=sampling, user="ann", stream=True)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == expected
    assert (body["stop_sequences"], body["metadata"], body["stream"]) == (["a"], {"user_id": "ann"}, True)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"sampling": Sampling(temperature=1.5)}, "temperature"),
        ({"reply_format": JsonFormat()}, "response_format"),
        ({"reply_format": SchemaFormat(Raw(b"[" * 5_000))}, "response_format"),
        ({"reasoning": Reasoning(Effort.LOW), "model": OLD}, "reasoning_effort"),
        ({"reasoning": Reasoning(Effort.NONE), "model": "claude-fable-5"}, "reasoning_effort"),
        ({"messages": say(AudioPart("AA==", "wav"))}, "messages"),
        ({"messages": say(FilePart(FileSource("file-abc")))}, "messages"),
        ({"messages": say(FilePart(DataSource("application/zip", "AA==")))}, "messages"),
        ({"messages": say(FilePart(DataSource("text/plain", "/w==")))}, "messages"),
        ({"messages": say(OpaquePart("openai", "x", Raw(b"{}")))}, "messages"),
        ({"messages": say(ToolCallPart("a", "f", '{"cut'), role=Role.ASSISTANT)}, "messages"),
        ({"messages": say(ToolCallPart("a", "f", "[1]"), role=Role.ASSISTANT)}, "messages"),
        ({"messages": say(ImagePart(UrlSource("https://x.example")), role=Role.SYSTEM)}, "messages"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(more: dict[str, Any], param: str):
    messages = (more.pop("messages"),) if "messages" in more else ()
    with pytest.raises(InvalidRequest) as caught:
        ask(*messages, **more)
    assert caught.value.param == param
    assert caught.value.code


def test_a_token_count_asks_with_what_is_counted():
    request = ChatRequest("m", (HI,), True, (WEATHER,), sampling=Sampling(max_tokens=9, temperature=0.1, stop=("a",)))
    outgoing = UPSTREAM.encode_token_count(request, model=BUDGET)
    assert outgoing is not None
    assert outgoing.path == "/v1/messages/count_tokens"
    assert set(json.loads(outgoing.body)) == {"model", "messages", "tools"}


def test_embeddings_are_refused():
    with pytest.raises(InvalidRequest):
        UPSTREAM.encode_embeddings(EmbeddingRequest("m", ("a",)), model="m")


def test_the_key_goes_into_its_own_header():
    assert UPSTREAM.auth("k") == [(b"x-api-key", b"k")]
