"""A stream's bytes, read: the same wherever they are cut, bounded, and never whole without their end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.client import Piece, StreamCut, telling
from hoosh.client.telling import Telling
from hoosh.errors import HooshError, ProtocolViolation, ResponseTooLarge

HEAD = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_1", "x-hoosh-provider": "mock"}
DONE = b"data: [DONE]\n\n"


def event(*choices: dict[str, Any], **fields: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": list(choices), **fields}, ensure_ascii=False).encode()


def said(content: str | None = None, *, index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": {"content": content, **delta}, "finish_reason": finish}


def call(index: int, arguments: str, **once: str) -> dict[str, Any]:
    name = {"name": once.pop("name")} if "name" in once else {}
    return {"index": index, **once, "function": {**name, "arguments": arguments}}


WIRE = b"".join(
    [
        b": keep-alive\n\n",
        event(said("", role="assistant"), model="m-1"),
        event(said(reasoning_content="hm")),
        event(said("Salam, ")),
        event(said("dünya")),
        event(said(tool_calls=[call(0, "", id="call_1", name="weather"), call(1, "{}", id="call_2", name="time")])),
        event(said(tool_calls=[call(0, '{"city":')])),
        event(said(tool_calls=[call(0, '"Bakı"}')])),
        event(said(finish="tool_calls")),
        event(usage={"prompt_tokens": 3, "completion_tokens": 9, "cost_usd": 0.25}),
        DONE,
    ]
)


def read(*blocks: bytes) -> tuple[Telling, list[Piece]]:
    told, pieces = Telling(HEAD), []
    for block in blocks:
        told.feed(block)
        while (piece := told.take()) is not None:
            pieces.append(piece)
    told.close()
    return told, pieces


def test_a_stream_cut_at_any_byte_reads_the_same():
    whole = read(WIRE)
    for cut in range(1, len(WIRE)):
        told, pieces = read(WIRE[:cut], WIRE[cut:])
        assert pieces == whole[1]
        assert told.response(1.0) == whole[0].response(1.0)


def test_what_has_come_is_put_together():
    told, pieces = read(WIRE)
    answer = told.response(1.5)
    assert (answer.text, answer.reasoning, answer.model, answer.latency_ms) == ("Salam, dünya", "hm", "m-1", 1500)
    assert [(each.id, each.name, each.arguments) for each in answer.tool_calls] == [
        ("call_1", "weather", {"city": "Bakı"}),
        ("call_2", "time", {}),
    ]
    assert (answer.finish_reason, answer.usage.completion_tokens, answer.cost_usd) == ("tool_calls", 9, 0.25)
    assert (answer.provider, answer.request_id) == ("mock", "req_1")
    assert "".join(map(str, pieces)) == "Salam, dünya"


def test_other_choices_are_given_out_and_not_mixed_in():
    told, pieces = read(event(said("a"), said("b", index=1)) + DONE)
    assert [(piece.text, piece.index) for piece in pieces] == [("a", 0), ("b", 1)]
    assert told.text == "a"


@pytest.mark.parametrize("cut", range(0, len(WIRE) - len(DONE), 37))
def test_without_its_end_it_is_cut(cut: int):
    told, _ = read(WIRE[:cut])
    with pytest.raises(StreamCut, match="req_1"):
        told.take()
    with pytest.raises(RuntimeError):
        told.response(1.0)


def test_a_terminator_without_its_blank_line_is_one():
    assert read(WIRE.removesuffix(b"\n\n"))[0].is_whole


def test_what_comes_after_the_end_is_not_looked_at():
    assert read(WIRE + event(said("more")), b"nonsense")[0].text == "Salam, dünya"


@pytest.mark.parametrize(
    "wire",
    [
        b"data: nonsense\n\n",
        b'data: {"choices": 3}\n\n',
        b'data: {"choices": [{"index": "x"}]}\n\n',
        b"data: [1]\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        event(said(tool_calls=[call(index, "") for index in range(telling.CALLS_MAX + 1)])),
    ],
    ids=["no JSON", "no choices", "no index", "a list", "deep", "too many calls"],
)
def test_nonsense_is_an_error_after_what_came_before_it(wire: bytes):
    told = Telling(HEAD)
    told.feed(event(said("Salam")) + wire + DONE)
    assert str(told.take()) == "Salam"
    with pytest.raises(ProtocolViolation):
        list(iter(told.take, None))
    assert not told.is_whole


def test_an_event_and_a_stream_have_a_greatest_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(telling, "EVENT_BYTES", 1000)
    monkeypatch.setattr(telling, "STREAM_BYTES", 5000)
    told = Telling(HEAD)
    told.feed(b"data: " + b"x" * 1001)
    with pytest.raises(HooshError):
        told.take()
    told = Telling(HEAD)
    for _ in range(200):
        told.feed(event(said("Salam")))
    with pytest.raises(ResponseTooLarge):
        list(iter(told.take, None))


@pytest.mark.parametrize("media_type", ["", "application/json", "text/html"])
def test_what_is_no_stream_is_not_read_as_one(media_type: str):
    with pytest.raises(ProtocolViolation):
        Telling({"content-type": media_type}).take()


def test_usage_that_is_nonsense_counts_nothing():
    told, _ = read(event(usage={"prompt_tokens": "many", "completion_tokens": -3, "prompt_tokens_details": []}) + DONE)
    assert told.usage is not None
    assert told.usage.total_tokens == 0
