"""Reply events as a Responses stream: its order, its whole, and what OpenAI's own SDK makes of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.replies import fold, unfold
from hoosh.dialects.responses import ResponsesDownstream, ResponseStore
from hoosh.dialects.responses.wire import read_usage, unseal_thought
from hoosh.dialects.signatures import read_id
from hoosh.values import (
    Annotation,
    CallKind,
    CallSaid,
    ChatReply,
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
    ReplyPart,
    ReplyStarted,
    TextDelta,
    TextSaid,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

STAMP = Stamp("r1", "asked", 1700000000)
STOP = Finished(FinishReason.STOP)
any_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

ADDED, DONE_ITEM = "response.output_item.added", "response.output_item.done"
PART, DONE_PART = "response.content_part.added", "response.content_part.done"
BEGIN = ["response.created", "response.in_progress"]


def stream(*events: ReplyEvent, dialect: ResponsesDownstream | None = None, **fields: Any) -> bytes:
    dialect = dialect or ResponsesDownstream()
    call = dialect.read(CallKind.CHAT, json.dumps({"model": "m", "input": "hi", **fields}).encode())
    encoder = dialect.chat_encoder(call, STAMP)
    return b"".join([encoder.encode([event]) for event in events]) + encoder.finish()


def told(wire: bytes) -> list[dict[str, Any]]:
    """The events, each checked: its name is its type, it is numbered, and the SDK's strict model takes it."""
    decoder = SseDecoder()
    found = []
    for number, frame in enumerate([*decoder.feed(wire), *decoder.close()]):
        event = json.loads(frame.data)
        assert event["type"] == frame.event
        assert event["sequence_number"] == number
        any_event.validate_python(event)
        found.append(event)
    return found


def types(wire: bytes) -> list[str]:
    return [event["type"] for event in told(wire)]


def test_text_is_told_in_the_documented_order():
    wire = stream(ReplyStarted("x", "true"), TextDelta("Hel"), TextDelta("lo"), STOP, UsageReported(Usage(9, 3, 2, 1)))
    events = told(wire)
    assert [event["type"] for event in events] == [
        *BEGIN,
        ADDED,
        PART,
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        DONE_PART,
        DONE_ITEM,
        "response.completed",
    ]
    response = events[-1]["response"]
    assert (response["id"], response["model"], response["status"]) == ("resp_hoosh_r1", "true", "completed")
    assert response["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 12,
    }


def test_nothing_is_told_before_there_is_something_to_tell():
    dialect = ResponsesDownstream()
    encoder = dialect.chat_encoder(dialect.read(CallKind.CHAT, b'{"model":"m","input":"x"}'), STAMP)
    assert encoder.encode([ReplyStarted("x", "m"), UsageReported(Usage(1))]) == b""
    assert encoder.encode([TextDelta("x")]).startswith(b"event: response.created\n")
    assert encoder.chunks == 1


def test_thoughts_text_and_interleaved_calls_come_out_in_their_places():
    events = told(
        stream(
            ReasoningDelta("hm"),
            ReasoningSealed("anthropic", "sig"),
            ReasoningSealed("anthropic", data="redacted"),
            TextDelta("so"),
            ToolCallStarted(0, "c1", "f", "gs"),
            ToolCallStarted(1, "c2", "g"),
            ToolCallDelta(1, "[1"),
            ToolCallDelta(0, '{"a":'),
            ToolCallDelta(1, "]"),
            ToolCallDelta(0, "1}"),
            ToolCallStarted(2, "c3", "h"),
            Finished(FinishReason.TOOL_CALLS),
        )
    )
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "reasoning", "message", *["function_call"] * 3]
    assert [item.get("encrypted_content") for item in output[:2]] == [
        "hoosh:anthropic:s:sig",
        "hoosh:anthropic:d:redacted",
    ]
    assert [item["summary"] for item in output[:2]] == [[{"type": "summary_text", "text": "hm"}], []]
    assert [item["arguments"] for item in output[3:]] == ['{"a":1}', "[1]", "{}"]
    assert [read_id(item["call_id"]) for item in output[3:]] == [("c1", "gs"), ("c2", ""), ("c3", "")]
    gathered: dict[int, str] = {}
    for event in events:
        if event["type"] == "response.function_call_arguments.delta":
            gathered[event["output_index"]] = gathered.get(event["output_index"], "") + event["delta"]
    assert gathered == {3: '{"a":1}', 4: "[1]", 5: "{}"}
    assert [event["item"] for event in events if event["type"] == DONE_ITEM] == output
    assert all(item["status"] == "completed" for item in output)


