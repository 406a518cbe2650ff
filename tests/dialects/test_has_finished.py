"""When a silent stream may be ended: all has been said, though the terminator has not come.

`has_finished` is what closing would say, except where silence proves less than a closed connection does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace
from test_fuzz import TAPS, UPSTREAM, WIRES

from hoosh.dialects.anthropic.decoder import AnthropicDecoder
from hoosh.dialects.anthropic.tap import AnthropicTap
from hoosh.dialects.audio.transcript import TranscriptTap
from hoosh.dialects.contract import Ending, Stamp, StreamDecoder, StreamTap
from hoosh.dialects.gemini.decoder import GeminiDecoder
from hoosh.dialects.openai import OpenAIDownstream, OpenAITap
from hoosh.dialects.openai.decoder import OpenAIDecoder
from hoosh.dialects.splice import AfterRestart, Joint, Splice
from hoosh.dialects.translation import Translation
from hoosh.values import Call, CallKind

STAMP = Stamp("r1", "m", 1)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)
COMPLETION = replace(CALL, kind=CallKind.COMPLETION)
Make = Callable[[], StreamTap | StreamDecoder]


def translated(name: str) -> Make:
    return lambda: Translation(OpenAIDownstream(), UPSTREAM[name]).tap(CALL, STAMP, provider="p")


READERS: dict[str, tuple[str, Make]] = {
    **TAPS,
    **{f"{name}, decoded": (name, lambda name=name: UPSTREAM[name].chat_decoder(provider="p")) for name in UPSTREAM},
    **{f"{name}, translated": (name, translated(name)) for name in UPSTREAM},
}
"""By name: whose wire it reads, and how it is made."""


def sse(*said: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in said)


def after(make: Make, wire: bytes) -> tuple[bool, Ending]:
    """Has it finished when so much has come, and what does closing say?"""
    reader = make()
    reader.feed(wire)
    return reader.has_finished, reader.close()[1]


def ends_as_it_begins(frames: tuple[bytes, ...]) -> bool:
    return b'"finishReason"' in frames[0] or b'"finish_reason": "' in frames[0] or b'"finish_reason":"' in frames[0]


@pytest.mark.parametrize("name", READERS)
def test_after_each_event_it_is_what_closing_would_say(name: str):
    vendor, make = READERS[name]
    ends = 0
    for frames in WIRES[vendor].streams:
        for count in range(len(frames) + 1):
            has_finished, ending = after(make, b"".join(frames[:count]))
            assert has_finished is (ending is Ending.COMPLETE and not ends_as_it_begins(frames)), frames[:count]
            ends += has_finished
    assert ends


@pytest.mark.parametrize("name", READERS)
def test_wherever_the_bytes_stop_it_never_says_more_than_closing_would(name: str):
    vendor, make = READERS[name]
    for frames in WIRES[vendor].streams:
        wire = b"".join(frames)
        for size in range(max(0, len(wire) - 800), len(wire)):
            has_finished, ending = after(make, wire[:size])
            assert not has_finished or ending is Ending.COMPLETE, wire[:size]


# -- where silence proves less -----------------------------------------------------------------------------------


def chunk(index: int = 0, text: str = "", finish: str | None = None) -> bytes:
    return sse({"choices": [{"index": index, "delta": {"content": text}, "text": text, "finish_reason": finish}]})


def answer(text: str, finish: str | None = None) -> bytes:
    end = {} if finish is None else {"finishReason": finish}
    return sse({"candidates": [{"index": 0, "content": {"parts": [{"text": text}]}, **end}]})


def openai(call: Call = CALL) -> Make:
    return lambda: OpenAITap(call, STAMP, provider="p")


def openai_decoder() -> StreamDecoder:
    return OpenAIDecoder(provider="p")


def gemini() -> StreamDecoder:
    return GeminiDecoder(provider="p")


@pytest.mark.parametrize(
    ("make", "wire"),
    [
        (openai(), chunk(text="a", finish="stop") + chunk(text="b", finish="stop")),
        (openai_decoder, chunk(text="a", finish="stop") + chunk(text="b", finish="stop")),
        (gemini, answer("a", "STOP") + answer("b", "STOP")),
    ],
)
def test_who_names_the_finish_reason_from_the_first_word_on_may_have_more_to_say(make: Make, wire: bytes):
    assert after(make, wire) == (False, Ending.COMPLETE)


def test_only_stop_is_said_in_every_event():
    assert after(gemini, answer("a", "MAX_TOKENS")) == (True, Ending.COMPLETE)
    assert after(gemini, sse({"promptFeedback": {"blockReason": "OTHER"}})) == (True, Ending.COMPLETE)


@pytest.mark.parametrize("make", [lambda: AnthropicTap(STAMP, provider="p"), lambda: AnthropicDecoder(provider="p")])
def test_a_message_that_is_over_when_it_starts_waits_for_its_terminator(make: Make):
    start = sse({"type": "message_start", "message": {"id": "m", "content": [], "stop_reason": "end_turn"}})
    assert after(make, start) == (False, Ending.COMPLETE)
    assert after(make, start + sse({"type": "message_stop"})) == (True, Ending.COMPLETE)


@pytest.mark.parametrize(
    ("call", "choices"),
    [
        (CALL, 1),
        (replace(CALL, fields={"n": Raw(b"2")}), 2),
        (replace(CALL, fields={"n": Raw(b"2.0e999")}), 1),
        (replace(CALL, fields={"n": Raw(b"true"), "prompt": Raw(b'["a", "b"]')}), 1),
        (replace(COMPLETION, fields={"prompt": Raw(b'["a", "b"]'), "n": Raw(b"2")}), 4),
        (replace(COMPLETION, fields={"prompt": Raw(b"[1, 2, 3]"), "n": Raw(b"-2")}), 1),
        (replace(COMPLETION, fields={"prompt": Raw(b"[[1, 2], [3]]")}), 2),
        (replace(COMPLETION, fields={"prompt": Raw(b"[]")}), 1),
    ],
)
def test_choices_that_are_answered_one_after_another_are_waited_for(call: Call, choices: int):
    wire = b""
    for index in range(choices):
        wire += chunk(index, "a") + chunk(index, finish="stop")
        assert after(openai(call), wire) == (index == choices - 1, Ending.COMPLETE)


DONE = chunk(text="a") + chunk(finish="stop")
HALVES = [
    # what has come of a further event, and whether the stream may be ended
    (b'data: {"choices": [], "usa', False),
    (b"data: [DONE]", True),
    (b"data: [DONE]\n", True),
    (b": keep-alive\n", True),
    (b"\n", True),
]


@pytest.mark.parametrize(("half", "has_finished"), HALVES)
@pytest.mark.parametrize("make", [openai(), openai_decoder])
def test_half_an_event_is_waited_for_but_not_half_a_terminator(make: Make, half: bytes, has_finished: bool):
    assert after(make, DONE + half) == (has_finished, Ending.COMPLETE)


def test_a_stream_with_an_error_has_not_finished():
    error = sse({"error": {"message": "no"}})
    for make, wire in ((openai(), DONE), (openai_decoder, DONE), (gemini, answer("a") + answer("b", "STOP"))):
        assert after(make, wire + error) == (False, Ending.FAILED)


def test_a_transcript_has_finished_with_its_done():
    def make() -> StreamTap:
        return TranscriptTap(provider="p")

    delta, done = {"type": "transcript.text.delta", "delta": "a"}, {"type": "transcript.text.done", "text": "a"}
    assert after(make, sse(delta)) == (False, Ending.CUT)
    assert after(make, sse(delta, done)) == (True, Ending.COMPLETE)
    assert after(make, sse(delta, done, {"error": {"message": "no"}})) == (False, Ending.FAILED)


def test_a_second_answer_has_finished_when_it_has_though_it_may_not_fit():
    def splice(said: str) -> Make:
        joint = Joint(AfterRestart(said), OpenAIDownstream().chat_encoder(CALL, STAMP))
        return lambda: Splice(openai_decoder(), joint, provider="p")

    assert after(splice("a"), chunk(text="ab")) == (False, Ending.CUT)
    assert after(splice("a"), chunk(text="ab") + chunk(finish="stop")) == (True, Ending.COMPLETE)
    assert after(splice("abc"), chunk(text="ab") + chunk(finish="stop")) == (True, Ending.FAILED)
    assert after(splice("abc"), chunk(text="x") + chunk(finish="stop")) == (False, Ending.FAILED)
