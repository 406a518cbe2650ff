"""Anthropic's answers as events, and events as Anthropic's stream: the forms that recordings do not show."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicTap, AnthropicUpstream
from hoosh.dialects.contract import Ending, Stamp, StreamDecoder
from hoosh.dialects.replies import fold, unfold
from hoosh.errors import ProtocolViolation, UpstreamBroke
from hoosh.values import (
    Annotation,
    Call,
    CallKind,
    CallSaid,
    Capability,
    ChatReply,
    Finished,
    FinishReason,
    MediaOutput,
    OpaqueOutput,
    ReasoningSaid,
    ReasoningSealed,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    TextSaid,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

UP, DOWN = AnthropicUpstream(), AnthropicDownstream()
STAMP = Stamp("r1", "m", 0)
CALL = Call(CallKind.CHAT, "m", {}, stream=True, language="anthropic")
STOP = FinishReason.STOP


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def opened(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def closed(index: int) -> bytes:
    return event("content_block_stop", index=index)


def ended(reason: str = "end_turn", **more: Any) -> bytes:
    return event(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None, **more}, usage={"output_tokens": 2}
    )


START = event("message_start", message={"id": "i", "model": "x", "usage": {"input_tokens": 5, "output_tokens": 1}})
OVER = event("message_stop")
TEXT = opened(0, type="text", text="") + delta(0, "text_delta", text="hi") + closed(0)


def run(*pieces: bytes) -> tuple[list[ReplyEvent], Ending, StreamDecoder]:
    decoder = UP.chat_decoder(provider="p")
    events = [one for piece in pieces for one in decoder.feed(piece)]
    rest, ending = decoder.close()
    return [*events, *rest], ending, decoder


def parts(*pieces: bytes) -> Any:
    events, ending, _ = run(START, *pieces, ended(), OVER)
    assert ending is Ending.COMPLETE
    return fold(events).parts


# -- decoding ----------------------------------------------------------------------------------------------------


def test_a_stream_in_order():
    events, ending, decoder = run(START + TEXT + ended() + OVER)
    assert ending is Ending.COMPLETE
    assert events == [
        ReplyStarted("i", "x"),
        UsageReported(Usage(5, 1)),
        TextDelta("hi"),
        UsageReported(Usage(5, 2)),
        Finished(STOP, "end_turn"),
    ]
    assert (decoder.usage, decoder.has_content, decoder.terminated, decoder.error) == (Usage(5, 2), True, True, None)
    assert decoder.feed(TEXT) == []


def test_calls_are_numbered_by_themselves_and_may_come_with_their_arguments():
    first = opened(1, type="tool_use", id="a", name="n", input={}) + delta(1, "input_json_delta", partial_json="")
    whole = opened(2, type="tool_use", id="b", name="m", input={"x": 1}) + closed(2)
    third = opened(3, type="tool_use", name="o") + delta(3, "input_json_delta", partial_json='{"y"') + closed(3)
    text, one, two, three = parts(TEXT, first, closed(1), whole, third)
    assert text == TextSaid("hi")
    assert (one, two) == (CallSaid("a", "n", "{}"), CallSaid("b", "m", '{"x":1}'))
    assert (three.name, three.arguments) == ("o", '{"y"')
    assert three.id.startswith("call_")


RESULT = {"type": "code_execution_tool_result", "tool_use_id": "s1", "content": {"stdout": "1"}}
NEXT_CALL = {"type": "tool_use", "id": "a", "name": "n", "input": {"x": 1}}


def started_with(*blocks: Any, **more: Any) -> bytes:
    return event("message_start", message={"id": "i", "content": list(blocks), "usage": {"input_tokens": 5}, **more})


def test_a_message_may_start_with_blocks_and_go_on():
    events, ending, _ = run(started_with(RESULT, NEXT_CALL) + TEXT + ended("tool_use") + OVER)
    result, call, text = fold(events).parts
    assert isinstance(result, OpaqueOutput)
    assert json.loads(bytes(result.raw)) == RESULT
    assert (call, text, ending) == (CallSaid("a", "n", '{"x":1}'), TextSaid("hi"), Ending.COMPLETE)


def test_a_message_may_be_over_when_it_starts():
    wire = started_with(NEXT_CALL, stop_reason="tool_use")
    for end in (OVER, b""):
        events, ending, decoder = run(wire + end)
        assert fold(events).finish == Finished(FinishReason.TOOL_CALLS, "tool_use")
        assert (ending, decoder.has_content) == (Ending.COMPLETE, True)
        _, ending, tap = tapped(wire + end)
        assert (ending, tap.has_content) == (Ending.COMPLETE, True)


def test_thoughts_are_signed_at_their_end():
    thought = opened(0, type="thinking", thinking="", signature="") + delta(0, "thinking_delta", thinking="hm")
    unsigned = opened(1, type="thinking", thinking="") + delta(1, "signature_delta", signature="s2") + closed(1)
    redacted = opened(2, type="redacted_thinking", data="d") + closed(2)
    assert parts(thought, delta(0, "signature_delta", signature="s"), closed(0), unsigned, redacted) == (
        ReasoningSaid("hm", "s", origin="anthropic"),
        ReasoningSaid("", "s2", origin="anthropic"),
        ReasoningSaid(data="d", origin="anthropic"),
    )


def test_citations_cover_their_block():
    page = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "c", "encrypted_index": "e"}
    found = {"type": "search_result_location", "source": "s", "title": None, "cited_text": "c"}
    cited = opened(1, type="text", text="", citations=[]) + delta(1, "citations_delta", citation=page)
    cited += delta(1, "text_delta", text="there") + delta(1, "citations_delta", citation=found) + closed(1)
    (said,) = parts(TEXT, cited)
    assert said == TextSaid("hithere", (Annotation("u", "t", 2, 7, "c"), Annotation("s", "", 2, 7, "c")))


def test_unknown_blocks_are_kept_whole_with_their_deltas():
    block = opened(0, type="new_thing", a="x") + delta(0, "new_delta", a="y", b=[1]) + closed(0)
    tool = opened(1, type="mcp_tool_use", id="a", input={}) + delta(1, "input_json_delta", partial_json='{"q":1}')
    cut = opened(2, type="server_tool_use", input={}) + delta(2, "input_json_delta", partial_json='{"q')
    told = [(part.kind, json.loads(bytes(part.raw))) for part in parts(block, tool, closed(1), cut)]
    assert told == [
        ("new_thing", {"type": "new_thing", "a": "xy", "b": [1]}),
        ("mcp_tool_use", {"type": "mcp_tool_use", "id": "a", "input": {"q": 1}}),
        ("server_tool_use", {"type": "server_tool_use", "input": '{"q'}),
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("pause_turn", FinishReason.STOP),
        ("something_new", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("refusal", FinishReason.CONTENT_FILTER),
    ],
)
def test_stop_reasons(native: str, reason: FinishReason):
    assert run(START, TEXT, ended(native), OVER)[0][-1] == Finished(reason, native)


def test_unknown_events_pings_and_done_say_nothing():
    odd = b": hello\n\nevent: ping\n\n" + event("ping") + event("new_event", x=1) + b"event: data\ndata: [DONE]\n\n"
    assert run(odd + START + odd + TEXT + odd + ended() + odd + OVER)[:2] == run(START + TEXT + ended() + OVER)[:2]


def test_a_reply_that_is_only_a_compaction_counts_what_its_iterations_have_cost():
    iterations = [{"input_tokens": 80, "output_tokens": 7}, {"input_tokens": 3, "cache_read_input_tokens": 5}, None]
    usage = {"input_tokens": 0, "output_tokens": 0, "iterations": iterations}
    body = {"type": "message", "content": [], "stop_reason": "compaction", "usage": usage}
    assert UP.decode_chat(json.dumps(body).encode(), provider="p").usage == Usage(88, 7, cached_tokens=5)
    usage["output_tokens"] = 1  # of what the message itself has cost, nothing is added up
    assert UP.decode_chat(json.dumps(body).encode(), provider="p").usage == Usage(0, 1)


def test_counts_are_cumulative_and_of_each_the_last_one_stands():
    start = event(
        "message_start", message={"usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1}}
    )
    usage = {"input_tokens": 6, "output_tokens": 9, "cache_creation_input_tokens": 2, "cache_read_input_tokens": None}
    details = {"output_tokens_details": {"thinking_tokens": 4}}
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage={**usage, **details})
    assert run(start, TEXT, end, OVER)[2].usage == Usage(15, 9, 7, 4, 2)


@pytest.mark.parametrize(
    "broken",
    [
        b"data: {nope}\n\n",
        b"event: content_block_delta\ndata: {nope}\n\n",
        b"data: [1]\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        event("content_block_start", index=0),
        event("content_block_delta", index=0, delta=None),
        delta(0, "text_delta", text=5),
    ],
)
def test_a_hole_breaks_the_answer(broken: bytes):
    events, ending, decoder = run(START, TEXT, broken + TEXT, ended(), OVER)
    assert ending is Ending.FAILED
    assert isinstance(decoder.error, UpstreamBroke)
    assert not any(isinstance(one, Finished) for one in events)
    assert sum(isinstance(one, TextDelta) for one in events) == 1


def test_a_message_that_starts_with_what_is_no_block_is_broken():
    _, ending, decoder = run(started_with("x") + TEXT)
    assert ending is Ending.FAILED
    assert isinstance(decoder.error, UpstreamBroke)


def test_an_error_ends_the_stream_with_the_vendors_words():
    error = event("error", error={"type": "rate_limit_error", "message": "slow down"}, request_id="r")
    for said in (error, error.partition(b"\n")[2]):
        _, ending, decoder = run(START, TEXT, said, ended(), OVER)
        assert decoder.error is not None
        assert (ending, str(decoder.error), decoder.error.status) == (Ending.FAILED, "slow down", 429)
        assert decoder.error.kind == "rate_limit_error"


@pytest.mark.parametrize("missing", range(1, 12))
def test_half_of_the_last_event_is_a_cut_wherever_it_ends(missing: int):
    half = delta(0, "text_delta", text="}") if missing % 2 else ended(more={"a": {}})
    _, ending, decoder = run(START + opened(0, type="text", text="") + half.rstrip()[:-missing])
    assert (ending, decoder.error) == (Ending.CUT, None)


def test_an_event_over_the_limit_is_refused():
    for make in (lambda: UP.chat_decoder(provider="p"), lambda: AnthropicTap(STAMP, provider="p")):
        for wire in (delta(0, "text_delta", text="x" * (1 << 20)), b"data: " + b"x" * (1 << 20)):
            with pytest.raises(ProtocolViolation):
                make().feed(wire)


def test_lone_surrogates_and_numbers_that_are_none_do_no_harm():
    odd = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"x":NaN,'
    odd += b'"delta":{"type":"text_delta","text":"\\ud800!"}}\n\n'
    events, ending, _ = run(START, opened(0, type="text", text=""), odd, closed(0), ended(), OVER)
    assert (ending, fold(events).text) == (Ending.COMPLETE, "\ufffd!")


# -- encoding ----------------------------------------------------------------------------------------------------


def encoded(*events: ReplyEvent, finish: bool = True) -> list[dict[str, Any]]:
    encoder = DOWN.chat_encoder(CALL, STAMP)
    wire = encoder.encode(events) + (encoder.finish() if finish else b"")
    frames = SseDecoder().feed(wire)
    told = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [frame["type"] for frame in told]
    return told


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [frame["type"].removeprefix("content_block_") + str(frame.get("index", "")) for frame in told]


def test_events_in_their_order():
    told = encoded(
        ReplyStarted("i", "x"),
        UsageReported(Usage(9, 0, 2, cache_write_tokens=3)),
        TextDelta("a"),
        TextDelta("b"),
        ToolCallStarted(0, "c", "n"),
        ToolCallDelta(0, "{}"),
        Finished(FinishReason.TOOL_CALLS),
        UsageReported(Usage(9, 4, 2, 1, 3)),
    )
    order = "message_start start0 ping delta0 delta0 stop0 start1 delta1 delta1 stop1 message_delta"
    assert kinds(told) == order.split()
    message = told[0]["message"]
    assert (message["id"], message["model"], message["content"]) == ("msg_r1", "x", [])
    assert message["usage"]["input_tokens"] == 4
    assert told[7]["delta"] == {"type": "input_json_delta", "partial_json": ""}
    assert told[-1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None}
    assert told[-1]["usage"] == {
        "input_tokens": 4,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 1},
    }


def test_the_start_does_not_wait_for_content():
    assert kinds(encoded(ReplyStarted(), finish=False)) == ["message_start"]
    assert kinds(encoded()) == ["message_start", "message_delta"]


def test_calls_told_by_turns_come_out_right():
    told = encoded(
        ToolCallStarted(0, "a", "n"),
        ToolCallStarted(1, "b", "m"),
        ToolCallDelta(1, '{"y":'),
        ToolCallDelta(0, '{"x":'),
        ToolCallDelta(1, "2}"),
        ToolCallDelta(0, "1}"),
        ToolCallStarted(2, "c", "o"),
        Finished(FinishReason.TOOL_CALLS),
    )
    blocks: dict[int, str] = {}
    for frame in told:
        if frame["type"] == "content_block_delta":
            blocks[frame["index"]] = blocks.get(frame["index"], "") + frame["delta"]["partial_json"]
    assert blocks == {0: '{"x":1}', 1: '{"y":2}', 2: ""}
    assert kinds(told)[-6:] == ["stop0", "stop1", "start2", "delta2", "stop2", "message_delta"]


def test_a_foreign_thought_is_sealed_at_its_end():
    told = encoded(ReasoningSealed("gemini", "s"), ReasoningSealed("openai", data="d", id="rs"), Finished(STOP))
    order = "message_start start0 ping delta0 stop0 start1 stop1 message_delta"
    assert kinds(told) == order.split()
    assert told[3]["delta"] == {"type": "signature_delta", "signature": "hoosh:gemini:s"}
    assert told[5]["content_block"] == {"type": "redacted_thinking", "data": "hoosh:openai#d#rs:d"}


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        (Finished(STOP, "stop"), "end_turn"),
        (Finished(STOP, "pause_turn"), "pause_turn"),
        (Finished(STOP, "stop", "X"), "stop_sequence"),
        (Finished(FinishReason.LENGTH, "MAX_TOKENS"), "max_tokens"),
        (Finished(FinishReason.LENGTH, "model_context_window_exceeded"), "model_context_window_exceeded"),
        (Finished(FinishReason.TOOL_CALLS), "tool_use"),
        (Finished(FinishReason.CONTENT_FILTER, "SAFETY"), "refusal"),
    ],
)
def test_stop_reasons_are_told_back(finish: Finished, expected: str):
    assert encoded(finish)[-1]["delta"]["stop_reason"] == expected
    whole = json.loads(DOWN.encode_reply(CALL, ChatReply((), finish), STAMP))
    assert (whole["stop_reason"], whole["stop_sequence"]) == (expected, finish.stop_sequence)


def test_whoever_calls_a_tool_and_says_only_stop_has_stopped_for_the_tool():
    call = ToolCallStarted(0, "a", "n")
    assert encoded(call, Finished(STOP, "STOP"))[-1]["delta"]["stop_reason"] == "tool_use"
    assert encoded(call, Finished(STOP, "end_turn"))[-1]["delta"]["stop_reason"] == "end_turn"
    whole = DOWN.encode_reply(CALL, ChatReply((CallSaid("a", "n", "{}"),), Finished(STOP, "stop")), STAMP)
    assert json.loads(whole)["stop_reason"] == "tool_use"


def test_what_has_no_place_is_left_out():
    foreign = OpaqueOutput("openai", "x", msgspec.Raw(b"{}"))
    assert kinds(encoded(MediaOutput("image/png", "AA=="), foreign, Finished(STOP))) == [
        "message_start",
        "message_delta",
    ]
    reply = ChatReply((MediaOutput("image/png", "AA=="), CallSaid("a", "n", '{"cut')), Finished(FinishReason.LENGTH))
    (call,) = json.loads(DOWN.encode_reply(CALL, reply, STAMP))["content"]
    assert call["input"] == {}


# -- there and back ----------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
words = st.text("abcXYZ_019-", min_size=1, max_size=9)
said_texts = st.builds(TextSaid, texts)
thoughts = st.one_of(
    st.builds(ReasoningSaid, texts, words, st.just(""), st.just("anthropic")),
    st.builds(ReasoningSaid, st.just(""), st.just(""), words, st.just("anthropic")),
)
arguments = st.dictionaries(texts, st.one_of(st.integers(-9, 9), texts, st.lists(texts, max_size=2))).map(
    lambda value: msgspec.json.encode(value).decode()
)
calls = st.builds(CallSaid, words, words, arguments)
opaque = st.dictionaries(words, texts, max_size=3).map(
    lambda fields: OpaqueOutput(
        "anthropic", "odd_block", msgspec.Raw(msgspec.json.encode({**fields, "type": "odd_block"}))
    )
)
usages = st.integers(0, 9).flatmap(
    lambda n: st.builds(Usage, st.just(20 + n), st.integers(n, 30), st.just(n), st.just(n), st.integers(0, 9))
)
REASONS = [
    Finished(STOP, "end_turn"),
    Finished(STOP, "stop_sequence", "X"),
    Finished(FinishReason.LENGTH, "max_tokens"),
    Finished(FinishReason.TOOL_CALLS, "tool_use"),
]


@st.composite
def replies(draw: Any) -> ChatReply:
    chosen = draw(st.lists(st.one_of(said_texts, thoughts, calls, opaque), max_size=6))
    kept: list[Any] = []
    for part in chosen:
        if not (kept and isinstance(part, TextSaid) and isinstance(kept[-1], TextSaid)):
            kept.append(part)
    return ChatReply(tuple(kept), draw(st.sampled_from(REASONS)), draw(usages), "msg_r1", "x")


@given(replies(), st.integers(1, 40))
def test_a_reply_told_and_heard_is_the_same(reply: ChatReply, size: int):
    encoder = DOWN.chat_encoder(CALL, STAMP)
    wire = b"".join([encoder.encode([one]) for one in unfold(reply)]) + encoder.finish() + DOWN.terminator
    events, ending, _ = run(*[wire[at : at + size] for at in range(0, len(wire), size)])
    assert ending is Ending.COMPLETE
    assert fold(events) == reply
    assert UP.decode_chat(DOWN.encode_reply(CALL, reply, STAMP), provider="p") == reply
    assert encoder.chunks >= len(reply.parts)


# -- the tap -----------------------------------------------------------------------------------------------------


def tapped(*pieces: bytes) -> tuple[bytes, Ending, AnthropicTap]:
    tap = AnthropicTap(STAMP, provider="p")
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    return out + rest, ending, tap


def test_a_stream_passes_as_it_came_but_for_its_end():
    deltas = delta(0, "text_delta", text="a") * 9
    stream = START + opened(0, type="text", text="") + event("ping") + deltas + closed(0) + ended()
    out, ending, tap = tapped(stream + OVER + TEXT)
    assert (out, ending, tap.terminated, tap.chunks, tap.usage) == (stream, Ending.COMPLETE, True, 11, Usage(5, 2))


def test_done_broken_events_and_events_without_data_are_hidden():
    broken = b"event: content_block_delta\ndata: {nope}\n\n"
    out, ending, tap = tapped(START + broken + TEXT + b"data: [DONE]\n\nevent: x\n\n: note\n\n" + ended())
    assert (out, ending, tap.malformed) == (START + TEXT + b": note\n\n" + ended(), Ending.COMPLETE, 1)


def test_an_event_without_a_name_gets_one():
    assert tapped(START.partition(b"\n")[2])[0] == START


def test_content_is_a_delta_or_a_block_that_is_whole():
    for data, has_content in (
        (START, False),
        (opened(0, type="text", text=""), False),
        (opened(0, type="tool_use", id="a", name="n", input={}), True),
        (delta(0, "text_delta", text="a"), True),
    ):
        assert tapped(data)[2].has_content is has_content


# -- models ------------------------------------------------------------------------------------------------------


def test_models_say_what_they_can():
    capabilities = {"image_input": {"supported": True}, "structured_outputs": {"supported": False}, "thinking": None}
    entry = {
        "type": "model",
        "id": "claude-x",
        "display_name": "X",
        "created_at": "2026-02-03T04:05:06Z",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": capabilities,
    }
    listed = {"data": [entry, {"id": "bare"}, {"id": 5}, None], "has_more": False, "first_id": "a", "last_id": "b"}
    card, bare = UP.read_models(json.dumps(listed).encode(), default_owner="anthropic")
    assert (card.id, card.owned_by, card.created) == ("claude-x", "anthropic", 1_770_091_506)
    assert (card.facts.context_tokens, card.facts.max_output_tokens) == (200_000, 64_000)
    assert Capability.VISION in card.facts.can
    assert Capability.STRUCTURED_OUTPUT in card.facts.cannot
    assert Capability.REASONING not in card.facts.can | card.facts.cannot
    assert (bare.created, bare.facts.context_tokens) == (0, None)
    for nothing in (b"", b"[]", b'{"data":5}', b"\xff"):
        assert UP.read_models(nothing, default_owner="a") == []
    request = UP.models_request()
    assert request is not None
    assert (request.method, request.path) == ("GET", "/v1/models?limit=1000")
