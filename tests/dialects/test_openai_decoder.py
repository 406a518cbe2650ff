from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.dialects.contract import Ending
from hoosh.dialects.openai import FAMILY, OpenAIUpstream
from hoosh.dialects.openai.decoder import OpenAIDecoder
from hoosh.dialects.replies import fold
from hoosh.errors import ProtocolViolation, UpstreamBroke, UpstreamError
from hoosh.values import (
    Annotation,
    CallSaid,
    ChatReply,
    Finished,
    FinishReason,
    MediaOutput,
    ReasoningSaid,
    ReplyEvent,
    ReplyStarted,
    TextDelta,
    TextSaid,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def event(chunk: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(chunk)}\n\n".encode()


def chunk(delta: Any = None, *, finish: Any = None, index: int = 0, **more: Any) -> bytes:
    return event(
        {"id": "r", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **more}
    )


def text(said: str) -> bytes:
    return chunk({"content": said})


STOP = chunk({}, finish="stop")


def run(*pieces: bytes, decoder: OpenAIDecoder | None = None) -> tuple[list[ReplyEvent], Ending, OpenAIDecoder]:
    decoder = decoder or OpenAIDecoder(provider="p")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    return events + rest, ending, decoder


def whole(*pieces: bytes) -> ChatReply:
    events, ending, decoder = run(*pieces)
    assert ending is Ending.COMPLETE, decoder.error
    return fold(events)


def message(said: Any, finish: str = "stop", **more: Any) -> ChatReply:
    body = json.dumps({"id": "r", "choices": [{"message": said, "finish_reason": finish, **more}]}).encode()
    return OpenAIUpstream().decode_chat(body, provider="p")


# -- streams -----------------------------------------------------------------------------------------------------


def test_a_stream_is_told_in_order_and_its_end_last():
    events, ending, decoder = run(
        chunk({"role": "assistant", "content": ""}) + text("hel") + text("lo") + STOP,
        event({"choices": [], "usage": COUNTS}) + DONE,
    )
    assert events == [
        ReplyStarted("r", "m"),
        TextDelta("hel"),
        TextDelta("lo"),
        UsageReported(Usage(9, 3)),
        Finished(FinishReason.STOP, "stop"),
    ]
    assert (ending, decoder.usage, decoder.terminated) == (Ending.COMPLETE, Usage(9, 3), True)


def test_events_are_told_as_they_come():
    decoder = OpenAIDecoder(provider="p")
    assert decoder.feed(text("a")) == [ReplyStarted("r", "m"), TextDelta("a")]
    assert decoder.feed(text("b")[:20]) == []
    assert decoder.feed(text("b")[20:] + text("c")) == [TextDelta("b"), TextDelta("c")]
    assert decoder.has_content


def test_a_stream_without_terminator_is_whole_once_it_has_a_finish_reason():
    assert run(text("a"))[1] is Ending.CUT
    assert run(text("a"), STOP)[1] is Ending.COMPLETE
    assert run(text("a"), STOP.rstrip(b"\n"))[1] is Ending.COMPLETE
    assert run(text("a"), STOP[:-5])[1] is Ending.CUT
    assert run(text("a"), DONE)[0][-1] == Finished(FinishReason.STOP)


def test_a_finish_reason_that_comes_twice_is_told_once_and_content_between_is_not_lost():
    events, _, _ = run(text("a"), STOP, text("b"), chunk({"content": ""}, finish="stop", usage=COUNTS), DONE)
    assert events[1:3] == [TextDelta("a"), TextDelta("b")]
    assert [isinstance(each, Finished) for each in events].count(True) == 1
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("insufficient_system_resource", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("function_call", FinishReason.TOOL_CALLS),
        ("eos", FinishReason.STOP),
    ],
)
def test_finish_reasons_become_openais_and_keep_the_vendors_word(word: str, reason: FinishReason):
    assert whole(text("a"), chunk({}, finish=word)).finish == Finished(reason, word)
    assert message({"content": "a"}, word).finish == Finished(reason, word)


