"""The tap on a Responses stream, and the passage around it: bytes through, facts out, nothing of ours to a provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.responses import ResponsesDownstream, ResponsesPassage
from hoosh.dialects.responses.tap import ResponsesTap
from hoosh.dialects.signatures import sign_id
from hoosh.errors import ProtocolViolation, UpstreamBroke, UpstreamError
from hoosh.values import CallKind, Usage

STAMP = Stamp("r1", "m", 1)
CALL = ResponsesDownstream().read(CallKind.CHAT, b'{"model":"m","input":"x"}')
COUNTS = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12, "input_tokens_details": {"cached_tokens": 2}}


def event(kind: str, *, name: bool = True, **fields: Any) -> bytes:
    data = b"data: %b\n\n" % json.dumps({"type": kind, **fields}).encode()
    return b"event: %b\n%b" % (kind.encode(), data) if name else data


CREATED = event("response.created", response={"id": "resp_1", "status": "in_progress", "output": [], "error": None})
MESSAGE = event("response.output_item.added", item={"type": "message"}, output_index=0)
HELLO = event("response.output_text.delta", delta="hello", output_index=0)
THERE = event("response.output_text.delta", delta=" there\u2028", output_index=0, name=False)
END = event("response.completed", response={"status": "completed", "usage": COUNTS, "output": [{}], "error": None})
CUT_OFF = event("response.incomplete", response={"status": "incomplete", "usage": COUNTS, "output": []})
COMMENT = b": keepalive\n\n"


def run(*pieces: bytes, **more: Any) -> tuple[bytes, Ending, ResponsesTap]:
    tap = ResponsesTap(CALL, STAMP, provider="p", **more)
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    return out + rest, ending, tap


@pytest.mark.parametrize("end", [END, CUT_OFF])
def test_a_stream_passes_through_whole_and_is_counted(end: bytes):
    wire = COMMENT + CREATED + MESSAGE + HELLO + THERE + end
    out, ending, tap = run(wire)
    assert (out, ending) == (wire, Ending.COMPLETE)
    assert (tap.usage, tap.chunks, tap.terminated, tap.has_content) == (Usage(9, 3, 2), 3, True, True)


def test_the_last_event_is_held_to_the_end_and_nothing_follows_it():
    tap = ResponsesTap(CALL, STAMP, provider="p")
    assert tap.feed(HELLO + END + b"data: [DONE]\n\n" + HELLO) == HELLO
    assert tap.terminated
    assert tap.feed(HELLO) == b""
    assert tap.close() == (END, Ending.COMPLETE)


def test_a_stream_without_its_last_event_is_cut():
    for wire in (CREATED + HELLO, CREATED + HELLO + b"data: [DONE]\n\n", HELLO + END[: len(END) // 2]):
        assert run(wire)[1] is Ending.CUT


def test_content_is_what_is_said_and_not_its_announcement():
    tap = ResponsesTap(CALL, STAMP, provider="p")
    tap.feed(COMMENT + CREATED + MESSAGE + event("response.output_item.added", item={"type": "reasoning"}))
    tap.feed(event("response.output_text.delta", delta=""))
    assert not tap.has_content
    tap.feed(event("response.output_item.added", item={"type": "function_call"}))
    assert tap.has_content


@pytest.mark.parametrize(
    ("wire", "message", "code", "kind"),
    [
        (event("error", code="c", message="m", param=None), "m", "c", None),
        (event("error", error={"type": "t", "code": "c", "message": "m"}), "m", "c", "t"),
        (event("response.failed", response={"error": {"code": "c", "message": "m"}, "usage": COUNTS}), "m", "c", None),
        (b'event: error\ndata: {"error":{"message":"m","type":"t"}}\n\n', "m", "upstream_error", "t"),
        (b'data: {"error":"m","code":"c"}\n\n', "m", "c", None),
        (b"event: error\ndata: m\n\n", "m", "upstream_error", None),
    ],
)
def test_an_error_is_an_error_and_not_passed_on(wire: bytes, message: str, code: str | None, kind: str | None):
    out, ending, tap = run(CREATED + HELLO + wire + HELLO)
    assert (out, ending) == (CREATED + HELLO, Ending.FAILED)
    assert tap.error is not None
    assert (str(tap.error), tap.error.code, tap.error.kind) == (message, code, kind)


def test_what_clients_choke_on_is_taken_out():
    odd = b"id: 7\nretry: 9\n" + HELLO
    empty = b"event: ping\n\nevent: ping\ndata:\n\n: note\nid: 1\n\n"
    out, _, tap = run(CREATED + odd + empty + b"data: nonsense\n\ndata: [1]\n\n" + END)
    assert out == CREATED + HELLO + b": note\n\n" + END
    assert tap.malformed == 2


def test_an_event_over_the_limit_ends_the_stream():
    tap = ResponsesTap(CALL, STAMP, provider="p", max_event_bytes=100)
    with pytest.raises(ProtocolViolation):
        tap.feed(b"data: {" + b" " * 100)
    with pytest.raises(ProtocolViolation):
        ResponsesTap(CALL, STAMP, provider="p", max_event_bytes=20).feed(HELLO)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_cut_anywhere_changes_nothing(line_end: bytes):
    wire = (COMMENT + CREATED + b"id: 1\n" + HELLO + b"\n\n" + THERE + END).replace(b"\n", line_end)
    whole = run(wire)
    for cut in range(len(wire)):
        out, ending, tap = run(wire[:cut], wire[cut:])
        assert (out, ending, tap.chunks, tap.usage) == (whole[0], whole[1], whole[2].chunks, whole[2].usage)
    assert run(*[wire[at : at + 1] for at in range(len(wire))])[0] == whole[0]


PIECES = [CREATED, HELLO, THERE, MESSAGE, END, COMMENT, b"\n", b"\r", b"data: ", b"{", b"}", b"event: error\n", b"\xff"]
PIECES += [b"data: [DONE]\n\n", b'data: {"type":{}}\n\n', b'data: {"error":[1]}\n\n', b"data:" + b"[" * 5000 + b"\n\n"]
PIECES += [b'{"type":"response.completed","response":7}', b'data: {"type":"x","delta":NaN}\n\n', b"id: 1\n"]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=9), max_size=12), st.data())
def test_hostile_bytes_never_break_it_wherever_they_are_cut(pieces: list[bytes], data: st.DataObject):
    wire = b"".join(pieces)
    out, ending, tap = run(wire)
    cut = data.draw(st.integers(0, len(wire)))
    again, ending_again, other = run(wire[:cut], wire[cut:])
    assert (again, ending_again, other.chunks) == (out, ending, tap.chunks)
    decoder = SseDecoder()
    if ending is not Ending.CUT:
        for frame in [*decoder.feed(out), *decoder.close()]:
            assert isinstance(json.loads(frame.data), dict)


# -- the passage -------------------------------------------------------------------------------------------------


def outgoing(**fields: Any) -> dict[str, Any]:
    raw = json.dumps({"model": "alias", "input": "hi", **fields}).encode()
    call = ResponsesDownstream().read(CallKind.CHAT, raw)
    sent = ResponsesPassage().outgoing(call, model="true")
    assert sent.path == "/v1/responses"
    body: dict[str, Any] = json.loads(sent.body)
    return body


def test_fields_go_through_with_the_upstreams_model():
    hosted = {"tools": [{"type": "web_search"}], "conversation": "c", "unknown": {"a": 1.0}}
    sent = outgoing(**hosted, previous_response_id="resp_1", stream=True)
    assert sent == {"model": "true", "input": "hi", **hosted, "previous_response_id": "resp_1", "stream": True}


def test_nothing_of_ours_reaches_a_provider():
    kept = [
        {"role": "user", "content": "hoosh: _hoosh_ __sig_"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "theirs"},
        {"type": "web_search_call", "id": "ws_1"},
    ]
    ours = [
        {"type": "reasoning", "id": "rs_hoosh_r_0", "summary": [], "encrypted_content": "hoosh:anthropic:s:x"},
        {"type": "reasoning", "id": "rs_hoosh_r_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "reasoning", "id": "rs_hoosh_r_2", "summary": [], "encrypted_content": "theirs"},
        {"type": "function_call", "call_id": sign_id("c", "s"), "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": sign_id("c", "s"), "output": "x"},
    ]
    assert outgoing(input=kept)["input"] == kept
    assert outgoing(input=[*kept, *ours])["input"] == [
        *kept,
        {"type": "reasoning", "summary": [], "encrypted_content": "theirs"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ]
    assert outgoing(input="hoosh _hoosh_")["input"] == "hoosh _hoosh_"
    assert outgoing(input=["_hoosh_", 7])["input"] == ["_hoosh_", 7]


def read(**fields: Any) -> Any:
    return ResponsesPassage().read_reply(CALL, json.dumps(fields).encode(), STAMP, provider="p")


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({"status": "completed", "output": []}, "stop"),
        ({"output": []}, "stop"),
        ({"status": "completed", "output": [{"type": "function_call"}]}, "tool_calls"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}, "content_filter"),
        ({"status": "queued", "output": []}, None),
    ],
)
def test_a_whole_reply_is_read(fields: dict[str, Any], finish: str | None):
    reply = read(**fields, model="true", usage=COUNTS)
    assert (reply.finish_reason, reply.model, reply.usage) == (finish, "true", Usage(9, 3, 2))
    assert json.loads(reply.body)["output"] == fields["output"]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed", "error": {"code": "c", "message": "m"}, "output": []},
        {"error": {"code": "c", "message": "m", "type": "t"}},
        {"error": "m", "code": "c"},
    ],
)
def test_an_error_under_200_is_an_error(fields: dict[str, Any]):
    with pytest.raises(UpstreamError, match="m") as caught:
        read(**fields)
    assert caught.value.code == "c"


def test_prompt_tokens_are_counted_where_the_provider_counts_them():
    dialect = ResponsesDownstream()
    call = dialect.read(CallKind.TOKEN_COUNT, b'{"model":"m","input":"x"}')
    assert ResponsesPassage().outgoing(call, model="true").path == "/v1/responses/input_tokens"
    answer = dialect.encode_token_count(7)
    assert json.loads(answer) == {"object": "response.input_tokens", "input_tokens": 7}
    assert ResponsesPassage().read_reply(call, answer, STAMP, provider="p").body == answer
    with pytest.raises(UpstreamBroke):
        ResponsesPassage().read_reply(call, b"{}", STAMP, provider="p")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":{}}', b"\xff", b"[" * 9999])
def test_what_is_no_response_broke(body: bytes):
    with pytest.raises(UpstreamBroke):
        ResponsesPassage().read_reply(CALL, body, STAMP, provider="p")
