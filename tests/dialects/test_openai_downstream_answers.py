"""A reply in our own words, as OpenAI's clients read it: streams, whole answers, embeddings."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from hoosh.dialects.contract import Stamp
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.replies import unfold
from hoosh.testing.chats import chat_replies
from hoosh.values import (
    Annotation,
    Call,
    CallKind,
    CallSaid,
    ChatReply,
    Embeddings,
    Finished,
    FinishReason,
    MediaOutput,
    OpaqueOutput,
    ReasoningDelta,
    ReasoningSaid,
    ReasoningSealed,
    RefusalDelta,
    RefusalSaid,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    TextSaid,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

OPENAI = OpenAIDownstream()
STAMP = Stamp("r1", "asked-for", 1700000000)
STOP = Finished(FinishReason.STOP)
STARTED = ReplyStarted("upstream-id", "m-1")
NOTE = Annotation("https://h/a", "A", 0, 3, "cited")
PICTURE = MediaOutput("image/png", "iVBORw0KGgo=")
USAGE = Usage(10, 5, 4, 2, cache_write_tokens=3)
USAGE_JSON = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 3},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def call_of(kind: CallKind = CallKind.CHAT, *, include_usage: bool = False, **fields: Any) -> Call:
    raw = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}
    return Call(kind, "m", raw, stream=True, include_usage=include_usage)


def stream(events: list[ReplyEvent], call: Call | None = None) -> list[dict[str, Any]]:
    """The chunks of a stream, once as a whole and once event by event."""
    call = call or call_of()
    encoder, drop = OPENAI.chat_encoder(call, STAMP), OPENAI.chat_encoder(call, STAMP)
    wire = encoder.encode(events) + encoder.finish()
    assert b"".join([drop.encode([event]) for event in events]) + drop.finish() == wire
    frames = wire.split(b"\n\n")
    assert frames.pop() == b""
    assert all(frame.startswith(b"data: {") and b"\n" not in frame for frame in frames)
    return [json.loads(frame[6:]) for frame in frames]


def deltas(*events: ReplyEvent, **fields: Any) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in stream([STARTED, *events], call_of(**fields))]


def whole(*parts: Any, finish: Finished = STOP, usage: Usage | None = None, **fields: Any) -> dict[str, Any]:
    reply = ChatReply(parts, finish, usage, model="m-1")
    answer: dict[str, Any] = json.loads(OPENAI.encode_reply(call_of(**fields), reply, STAMP))
    return answer


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    told: dict[str, Any] = whole(*parts, **fields)["choices"][0]["message"]
    return told


ROLE = {"role": "assistant", "content": "", "refusal": None}
SILENT_ROLE = {**ROLE, "content": None}


# -- streams -----------------------------------------------------------------------------------------------------


def test_a_stream_of_text_is_openais_to_the_letter():
    encoder = OPENAI.chat_encoder(call_of(include_usage=True), STAMP)
    events = [STARTED, TextDelta("a\n"), TextDelta("é"), Finished(FinishReason.LENGTH), UsageReported(Usage(2, 1))]
    head = 'data: {"id":"chatcmpl-r1","object":"chat.completion.chunk","created":1700000000,"model":"m-1","choices":['

    def choice(delta: str, reason: str = "null") -> str:
        return (
            head + '{"index":0,"delta":' + delta + ',"logprobs":null,"finish_reason":' + reason + '}],"usage":null}\n\n'
        )

    wire = choice('{"role":"assistant","content":"","refusal":null}')
    wire += choice('{"content":"a\\n"}') + choice('{"content":"é"}')
    assert encoder.encode(events).decode() == wire
    end = encoder.finish().decode()
    assert end.startswith(choice("{}", '"length"') + head + '],"usage":{"prompt_tokens":2,"completion_tokens":1,')
    assert encoder.chunks == 2


def test_without_include_usage_there_is_no_usage_key_at_all():
    assert all("usage" not in chunk for chunk in stream([STARTED, TextDelta("x"), STOP, UsageReported(USAGE)]))
    *chunks, last = stream([STARTED, TextDelta("x"), UsageReported(USAGE), STOP], call_of(include_usage=True))
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], USAGE_JSON)


def test_tool_calls_begin_with_their_names_and_go_on_by_index():
    events = [
        ToolCallStarted(0, "c0", "f"),
        ToolCallStarted(1, "c1", "g", "S"),
        ToolCallDelta(1, "{"),
        ToolCallDelta(0, '{"a'),
        ToolCallDelta(1, "}"),
        ToolCallDelta(0, '":1}'),
    ]

    def fragment(index: int, text: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}

    begun = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}
    signed = {"index": 1, "id": "c1", "type": "function", "function": {"name": "g", "arguments": ""}}
    signed["extra_content"] = {"google": {"thought_signature": "S"}}
    assert deltas(*events) == [
        SILENT_ROLE,
        {"tool_calls": [begun]},
        {"tool_calls": [signed]},
        fragment(1, "{"),
        fragment(0, '{"a'),
        fragment(1, "}"),
        fragment(0, '":1}'),
        {},
    ]


def test_a_call_without_arguments_gets_an_empty_object_to_parse():
    told = deltas(
        ToolCallStarted(0, "c0", "f"), ToolCallDelta(0, ""), ToolCallStarted(1, "c1", "g"), ToolCallDelta(1, "{}")
    )
    assert told[-2] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    assert sum("{}" in json.dumps(delta) for delta in told[:-1]) == 2


@pytest.mark.parametrize(
    ("calls", "reason", "told"),
    [
        (True, "stop", "tool_calls"),
        (True, "tool_calls", "tool_calls"),
        (True, "length", "length"),
        (False, "tool_calls", "stop"),
        (False, "content_filter", "content_filter"),
    ],
)
def test_the_finish_reason_says_that_calls_were_made(calls: bool, reason: str, told: str):
    finish = Finished(FinishReason(reason))
    events: list[ReplyEvent] = [ToolCallStarted(0, "c", "f")] if calls else [TextDelta("x")]
    assert stream([STARTED, *events, finish])[-1]["choices"][0]["finish_reason"] == told
    parts = (CallSaid("c", "f", "{}"),) if calls else (TextSaid("x"),)
    assert whole(*parts, finish=finish)["choices"][0]["finish_reason"] == told


def test_reasoning_is_told_twice_and_its_signature_closes_it():
    def thought(text: str, index: int) -> dict[str, Any]:
        details = [{"type": "reasoning.text", "text": text, "index": index}]
        return {"reasoning_content": text, "reasoning_details": details}

    told = deltas(
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        ReasoningSealed("anthropic", signature="S"),
        ReasoningSealed("anthropic", data="D"),
        ReasoningDelta("c"),
        TextDelta("x"),
        ReasoningDelta("d"),
        ReasoningSealed("openai", data="E", id="rs_1"),
    )
    seal = {"type": "reasoning.text", "text": "", "signature": "S", "format": "anthropic-claude-v1", "index": 0}
    data = {"type": "reasoning.encrypted", "data": "D", "format": "anthropic-claude-v1", "index": 1}
    item = {"type": "reasoning.encrypted", "data": "E", "format": "openai-responses-v1", "index": 3, "id": "rs_1"}
    assert told == [
        ROLE,
        thought("a", 0),
        thought("b", 0),
        {"reasoning_details": [seal]},
        {"reasoning_details": [data]},
        thought("c", 2),
        {"content": "x"},
        thought("d", 3),
        {"reasoning_details": [item]},
        {},
    ]


@pytest.mark.parametrize("fields", [{"reasoning": {"exclude": True}}, {"include_reasoning": False}])
def test_who_wants_no_reasoning_gets_none(fields: dict[str, Any]):
    told = deltas(ReasoningDelta("a"), ReasoningSealed("x", signature="S"), TextDelta("b"), **fields)
    assert told == [ROLE, {"content": "b"}, {}]
    assert "reasoning" not in json.dumps(message(ReasoningSaid("a", "S", origin="x"), TextSaid("b"), **fields))


def test_refusals_citations_and_pictures():
    opaque = OpaqueOutput("x", "y", Raw(b"{}"))
    told = deltas(TextDelta("abc"), NOTE, Annotation("https://h/b"), RefusalDelta("no"), PICTURE, opaque)
    cited = {"url": "https://h/a", "title": "A", "start_index": 0, "end_index": 3, "content": "cited"}
    unplaced = {"url": "https://h/b", "title": "", "start_index": 0, "end_index": 0}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert told[2:] == [
        {"annotations": [{"index": 0, "type": "url_citation", "url_citation": cited}]},
        {"annotations": [{"index": 1, "type": "url_citation", "url_citation": unplaced}]},
        {"refusal": "no"},
        {"images": [{"index": 0, **image}]},
        {},
    ]


def test_an_empty_reply_still_has_a_role_and_an_end():
    assert deltas() == [ROLE, {}]
    assert stream([])[0]["model"] == "asked-for"


def test_nothing_in_a_name_is_taken_for_a_format():
    events: list[ReplyEvent] = [ReplyStarted("", '%d%s"\n'), ToolCallDelta(0, "{}"), TextDelta("%b")]
    assert stream(events)[-1]["model"] == '%d%s"\n'


def test_half_of_a_surrogate_pair_does_not_cost_the_answer():
    half = "\ud83d"
    told = deltas(TextDelta(half), RefusalDelta(half), ToolCallStarted(0, half, "f"))
    assert (told[1], told[2], told[3]["tool_calls"][0]["id"]) == (
        {"content": "\ufffd"},
        {"refusal": "\ufffd"},
        "\ufffd",
    )
    assert message(TextSaid(half + "\U0001f600"))["content"] == "\ufffd\U0001f600"


# -- whole answers -----------------------------------------------------------------------------------------------


def test_a_whole_answer_has_openais_shape():
    assert whole(TextSaid("a"), TextSaid("b", (NOTE,)), usage=USAGE) == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {
                                "url": "https://h/a",
                                "title": "A",
                                "start_index": 0,
                                "end_index": 3,
                                "content": "cited",
                            },
                        }
                    ],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE_JSON,
    }


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ((), ""),
        ((ReasoningSaid("r"),), ""),
        ((TextSaid("x"), CallSaid("c", "f", "{}")), "x"),
        ((CallSaid("c", "f", "{}"),), None),
        ((RefusalSaid("no"),), None),
        ((PICTURE,), None),
    ],
)
def test_content_is_null_only_where_something_else_was_said(parts: Any, content: str | None):
    assert message(*parts)["content"] == content


def test_calls_thoughts_and_pictures_in_a_whole_answer():
    told = message(
        ReasoningSaid("a", signature="S", origin="anthropic"),
        ReasoningSaid("s", data="E", origin="openai", id="rs_1"),
        ReasoningSaid("plain"),
        CallSaid("c", "f", "", "G"),
        PICTURE,
    )
    assert told["reasoning_content"] == "asplain"
    assert told["reasoning_details"] == [
        {"type": "reasoning.text", "text": "a", "signature": "S", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "s", "index": 1},
        {"type": "reasoning.encrypted", "data": "E", "format": "openai-responses-v1", "index": 1, "id": "rs_1"},
        {"type": "reasoning.text", "text": "plain", "index": 2},
    ]
    (call,) = told["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": "{}"}
    assert call["extra_content"] == {"google": {"thought_signature": "G"}}
    assert told["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    assert "reasoning_details" not in message(ReasoningSaid("plain"))


# -- completions -------------------------------------------------------------------------------------------------


def test_completions():
    call = call_of(CallKind.COMPLETION, include_usage=True)
    events = [STARTED, ReasoningDelta("r"), TextDelta("a"), RefusalDelta("b"), STOP, UsageReported(USAGE)]
    chunks = stream(events, call)
    assert [choice for chunk in chunks for choice in chunk["choices"]] == [
        {"text": "a", "index": 0, "logprobs": None, "finish_reason": None},
        {"text": "b", "index": 0, "logprobs": None, "finish_reason": None},
        {"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"},
    ]
    assert {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks} == {
        ("cmpl-r1", "text_completion", 1700000000, "m-1")
    }
    assert [chunk["usage"] for chunk in chunks] == [None, None, None, USAGE_JSON]
    reply = ChatReply((TextSaid("ab"),), Finished(FinishReason.LENGTH), USAGE)
    answer = json.loads(OPENAI.encode_reply(call, reply, STAMP))
    assert answer["choices"] == [{"text": "ab", "index": 0, "logprobs": None, "finish_reason": "length"}]
    assert (answer["id"], answer["object"], answer["model"]) == ("cmpl-r1", "text_completion", "asked-for")


# -- embeddings --------------------------------------------------------------------------------------------------

VECTORS = ((0.5, -1.25), (1e-3, 3.0))


def embeddings(vectors: tuple[tuple[float, ...], ...] = VECTORS, **fields: Any) -> dict[str, Any]:
    call = call_of(CallKind.EMBEDDING, **fields)
    answer: dict[str, Any] = json.loads(OPENAI.encode_embeddings(call, Embeddings(vectors, "e-1", Usage(7, 0)), STAMP))
    return answer


@pytest.mark.parametrize("fields", [{}, {"encoding_format": "float"}, {"encoding_format": None}])
def test_embeddings_are_numbers_in_order_unless_base64_was_asked_for(fields: dict[str, Any]):
    assert embeddings(**fields) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.25]},
            {"object": "embedding", "index": 1, "embedding": [0.001, 3.0]},
        ],
        "model": "e-1",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


def test_base64_embeddings_are_little_endian_float32():
    told = embeddings(encoding_format="base64")["data"]
    packed = [base64.b64decode(item["embedding"]) for item in told]
    assert [struct.unpack("<2f", vector) for vector in packed] == [pytest.approx(vector) for vector in VECTORS]
    too_large = embeddings(((1e300, float("inf")),), encoding_format="base64")["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(too_large))[0] == pytest.approx(3.4028235e38)


# -- as the SDK reads it -----------------------------------------------------------------------------------------


def accept(model: type[BaseModel], told: dict[str, Any]) -> None:
    """OpenAI's own types take it, and it comes out of them as it went in, with whatever they do not know."""
    read = model.model_validate(told)
    assert read.model_dump(exclude_unset=True, warnings=False) == told