def test_an_empty_finish_reason_is_none():
    assert run(chunk({"content": "a"}, finish=""))[1] is Ending.CUT


@pytest.mark.parametrize("word", ["error", "abort"])
def test_an_answer_that_was_broken_off_is_no_answer(word: str):
    _, ending, decoder = run(text("a"), chunk({}, finish=word), DONE)
    assert ending is Ending.FAILED
    assert isinstance(decoder.error, UpstreamBroke)
    with pytest.raises(UpstreamBroke):
        message({"content": "a"}, word)


def test_only_the_first_of_several_choices_is_told():
    assert whole(chunk({"content": "b"}, index=1), text("a"), chunk({}, finish="stop", index=1), STOP).text == "a"


def test_a_stop_string_that_vllm_names_is_told():
    stop = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "\n"}]})
    assert whole(text("a"), stop).finish.stop_sequence == "\n"


@pytest.mark.parametrize(
    "lead", [b": OPENROUTER PROCESSING\n\n", b"\xef\xbb\xbf", b"\n\n", b"retry: 5\n\n", b"id: 1\n"]
)
def test_what_carries_nothing_is_passed_over(lead: bytes):
    assert whole(lead + text("a") + b": keep-alive\n\n" + text("b") + STOP).text == "ab"


def test_a_vendor_without_the_blank_after_data_is_understood():
    tight = (text("a") + text("b") + STOP).replace(b"data: ", b"data:")
    assert whole(tight, tight[: len(text("a")) - 1]).text == "aba"


def test_an_event_over_the_limit_is_refused():
    with pytest.raises(ProtocolViolation):
        run(text("a"), text("x" * 300), decoder=OpenAIDecoder(provider="p", max_event_bytes=200))
    with pytest.raises(ProtocolViolation):
        run(b"data: " + b"x" * 300, decoder=OpenAIDecoder(provider="p", max_event_bytes=200))


# -- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        event({"error": {"message": "no"}}),
        event({"error": {"message": "no"}}, "error"),
        event({"error": {"message": "no"}, "choices": [{"index": 0, "delta": {"content": ""}}]}),
        event({"error": "no"}),
        event({"object": "error", "message": "no", "code": 1}),
        event({"message": "no"}, "error"),
        event({"detail": "no"}),
        b"event: error\ndata: no\n\n",
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "no"}}]}),
    ],
)
def test_an_error_in_a_stream_ends_it(wire: bytes):
    for stream in ([text("a") + STOP + wire + text("b") + DONE], [text("a"), STOP, wire, text("b"), DONE]):
        events, ending, decoder = run(*stream)
        assert ending is Ending.FAILED
        assert str(decoder.error) == "no"
        assert events == [ReplyStarted("r", "m"), TextDelta("a")]


@pytest.mark.parametrize("data", [b"text", b"[1]", b"{", b'{"choices":[}', b"null", b'"x"', b"[" * 10_000])
def test_an_event_that_is_no_object_breaks_the_stream(data: bytes):
    events, ending, decoder = run(text("a") + b"data: " + data + b"\n\n" + text("b") + STOP + DONE)
    assert isinstance(decoder.error, UpstreamBroke)
    assert (events[1:], ending) == ([TextDelta("a")], Ending.FAILED)


def test_an_object_of_another_kind_is_passed_over():
    assert whole(event({"type": "ping"}), event({"prompt_filter_results": []}), text("a"), STOP).text == "a"


def test_a_terminator_without_a_finish_reason_is_a_failure_where_the_vendor_means_that():
    synapse = OpenAIUpstream(FAMILY["synapse"]).chat_decoder(provider="p")
    assert isinstance(synapse, OpenAIDecoder)
    _, ending, decoder = run(text("a"), DONE, decoder=synapse)
    assert ending is Ending.FAILED
    assert isinstance(decoder.error, UpstreamBroke)


# -- thoughts, calls, and the rest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_come_under_either_name(field: str):
    reply = whole(chunk({field: "Hm"}), chunk({field: "."}), text("Yes."), STOP)
    assert reply.parts == (ReasoningSaid("Hm."), TextSaid("Yes."))
    assert message({field: "Hm.", "content": "Yes."}).parts == reply.parts


