"""What the fuzzers have found, each told once more by itself."""

from __future__ import annotations

import json

import pytest

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicTap, AnthropicUpstream
from hoosh.dialects.contract import Ending, Passage, Stamp
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.openai import OpenAITap, OpenAIUpstream
from hoosh.dialects.replies import unfold
from hoosh.dialects.responses import ResponsesPassage
from hoosh.dialects.responses.tap import ResponsesTap
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Call, CallKind, TextDelta

STAMP = Stamp("r", "m", 0)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)


def openai_passage() -> Passage:
    passage = OpenAIUpstream().passage(CALL)
    assert passage is not None
    return passage


@pytest.mark.parametrize(
    ("passage", "body"),
    [
        (openai_passage(), b'{"choices":[{"message":{"content":"Salam"}}],"id":"\xff"}'),
        (ResponsesPassage(), b'{"output":[],"status":"completed","id":"\xff"}'),
    ],
    ids=["openai", "responses"],
)
def test_a_whole_reply_that_is_not_utf8_cannot_be_told_as_a_stream(passage: Passage, body: bytes):
    with pytest.raises(UpstreamBroke):
        passage.as_stream(CALL, body, STAMP, provider="p")


@pytest.mark.parametrize(
    ("passage", "body"),
    [
        (openai_passage(), b'{"object":"error","message":"slow down \xff"}'),
        (ResponsesPassage(), b'{"status":"failed","error":"slow down","id":"\xff"}'),
    ],
    ids=["openai", "responses"],
)
def test_an_error_that_is_not_utf8_is_still_an_error(passage: Passage, body: bytes):
    with pytest.raises(UpstreamError, match="slow down"):
        passage.read_reply(CALL, body, STAMP, provider="p")


def chunk(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


def test_a_carriage_return_between_tokens_ends_a_line_as_it_does_for_the_client():
    """JSON takes it for white space; in an event stream it cuts the event in two."""
    broken = chunk("b").replace(b": [{", b":\r [{", 1)
    wire = chunk("a") + broken + chunk("c")
    for pieces in ([wire], [chunk("a"), broken + chunk("c")], [chunk("a"), broken, chunk("c")]):
        tap = OpenAITap(CALL, STAMP, provider="p")
        out = b"".join([tap.feed(piece) for piece in pieces])
        assert [json.loads(event.data)["choices"][0]["delta"] for event in SseDecoder().feed(out)] == [
            {"content": "a"},
            {"content": "c"},
        ]
        decoder = OpenAIUpstream().chat_decoder(provider="p")
        events = [event for piece in pieces for event in decoder.feed(piece)]
        assert [event for event in events if isinstance(event, TextDelta)] == [TextDelta("a")]
        assert isinstance(decoder.error, UpstreamBroke)


def test_nothing_follows_an_error_among_deltas_in_anthropics_tap():
    head = b"event: content_block_delta\ndata: "
    delta = head + b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n'
    error = head + b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    stop = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    tap = AnthropicTap(STAMP, provider="p")
    assert tap.feed(delta + error + stop) == delta
    assert tap.close() == (b"", Ending.FAILED)


def test_an_error_under_a_deltas_name_is_an_error_in_anthropics_tap():
    delta = b"event: content_block_delta\ndata: %b\n\n"
    tap = AnthropicTap(STAMP, provider="p")
    assert tap.feed(delta % b'{"error":{"type":"api_error","message":"it broke"}}') == b""
    assert str(tap.error) == "it broke"


def test_a_block_that_only_anthropic_knows_is_told_again_whatever_is_in_its_strings():
    for odd in (b"\xed\xa0\x80", b"\\ud800"):
        body = b'{"content":[{"type":"mcp_note","text":"%b"}],"stop_reason":"end_turn"}' % odd
        reply = AnthropicUpstream().decode_chat(body, provider="p")
        encoder = AnthropicDownstream().chat_encoder(CALL, STAMP)
        told = encoder.encode(list(unfold(reply))) + encoder.finish()
        starts = [json.loads(event.data) for event in SseDecoder().feed(told) if event.event == "content_block_start"]
        assert [start["content_block"]["type"] for start in starts] == ["mcp_note"]


@pytest.mark.parametrize("choices", [b"7", b"true", b'{"a":1}'])
def test_choices_that_are_no_list_are_not_told(choices: bytes):
    body = b'{"data":[],"choices":%b}' % choices
    assert openai_passage().as_stream(CALL, body, STAMP, provider="p").body == b""


def test_zeroed_counts_at_the_end_do_not_hide_those_before_in_openais_tap():
    counted = [
        b'{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}',
        b'{"prompt_tokens":0,"completion_tokens":0}',
    ]
    events = [chunk("a").replace(b"}\n\n", b',"usage":%b}\n\n' % usage) for usage in counted]
    tap = OpenAITap(CALL, STAMP, provider="p")
    tap.feed(chunk("a"))
    tap.feed(b"".join(events))
    assert tap.usage is not None
    assert tap.usage.prompt_tokens == 3


def test_counts_that_make_no_sense_do_not_hide_the_last_that_did_in_geminis_stream():
    part = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":%b}\r\n\r\n'
    decoder = GeminiUpstream().chat_decoder(provider="p")
    decoder.feed(part % b'{"promptTokenCount":3,"candidatesTokenCount":1}' + part % b'"?"' + part % b"{}")
    assert decoder.usage is not None
    assert decoder.usage.prompt_tokens == 3


def test_broken_utf8_in_geminis_stream_is_read_alike_in_one_line_and_in_several():
    event = b'data: {"candidates":[{"content":{"parts":[{"text":"a\xff"}]}}]}\r\n\r\n'
    for wire in (event, b": comment\n" + event):
        decoder = GeminiUpstream().chat_decoder(provider="p")
        assert [said for said in decoder.feed(wire) if isinstance(said, TextDelta)] == [TextDelta("a\ufffd")]
        assert decoder.error is None


@pytest.mark.parametrize("before", [b"", b"data: {}\r\r", b"data: {}\r\n\r\n", b"\n", b": hello\n\n"])
def test_only_the_first_bytes_of_geminis_stream_may_be_a_byte_order_mark_wherever_it_is_cut(before: bytes):
    """Later it belongs to the name of the field, which nobody knows then: the event has no data."""
    event = b'\xef\xbb\xbfdata: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n'
    wire = before + event + event.removeprefix(b"\xef\xbb\xbf")
    for at in range(len(wire)):
        decoder = GeminiUpstream().chat_decoder(provider="p")
        events = [event for piece in (wire[:at], wire[at:]) for event in decoder.feed(piece)]
        said = [event.text for event in events if isinstance(event, TextDelta)]
        assert (said, decoder.error) == (["a"] if before else ["a", "a"], None)


@pytest.mark.parametrize("name", ["", "event: ping\n"])
@pytest.mark.parametrize("odd", ["\v", "\f"])
def test_a_tap_does_not_pass_on_white_space_that_json_does_not_know(odd: str, name: str):
    event = f'{name}data:{odd}{{"type":"ping","choices":[]}}\n\n'.encode()
    for tap in (
        OpenAITap(CALL, STAMP, provider="p"),
        AnthropicTap(STAMP, provider="p"),
        ResponsesTap(CALL, STAMP, provider="p"),
    ):
        assert (tap.feed(event), tap.malformed) == (b"", 1)
