from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.openai import OpenAITap
from hoosh.errors import ProtocolViolation
from hoosh.values import Call, CallKind, Usage

STAMP = Stamp("r1", "m", 1)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)
DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def event(chunk: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(chunk).encode()


def chunk(text: str = "", *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return event({"choices": [choice], **more})


HELLO, THERE, STOP = chunk("hello"), chunk(" there"), chunk(finish="stop")
USAGE = event({"choices": [], "usage": COUNTS})


def make_tap(*, show_usage: bool = False, **more: Any) -> OpenAITap:
    return OpenAITap(replace(CALL, include_usage=show_usage), STAMP, provider="p", **more)


def run(*pieces: bytes, tap: OpenAITap | None = None) -> tuple[bytes, Ending, OpenAITap]:
    tap = tap or make_tap()
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    return out + rest, ending, tap


def test_a_stream_passes_through_and_is_counted():
    out, ending, tap = run(HELLO + THERE + STOP + USAGE + DONE)
    assert out == HELLO + THERE + STOP
    assert ending is Ending.COMPLETE
    assert (tap.usage, tap.chunks, tap.terminated) == (Usage(9, 3), 3, True)


def test_usage_is_shown_to_whom_asked_for_it():
    out, _, tap = run(HELLO, STOP, USAGE, DONE, tap=make_tap(show_usage=True))
    assert out == HELLO + STOP + USAGE
    assert tap.chunks == 3


def test_usage_on_a_chunk_with_choices_stays_where_it_is():
    last = chunk(finish="stop", usage=COUNTS)
    out, _, tap = run(HELLO + THERE + last + DONE)
    assert out == HELLO + THERE + last
    assert tap.usage == Usage(9, 3)


def test_repeated_usage_is_replaced_not_added():
    groq = chunk(finish="stop", usage=COUNTS, x_groq={"usage": COUNTS})
    assert run(HELLO + groq + USAGE + DONE)[2].usage == Usage(9, 3)


def test_usage_that_only_groq_reports_is_read():
    assert run(HELLO + chunk(finish="stop", x_groq={"id": "r", "usage": COUNTS}) + DONE)[2].usage == Usage(9, 3)


def test_zeroed_usage_on_each_chunk_does_not_wipe_out_the_real_one():
    zeros = dict.fromkeys(COUNTS, 0)
    assert run(chunk("a", usage=COUNTS), chunk("b", usage=zeros), DONE)[2].usage == Usage(9, 3)


def test_a_role_is_not_content_and_reasoning_or_a_tool_call_is():
    tap = make_tap()
    tap.feed(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
    tap.feed(b": keep-alive\n\n" + event({"choices": [], "prompt_filter_results": []}))
    assert not tap.has_content
    for delta in ({"reasoning_content": "hm"}, {"tool_calls": [{"index": 0}]}, {"content": [{"type": "thinking"}]}):
        tap = make_tap()
        tap.feed(event({"choices": [{"index": 0, "delta": delta}]}))
        assert tap.has_content


def test_a_stream_without_terminator_is_complete_once_every_choice_has_finished():
    two = [chunk("a"), chunk("b", index=1), chunk(index=1, finish="length")]
    assert run(*two)[1] is Ending.CUT
    assert run(b"".join(two))[1] is Ending.CUT
    assert run(*two, STOP)[1] is Ending.COMPLETE
    assert run()[1] is Ending.CUT
    assert run(chunk("a"), chunk(finish=""))[1] is Ending.CUT  # older LocalAI


def test_an_error_ends_the_stream_and_is_not_passed_on():
    error = event({"error": {"message": "no tokens left", "type": "server_error", "code": 500}})
    out, ending, tap = run(HELLO + THERE + error + THERE + DONE)
    assert out == HELLO + THERE
    assert ending is Ending.FAILED
    assert tap.error is not None
    assert (str(tap.error), tap.error.kind, tap.error.status) == ("no tokens left", "server_error", 500)
    assert tap.feed(THERE) == b""


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b'event: error\ndata: {"error":{"message":"failed","status_code":400}}\n\n', "failed"),
        (b"event: error\ndata: out of memory\n\n", "out of memory"),
        (b'data: {"error":"plain"}\n\n', "plain"),
        (b'data: {"object":"error","message":"flat","code":400}\n\n', "flat"),
        (chunk(error={"message": "beside choices", "code": 502}, usage=COUNTS), "beside choices"),
    ],
)
def test_an_error_has_many_shapes(wire: bytes, message: str):
    for before in (b"", HELLO):
        out, ending, tap = run(before + wire)
        assert (out, ending, str(tap.error)) == (before, Ending.FAILED, message)


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"x\n\n',
        b"data: {not json}\n\n",
        b'data: {"choices":[]},{"choices":[]}\n\n',
        b'data: {"choices":[]} {"choices":[]}\n\n',
        b'data: {"choices":\n[]}\n\n',
        b"data: null\n\n",
        b"data: oops\n\n",
        b"data: " + b'{"a":' * 100_000 + b"\n\n",
        b'data: {"a":"\xff\n\n',
    ],
)
def test_a_broken_event_is_left_out_in_place_and_counted(broken: bytes):
    for pieces in ([HELLO + THERE + broken + THERE + STOP + DONE], [broken, HELLO, broken, STOP, DONE]):
        out, ending, tap = run(*pieces)
        assert out == b"".join(pieces).replace(broken, b"").removesuffix(DONE)
        assert ending is Ending.COMPLETE
        assert tap.malformed == b"".join(pieces).count(broken)


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":null,"delta":{"content":"x"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":NaN}]}\n\n',
        b'data: {"choices":null}\n\n',
        b'data: {"usage":{"prompt_tokens":"many"},"choices":[{"index":0}]}\n\n',
    ],
)
def test_what_pythons_own_reader_takes_is_passed_on(odd: bytes):
    for pieces in ([odd + STOP + DONE], [HELLO + THERE + odd + STOP + DONE]):
        out, ending, tap = run(*pieces)
        assert out == b"".join(pieces).removesuffix(DONE)
        assert (ending, tap.malformed) == (Ending.COMPLETE, 0)


