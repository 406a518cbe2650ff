"""Whatever an upstream or a client sends, no dialect crashes, and nothing broken passes as an answer.

Each decoder and each tap gets `HOOSH_FRAMES` frames (`just fuzz`: 100 000), made hostile by `hostile.py` out of the
matrix's hand-written streams, in streams of a few to some dozen.  The seed is printed; `HOOSH_SEED=n` repeats a run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from client_forms import CLIENTS, Wish
from fuzz_material import STREAMS
from hostile import Fuzz
from msgspec import Struct
from upstream_forms import CALLS, THOUGHT, UPSTREAMS, Answer, Forms

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicTap, AnthropicUpstream
from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, StreamDecoder, StreamTap, UpstreamDialect
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream
from hoosh.dialects.ollama.tap import OllamaTap
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAITap, OpenAIUpstream
from hoosh.dialects.replies import fold, unfold
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.responses.tap import ResponsesTap
from hoosh.errors import ProtocolViolation
from hoosh.testing.seeds import seed_of_run
from hoosh.values import (
    Call,
    CallKind,
    Finished,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

FRAMES = int(os.environ.get("HOOSH_FRAMES", 8_000))
POOL = 3_000
"""Hostile frames made for each dialect; streams are drawn from them."""
STAMP = Stamp("r", "m", 1_700_000_000)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)
ASKING = Call(CallKind.CHAT, "m", {}, stream=True, include_usage=True)
TOKENS_MAX = 2**63 - 1
SEED = seed_of_run()

DOWNSTREAMS: dict[str, DownstreamDialect] = {
    "chat": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "messages": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}
UPSTREAM: dict[str, UpstreamDialect] = {
    "openai": OpenAIUpstream(),
    "mistral": OpenAIUpstream(FAMILY["mistral"]),
    "anthropic": AnthropicUpstream(),
    "gemini": GeminiUpstream(),
    "ollama": OllamaUpstream(),
}
CALLS_OF = {
    name: downstream.read(
        CallKind.CHAT, json.dumps(CLIENTS[name].ask("m", Wish(stream=True, tools=True, thinks=True))).encode()
    )
    for name, downstream in DOWNSTREAMS.items()
}
FAILING = 3
ANSWERS = (
    Answer(),
    Answer(thought=THOUGHT, calls=CALLS),
    Answer(finish="length"),
    Answer(fails=True),
    Answer(cut=True),
)


# -- what is sent ----------------------------------------------------------------------------------------------------


class Wire(Struct, frozen=True):
    """How a vendor's streams look.  `ends`: without one of these words in it no stream is whole."""

    streams: tuple[tuple[bytes, ...], ...]
    ends: tuple[bytes, ...]


def frames_of(stream: bytes) -> tuple[bytes, ...]:
    joint = b"\r\n\r\n" if b"\r\n\r\n" in stream else b"\n\n" if b"\n\n" in stream else b"\n"
    return tuple([frame + joint for frame in stream.split(joint)[:-1]])


def wire_of(forms: Forms, *ends: bytes) -> Wire:
    streams = [*(forms.stream(answer) for answer in ANSWERS), STREAMS[forms.type.replace("google", "gemini")]]
    return Wire(tuple([frames_of(stream) for stream in streams]), ends)


def responses_stream(answer: Answer) -> tuple[bytes, ...]:
    """As our own encoder tells it: there is no upstream of this language in the matrix."""
    reply = UPSTREAM["openai"].decode_chat(json.dumps(UPSTREAMS["openai"].whole(answer)).encode(), provider="p")
    encoder = DOWNSTREAMS["responses"].chat_encoder(CALLS_OF["responses"], STAMP)
    return frames_of(encoder.encode(tuple(unfold(reply))) + encoder.finish())


WIRES = {
    "openai": wire_of(UPSTREAMS["openai"], b"[DONE]", b"finish_reason"),
    "mistral": wire_of(UPSTREAMS["mistral"], b"[DONE]", b"finish_reason"),
    "anthropic": wire_of(UPSTREAMS["anthropic"], b"message_stop", b"stop_reason"),
    "gemini": wire_of(UPSTREAMS["gemini"], b"finishReason", b"blockReason"),
    "ollama": wire_of(UPSTREAMS["ollama"], b'"done"'),
    "responses": Wire(
        tuple([responses_stream(answer) for answer in ANSWERS[:3]]),
        (b"response.completed", b"response.incomplete", b"response.cancelled"),
    ),
}