@given(chat_replies(), st.booleans())
@settings(max_examples=50)
def test_the_sdks_types_take_every_answer(reply: ChatReply, include_usage: bool):
    accept(ChatCompletion, json.loads(OPENAI.encode_reply(call_of(), reply, STAMP)))
    for chunk in stream(list(unfold(reply)), call_of(include_usage=include_usage)):
        accept(ChatCompletionChunk, chunk)
    accept(Completion, json.loads(OPENAI.encode_reply(call_of(CallKind.COMPLETION), reply, STAMP)))
    for chunk in stream(list(unfold(reply)), call_of(CallKind.COMPLETION, include_usage=include_usage)):
        if chunk["choices"] and chunk["choices"][0]["finish_reason"]:  # the type has no null there, the API does
            accept(Completion, chunk)


def test_the_sdks_types_take_embeddings():
    accept(CreateEmbeddingResponse, embeddings())


@given(chat_replies())
@settings(max_examples=50)
def test_the_sdk_adds_a_stream_up_to_the_whole_answer(reply: ChatReply):
    from openai.lib.streaming.chat import ChatCompletionStreamState

    state: Any = ChatCompletionStreamState(input_tools=openai.NOT_GIVEN, response_format=openai.NOT_GIVEN)
    for chunk in stream(list(unfold(reply)), call_of(include_usage=True)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    summed = state.current_completion_snapshot.choices[0]
    said = json.loads(OPENAI.encode_reply(call_of(), reply, STAMP))["choices"][0]
    assert (summed.message.content or "") == (said["message"]["content"] or "")
    assert summed.message.refusal == said["message"]["refusal"]
    assert summed.finish_reason == said["finish_reason"]
    details = [
        (detail.get("text", ""), detail.get("signature", ""), detail.get("data", ""))
        for detail in getattr(summed.message, "reasoning_details", ())
    ]
    thoughts = [part for part in reply.parts if isinstance(part, ReasoningSaid)]
    assert details == [(thought.text, thought.signature, thought.data) for thought in thoughts]
    calls = [(call.id, call.function.name, call.function.arguments) for call in summed.message.tool_calls or ()]
    assert calls == [(part.id, part.name, part.arguments) for part in reply.calls]


# -- as OpenAI's document describes it ---------------------------------------------------------------------------

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "wire" / "openai-openapi.trimmed.json"
SCHEMAS: dict[str, Any] = json.loads(SPEC.read_text())["components"]["schemas"] if SPEC.exists() else {}


def misfits(schema: dict[str, Any], value: Any, path: str = "$") -> list[str]:
    """A small reading of JSON Schema: types, enums, required and properties; of alternatives one must fit."""
    if "$ref" in schema:
        return misfits(SCHEMAS[schema["$ref"].rpartition("/")[2]], value, path)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return min((misfits(option, value, path) for option in options), key=len)
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if value is None:
        return [] if "null" in kinds or schema.get("nullable") else [f"{path}: null"]
    types: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
    types |= {"object": dict, "array": list, "null": type(None)}
    if kinds and not isinstance(value, tuple(types[kind] for kind in kinds)):
        return [f"{path}: not {kinds}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is not one of {schema['enum']}"]
    if isinstance(value, list):
        return [wrong for n, item in enumerate(value) for wrong in misfits(schema["items"], item, f"{path}[{n}]")]
    if not isinstance(value, dict):
        return []
    wrong = [f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    known = schema.get("properties", {})
    return wrong + [w for name in value.keys() & known for w in misfits(known[name], value[name], f"{path}.{name}")]


@pytest.mark.skipif(not SCHEMAS, reason="shared/wire is not here")
@given(chat_replies())
@settings(max_examples=50)
def test_answers_fit_openais_own_document(reply: ChatReply):
    chat, completion = call_of(include_usage=True), call_of(CallKind.COMPLETION)
    assert misfits(SCHEMAS["CreateChatCompletionResponse"], json.loads(OPENAI.encode_reply(chat, reply, STAMP))) == []
    assert misfits(SCHEMAS["CreateCompletionResponse"], json.loads(OPENAI.encode_reply(completion, reply, STAMP))) == []
    for chunk in stream(list(unfold(reply)), chat):
        assert misfits(SCHEMAS["CreateChatCompletionStreamResponse"], chunk) == []


@pytest.mark.skipif(not SCHEMAS, reason="shared/wire is not here")
def test_embeddings_fit_openais_own_document():
    assert misfits(SCHEMAS["CreateEmbeddingResponse"], embeddings()) == []