def test_thoughts_under_both_names_are_told_once():
    assert whole(chunk({"reasoning_content": "Hm.", "reasoning": "Hm."}), STOP).reasoning == "Hm."


def test_mistrals_lists_are_thoughts_and_text():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True}
    content = [thinking, {"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Yes"}]
    reply = whole(chunk({"content": content}), text("."), STOP)
    assert reply.parts == (ReasoningSaid("Hm."), TextSaid("Yes."))
    assert message({"content": content, "tool_calls": None}).text == "Yes"


def test_openrouters_details_hold_signatures():
    signed = {"type": "reasoning.text", "signature": "sig", "format": "anthropic-claude-v1", "index": 0}
    begun = {"type": "reasoning.text", "text": "Hm.", "format": "anthropic-claude-v1", "index": 0}
    sealed = {"type": "reasoning.encrypted", "data": "xyz", "format": "openai-responses-v1", "id": "rs_1", "index": 1}
    reply = whole(
        chunk({"reasoning": "Hm.", "reasoning_details": [begun]}),
        chunk({"reasoning": None, "reasoning_details": [signed]}),
        chunk({"reasoning_details": [sealed]}),
        text("Yes."),
        STOP,
    )
    assert reply.parts == (
        ReasoningSaid("Hm.", signature="sig", origin="anthropic"),
        ReasoningSaid(data="xyz", origin="openai", id="rs_1"),
        TextSaid("Yes."),
    )
    told = {"reasoning": "Hm.", "reasoning_details": [{**begun, **signed}, sealed], "content": "Yes."}
    assert message(told).parts == reply.parts


def called(*calls: Any) -> bytes:
    return chunk({"tool_calls": list(calls)})


def part(index: Any = None, id: Any = None, name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return {k: v for k, v in (("index", index), ("id", id), ("function", function)) if v is not None} | more


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # fragments, interleaved
        (
            [
                called(part(0, "a", "f", "")),
                called(part(1, "b", "g", "")),
                called(part(0, arguments='{"x"')),
                called(part(1, arguments="{}")),
                called(part(0, arguments=":1}")),
            ],
            [("a", "f", '{"x":1}'), ("b", "g", "{}")],
        ),
        # whole, in one delta, without indexes
        ([called(part(None, "a", "f", "{}"), part(None, "b", "f", "{}"))], [("a", "f", "{}"), ("b", "f", "{}")]),
        # numbered from 1; no arguments at all
        ([called(part(1, "a", "f"))], [("a", "f", "{}")]),
        # every call is number 0
        ([called(part(0, "a", "f", "{}")), called(part(0, "b", "g", "{}"))], [("a", "f", "{}"), ("b", "g", "{}")]),
        # the id and the name are repeated with each fragment
        ([called(part(0, "a", "f", "{")), called(part(0, "a", "f", "}"))], [("a", "f", "{}")]),
        # fragments without index belong to the last call, or to the id they name
        ([called(part(None, "a", "f", "{")), called(part(arguments="}"))], [("a", "f", "{}")]),
        ([called(part(None, "a", "f", "{")), called(part(None, "a", None, "}"))], [("a", "f", "{}")]),
        # the name comes late
        ([called(part(0, "a", None, "{")), called(part(0, None, "f", "}"))], [("a", "f", "{}")]),
        # an object instead of text
        ([called(part(0, "a", "f", {"x": "é"}))], [("a", "f", '{"x":"é"}')]),
        # never a name
        ([called(part(0, "a", None, "{}"))], [("a", "", "{}")]),
        # a broken call is passed on broken
        ([called(part(0, "a", "f", '{"x": "un'))], [("a", "f", '{"x": "un')]),
    ],
)
def test_tool_calls_are_told_apart(pieces: list[bytes], expected: list[tuple[str, str, str]]):
    for stream in (pieces, [text(""), b"".join(pieces)]):
        reply = whole(*stream, chunk({}, finish="tool_calls"))
        assert [(call.id, call.name, call.arguments) for call in reply.calls] == expected
        numbers = [told.index for told in run(*stream)[0] if isinstance(told, ToolCallStarted)]
        assert numbers == list(range(len(numbers)))


