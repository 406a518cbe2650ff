"""Streams that we end ourselves: what each tap remembers of an upstream's stream to end it in the upstream's words.

That every point of every stream can be an end is shown in tests/matrix and tests/wire.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.anthropic.tap import AnthropicTap
from hoosh.dialects.contract import Stamp
from hoosh.dialects.openai import OpenAITap
from hoosh.dialects.responses import draft
from hoosh.dialects.responses.tap import ResponsesTap
from hoosh.values import Call, CallKind, Usage

STAMP = Stamp("r1", "m", 1)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)
ASKING = replace(CALL, include_usage=True)
SPENT = Usage(9, 3)


def event(said: Any) -> bytes:
    name = b"event: %b\n" % said["type"].encode() if "type" in said else b""
    return b"%bdata: %b\n\n" % (name, json.dumps(said).encode())


def read(wire: bytes | None) -> list[Any]:
    assert wire is not None
    return [json.loads(got.data) for got in SseDecoder().feed(wire)]


# -- OpenAI ------------------------------------------------------------------------------------------------------


def chunk(index: int = 0, *, finish: str | None = None, usage: Any = None, **delta: str) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return event({"id": "c1", "created": 7, "model": "theirs", "choices": [choice], "usage": usage})


def ended(*events: bytes, call: Call = CALL) -> list[Any]:
    tap = OpenAITap(call, STAMP, provider="p")
    tap.feed(b"".join(events))
    return read(tap.finish_early(SPENT))


def last(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length", **fields}


def test_every_choice_that_goes_on_is_ended_and_no_other():
    chunks = ended(chunk(content="a"), chunk(2, content="b"), chunk(1, content="c"), chunk(1, finish="stop"))
    assert [one["choices"] for one in chunks] == [[last()], [last(index=2)]]
    assert {(one["id"], one["created"], one["model"]) for one in chunks} == {("c1", 7, "theirs")}
    assert ended(chunk(content="a"), chunk(finish="stop")) == []


def test_usage_is_told_to_who_asked_and_has_not_got_it():
    counts = {"prompt_tokens": 1, "completion_tokens": 1}
    alone = event({"choices": [], "usage": counts})
    cut, told = ended(chunk(content="a"), call=ASKING)
    assert (cut["usage"], told["choices"], told["usage"]["total_tokens"]) == (None, [], 12)
    assert len(ended(chunk(content="a"), chunk(finish="stop"), call=ASKING)) == 1
    assert ended(chunk(content="a"), chunk(finish="stop", usage=counts), call=ASKING) == []
    assert ended(chunk(content="a"), chunk(finish="stop"), alone, call=ASKING) == []
    assert len(ended(chunk(content="a", usage=counts), call=ASKING)) == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "", "created": 0, "model": "", "choices": []},  # Azure's first
        {"id": None, "created": "soon", "model": 7, "object": []},
        {"id": 10**40, "created": 10**40},
    ],
)
def test_what_chunks_have_not_said_is_the_stamps(odd: dict[str, Any]):
    choices = [{"index": 0, "delta": {"role": "assistant"}}]
    (one,) = ended(event({"choices": choices, **odd}))
    assert (one["id"], one["model"], one["object"]) == ("chatcmpl-r1", "m", "chat.completion.chunk")
    assert one["created"] in (0, 1, 10**40)


def test_a_choice_of_any_number_is_ended():
    (one,) = ended(event({"choices": [{"index": 10**40, "delta": {"content": "a"}}]}))
    assert one["choices"][0]["index"] == 10**40


def test_a_stream_that_has_said_nothing_says_who_speaks():
    assert ended()[0]["choices"] == [last(delta={"role": "assistant", "content": ""})]
    (text,) = ended(call=replace(CALL, kind=CallKind.COMPLETION))
    assert (text["id"], text["object"]) == ("cmpl-r1", "text_completion")
    assert text["choices"] == [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}]


# -- Anthropic ---------------------------------------------------------------------------------------------------

START = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}}


def opened(index: int) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}


def test_the_blocks_that_are_open_stop_and_then_the_message():
    tap = AnthropicTap(STAMP, provider="p")
    closed = {"type": "content_block_stop", "index": 1}
    tap.feed(b"".join(map(event, (START, opened(0), opened(1), opened(2), closed))))
    *stops, delta = read(tap.finish_early(SPENT))
    assert stops == [{"type": "content_block_stop", "index": 0}, {"type": "content_block_stop", "index": 2}]
    assert delta["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert delta["usage"]["output_tokens"] == 3


def test_a_message_that_has_ended_needs_only_its_terminator():
    tap = AnthropicTap(STAMP, provider="p")
    tap.feed(event(START) + event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}))
    assert tap.finish_early(SPENT) == b""


# -- Responses ---------------------------------------------------------------------------------------------------

CREATED = {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "temperature": 0.5}}
ITEM = {"type": "message", "id": "msg_1", "status": "in_progress", "content": [], "role": "assistant"}
OPENING = [
    CREATED,
    {"type": "response.output_item.added", "output_index": 0, "item": ITEM, "sequence_number": 1},
    {
        "type": "response.content_part.added",
        "output_index": 0,
        "content_index": 0,
        "item_id": "msg_1",
        "part": {"type": "output_text", "text": "", "annotations": []},
        "sequence_number": 2,
    },
]
NOTE = {"type": "url_citation", "url": "https://example.com"}
ANNOTATED = {"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0, "annotation": NOTE}


def said(text: str, number: int) -> dict[str, Any]:
    place = {"output_index": 0, "content_index": 0, "sequence_number": number}
    return {"type": "response.output_text.delta", "delta": text, **place}


def draw(*events: Any) -> ResponsesTap:
    tap = ResponsesTap(CALL, STAMP, provider="p")
    for one in events:
        tap.feed(event(one))
    return tap


@pytest.mark.parametrize("folded_at_bytes", [1, 300, draft.FOLDED_AT_BYTES])
def test_what_is_open_is_closed_inmost_first(monkeypatch: pytest.MonkeyPatch, folded_at_bytes: int):
    monkeypatch.setattr(draft, "FOLDED_AT_BYTES", folded_at_bytes)
    tap = draw(*OPENING, said("sa", 3), {**ANNOTATED, "sequence_number": 4}, said("lam", 5))
    events = read(tap.finish_early(SPENT))
    part = {"type": "output_text", "text": "salam", "annotations": [NOTE]}
    item = {**ITEM, "status": "incomplete", "content": [part]}
    where = {"item_id": "msg_1", "output_index": 0}
    at = {**where, "content_index": 0}
    assert events[:3] == [
        {"type": "response.output_text.done", **at, "text": "salam", "logprobs": [], "sequence_number": 6},
        {"type": "response.content_part.done", **at, "part": part, "sequence_number": 7},
        {"type": "response.output_item.done", "output_index": 0, "item": item, "sequence_number": 8},
    ]
    (end,) = events[3:]
    assert (end["type"], end["sequence_number"]) == ("response.incomplete", 9)
    assert (end["response"]["id"], end["response"]["temperature"]) == ("resp_1", 0.5)
    assert end["response"]["output"] == [item]
    assert end["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert end["response"]["usage"]["total_tokens"] == 12


def test_a_call_is_closed_with_the_arguments_that_it_has():
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c",
        "name": "f",
        "arguments": "",
        "status": "in_progress",
    }
    piece = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a"'}
    tap = draw(CREATED, {"type": "response.output_item.added", "output_index": 0, "item": call}, piece)
    done, over, end = read(tap.finish_early(SPENT))
    assert (done["type"], done["arguments"], done["name"]) == ("response.function_call_arguments.done", '{"a"', "f")
    assert over["item"] == {**call, "arguments": '{"a"', "status": "incomplete"}
    assert end["response"]["output"] == [over["item"]]


def test_a_text_that_is_done_is_not_done_twice():
    done = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "salam"}
    events = read(draw(*OPENING, said("salam", 3), done).finish_early(SPENT))
    assert [one["type"].removeprefix("response.") for one in events] == [
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "salam"


def test_an_answer_that_is_too_long_to_keep_cannot_be_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draft, "DRAFT_BYTES_MAX", 2_000)
    assert draw(*OPENING, said("x" * 900, 3)).finish_early(SPENT) is not None
    assert draw(*OPENING, said("x" * 900, 3), said("x" * 900, 4)).finish_early(SPENT) is None


def test_nesting_of_any_depth_is_told_again_or_cannot_be_ended():
    ends = set()
    for depth in range(800, 1100):
        response = b'{"id":"resp_1","x":%b%b}' % (b"[" * depth, b"]" * depth)
        tap = draw()
        tap.feed(b'data: {"type":"response.created","response":%b}\n\n' % response)
        ends.add(tap.finish_early(SPENT) is None)
    assert False in ends


def test_a_response_that_has_ended_ends_as_it_did():
    end = {"type": "response.completed", "response": {"status": "completed", "output": [{}]}}
    assert draw(*OPENING, end).finish_early(SPENT) == event(end)
