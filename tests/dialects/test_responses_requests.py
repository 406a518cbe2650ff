"""OpenAI's Responses requests: read leanly, expanded from the store, and read as chat requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hoosh.dialects.contract import Stamp
from hoosh.dialects.responses import ResponsesDownstream, ResponseStore
from hoosh.dialects.responses.wire import seal_thought, unseal_thought
from hoosh.dialects.signatures import sign_id
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    CallKind,
    CallSaid,
    ChatReply,
    ChatRequest,
    DataSource,
    Effort,
    FilePart,
    FileSource,
    Finished,
    FinishReason,
    ImagePart,
    JsonFormat,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Role,
    SchemaFormat,
    TextPart,
    TextSaid,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
)

PLAIN = ResponsesDownstream()
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "x": 1.0}, "strict": True}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi", **fields}).encode()


def request(dialect: ResponsesDownstream = PLAIN, **fields: Any) -> ChatRequest:
    return dialect.chat_request(dialect.read(CallKind.CHAT, body(**fields)))


def said(*items: Any) -> list[tuple[Role, tuple[Any, ...]]]:
    return [(message.role, message.parts) for message in request(input=list(items)).messages]


def refusal(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)
    return caught.value


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_a_call_is_read_leanly():
    call = PLAIN.read(CallKind.CHAT, body(stream=True, max_output_tokens=20, pool="p", provider="x", seed=1))
    assert (call.language, call.stream, call.max_tokens, call.pool, call.provider) == ("responses", True, 20, "p", "x")
    assert list(call.fields) == ["model", "input", "stream", "max_output_tokens", "seed"]


def test_tokens_are_limited_in_its_own_words():
    call = PLAIN.limit_tokens(PLAIN.read(CallKind.CHAT, body()), 50)
    assert (call.max_tokens, bytes(call.fields["max_output_tokens"])) == (50, b"50")
    assert PLAIN.limit_tokens(call, 60) is call
    assert PLAIN.chat_request(call).sampling.max_tokens == 50


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"{}", "model"),
        (b'{"model":"\\ud800"}', None),
        (b'{"model":"m"}', "input"),
        (b'{"model":"m","input":{}}', "input"),
        (b'{"model":"m","input":"x","stream":1}', "stream"),
        (b'{"model":"m","input":"x","max_output_tokens":0}', "max_output_tokens"),
        (b'{"model":"m","input":"x","previous_response_id":7}', "previous_response_id"),
        (b"[]", None),
        (b"", None),
    ],
)
def test_what_cannot_be_read_is_said_in_openais_words(raw: bytes, param: str | None):
    with pytest.raises(InvalidRequest) as caught:
        PLAIN.read(CallKind.CHAT, raw)
    assert caught.value.param == param


def test_the_settings_are_read():
    asked = request(
        instructions="be kind",
        tools=[FUNCTION],
        parallel_tool_calls=False,
        temperature=1,
        top_p=0.5,
        top_logprobs=0,
        max_output_tokens=9,
        reasoning={"effort": "xhigh", "summary": "auto"},
        safety_identifier="s",
        metadata={"a": "b"},
        store=False,
        include=["reasoning.encrypted_content"],
        truncation="auto",
        stream_options={"include_obfuscation": False},
        prompt=None,
        conversation=None,
        background=False,
        stream=True,
    )
    assert [(message.role, message.parts) for message in asked.messages] == [
        (Role.SYSTEM, (TextPart("be kind"),)),
        (Role.USER, (TextPart("hi"),)),
    ]
    (tool,) = asked.tools
    assert (tool.name, tool.strict) == ("f", True)
    assert tool.parameters is not None
    assert bytes(tool.parameters) == b'{"type": "object", "x": 1.0}'
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.sampling.max_tokens) == (1.0, 0.5, 9)
    assert asked.reasoning == Reasoning(Effort.XHIGH, summary="auto")
    assert (asked.parallel_tool_calls, asked.user, asked.stream) == (False, "s", True)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("auto", ToolChoice(ToolMode.AUTO)),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        ({"type": "function", "name": "f"}, ToolChoice(ToolMode.NAMED, "f")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice(ToolMode.REQUIRED, allowed=("f",)),
        ),
        (None, None),
    ],
)
def test_tool_choices(choice: Any, meant: ToolChoice | None):
    assert request(tools=[FUNCTION], tool_choice=choice).tool_choice == meant


def test_formats_of_the_text():
    assert request(text={"format": {"type": "text"}, "verbosity": "low"}).reply_format is None
    assert request(text={"format": {"type": "json_object"}}).reply_format == JsonFormat()
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    asked = request(text={"format": schema}).reply_format
    assert isinstance(asked, SchemaFormat)
    assert (bytes(asked.schema), asked.name, asked.strict) == (b'{"type": "object"}', "n", True)


@pytest.mark.parametrize(
    ("part", "meant"),
    [
        ({"type": "input_text", "text": "x"}, TextPart("x")),
        (
            {"type": "input_image", "image_url": "https://h/i.png", "detail": "low"},
            ImagePart(UrlSource("https://h/i.png"), "low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
            ImagePart(DataSource("image/png", "QUJD")),
        ),
        ({"type": "input_image", "file_id": "file_1"}, ImagePart(FileSource("file_1"))),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"},
            FilePart(DataSource("application/pdf", "QUJD"), "a.pdf"),
        ),
        ({"type": "input_file", "file_data": "QUJD"}, FilePart(DataSource("", "QUJD"))),
        (
            {"type": "input_image", "image_url": "DATA:image/jpg;base64,QUI"},
            ImagePart(DataSource("image/jpeg", "QUI=")),
        ),
        ({"type": "input_file", "file_data": "data:text/plain,a%20b"}, FilePart(DataSource("text/plain", "YSBi"))),
        ({"type": "input_file", "file_data": "JVBERi0x"}, FilePart(DataSource("application/pdf", "JVBERi0x"))),
        (
            {"type": "input_file", "file_data": "QUJD", "filename": "a.TXT"},
            FilePart(DataSource("text/plain", "QUJD"), "a.TXT"),
        ),
        ({"type": "input_file", "file_url": "https://h/a.pdf"}, FilePart(UrlSource("https://h/a.pdf"))),
        ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, AudioPart("QUJD", "wav")),
    ],
)
def test_parts_of_a_message(part: dict[str, Any], meant: Any):
    assert said({"role": "user", "content": [part]}) == [(Role.USER, (meant,))]


def test_a_turn_of_the_assistant_is_one_message_in_its_order():
    history = said(
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "s", "text": "hm"}], "encrypted_content": "E"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [
            {"type": "output_text", "text": "let me see", "annotations": [{"type": "file_path"}]},
            {"type": "refusal", "refusal": "no"},
        ]},
        {"type": "function_call", "call_id": sign_id("c1", "sig"), "name": "f", "arguments": "{\"a\":"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": sign_id("c1", "sig"), "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "two"}, {"type": "input_image", "image_url": "https://h/i"},
        ]},
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    )  # fmt: skip
    assert history == [
        (Role.DEVELOPER, (TextPart("d"),)),
        (Role.USER, (TextPart("q"),)),
        (
            Role.ASSISTANT,
            (
                ReasoningPart("hm", "", "E", "openai", "rs_1"),
                TextPart("let me see"),
                RefusalPart("no"),
                ToolCallPart("c1", "f", '{"a":', "sig"),
                ToolCallPart("c2", "g", "{}"),
            ),
        ),
        (
            Role.TOOL,
            (
                ToolResultPart("c1", (TextPart("one"),)),
                ToolResultPart("c2", (TextPart("two"), ImagePart(UrlSource("https://h/i")))),
            ),
        ),
        (Role.ASSISTANT, (TextPart("done"),)),
        (Role.USER, (TextPart("a"),)),
        (Role.USER, (TextPart("b"),)),
    ]


def test_raw_thoughts_are_taken_before_their_summary():
    thought = {
        "type": "reasoning",
        "id": "x",
        "summary": [{"type": "summary_text", "text": "short"}],
        "content": [{"type": "reasoning_text", "text": "long"}, {"type": "reasoning_text", "text": "er"}],
    }
    assert said(thought) == [(Role.ASSISTANT, (ReasoningPart("long\n\ner", id="x"),))]


@given(
    st.sampled_from(["openai", "anthropic", "gemini", "xai", ""]),
    st.text(max_size=9),
    st.text(max_size=9),
    st.sampled_from(["", "rs_theirs"]),
)
def test_a_sealed_thought_comes_back_as_it_was(origin: str, signature: str, data: str, identity: str):
    sealed = seal_thought(origin, signature, data, identity)
    back = unseal_thought("text", sealed, "rs_hoosh_r_0")
    if signature or data:
        assert (back.signature, back.data, back.origin) == (signature, data, origin)
    if sealed is not None and sealed != data:
        assert back.id == identity


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, "tools[1].type"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools[0].name"),
        ({"tools": [{"name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "x", "parameters": []}]}, "tools[0].parameters"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"input": []}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id"),
        ({"input": [{"id": "msg_1"}]}, "input[0].id"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": user({"type": "input_video"})}, "input[0].content[0].type"),
        ({"input": user({"type": "input_image"})}, "input[0].content[0].image_url"),
        ({"input": user({"type": "input_image", "image_url": "ftp://x"})}, "input[0].content[0].image_url"),
        (
            {"input": user({"type": "input_image", "image_url": "data:image/png;base64,?"})},
            "input[0].content[0].image_url",
        ),
        ({"input": user({"type": "input_file", "file_data": "?"})}, "input[0].content[0].file_data"),
        ({"input": user({"type": "input_audio"})}, "input[0].content[0].input_audio"),
        (
            {"input": user({"type": "input_audio", "input_audio": {"data": "?"}})},
            "input[0].content[0].input_audio.data",
        ),
        ({"input": user({"type": "input_text", "text": 7})}, "input[0].content[0].text"),
    ],
)
def test_what_a_translated_call_cannot_have_is_refused_by_its_name(fields: dict[str, Any], param: str):
    assert refusal(**fields).param == param


# -- going on from an earlier response ---------------------------------------------------------------------------


def answered(dialect: ResponsesDownstream, reply_id: str = "r1", **fields: Any) -> dict[str, Any]:
    call = dialect.read(CallKind.CHAT, body(**fields))
    parts = (TextSaid("hello"), CallSaid("c1", "f", "{}"))
    reply = ChatReply(parts, Finished(FinishReason.TOOL_CALLS))
    answer: dict[str, Any] = json.loads(dialect.encode_reply(call, reply, Stamp(reply_id, "m", 1)))
    return answer


def test_a_conversation_goes_on_from_a_kept_response():
    dialect = ResponsesDownstream(ResponseStore()).for_caller("ann")
    first = answered(dialect, "r1", instructions="once")
    output = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    second = answered(dialect, "r2", input=[output], previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    call = dialect.read(CallKind.CHAT, body(input="more", previous_response_id=second["id"]))
    assert "previous_response_id" not in call.fields
    turn = (Role.ASSISTANT, (TextPart("hello"), ToolCallPart("c1", "f", "{}")))
    assert [(message.role, message.parts) for message in dialect.chat_request(call).messages] == [
        (Role.USER, (TextPart("hi"),)),
        turn,
        (Role.TOOL, (ToolResultPart("c1", (TextPart("done"),)),)),
        turn,
        (Role.USER, (TextPart("more"),)),
    ]


def test_nobody_goes_on_from_anothers_response_nor_from_one_that_is_not_kept():
    shared = ResponsesDownstream(ResponseStore())
    ann, bob = shared.for_caller("ann"), shared.for_caller("bob")
    kept, unkept = answered(ann, "r1")["id"], answered(ann, "r2", store=False)["id"]
    for dialect, previous in ((bob, kept), (ann, unkept), (shared, kept), (PLAIN, kept)):
        with pytest.raises(InvalidRequest) as caught:
            dialect.read(CallKind.CHAT, body(previous_response_id=previous))
        assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")
    ann.read(CallKind.CHAT, body(previous_response_id=kept))


def test_anothers_id_stays_for_the_provider_that_made_it():
    call = PLAIN.read(CallKind.CHAT, b'{"model":"m","previous_response_id":"resp_1"}')
    assert bytes(call.fields["previous_response_id"]) == b'"resp_1"'
    with pytest.raises(InvalidRequest) as caught:
        PLAIN.chat_request(call)
    assert caught.value.code == "previous_response_not_found"


def test_references_to_our_items_become_the_items():
    dialect = ResponsesDownstream(ResponseStore()).for_caller("ann")
    message, call_item = answered(dialect)["output"]
    for reference in ({"type": "item_reference", "id": message["id"]}, {"id": call_item["id"]}):
        call = dialect.read(CallKind.CHAT, body(input=[reference, {"role": "user", "content": "x"}]))
        wanted = message if reference["id"] == message["id"] else call_item
        assert json.loads(bytes(call.fields["input"]))[0] == wanted
    strange = [{"type": "item_reference", "id": "msg_hoosh_r1_77"}, {"id": "msg_hoosh_zz_0"}, {"id": 7, "x": "_hoosh_"}]
    call = dialect.read(CallKind.CHAT, body(input=strange))
    assert json.loads(bytes(call.fields["input"])) == strange


# -- anything at all ---------------------------------------------------------------------------------------------

WORDS = ["message", "function_call", "function_call_output", "reasoning", "item_reference", "input_text", "user"]
WORDS += ["assistant", "function", "json_schema", "resp_hoosh_1", "msg_hoosh_1_0", "hoosh:x:j:[]", "data:x;base64,"]
NAMES = ["type", "role", "content", "id", "call_id", "name", "arguments", "output", "summary", "text", "image_url"]
NAMES += ["input_audio", "encrypted_content", "format", "schema", "effort", "parameters", "tools", "mode"]
TOP = ["instructions", "tools", "tool_choice", "text", "reasoning", "temperature", "user", "include", "store"]
TOP += ["previous_response_id", "conversation", "max_output_tokens", "stream", "parallel_tool_calls", "input"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.sampled_from(TOP), VALUES, max_size=6), VALUES)
def test_any_json_is_a_request_or_an_invalid_request(fields: dict[str, Any], said_: Any):
    dialect = ResponsesDownstream(ResponseStore()).for_caller("ann")
    try:
        call = dialect.read(CallKind.CHAT, json.dumps({"model": "m", "input": said_, **fields}).encode())
        dialect.chat_encoder(replace(call, stream=True), Stamp("r", "m", 1)).finish()
        assert isinstance(dialect.chat_request(call), ChatRequest)
    except InvalidRequest:
        pass


@given(st.binary(max_size=80))
def test_any_bytes_are_an_invalid_request(raw: bytes):
    with pytest.raises(InvalidRequest):
        PLAIN.read(CallKind.CHAT, raw)