def test_a_call_without_an_id_gets_one():
    one, other = whole(called(part(0, None, "f", "{}"), part(1, "", "g", "{}")), STOP).calls
    assert one.id.startswith("call_")
    assert len(one.id) == len("call_") + 24
    assert one.id != other.id


def test_an_empty_list_of_calls_is_none():
    reply = message({"content": "a", "tool_calls": []})
    assert (reply.calls, reply.finish.reason) == ((), FinishReason.STOP)


def test_who_called_a_tool_has_not_just_stopped():
    assert whole(called(part(0, "a", "f", "{}")), STOP).finish == Finished(FinishReason.TOOL_CALLS, "stop")
    assert whole(called(part(0, "a", "f", "{")), chunk({}, finish="length")).finish.reason is FinishReason.LENGTH


def test_calls_of_a_message_are_all_its_own_whatever_their_numbers():
    reply = message({"tool_calls": [part(0, "a", "f", "{}"), part(0, "a", "g", "")]})
    assert reply.calls == (CallSaid("a", "f", "{}"), CallSaid("a", "g", "{}"))


def test_a_legacy_function_call_is_a_call():
    reply = whole(
        chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}), STOP
    )
    assert [(call.name, call.arguments) for call in reply.calls] == [("f", "{}")]


def test_geminis_signature_stays_with_its_call():
    signed = part(0, "a", "f", "{}", extra_content={"google": {"thought_signature": "sig"}})
    assert whole(called(signed), STOP).calls[0].signature == "sig"


def test_citations_pictures_sound_and_refusals_are_told():
    citation = {"type": "url_citation", "url_citation": {"url": "https://h", "title": "H", "start_index": 0}}
    assert whole(text("a"), chunk({"annotations": [citation, 3, {}]}), STOP).parts == (
        TextSaid("a", (Annotation("https://h", "H", 0),)),
    )
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert whole(chunk({"images": [picture]}), STOP).parts == (MediaOutput("image/png", "AAAA"),)
    spoken = message({"content": None, "audio": {"data": "UklGRgAAAABXQVZF", "transcript": "beep"}})
    assert spoken.parts == (TextSaid("beep"), MediaOutput("audio/wav", "UklGRgAAAABXQVZF"))
    assert whole(chunk({"refusal": "No"}), chunk({"refusal": "."}), STOP).refusal == "No."


@pytest.mark.parametrize(
    ("pieces", "usage"),
    [
        ([event({"choices": [], "usage": COUNTS})], Usage(9, 3)),
        ([chunk({}, usage=COUNTS), event({"choices": [], "usage": COUNTS})], Usage(9, 3)),
        ([chunk({}, x_groq={"usage": COUNTS})], Usage(9, 3)),
        ([chunk({}, usage=COUNTS), chunk({}, usage=dict.fromkeys(COUNTS, 0))], Usage(9, 3)),
        ([chunk({}, usage={"prompt_tokens": 9.0, "completion_tokens": "3"})], Usage(9, 0)),
        ([chunk({}, usage="many")], None),
        ([chunk({}, usage={**COUNTS, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}})], None),
    ],
)
def test_usage_is_replaced_never_added(pieces: list[bytes], usage: Usage | None):
    if b"cache_write" in pieces[0]:
        usage = Usage(9, 3, 4, cache_write_tokens=2)
    assert whole(text("a"), *pieces, STOP).usage == usage


# -- whole replies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{}]}',
        b'{"choices":[1]}',
        b"{" * 9999,
    ],
)
def test_what_is_no_reply_is_a_broken_upstream(body: bytes):
    with pytest.raises(UpstreamBroke):
        OpenAIUpstream().decode_chat(body, provider="p")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no"}},
        {"error": "no", "choices": []},
        {"object": "error", "message": "no"},
        {"choices": [{"message": {"content": ""}, "finish_reason": "error", "error": {"message": "no"}}]},
        {"choices": [{"message": {"content": ""}, "finish_reason": "error"}], "error": {"message": "no"}},
    ],
)
def test_an_error_under_a_200_is_an_error(body: Any):
    with pytest.raises(UpstreamError, match="no"):
        OpenAIUpstream().decode_chat(json.dumps(body).encode(), provider="p")