def test_comments_pass_and_what_sdks_choke_on_does_not():
    noise = b": OPENROUTER PROCESSING\n\nevent: ping\n\nid: 1\nretry: 10\n\ndata:\n\nid: 2\n: kept\n" + HELLO
    out, _, tap = run(noise + STOP + DONE)
    assert out == b": OPENROUTER PROCESSING\n\n: kept\n" + HELLO + STOP
    assert tap.chunks == 2


def test_data_without_a_blank_after_the_colon_takes_the_short_way_too():
    tight = [piece.replace(b"data: ", b"data:") for piece in (HELLO, THERE, THERE, STOP, USAGE, DONE)]
    out, ending, tap = run(b"".join(tight))
    assert out == b"".join(tight[:4])
    assert (ending, tap.chunks, tap.usage) == (Ending.COMPLETE, 4, Usage(9, 3))


def test_a_byte_order_mark_is_dropped_since_we_may_write_before_it():
    assert run(b"\xef\xbb\xbf" + HELLO + DONE)[0] == HELLO


def test_a_last_event_that_lacks_its_blank_line_is_whole():
    out, ending, tap = run(HELLO, STOP.rstrip())
    assert (out, ending) == (HELLO + STOP, Ending.COMPLETE)
    out, ending, tap = run(HELLO, DONE.rstrip())
    assert (out, ending, tap.terminated) == (HELLO, Ending.COMPLETE, True)


def test_half_an_event_at_the_end_is_a_cut_and_not_malformed():
    out, ending, tap = run(HELLO, THERE[:-12])
    assert (out, ending, tap.malformed) == (HELLO, Ending.CUT, 0)


def test_an_event_over_the_limit_is_a_violation_however_it_comes():
    big = chunk("x" * 1000)
    for pieces in ([big], [HELLO + big + STOP], [big[:600], big[600:900], big[900:]], [b"x" * 1001]):
        tap = make_tap(max_event_bytes=1000)
        with pytest.raises(ProtocolViolation):
            run(*pieces, tap=tap)


def test_a_block_of_many_small_events_may_be_larger_than_one_event():
    assert run(HELLO * 50 + DONE, tap=make_tap(max_event_bytes=1000))[0] == HELLO * 50


PIECES = [
    HELLO,
    THERE,
    STOP,
    USAGE,
    b": c\n\n",
    b"\n",
    b"data: {x}\n\n",
    b"event: x\n\n",
    b"id: 1\n" + THERE,
    b"data:\n\n",
]
PIECES += [piece.replace(b"\n", b"\r\n") for piece in (HELLO, USAGE)] + [HELLO.replace(b"\n", b"\r"), DONE]
PIECES += [event({"error": {"message": "e"}})]


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.data())
def test_any_mixture_cut_anywhere_comes_out_the_same(pieces: list[bytes], data: st.DataObject):
    wire = b"".join(pieces)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=6)))
    whole, parts = run(wire), run(*[wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)])
    assert parts[:2] == whole[:2]
    for name in ("usage", "chunks", "has_content", "terminated", "malformed"):
        assert getattr(parts[2], name) == getattr(whole[2], name)
    assert str(parts[2].error) == str(whole[2].error)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_what_is_passed_on_never_hurts_an_sdk(pieces: list[bytes]):
    decoder = SseDecoder()
    for got in [*decoder.feed(run(b"".join(pieces))[0]), *decoder.close()]:
        assert isinstance(json.loads(got.data), dict)
        assert got.id == ""
