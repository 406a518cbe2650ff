"""What OpenAI's clients write, as a request in our own words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.dialects.openai import OpenAIDownstream, OpenAIExtension
from hoosh.errors import InvalidRequest
from hoosh.testing.chats import openai_bodies
from hoosh.values import (
    AudioPart,
    CacheMark,
    CallKind,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingEncoding,
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

OPENAI = OpenAIDownstream()
USER = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
PIXEL = "iVBORw0KGgo="


def ask(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [USER], **fields}
    return OPENAI.chat_request(OPENAI.read(CallKind.CHAT, json.dumps(body).encode()))


def complete(**fields: Any) -> ChatRequest:
    body = {"model": "m", "prompt": "once", **fields}
    return OPENAI.chat_request(OPENAI.read(CallKind.COMPLETION, json.dumps(body).encode()))


def embed(**fields: Any) -> Any:
    return OPENAI.embedding_request(OPENAI.read(CallKind.EMBEDDING, json.dumps({"model": "m", **fields}).encode()))


def said(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return ask(messages=list(messages)).messages


def parts(message: dict[str, Any]) -> tuple[Part, ...]:
    return said(message)[0].parts


def call(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}, **more}


# -- messages ----------------------------------------------------------------------------------------------------


def test_messages_keep_their_roles_and_order():
    told = said(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}, "c"]},
        {"role": "user", "content": "d", "name": "bob"},
        {"role": "assistant", "content": "e"},
    )
    assert told == (
        Message(Role.SYSTEM, (TextPart("a"),)),
        Message(Role.DEVELOPER, (TextPart("b"), TextPart("c"))),
        Message(Role.USER, (TextPart("d"),), "bob"),
        Message(Role.ASSISTANT, (TextPart("e"),)),
    )


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": url}


def file(**fields: str) -> dict[str, Any]:
    return {"type": "file", "file": fields}


def picture(media_type: str, base64: str) -> ImagePart:
    return ImagePart(DataSource(media_type, base64))


def document(media_type: str, base64: str, name: str | None = None) -> FilePart:
    return FilePart(DataSource(media_type, base64), name)


@pytest.mark.parametrize(
    ("piece", "part"),
    [
        ({"text": "no type"}, TextPart("no type")),
        (image({"url": "https://h/x", "detail": "low"}), ImagePart(UrlSource("https://h/x"), "low")),
        (image("https://h/x"), ImagePart(UrlSource("https://h/x"))),
        (image({"url": f"data:image/png;base64,{PIXEL}"}), picture("image/png", PIXEL)),
        (image({"url": "DATA:image/jpg;x=y;base64,YQ"}), picture("image/jpeg", "YQ==")),
        (image({"url": "data:;base64,_-8=\n"}), picture("", "/+8=")),
        (image({"url": "data:image/svg+xml,%3Csvg/%3E"}), picture("image/svg+xml", "PHN2Zy8+")),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, AudioPart("AAAA", "wav")),
        ({"type": "input_audio", "input_audio": "UklGRgAAAABXQVZF"}, AudioPart("UklGRgAAAABXQVZF", "wav")),
        (file(file_id="f-1"), FilePart(FileSource("f-1"))),
        (file(file_data="data:text/plain;base64,aGk=", filename="a"), document("text/plain", "aGk=", "a")),
        (file(file_data="JVBERi0x"), document("application/pdf", "JVBERi0x")),
        (file(file_data="aGk=", filename="a.CSV"), document("text/csv", "aGk=", "a.CSV")),
        (file(file_data="https://h/a.pdf"), FilePart(UrlSource("https://h/a.pdf"))),
        ({"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}, TextPart("x", CacheMark("1h"))),
        ({"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}, TextPart("x", CacheMark())),
    ],
)
def test_content_parts(piece: dict[str, Any], part: Part):
    assert parts({"role": "user", "content": [piece]}) == (part,)


def test_a_cache_mark_on_a_whole_message_is_on_its_last_part():
    mark = {"cache_control": {"type": "ephemeral"}}
    assert parts({"role": "system", "content": "x", **mark}) == (TextPart("x", CacheMark()),)
    assert parts({"role": "user", "content": ["x", "y"], **mark}) == (TextPart("x"), TextPart("y", CacheMark()))


def test_what_an_assistant_said_keeps_its_order():
    message = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
        "refusal": "never",
        "images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}],
        "audio": {"id": "a1"},
        "tool_calls": [call(), call("g", id="c2", type=None)],
    }
    assert parts(message) == (
        ReasoningPart("hm"),
        TextPart("a"),
        RefusalPart("no"),
        RefusalPart("never"),
        ImagePart(DataSource("image/png", PIXEL)),
        OpaquePart("openai", "audio", Raw(b'{"id":"a1"}')),
        ToolCallPart("c1", "f", "{}"),
        ToolCallPart("c2", "g", "{}"),
    )


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": ""}]])
def test_an_assistant_that_only_called_a_tool_said_no_text(content: Any):
    assert parts({"role": "assistant", "content": content, "tool_calls": [call()]}) == (ToolCallPart("c1", "f", "{}"),)


def test_sloppy_calls_are_understood():
    calls = [
        {"function": {"name": "f", "arguments": {"a": [1]}}},
        {"id": "", "function": {"name": "g"}},
        call(extra_content={"google": {"thought_signature": "S"}}),
    ]
    assert parts({"role": "assistant", "tool_calls": calls}) == (
        ToolCallPart("call_0_0", "f", '{"a":[1]}'),
        ToolCallPart("call_0_1", "g", ""),
        ToolCallPart("c1", "f", "{}", "S"),
    )


def test_tool_results_stay_apart_and_in_order():
    told = said(
        {"role": "assistant", "tool_calls": [call(), call(id="c2")]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}], "name": "f"},
        {"role": "tool", "tool_call_id": "c1", "content": None},
    )
    assert told[1:] == (
        Message(Role.TOOL, (ToolResultPart("c2", (TextPart("two"),)),)),
        Message(Role.TOOL, (ToolResultPart("c1", (TextPart("one"),), "f"),)),
        Message(Role.TOOL, (ToolResultPart("c1", ()),)),
    )


def test_older_function_calls_are_tool_calls_with_an_id_made_up():
    told = said(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "function", "name": "unheard", "content": "2"},
    )
    assert told == (
        Message(Role.ASSISTANT, (ToolCallPart("call_0", "f", "{}"),)),
        Message(Role.TOOL, (ToolResultPart("call_0", (TextPart("1"),), "f"),)),
        Message(Role.TOOL, (ToolResultPart("call_2", (TextPart("2"),), "unheard"),)),
    )


def test_gathered_fragments_of_reasoning_are_thoughts_again():
    details = [
        {"type": "reasoning.text", "text": "a", "index": 0, "format": None},
        {"type": "reasoning.text", "text": "b", "index": 0},
        {"type": "reasoning.text", "text": "", "signature": "S", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "D", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.summary", "summary": "s", "format": "openai-responses-v1", "index": 2},
        {"type": "reasoning.encrypted", "data": "E", "id": "rs_1", "format": "openai-responses-v1", "index": 2},
        {"type": "reasoning.text", "text": "c", "signature": "T", "format": "vendor-x"},
        {"type": "reasoning.text", "text": "d"},
        {"type": "reasoning.text"},
    ]
    assert parts({"role": "assistant", "reasoning_details": details, "reasoning_content": "ignored"}) == (
        ReasoningPart("ab", signature="S", origin="anthropic"),
        ReasoningPart(data="D", origin="anthropic"),
        ReasoningPart("s", data="E", origin="openai", id="rs_1"),
        ReasoningPart("c", signature="T", origin="vendor-x"),
        ReasoningPart("d"),
    )


@pytest.mark.parametrize(
    ("fields", "thoughts"),
    [
        ({"reasoning": "r"}, [ReasoningPart("r")]),
        ({"reasoning": "r", "reasoning_content": "c"}, [ReasoningPart("c")]),
        ({"reasoning_content": "", "reasoning_details": []}, []),
        (
            {"reasoning": "r", "reasoning_details": [{"signature": "S", "format": "anthropic-claude-v1"}]},
            [ReasoningPart("r", signature="S", origin="anthropic")],
        ),
        (
            {
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "t", "signature": "S"},
                    {"type": "redacted_thinking", "data": "D"},
                ]
            },
            [ReasoningPart("t", signature="S", origin="anthropic"), ReasoningPart(data="D", origin="anthropic")],
        ),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]},
            [ReasoningPart("m")],
        ),
    ],
)
def test_reasoning_in_a_history(fields: dict[str, Any], thoughts: list[ReasoningPart]):
    told = parts({"role": "assistant", "content": "x", **fields})
    assert [part for part in told if isinstance(part, ReasoningPart)] == thoughts


def test_a_gemini_signature_among_the_details_goes_to_its_call():
    details = [{"type": "reasoning.encrypted", "data": "S", "id": "c1", "format": "google-gemini-v1", "index": 0}]
    told = parts({"role": "assistant", "tool_calls": [call()], "reasoning_details": details})
    assert told == (ToolCallPart("c1", "f", "{}", "S"),)


# -- tools and settings ------------------------------------------------------------------------------------------


def test_tools_keep_their_schemas_word_for_word():
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","cache_control":{},'
        b'"function":{"name":"f","description":"d","strict":true,"parameters":{"b" : 1.0, "a":1e2}}}]}'
    )
    request = OPENAI.chat_request(OPENAI.read(CallKind.CHAT, body))
    (tool,) = request.tools
    assert (tool.name, tool.description, tool.strict, tool.cache) == ("f", "d", True, CacheMark())
    assert tool.parameters is not None
    assert bytes(tool.parameters) == b'{"b" : 1.0, "a":1e2}'


def test_older_functions_are_tools():
    request = ask(functions=[{"name": "f", "parameters": None}], function_call={"name": "f"})
    assert (request.tools, request.tool_choice) == ((Tool("f"),), ToolChoice(ToolMode.NAMED, "f"))


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, None),
        ("auto", ToolChoice(ToolMode.AUTO)),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        ("any", ToolChoice(ToolMode.REQUIRED)),
        ({"type": "auto"}, ToolChoice(ToolMode.AUTO)),
        ({"type": "function", "function": {"name": "g"}}, ToolChoice(ToolMode.NAMED, "g")),
        ({"type": "function", "name": "g"}, ToolChoice(ToolMode.NAMED, "g")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOLS[0]]}},
            ToolChoice(ToolMode.REQUIRED, allowed=("f",)),
        ),
    ],
)
def test_tool_choices(given: Any, choice: ToolChoice | None):
    assert ask(tools=TOOLS, tool_choice=given).tool_choice == choice


def test_without_tools_there_is_nothing_to_choose():
    request = ask(tool_choice="auto", parallel_tool_calls=True, tools=[])
    assert (request.tools, request.tool_choice, request.parallel_tool_calls) == ((), None, None)
    assert ask(tools=TOOLS, parallel_tool_calls=False).parallel_tool_calls is False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, JsonFormat()),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}, SchemaFormat(Raw(b"{}"), "n")),
        ({"type": "json_schema", "json_schema": {"strict": True}}, SchemaFormat(Raw(b"{}"), strict=True)),
    ],
)
def test_reply_formats(given: Any, expected: Any):
    assert ask(response_format=given).reply_format == expected


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, None),
        ({"reasoning_effort": "high"}, Reasoning(Effort.HIGH)),
        ({"reasoning_effort": "none"}, Reasoning(Effort.NONE)),
        ({"reasoning_effort": "default"}, Reasoning(enabled=True)),
        ({"reasoning": {"effort": "low"}}, Reasoning(Effort.LOW, summary="auto")),
        ({"reasoning": {"max_tokens": 99, "exclude": True}}, Reasoning(budget_tokens=99)),
        ({"reasoning": {"enabled": False}}, Reasoning(enabled=False)),
        ({"reasoning": {"summary": "detailed"}, "reasoning_effort": "max"}, Reasoning(Effort.MAX, summary="detailed")),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(None, 2048, True, "auto")),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "low"}, Reasoning(Effort.LOW, None, True, "auto")),
        ({"enable_thinking": False}, Reasoning(enabled=False)),
    ],
)
def test_reasoning_settings(fields: dict[str, Any], reasoning: Reasoning | None):
    assert ask(**fields).reasoning == reasoning


def test_sampling():
    numbers: dict[str, Any] = {"temperature": 0, "top_p": 0.5, "top_k": 4, "min_p": 0.1, "seed": 7, "n": 2}
    numbers |= {"presence_penalty": 0.1, "frequency_penalty": -1, "top_logprobs": 3}
    request = ask(**numbers, stop=["a", "b"], logprobs=True, max_tokens=5, max_completion_tokens=9, stream=True)
    assert request.sampling == Sampling(**numbers, stop=("a", "b"), logprobs=True, max_tokens=9)
    assert request.stream
    assert ask(stop="x", top_k=-1, top_logprobs=2, n=None).sampling == Sampling(stop=("x",))


def test_a_limit_that_the_house_set_counts():
    call = OPENAI.read(CallKind.CHAT, json.dumps({"model": "m", "messages": [USER], "max_tokens": 99}).encode())
    assert OPENAI.chat_request(OPENAI.limit_tokens(call, 5)).sampling.max_tokens == 5


def test_a_limit_goes_into_the_field_that_the_client_has_used():
    body = {"model": "m", "messages": [USER], "max_tokens": 99, "max_completion_tokens": None}
    limited = OPENAI.limit_tokens(OPENAI.read(CallKind.CHAT, json.dumps(body).encode()), 5)
    assert (bytes(limited.fields["max_tokens"]), bytes(limited.fields["max_completion_tokens"])) == (b"5", b"null")


def test_what_openai_alone_has_travels_in_its_own_extension():
    fields: dict[str, Any] = {"logit_bias": {"50256": -100}, "service_tier": "flex", "store": True, "verbosity": "low"}
    fields |= {"metadata": {"a": "b"}, "prompt_cache_key": "k", "prompt_cache_retention": "24h"}
    request = ask(**fields, modalities=["text", "audio"], audio={"voice": "v", "format": "mp3"}, safety_identifier="s")
    (extension,) = request.extensions
    assert extension == OpenAIExtension(
        **fields, modalities=("text", "audio"), audio=Raw(b'{"voice": "v", "format": "mp3"}'), safety_identifier="s"
    )
    assert (extension.home, extension.demands) == ("openai", ("logit_bias", "modalities"))
    assert request.user == "s"
    assert ask(logit_bias={}, store=None, prediction=None, user="u").extensions == ()
    assert ask(web_search_options={}).extensions[0].demands == ("web_search_options",)
    assert ask(modalities=["text"], store=False).extensions[0].demands == ()


# -- completions and embeddings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["once", ["once"]])
def test_a_completion_is_a_chat_of_one_message(prompt: Any):
    request = complete(prompt=prompt, max_tokens=3, stop="\n", logprobs=2, user="u")
    assert request.messages == (Message(Role.USER, (TextPart("once"),)),)
    assert request.sampling == Sampling(stop=("\n",), max_tokens=3, logprobs=True, top_logprobs=2)
    assert request.user == "u"
    assert complete(best_of=1, echo=False, suffix="", logprobs=None).sampling == Sampling()
    assert complete(logprobs=0).sampling == Sampling(logprobs=True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"suffix": "s"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
    ],
)
def test_what_only_a_completion_can_do_is_refused(fields: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest, match="OpenAI's language") as caught:
        complete(**fields)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ("a",)),
        (["a", ""], ("a", "")),
        ([1, 2], ((1, 2),)),
        ([[1], [2, 3]], ((1,), (2, 3))),
        (["a", [1]], ("a", (1,))),
    ],
)
def test_embedding_inputs_stay_apart(given: Any, inputs: Any):
    assert embed(input=given).inputs == inputs


def test_embedding_settings():
    request = embed(input="a", dimensions=8, encoding_format="base64", user="u")
    assert (request.dimensions, request.encoding, request.user) == (8, EmbeddingEncoding.BASE64, "u")
    assert embed(input="a").encoding is EmbeddingEncoding.FLOAT


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": []}, "input", "empty_array"),
        ({"input": [1, "a"]}, "input", "invalid_type"),
        ({"input": [None]}, "input[0]", "invalid_type"),
        ({"input": {"a": 1}}, "input", "invalid_type"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"input": "a", "dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"input": "a", "dimensions": "8"}, "dimensions", "invalid_type"),
    ],
)
def test_mistakes_in_an_embedding_body(fields: dict[str, Any], param: str, code: str):
    with pytest.raises(InvalidRequest) as caught:
        embed(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


# -- mistakes ----------------------------------------------------------------------------------------------------


def user(*pieces: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "user", "content": list(pieces)}]}


@pytest.mark.parametrize(
    ("fields", "param", "code", "words"),
    [
        ({"messages": [1]}, "messages[0]", "invalid_type", "expected an object, but got an integer"),
        ({"messages": [{}]}, "messages[0].role", "missing_required_parameter", "role"),
        ({"messages": [{"role": "x"}]}, "messages[0].role", "invalid_value", "'system', 'developer', 'user'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_type", "got null"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array", "empty array"),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "invalid_type",
            "expected a string or an array, but got an integer instead",
        ),
        (user(5), "messages[1].content[0]", "invalid_type", "a string or an object"),
        (user({"type": "video_url"}), "messages[1].content[0].type", "invalid_value", "'video_url'"),
        (user({}), "messages[1].content[0].type", "missing_required_parameter", "type"),
        (user({"type": "text"}), "messages[1].content[0].text", "missing_required_parameter", "text"),
        (user({"type": "text", "text": 1}), "messages[1].content[0].text", "invalid_type", "a string"),
        (user({"type": "image_url"}), "messages[1].content[0].image_url", "missing_required_parameter", "image_url"),
        (
            user("a", {"type": "image_url", "image_url": {}}),
            "messages[1].content[1].image_url.url",
            "missing_required_parameter",
            "url",
        ),
        (
            user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
            "messages[1].content[0].image_url.url",
            "invalid_value",
            "http:",
        ),
        (
            user({"type": "image_url", "image_url": {"url": "data:image/png;base64,*"}}),
            "messages[1].content[0].image_url.url",
            "invalid_value",
            "base64",
        ),
        (
            user({"type": "image_url", "image_url": {"url": "data:image/png"}}),
            "messages[1].content[0].image_url.url",
            "invalid_value",
            "<media type>",
        ),
        (
            user({"type": "input_audio", "input_audio": {"data": ""}}),
            "messages[1].content[0].input_audio.format",
            "missing_required_parameter",
            "format",
        ),
        (user({"type": "file", "file": {}}), "messages[1].content[0].file.file_data", "missing_required_parameter", ""),
        (user({"type": "refusal"}), "messages[1].content[0].refusal", "missing_required_parameter", ""),
        ({"messages": [{"role": "tool"}]}, "messages[0].tool_call_id", "missing_required_parameter", ""),
        ({"messages": [{"role": "function"}]}, "messages[0].name", "missing_required_parameter", "name"),
        (
            {
                "messages": [
                    {"role": "tool", "tool_call_id": "c", "content": ["a", {"type": "refusal", "refusal": "r"}]}
                ]
            },
            "messages[0].content[1].type",
            "invalid_value",
            "'refusal'",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
            "function",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}]},
            "messages[0].tool_calls[0].type",
            "unsupported_parameter",
            "custom",
        ),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "unsupported_parameter", "function"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter", "function"),
        ({"tools": [{"function": {"name": ""}}]}, "tools[0].function.name", "invalid_value", "empty"),
        ({"tools": [{"function": {"name": "f", "parameters": 1}}]}, "tools[0].function.parameters", "invalid_type", ""),
        ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice", "invalid_value", "'required'"),
        ({"tools": TOOLS, "tool_choice": {"function": {"name": "h"}}}, "tool_choice", "invalid_value", "'f', 'g'"),
        ({"tools": TOOLS, "tool_choice": {}}, "tool_choice.function", "missing_required_parameter", ""),
        ({"tools": TOOLS, "tool_choice": {"type": "custom"}}, "tool_choice.type", "unsupported_parameter", ""),
        ({"tool_choice": "required"}, "tool_choice", None, "only allowed when 'tools'"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}},
            "tool_choice.allowed_tools.tools[0].function",
            "missing_required_parameter",
            "",
        ),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value", "'json_schema'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter", ""),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value", "'xhigh'"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value", "'xhigh'"),
        ({"reasoning": {"max_tokens": -1}}, "reasoning.max_tokens", "integer_below_min_value", ""),
        ({"thinking": {"type": "on"}}, "thinking.type", "invalid_value", "'enabled'"),
        ({"temperature": "hot"}, "temperature", "invalid_type", "expected a number, but got a string"),
        ({"seed": 1.5}, "seed", "invalid_type", "expected an integer"),
        ({"n": 0}, "n", "integer_below_min_value", ">= 1"),
        ({"stop": [1]}, "stop[0]", "invalid_type", "a string"),
        ({"metadata": {"a": 1}}, "metadata", "invalid_type", "a string"),
    ],
)
def test_a_mistake_is_named_by_its_path(fields: dict[str, Any], param: str, code: str | None, words: str):
    with pytest.raises(InvalidRequest) as caught:
        ask(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert words in str(caught.value)


def test_half_of_a_surrogate_pair_is_a_mistake():
    body = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'
    with pytest.raises(InvalidRequest, match="could not parse the JSON body"):
        OPENAI.chat_request(OPENAI.read(CallKind.CHAT, body))


# -- whatever comes ----------------------------------------------------------------------------------------------

FIELDS = [
    "role content type text image_url url input_audio data format file file_data file_id filename refusal name id",
    "tool_calls tool_call_id function function_call arguments reasoning_details reasoning signature thinking images",
    "tools tool_choice functions parameters allowed_tools mode response_format json_schema schema stop n logprobs",
    "messages prompt input metadata modalities audio cache_control extra_content google thought_signature effort",
]
WORDS = [
    "user",
    "assistant",
    "tool",
    "function",
    "system",
    "text",
    "image_url",
    "data:,",
    "data:x;base64,A",
    "json_schema",
]
_keys = st.sampled_from(" ".join(FIELDS).split())
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys | st.text(max_size=3), inner, max_size=4),
    max_leaves=25,
)
_messages = st.lists(
    st.dictionaries(_keys, _anything, max_size=5).map(lambda d: {"role": "assistant", **d}), min_size=1
)


@given(st.dictionaries(_keys, _anything), _messages)
def test_no_body_whatever_breaks_anything(fields: dict[str, Any], messages: list[Any]):
    for kind in (CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING):
        wire = json.dumps({"model": "m", "messages": messages, "prompt": "p", "input": "i"} | fields).encode()
        try:
            read = OPENAI.read(kind, wire)
            OPENAI.embedding_request(read) if kind is CallKind.EMBEDDING else OPENAI.chat_request(read)
        except InvalidRequest:
            pass


@pytest.mark.parametrize("field", ["messages", "tools", "metadata", "audio", "tool_choice", "logit_bias"])
def test_depth_breaks_nothing(field: str):
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"role":"tool","content":', b"}]")):
        wire = b'{"model":"m","messages":[{"role":"user","content":"x"}],"' + field.encode() + b'":'
        wire += opening * 5000 + b"1" + closing * 5000 + b"}"
        with pytest.raises(InvalidRequest):
            OPENAI.chat_request(OPENAI.read(CallKind.CHAT, wire))


@given(openai_bodies())
def test_what_a_client_wrote_is_what_was_read(body: dict[str, Any]):
    """Against a reading that is as plain as it can be."""
    request = ask(**body)
    assert [message.role for message in request.messages] == [message["role"] for message in body["messages"]]
    for message, written in zip(request.messages, body["messages"], strict=True):
        inner = message.parts
        if isinstance(inner[0], ToolResultPart):
            assert inner[0].call_id == written["tool_call_id"]
            inner = inner[0].parts
        texts = [part.text for part in inner if isinstance(part, TextPart)]
        assert texts == _texts_in(written.get("content"))
        images = [part for part in inner if isinstance(part, ImagePart)]
        assert len(images) == json.dumps(written).count('"type": "image_url"')
        calls = [(part.id, part.name, part.arguments) for part in inner if isinstance(part, ToolCallPart)]
        functions = [
            (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in written.get("tool_calls", [])
        ]
        assert calls == functions
    assert [tool.name for tool in request.tools] == [tool["function"]["name"] for tool in body.get("tools", [])]


def _texts_in(content: Any) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    return [piece["text"] for piece in content if piece["type"] == "text"]
