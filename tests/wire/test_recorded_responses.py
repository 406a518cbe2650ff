"""Every recorded exchange of the Responses API: requests read, streams tapped at every cut, whole replies retold."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import Struct
from recordings import WIRE

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.responses import ResponsesDownstream, ResponsesPassage
from hoosh.dialects.responses.draft import Draft
from hoosh.dialects.responses.tap import ResponsesTap
from hoosh.errors import InvalidRequest, UpstreamError
from hoosh.values import Call, CallKind, Role, ToolCallPart, ToolResultPart

STAMP = Stamp("r1", "m", 1)
CALL = Call(CallKind.CHAT, "m", {}, stream=True, language="responses")


class Exchange(Struct, frozen=True):
    name: str
    status: int
    streaming: bool
    request: bytes
    response: bytes


@cache
def exchanges() -> list[Exchange]:
    found = []
    for path in sorted(WIRE.glob("*/*/*.meta.json")):
        meta = json.loads(path.read_text())
        if meta["kind"] == "responses" and {"request", "response"} <= meta["files"].keys():
            request, response = (_read(path, meta["files"][role]) for role in ("request", "response"))
            name = f"{path.parent.name}/{path.name.removesuffix('.meta.json')}"
            found.append(Exchange(name, meta["status"], meta["streaming"], request, response))
    return found


def _read(meta: Path, name: str) -> bytes:
    return (meta.parent / name).read_bytes()


def each(name: str, chosen: list[Exchange]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, chosen, ids=lambda exchange: exchange.name)


STREAMS = [one for one in exchanges() if one.streaming and one.status == 200]
WHOLES = [one for one in exchanges() if not one.streaming and one.status == 200]
ERRORS = [one for one in exchanges() if one.status >= 400]
OWN_ITEMS = {None, "message", "reasoning", "function_call", "function_call_output"}


def is_hosted(body: dict[str, Any]) -> bool:
    """It asks for something that only its provider has, so no other can be asked."""
    tools = {tool["type"] for tool in body.get("tools") or ()} - {"function"}
    said = body["input"]
    items = {item.get("type") for item in said} - OWN_ITEMS if isinstance(said, list) else set()
    return bool(tools or items or body.get("moderation") or body.get("previous_response_id"))


def call_of(exchange: Exchange) -> Call:
    return ResponsesDownstream().read(CallKind.CHAT, exchange.request)


@each("exchange", exchanges())
def test_a_request_is_read_or_what_is_hosted_is_refused(exchange: Exchange):
    body = json.loads(exchange.request)
    call = call_of(exchange)
    assert (call.model, call.stream) == (body["model"], bool(body.get("stream")))
    if is_hosted(body):
        with pytest.raises(InvalidRequest) as caught:
            ResponsesDownstream().chat_request(call)
        assert caught.value.param
        return
    request = ResponsesDownstream().chat_request(call)
    assert [tool.name for tool in request.tools] == [tool["name"] for tool in body.get("tools") or ()]
    items = body["input"] if isinstance(body["input"], list) else []
    parts = [part for message in request.messages for part in message.parts]
    calls = [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCallPart)]
    recorded = [item for item in items if item.get("type") == "function_call"]
    assert calls == [(item["call_id"], item["name"], item["arguments"]) for item in recorded]
    results = [part.call_id for part in parts if isinstance(part, ToolResultPart)]
    assert results == [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    assert (request.messages[0].role is Role.SYSTEM) is (
        bool(body.get("instructions")) or (bool(items) and items[0].get("role") == "system")
    )


@each("exchange", exchanges())
def test_a_request_goes_on_to_its_own_provider_with_every_field(exchange: Exchange):
    sent = json.loads(ResponsesPassage().outgoing(call_of(exchange), model="other").body)
    assert sent == {**json.loads(exchange.request), "model": "other"}


# -- streams -----------------------------------------------------------------------------------------------------


def with_line_end(exchange: Exchange, line_end: bytes) -> bytes:
    return exchange.response.replace(b"\r\n", b"\n").replace(b"\n", line_end)


def facts(tap: ResponsesTap) -> tuple[Any, ...]:
    return (tap.usage, tap.chunks, tap.has_content, tap.terminated, tap.error and str(tap.error), tap.malformed)


def run(pieces: list[bytes]) -> tuple[bytes, Ending, tuple[Any, ...]]:
    tap = ResponsesTap(CALL, STAMP, provider="p")
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    return out + rest, ending, facts(tap)


def decoded(wire: bytes) -> list[Any]:
    decoder = SseDecoder()
    found = [event.data for event in [*decoder.feed(wire), *decoder.close()]]
    return [json.loads(data) for data in found if data != "[DONE]"]


either_line_end = pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])


@each("stream", STREAMS)
@either_line_end
def test_a_stream_passes_through_byte_for_byte(stream: Exchange, line_end: bytes):
    wire = with_line_end(stream, line_end)
    out, ending, (usage, chunks, has_content, terminated, error, malformed) = run([wire])
    assert out.rstrip(b"\r\n") == wire.partition(b"data: [DONE]")[0].rstrip(b"\r\n")
    assert (ending, has_content, terminated, error, malformed) == (Ending.COMPLETE, True, True, None, 0)
    events = decoded(wire)
    assert chunks == len(events) - before_content(events)
    counts = events[-1]["response"]["usage"]
    assert (usage.prompt_tokens, usage.completion_tokens) == (counts["input_tokens"], counts["output_tokens"])
    assert usage.reasoning_tokens == (counts.get("output_tokens_details") or {}).get("reasoning_tokens", 0)
    assert usage.cached_tokens == (counts.get("input_tokens_details") or {}).get("cached_tokens", 0)


def before_content(events: list[Any]) -> int:
    """How many events come before the first with something of the answer."""
    for at, event in enumerate(events):
        item = event.get("item", {}).get("type")
        is_work = event["type"] == "response.output_item.added" and item not in ("message", "reasoning")
        if is_work or event["type"] == "response.output_item.done" or event.get("delta"):
            return at
    return len(events)


def fork(tap: ResponsesTap) -> ResponsesTap:
    other = copy.copy(tap)
    other._blocks, other._note = copy.deepcopy(tap._blocks), Draft().note
    return other


@each("stream", STREAMS)
@either_line_end
def test_a_cut_anywhere_changes_nothing(stream: Exchange, line_end: bytes):
    """Event by event: from the same state, a cut event must leave the same state and bytes as a whole one."""
    wire = with_line_end(stream, line_end)
    tap, start = ResponsesTap(CALL, STAMP, provider="p"), 0
    for event in wire.split(line_end * 2):
        event += line_end * 2
        before = fork(tap)
        passed = tap.feed(event)
        step = 1 if len(event) < 400 else 7 if len(event) < 6000 else 97
        for cut in {*range(1, len(event), step), *range(max(1, len(event) - 9), len(event))}:
            other = fork(before)
            assert other.feed(event[:cut]) + other.feed(event[cut:]) == passed
            assert facts(other) == facts(tap)
        start += len(event)


@each("stream", STREAMS)
@either_line_end
def test_pieces_of_any_size_come_out_the_same(stream: Exchange, line_end: bytes):
    wire = with_line_end(stream, line_end)
    whole, random = run([wire]), Random(stream.name)
    for mean in (40, 300, 1400, 9000):
        pieces, start = [], 0
        while start < len(wire):
            size = random.randint(1, 2 * mean - 1)
            pieces.append(wire[start : start + size])
            start += size
        assert run(pieces) == whole


@each("stream", STREAMS)
def test_a_stream_that_stops_early_is_never_whole(stream: Exchange):
    events = with_line_end(stream, b"\n").split(b"\n\n")
    end = next(at for at, event in enumerate(events) if b'"response.completed"' in event)
    for at in range(end + 1):
        assert run([b"\n\n".join(events[:at])])[1] is Ending.CUT


# -- whole replies -----------------------------------------------------------------------------------------------


@each("exchange", WHOLES)
def test_a_whole_reply_is_passed_on_and_can_be_told_as_a_stream(exchange: Exchange):
    passage, call = ResponsesPassage(), call_of(exchange)
    recorded = json.loads(exchange.response)
    reply = passage.read_reply(call, exchange.response, STAMP, provider="p")
    assert reply.body == exchange.response
    assert reply.usage is not None
    assert reply.usage.total_tokens == recorded["usage"]["total_tokens"]
    told = passage.as_stream(call, exchange.response, STAMP, provider="p")
    out, ending, (usage, *_) = run([told.body])
    assert (out, ending, usage) == (told.body, Ending.COMPLETE, reply.usage)
    events = decoded(told.body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == recorded
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == recorded["output"]


@each("exchange", ERRORS)
def test_an_error_is_no_reply(exchange: Exchange):
    with pytest.raises(UpstreamError):
        ResponsesPassage().read_reply(call_of(exchange), exchange.response, STAMP, provider="p")