# -- hostile bytes -------------------------------------------------------------------------------------------------

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
odd = st.text(max_size=5) | st.none() | Json
Functions = st.fixed_dictionaries({}, optional={"name": odd, "arguments": odd})
Calls = st.fixed_dictionaries(
    {}, optional={"index": st.integers(0, 2) | odd, "id": odd, "function": Functions | odd, "extra_content": odd}
)
Details = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("type", "text", "summary", "signature", "data", "format", "id"), odd)
)
Deltas = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("content", "reasoning", "reasoning_content", "refusal", "audio", "role"), odd),
        "tool_calls": st.lists(Calls, max_size=3) | odd,
        "reasoning_details": st.lists(Details, max_size=2) | odd,
        "annotations": st.lists(st.fixed_dictionaries({"url_citation": Json})) | odd,
        "images": st.lists(st.fixed_dictionaries({"image_url": Json})) | odd,
        "function_call": Functions | odd,
    },
)
Choices = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1) | odd,
        "delta": Deltas | odd,
        "finish_reason": st.just("stop") | odd,
        "text": odd,
    },
)
Chunks = st.fixed_dictionaries(
    {"choices": st.lists(Choices, max_size=2) | odd},
    optional=dict.fromkeys(("id", "model", "usage", "x_groq", "error", "object", "message"), odd),
)
Frames = st.one_of(
    Chunks.map(lambda chunk: f"data: {json.dumps(chunk)}\n\n".encode()),
    Chunks.map(lambda chunk: f"data: {json.dumps(chunk)}\r\n\r\n".encode()),
    st.binary(max_size=30).map(lambda data: b"data: " + data + b"\n\n"),
    st.binary(max_size=30),
    st.sampled_from([DONE, b": comment\n\n", b"event: error\n", b"\n", text("a"), STOP, b"data: {\n\n"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(Frames, max_size=6).map(b"".join), st.data())
def test_no_stream_whatever_breaks_anything_and_cuts_change_nothing(wire: bytes, data: st.DataObject):
    cut = data.draw(st.integers(0, len(wire)))
    events, ending, decoder = run(wire)
    other, other_ending, _ = run(wire[:cut], wire[cut:])
    assert ending is other_ending
    if ending is Ending.COMPLETE:
        assert decoder.error is None
        assert isinstance(events[-1], Finished)
        check_told(events)
        assert without_ids(fold(events)) == without_ids(fold(other))
    for told in events:
        repr(told).encode()  # nothing is told that cannot be written


def check_told(events: list[ReplyEvent]) -> None:
    assert [isinstance(told, Finished) for told in events].count(True) == 1
    begun = [told.index for told in events if isinstance(told, ToolCallStarted)]
    assert begun == list(range(len(begun)))
    assert all(told.index < len(begun) for told in events if isinstance(told, ToolCallDelta))


def without_ids(reply: ChatReply) -> Any:
    return [CallSaid("", p.name, p.arguments) if isinstance(p, CallSaid) else p for p in reply.parts], reply.usage


@settings(max_examples=80, deadline=None)
@given(Deltas | odd, Json, odd)
def test_no_reply_whatever_breaks_anything(said: Any, usage: Any, finish: Any):
    body = json.dumps({"choices": [{"message": said, "finish_reason": finish}], "usage": usage}).encode()
    try:
        OpenAIUpstream().decode_chat(body, provider="p")
    except UpstreamError:
        pass


@given(st.binary(max_size=200) | Json.map(json.dumps).map(str.encode))
def test_no_list_of_vectors_or_models_whatever_breaks_anything(body: bytes):
    assert isinstance(OpenAIUpstream().read_models(body, default_owner="o"), list)
    try:
        OpenAIUpstream().decode_embeddings(body, provider="p")
    except UpstreamError:
        pass