class Streams:
    """Hostile streams of one vendor, without end."""

    def __init__(self, name: str) -> None:
        self.fuzz = Fuzz(f"{SEED} {name}")
        self.wire = WIRES[name]
        every = [frame for stream in self.wire.streams for frame in stream]
        self._pool = [self.fuzz.frame(self.fuzz.dice.choice(every)) for _ in range(POOL)]
        self.sent = 0

    def draw(self) -> list[bytes]:
        """A valid stream with a few hostile frames in it, or hostile ones only."""
        dice = self.fuzz.dice
        if dice.random() < 0.3:
            frames = dice.choices(self._pool, k=dice.randrange(1, 8))
        else:
            frames = list(dice.choice(self.wire.streams))
            for frame in dice.choices(self._pool, k=dice.choice((0, 1, 1, 2, 3))):
                at = dice.randrange(len(frames) + 1)
                frames[at : at + dice.choice((0, 1))] = [frame]
        self.sent += len(frames)
        return frames

    def cut(self, data: bytes) -> list[bytes]:
        places = sorted(self.fuzz.dice.randrange(len(data) + 1) for _ in range(self.fuzz.dice.choice((0, 0, 1, 3))))
        return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


# -- decoders --------------------------------------------------------------------------------------------------------


def decode(decoder: StreamDecoder, pieces: list[bytes]) -> tuple[list[ReplyEvent], Ending]:
    events: list[ReplyEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        rest, ending = decoder.close()
    except ProtocolViolation:
        return events, Ending.FAILED
    return [*events, *rest], ending


def check_usage(usage: Usage | None) -> None:
    for count in () if usage is None else (getattr(usage, name) for name in usage.__struct_fields__):
        assert type(count) is int
        assert 0 <= count <= TOKENS_MAX


def check_events(events: list[ReplyEvent], ending: Ending, decoder: StreamDecoder) -> None:
    finished = [at for at, event in enumerate(events) if isinstance(event, Finished)]
    assert len(finished) == (ending is Ending.COMPLETE)
    assert not finished or all(isinstance(event, UsageReported) for event in events[finished[0] + 1 :])
    assert (ending is Ending.FAILED) is (decoder.error is not None)
    check_usage(decoder.usage)
    begun = 0
    for event in events:
        if isinstance(event, ToolCallStarted):
            assert event.index == begun
            begun += 1
        elif isinstance(event, ToolCallDelta):
            assert 0 <= event.index < begun


def gist(events: list[ReplyEvent]) -> list[Any]:
    """What was said, however it was cut: invented ids are not the same twice, and counts come when they may."""
    said: list[Any] = []
    for event in events:
        if isinstance(event, ToolCallStarted):
            said.append((event.index, event.name))
        elif isinstance(event, TextDelta) and said and isinstance(said[-1], TextDelta):
            said[-1] = TextDelta(said[-1].text + event.text)
        elif not isinstance(event, UsageReported):
            said.append(event)
    return said


def tell(events: list[ReplyEvent], ending: Ending) -> None:
    """To the clients of every language: what they get is of their protocol."""
    for name, downstream in DOWNSTREAMS.items():
        encoder = downstream.chat_encoder(CALLS_OF[name], STAMP)
        out = b"".join([encoder.encode([event]) for event in events])
        out += encoder.finish() if ending is Ending.COMPLETE else b""
        check_wire(out, lines=name == "ollama")
        if ending is Ending.COMPLETE:
            assert isinstance(json.loads(downstream.encode_reply(CALLS_OF[name], fold(events), STAMP)), dict)


def check_wire(out: bytes, *, lines: bool) -> None:
    data = out.decode().split("\n") if lines else [event.data for event in SseDecoder().feed(out)]
    assert all(isinstance(json.loads(one), dict) for one in data if one.strip())


@pytest.mark.parametrize("name", UPSTREAM)
def test_hostile_frames_never_crash_a_decoder_nor_pass_as_an_answer(name: str):
    streams, make = Streams(name), partial(UPSTREAM[name].chat_decoder, provider="p")
    round_ = 0
    while streams.sent < FRAMES:
        frames = streams.draw()
        wire = b"".join(frames)
        decoder = make()
        events, ending = decode(decoder, streams.cut(wire))
        try:
            check_events(events, ending, decoder)
            if ending is Ending.COMPLETE:
                assert any(word in wire for word in streams.wire.ends)
            if round_ % 4 == 0:
                other = make()
                one_by_one, verdict = decode(other, frames)
                assert (gist(one_by_one), verdict, other.usage) == (gist(events), ending, decoder.usage)
            if round_ % 10 == 0:
                tell(events, ending)
        except Exception as error:
            raise AssertionError(f"HOOSH_SEED={SEED}, the stream {wire!r}") from error
        round_ += 1


@pytest.mark.parametrize("name", UPSTREAM)
def test_a_stream_with_a_hole_in_it_is_never_whole(name: str):
    """One frame of a good answer is no JSON any more: the rest must not be taken for the whole."""
    streams = Streams(name)
    good = [stream for at, stream in enumerate(streams.wire.streams) if at != FAILING]
    for _ in range(FRAMES // 20):
        frames = list(streams.fuzz.dice.choice(good))
        at = streams.fuzz.dice.randrange(len(frames) - (b"[DONE]" in frames[-1] or b"message_stop" in frames[-1]))
        frames[at] = streams.fuzz.wound(frames[at])
        wire = b"".join(frames)
        decoder = UPSTREAM[name].chat_decoder(provider="p")
        _, ending = decode(decoder, streams.cut(wire))
        assert ending is not Ending.COMPLETE, f"HOOSH_SEED={SEED}, the stream {wire!r}"


# -- taps ------------------------------------------------------------------------------------------------------------

TAPS: dict[str, tuple[str, Callable[[], StreamTap]]] = {
    "openai": ("openai", lambda: OpenAITap(ASKING, STAMP, provider="p")),
    "openai, usage hidden": ("openai", lambda: OpenAITap(CALL, STAMP, provider="p")),
    "mistral": ("mistral", lambda: OpenAITap(ASKING, STAMP, provider="p", thought_chunks=True)),
    "anthropic": ("anthropic", lambda: AnthropicTap(STAMP, provider="p")),
    "ollama": ("ollama", lambda: OllamaTap(CALL, STAMP, provider="p")),
    "responses": ("responses", lambda: ResponsesTap(CALL, STAMP, provider="p")),
}


def through(tap: StreamTap, pieces: list[bytes]) -> tuple[bytes, Ending]:
    out = b""
    try:
        for piece in pieces:
            out += tap.feed(piece)
        rest, ending = tap.close()
    except ProtocolViolation:
        return out, Ending.FAILED
    return out + rest, ending


@pytest.mark.parametrize("name", TAPS)
def test_hostile_frames_never_crash_a_tap_nor_reach_the_client(name: str):
    vendor, make = TAPS[name]
    streams = Streams(vendor)
    round_ = 0
    while streams.sent < FRAMES:
        frames = streams.draw()
        wire = b"".join(frames)
        tap = make()
        out, ending = through(tap, streams.cut(wire))
        try:
            assert (ending is Ending.FAILED) is (tap.error is not None)
            check_usage(tap.usage)
            assert 0 <= tap.chunks <= len(wire)
            if ending is Ending.COMPLETE:
                assert any(word in wire for word in streams.wire.ends)
            if round_ % 4 == 0:
                other = make()
                passed, verdict = through(other, frames)
                assert (passed.replace(b"\r", b""), verdict) == (out.replace(b"\r", b""), ending)
                assert (other.usage, other.chunks, other.has_content) == (tap.usage, tap.chunks, tap.has_content)
            if round_ % 10 == 0:
                check_passed(out, vendor)
            if round_ % 3 == 0:
                end_early(make(), streams.cut(b"".join(frames[: round_ % 7])), vendor)
        except Exception as error:
            raise AssertionError(f"HOOSH_SEED={SEED}, the stream {wire!r}") from error
        round_ += 1


def end_early(tap: StreamTap, pieces: list[bytes], vendor: str) -> None:
    """Whatever has come, there is an end for the client, or none; it is in the tap's language."""
    try:
        out = b"".join([tap.feed(piece) for piece in pieces])
    except ProtocolViolation:
        return
    rest = tap.finish_early(Usage(9, 3))
    assert tap.error is None or rest is None
    assert rest is not None or tap.error is not None or vendor == "responses"  # it may be too much to be told again
    if rest is not None:
        check_passed(out + rest, vendor)


def check_passed(out: bytes, vendor: str) -> None:
    """Only JSON objects have come through: clients die of anything else."""
    if vendor == "ollama":
        data = [line for line in out.split(b"\n") if line.strip()]
    else:
        decoder = SseDecoder()
        data = [event.data.encode() for event in [*decoder.feed(b":\n" + out), *decoder.close()] if event.data]
    for one in data:
        try:
            assert isinstance(json.loads(one.decode("utf-8", "replace")), dict)
        except RecursionError:
            pass
