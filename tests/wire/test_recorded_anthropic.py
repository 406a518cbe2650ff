"""Every recorded exchange in Anthropic's language, whole and streamed, wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from anthropic_recordings import anthropic_recordings, expected, naive_message
from recordings import Recording

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicTap, AnthropicUpstream
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.replies import fold
from hoosh.dialects.translation import Translation
from hoosh.errors import UpstreamError
from hoosh.values import (
    Annotation,
    Call,
    CallKind,
    ChatReply,
    FinishReason,
    OpaqueOutput,
    ReasoningSaid,
    ReplyEvent,
    TextSaid,
    Usage,
)

UPSTREAM, DOWNSTREAM = AnthropicUpstream(), AnthropicDownstream()
STAMP = Stamp("1", "m", 0)
REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "pause_turn": FinishReason.STOP,
    "compaction": FinishReason.STOP,
}


def pick(*, kind: str = "messages", streaming: bool, good: bool = True) -> list[Recording]:
    return [
        recording
        for recording in anthropic_recordings()
        if recording.response is not None
        and (recording.kind, recording.streaming, recording.status == 200) == (kind, streaming, good)
    ]


def named(recordings: list[Recording]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", recordings, ids=lambda recording: recording.name)


STREAMS = pick(streaming=True)
COMPLETE = [stream for stream in STREAMS if b"event: error" not in (stream.response or b"")]
MESSAGES = pick(streaming=False)

either_line_end = pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])


def said(reply: ChatReply) -> dict[str, Any]:
    usage = reply.usage or Usage()
    texts = [part for part in reply.parts if isinstance(part, TextSaid)]
    return {
        "id": reply.id,
        "model": reply.model,
        "text": reply.text,
        "reasoning": sorted(
            [(part.text, part.signature, part.data) for part in reply.parts if isinstance(part, ReasoningSaid)],
            key=lambda part: bool(part[2]),
        ),
        "calls": [(call.id, call.name, json.loads(call.arguments)) for call in reply.calls],
        "opaque": [json.loads(bytes(part.raw)) for part in reply.parts if isinstance(part, OpaqueOutput)],
        "cited": [annotation.cited for text in texts for annotation in text.annotations],
        "native": reply.finish.native,
        "stop_sequence": reply.finish.stop_sequence,
        "usage": (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens),
    }


def with_line_end(recording: Recording, line_end: bytes) -> bytes:
    return (recording.response or b"").replace(b"\r\n", b"\n").replace(b"\n", line_end)


def decode(pieces: list[bytes]) -> tuple[list[ReplyEvent], Ending, Any]:
    decoder = UPSTREAM.chat_decoder(provider="p")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    error = decoder.error and (str(decoder.error), decoder.error.status, decoder.error.kind)
    return [*events, *rest], ending, (decoder.usage, decoder.has_content, decoder.terminated, error)


def tap(pieces: list[bytes]) -> tuple[bytes, Ending, Any]:
    sieve = AnthropicTap(STAMP, provider="p")
    out = b"".join([sieve.feed(piece) for piece in pieces])
    rest, ending = sieve.close()
    error = sieve.error and (str(sieve.error), sieve.error.status, sieve.error.kind)
    return out + rest, ending, (sieve.usage, sieve.chunks, sieve.has_content, sieve.terminated, error, sieve.malformed)


def cuts(data: bytes) -> range:
    """Every byte of short streams; about a hundred places of others (`drops` cuts those at every byte)."""
    return range(0, len(data) + 1, len(data) // 100 | 1 if len(data) > 1_000 else 1)


def drops(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@named(COMPLETE)
@either_line_end
def test_a_stream_says_what_a_naive_reading_of_it_says(recording: Recording, line_end: bytes):
    events, ending, facts = decode([with_line_end(recording, line_end)])
    message = naive_message(recording.response or b"")
    reply = fold(events)
    assert ending is Ending.COMPLETE
    assert said(reply) == expected(message)
    assert reply.finish.reason is REASONS[message["stop_reason"]]
    assert facts[0] == reply.usage


@named(MESSAGES)
def test_a_message_says_what_a_naive_reading_of_it_says(recording: Recording):
    reply = UPSTREAM.decode_chat(recording.response or b"", provider="p")
    assert said(reply) == expected(recording.reply)
    assert reply.finish.reason is REASONS[recording.reply["stop_reason"]]


@named(STREAMS)
@either_line_end
def test_a_stream_cut_at_any_byte_decodes_the_same(recording: Recording, line_end: bytes):
    data = with_line_end(recording, line_end)
    whole = decode([data])
    for cut in cuts(data):
        assert decode([data[:cut], data[cut:]]) == whole, cut
    assert decode(drops(data[:30_000])) == decode([data[:30_000]])


@named(STREAMS)
@either_line_end
def test_a_stream_cut_at_any_byte_passes_the_tap_the_same(recording: Recording, line_end: bytes):
    data = with_line_end(recording, line_end)
    whole = tap([data])
    for cut in cuts(data):
        assert tap([data[:cut], data[cut:]]) == whole, cut
    assert tap(drops(data[:30_000])) == tap([data[:30_000]])


@named(STREAMS)
@either_line_end
def test_the_tap_passes_every_event_but_the_last_as_it_came(recording: Recording, line_end: bytes):
    data = with_line_end(recording, line_end)
    out, ending, (usage, chunks, *_) = tap([data])
    events = SseDecoder().feed(data.removesuffix(line_end) + 2 * line_end)
    passed = [event for event in events if event.event not in ("message_stop", "error") and event.data != "[DONE]"]
    assert SseDecoder().feed(out + line_end) == passed
    assert out in data or recording.provider == "openrouter"
    assert chunks == len(passed) - before_content([json.loads(event.data) for event in passed])
    assert usage == decode([data])[2][0]
    assert ending == decode([data])[1]


def before_content(events: list[dict[str, Any]]) -> int:
    """How many events come before the first with something of the answer."""
    for at, event in enumerate(events):
        block = event.get("content_block", {}).get("type", "text")
        if event["type"] == "content_block_delta" or block not in ("text", "thinking"):
            return at
    return len(events)


@named(COMPLETE)
def test_a_stream_that_lacks_its_terminator_is_complete_and_one_that_lacks_more_is_cut(recording: Recording):
    data = (recording.response or b"").replace(b"\r\n", b"\n")
    stop = data.index(b"event: message_stop")
    delta = data.index(b"event: message_delta")
    assert decode([data[:stop]])[:2] == (decode([data])[0], Ending.COMPLETE)
    assert tap([data[:stop]])[1] is Ending.COMPLETE
    for end in (delta, delta // 2):
        events, ending, facts = decode([data[:end]])
        assert (ending, facts[2]) == (Ending.CUT, False)
        assert not any(type(event).__name__ == "Finished" for event in events)
        assert tap([data[:end]])[1] is Ending.CUT


@named(pick(streaming=True))
def test_annotations_cover_the_text_of_their_block(recording: Recording):
    events, ending, _ = decode([recording.response or b""])
    if ending is Ending.COMPLETE:
        text = fold(events).text
        for event in events:
            if isinstance(event, Annotation):
                assert event.start is not None
                assert event.end is not None
                assert 0 <= event.start <= event.end <= len(text)


@named([*pick(streaming=False, good=False), *pick(kind="count_tokens", streaming=False, good=False)])
def test_an_error_keeps_the_vendors_words(recording: Recording):
    error = UPSTREAM.decode_error(recording.status, None, recording.response or b"", provider="p")
    told = recording.reply["error"]
    assert (str(error), error.kind, error.status) == (told["message"], told["type"], recording.status)


@named(pick(kind="count_tokens", streaming=False))
def test_a_token_count_is_read(recording: Recording):
    assert UPSTREAM.decode_token_count(recording.response or b"", provider="p") == recording.reply["input_tokens"]


@named(MESSAGES)
def test_a_whole_message_told_as_a_stream_says_the_same(recording: Recording):
    passage = UPSTREAM._passage
    told = passage.as_stream(None, recording.response or b"", STAMP, provider="p")  # type: ignore[arg-type]
    events, ending, _ = decode([told.body])
    assert ending is Ending.COMPLETE
    streamed, whole = fold(events), UPSTREAM.decode_chat(recording.response or b"", provider="p")
    assert said(streamed) == said(whole)
    assert told.usage == whole.usage
    assert told.finish_reason == whole.finish.reason


def pick_requests() -> list[Recording]:
    return [recording for recording in anthropic_recordings() if recording.request and recording.kind != "models"]


def kind_of(recording: Recording) -> CallKind:
    return CallKind.TOKEN_COUNT if recording.kind == "count_tokens" else CallKind.CHAT


def plain(request: bytes) -> Any:
    """A request without the choices of form that mean the same: text for a block of it, defaults said or not."""
    body = json.loads(request)
    if body.get("stream") is False:
        del body["stream"]
    if isinstance(body.get("system"), str):
        body["system"] = [{"type": "text", "text": body["system"]}]
    if "output_format" in body:  # as it was called before
        body["output_config"] = {**body.get("output_config", {}), "format": body.pop("output_format")}
    if not body.get("tools", True):
        del body["tools"]
    for turn in body["messages"]:
        if isinstance(turn["content"], str):
            turn["content"] = [{"type": "text", "text": turn["content"]}]
        for block in turn["content"]:
            if block["type"] == "tool_result":
                _plain_result(block)
    return body


def _plain_result(block: dict[str, Any]) -> None:
    if block.get("is_error") is False:
        del block["is_error"]
    if isinstance(block.get("content"), str):
        block["content"] = [{"type": "text", "text": block["content"]}]


@named(pick_requests())
def test_a_request_in_our_own_words_keeps_every_field_for_its_own_provider(recording: Recording):
    call = DOWNSTREAM.read(kind_of(recording), recording.request or b"")
    request = DOWNSTREAM.chat_request(call)
    outgoing = UPSTREAM.encode_chat(request, model=call.model)
    if call.kind is CallKind.TOKEN_COUNT:
        counted = UPSTREAM.encode_token_count(request, model=call.model)
        assert counted is not None
        outgoing = counted
    assert plain(outgoing.body) == plain(recording.request or b"")
    again = DOWNSTREAM.read(call.kind, outgoing.body)
    assert DOWNSTREAM.chat_request(again) == request


@named(pick_requests())
def test_a_request_passes_to_its_own_provider_byte_for_byte(recording: Recording):
    call = DOWNSTREAM.read(kind_of(recording), recording.request or b"")
    passage = UPSTREAM.passage(call)
    assert passage is not None
    sent = passage.outgoing(call, model=call.model)
    assert sent.path == f"/v1/messages{'/count_tokens' if call.kind is CallKind.TOKEN_COUNT else ''}"
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
    assert raw.decode(sent.body) == raw.decode(recording.request or b"")


@named(COMPLETE)
def test_a_translated_stream_says_the_same_to_a_client_of_this_language(recording: Recording):
    call = Call(CallKind.CHAT, "m", {}, stream=True, language="anthropic")
    stream = Translation(DOWNSTREAM, UPSTREAM).tap(call, STAMP, provider="p")
    data = recording.response or b""
    out = b"".join([stream.feed(data[at : at + 500]) for at in range(0, len(data), 500)])
    rest, ending = stream.close()
    assert ending is Ending.COMPLETE
    told, heard = expected(naive_message(out + rest)), expected(naive_message(data))
    for name in ("reasoning", "calls", "native", "stop_sequence", "usage"):
        assert told[name] == heard[name]
    assert told["text"].startswith(heard["text"])  # the explanation of a refusal is text to the client
    assert len(told["opaque"]) == len(heard["opaque"])


def test_an_error_in_a_200_is_an_error():
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    with pytest.raises(UpstreamError, match="Overloaded") as caught:
        UPSTREAM.decode_chat(body, provider="p")
    assert caught.value.status == 529