@pytest.mark.parametrize(
    ("reason", "why"), [(FinishReason.LENGTH, "max_output_tokens"), (FinishReason.CONTENT_FILTER, "content_filter")]
)
def test_an_incomplete_answer_says_why(reason: FinishReason, why: str):
    events = told(stream(ToolCallStarted(0, "c", "f"), ToolCallDelta(0, "{"), TextDelta("cut"), Finished(reason)))
    assert events[-1]["type"] == "response.incomplete"
    response = events[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": why})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_a_refusal_and_a_citation_are_told():
    events = told(stream(TextDelta("abc"), Annotation("https://a", "A", 1, 2), Annotation("https://b"), STOP))
    added = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [event["annotation_index"] for event in added] == [0, 1]
    annotations = events[-1]["response"]["output"][0]["content"][0]["annotations"]
    assert annotations == [event["annotation"] for event in added]
    assert [(item["url"], item["start_index"], item["end_index"]) for item in annotations] == [
        ("https://a", 1, 2),
        ("https://b", 3, 3),
    ]
    assert types(stream(RefusalDelta("no"), STOP)) == [
        *BEGIN,
        ADDED,
        PART,
        "response.refusal.delta",
        "response.refusal.done",
        DONE_PART,
        DONE_ITEM,
        "response.completed",
    ]


def test_an_image_is_an_item_and_what_nobody_knows_is_left_out():
    wire = stream(
        MediaOutput("image/png", "QUJD"), MediaOutput("audio/wav", "QUJD"), OpaqueOutput("x", "y", b"{}"), STOP  # type: ignore[arg-type]
    )  # fmt: skip
    (item,) = told(wire)[-1]["response"]["output"]
    assert (item["type"], item["result"], item["status"]) == ("image_generation_call", "QUJD", "completed")


def test_an_empty_answer_is_an_answer():
    assert types(stream(STOP)) == [*BEGIN, "response.completed"]


def test_the_request_is_told_back_as_it_was_written():
    fields: dict[str, Any] = {
        "instructions": "be",
        "temperature": 0.5,
        "tools": [{"type": "function", "name": "f", "parameters": {"x": 1.0}, "strict": True}],
        "tool_choice": "required",
        "text": {"format": {"type": "json_object"}},
        "metadata": {"a": "b"},
        "max_output_tokens": 20,
        "user": None,
    }
    response = told(stream(STOP, **fields))[-1]["response"]
    for name, value in fields.items():
        assert response[name] == value
    assert (response["truncation"], response["parallel_tool_calls"], response["store"]) == ("disabled", True, True)


def test_halves_of_surrogate_pairs_do_not_stop_a_stream():
    events = told(stream(TextDelta("a"), TextDelta("\ud83d"), ToolCallStarted(0, "\udc00", "f"), STOP))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "a\ufffd"


# -- errors ------------------------------------------------------------------------------------------------------

FACTS = ErrorFacts(429, "slow down", "requests", code="rate_limit_exceeded", request_id="q")


def test_an_error_has_openais_shape():
    error = json.loads(ResponsesDownstream().error_body(FACTS))["error"]
    assert error == {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}


def test_an_error_in_a_stream_is_told_twice_with_what_has_come_so_far():
    dialect = ResponsesDownstream(ResponseStore()).for_caller("ann")
    encoder = dialect.chat_encoder(dialect.read(CallKind.CHAT, b'{"model":"m","input":"x"}'), STAMP)
    begun = encoder.encode([ReasoningDelta("hm"), TextDelta("x")])
    error, failed = told(begun + dialect.error_event(FACTS))[-2:]
    assert (error["type"], error["message"], error["error"]["type"]) == ("error", "slow down", "requests")
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_hoosh_r1", "failed")
    assert [item["type"] for item in failed["response"]["output"]] == ["reasoning"]


def test_an_error_in_anothers_stream_is_told_too():
    decoder = SseDecoder()
    events = [json.loads(event.data) for event in decoder.feed(ResponsesDownstream().error_event(FACTS))]
    assert [event["type"] for event in events] == ["error", "response.failed"]


# -- there and back ----------------------------------------------------------------------------------------------


def naive(output: Sequence[dict[str, Any]]) -> list[ReplyPart]:
    """The items as a plain client reads them."""
    parts: list[ReplyPart] = []
    for item in output:
        if item["type"] == "reasoning":
            text = "".join([part["text"] for part in item["summary"]])
            back = unseal_thought(text, item.get("encrypted_content"), item["id"])
            parts.append(ReasoningSaid(text, back.signature, back.data, back.origin, back.id))
        elif item["type"] == "function_call":
            call_id, signature = read_id(item["call_id"])
            parts.append(CallSaid(call_id, item["name"], item["arguments"], signature))
        elif item["type"] == "image_generation_call":
            parts.append(MediaOutput("image/png", item["result"]))
        elif item["content"][0]["type"] == "refusal":
            parts.append(RefusalSaid(item["content"][0]["refusal"]))
        else:
            parts.append(TextSaid(item["content"][0]["text"]))
    return parts


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
MAYBE = st.just("") | TEXT
PARTS = st.one_of(
    TEXT.map(TextSaid),
    TEXT.map(RefusalSaid),
    TEXT.map(ReasoningSaid),
    st.builds(
        ReasoningSaid, MAYBE, TEXT, MAYBE, st.sampled_from(["anthropic", "openai"]), st.just("rs_x") | st.just("")
    ),
    st.builds(ReasoningSaid, st.just(""), st.just(""), TEXT, st.just("gemini")),
    st.builds(CallSaid, st.uuids().map(str), TEXT, st.sampled_from(["{}", '{"a":1}', "{"]), MAYBE),
    st.just(MediaOutput("image/png", "QUJD")),
)
REPLIES = st.builds(
    ChatReply,
    st.lists(PARTS, max_size=6).map(tuple),
    st.builds(Finished, st.sampled_from(FinishReason)),
    st.none() | st.builds(Usage, st.integers(1, 99), st.integers(1, 99)),
    st.just("x"),
    st.just("m"),
)


@settings(deadline=None)
@given(REPLIES)
def test_a_reply_is_the_same_for_a_client_that_streams_and_one_that_does_not(reply: ChatReply):
    reply = fold(unfold(reply))  # neighbours of one kind are one part
    dialect = ResponsesDownstream()
    call = dialect.read(CallKind.CHAT, b'{"model":"m","input":"x"}')
    whole = json.loads(dialect.encode_reply(call, reply, STAMP))
    encoder = dialect.chat_encoder(call, STAMP)
    events = told(encoder.encode(tuple(unfold(reply))) + encoder.finish())
    assert events[-1]["response"] == whole
    assert naive(whole["output"]) == list(reply.parts)
    assert sorted(event["output_index"] for event in events if event["type"] == DONE_ITEM) == [
        *range(len(whole["output"]))
    ]
    usage = read_usage(whole["usage"])
    assert usage == reply.usage
    Response.model_validate(whole)
