"""Every recorded answer of every provider, told to the clients of every language; and every recorded request, asked of
every provider.

The answers go through a `Translation`, as in the house but without it.  What a naive client reads in what comes out
must be what a naive reading finds in the recording: both know nothing of hoosh.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import test_recorded_gemini as gemini
import test_recorded_ollama as ollama
import test_recorded_openai_chats as openai
import test_recorded_responses as responses
from anthropic_recordings import anthropic_recordings, naive_message
from client_forms import CLIENTS, STOP_REASONS, Seen, Wish
from msgspec import Struct
from recordings import recordings

from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicUpstream
from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, UpstreamDialect
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAIUpstream
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.translation import Translation
from hoosh.errors import InvalidRequest, UpstreamError
from hoosh.values import Call, CallKind

STAMP = Stamp("r1", "m", 1_700_000_000)
DOWNSTREAMS: dict[str, DownstreamDialect] = {
    "chat": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "messages": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}
CUTS = 24
"""A recording is cut in two at so many places; its own decoder's tests cut it at every one."""

_invented = re.compile(rb"call_[0-9a-f]{24}")
_counted_early = re.compile(rb'(?<="type":"message_start").*?\n')
"""Gemini counts with every event, so what is known when a message starts hangs on how much came at once."""


class Recorded(Struct, frozen=True):
    """An answer, and what a naive reader finds in it.  `error`: it ends in one, or is one."""

    name: str
    upstream: UpstreamDialect
    wire: bytes
    seen: Seen
    is_stream: bool
    is_error: bool = False


# -- the recordings, as one list -----------------------------------------------------------------------------------


@cache
def answers() -> list[Recorded]:
    return [*_openai(), *_anthropic(), *_gemini(), *_ollama()]


def _openai() -> Iterator[Recorded]:
    for recording in (*openai.STREAMS, *openai.WHOLES):
        naive = openai.naive_stream(recording) if recording.streaming else openai.naive_whole(recording)
        seen = Seen(naive.text, naive.reasoning, naive.refusal)
        seen.calls = [(call["name"], openai.parsed(call["arguments"])) for call in naive.calls]
        finish = openai.FINISHES.get(naive.finish or "", naive.finish)
        seen.finish = "tool_calls" if seen.calls and finish == "stop" else finish
        upstream, wire = openai.upstream_of(recording), recording.response or b""
        yield Recorded(recording.name, upstream, wire, seen, recording.streaming, naive.error is not None)


def _anthropic() -> Iterator[Recorded]:
    for recording in anthropic_recordings():
        if recording.kind != "messages" or recording.response is None or recording.status != 200:
            continue
        message = naive_message(recording.response) if recording.streaming else recording.reply
        blocks = message["content"]
        seen = Seen("".join(block["text"] for block in blocks if block["type"] == "text"))
        seen.thought = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
        seen.calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
        seen.finish = STOP_REASONS.get(message["stop_reason"], "stop")
        seen.refusal = (message.get("stop_details") or {}).get("explanation") or ""
        name, is_error = f"anthropic/{recording.name}", "error" in message
        yield Recorded(name, AnthropicUpstream(), recording.response, seen, recording.streaming, is_error)


def _gemini() -> Iterator[Recorded]:
    for one in gemini.EVERY:
        if one.meta["kind"].startswith("generateContent") and one.meta["status"] == 200:
            said = gemini.as_recorded(one)
            seen = Seen(said["text"], said["thoughts"])
            seen.calls = [(name, arguments) for name, arguments, *_ in said["calls"]]
            seen.finish = said["finish"]
            yield Recorded(f"gemini/{one.name}", GeminiUpstream(), one.response, seen, one.meta["streaming"])


def _ollama() -> Iterator[Recorded]:
    for one in ollama.natives():
        if one.status != 200 or one.endpoint not in ("/api/chat", "/api/generate"):
            continue
        is_error = "error" in one.lines[-1]
        said = {} if is_error else ollama.naive(one)
        seen = Seen(said.get("text", ""), said.get("reasoning", ""), finish=said.get("finish"))
        seen.calls = [(name, arguments) for _, name, arguments in said.get("calls", ())]
        is_stream = len(one.lines) > 1 or is_error
        yield Recorded(f"ollama/{one.name}", OllamaUpstream(), one.response, seen, is_stream, is_error)


def each(chosen: Callable[[Recorded], bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recorded", list(filter(chosen, answers())), ids=lambda recorded: recorded.name)


each_stream = each(lambda recorded: recorded.is_stream and not recorded.is_error)
each_whole = each(lambda recorded: not recorded.is_stream and not recorded.is_error)
in_every_language = pytest.mark.parametrize("language", DOWNSTREAMS)


# -- what comes out ------------------------------------------------------------------------------------------------


def call_in(language: str, *, stream: bool) -> Call:
    """Of a client who wants to see everything."""
    body = CLIENTS[language].ask("m", Wish(stream=stream, tools=True, thinks=True))
    return DOWNSTREAMS[language].read(CallKind.CHAT, json.dumps(body).encode())


def told(recorded: Recorded, language: str, pieces: list[bytes]) -> tuple[bytes, Ending, UpstreamError | None]:
    """The stream that a client gets."""
    downstream = DOWNSTREAMS[language]
    tap = Translation(downstream, recorded.upstream).tap(call_in(language, stream=True), STAMP, provider="p")
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    whole = out + rest + (downstream.terminator if ending is Ending.COMPLETE else b"")
    ids: dict[bytes, bytes] = {}
    return _invented.sub(lambda found: ids.setdefault(found[0], b"call_%d" % len(ids)), whole), ending, tap.error


def expected(seen: Seen, language: str, *, whole: bool = False) -> Seen:
    """What a client of `language` can see of it."""
    text, refusal, calls, finish = seen.text, seen.refusal, seen.calls, seen.finish
    if language in ("messages", "ollama"):
        text, refusal = text + refusal, ""  # a refusal is text
        calls = [(name, {} if arguments is None else arguments) for name, arguments in calls]
    if language == "messages":
        if whole:  # `input` has to be an object: of a call that was cut off nothing can be told
            calls = [(name, {} if isinstance(arguments, str) else arguments) for name, arguments in calls]
        if seen.refusal and finish == "stop":
            finish = "content_filter"  # Anthropic's word for what the model itself refuses
    if language == "ollama":
        broken = [(name, arguments) for name, arguments in calls if isinstance(arguments, str)]
        text += "".join(f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}' for name, arguments in broken)
        calls = [call for call in calls if call not in broken]  # as Ollama does with what it cannot read
        finish = "tool_calls" if calls else finish  # its own word would be `stop`: the reader goes by the calls
    return Seen(text, seen.thought, refusal, calls, finish=finish, is_ended=True)


def compare(seen: Seen, wanted: Seen) -> None:
    assert seen.text == wanted.text
    assert seen.thought == wanted.thought
    assert seen.refusal == wanted.refusal
    assert seen.calls == wanted.calls
    assert seen.finish == wanted.finish
    assert len(set(seen.ids)) == len(seen.calls)
    assert seen.is_ended
    assert seen.error is None


@each_stream
@in_every_language
def test_a_recorded_stream_says_the_same_to_every_client(recorded: Recorded, language: str):
    out, ending, error = told(recorded, language, [recorded.wire])
    assert (ending, error) == (Ending.COMPLETE, None)
    compare(CLIENTS[language].read_stream(out), expected(recorded.seen, language))


@each_whole
@in_every_language
def test_a_recorded_reply_says_the_same_to_every_client(recorded: Recorded, language: str):
    passage, call = Translation(DOWNSTREAMS[language], recorded.upstream), call_in(language, stream=False)
    reply = passage.read_reply(call, recorded.wire, STAMP, provider="p")
    compare(CLIENTS[language].read(json.loads(reply.body)), expected(recorded.seen, language, whole=True))


@each_whole
@in_every_language
def test_a_recorded_reply_told_as_a_stream_says_the_same(recorded: Recorded, language: str):
    """Of an upstream that did not stream though it was asked to."""
    downstream = DOWNSTREAMS[language]
    reply = Translation(downstream, recorded.upstream).as_stream(
        call_in(language, stream=True), recorded.wire, STAMP, provider="p"
    )
    compare(CLIENTS[language].read_stream(reply.body + downstream.terminator), expected(recorded.seen, language))


@each_stream
@in_every_language
def test_a_recorded_stream_cut_in_two_comes_out_the_same(recorded: Recorded, language: str):
    wire = recorded.wire
    whole, ending, _ = told(recorded, language, [wire])
    for cut in range(1, len(wire), max(1, len(wire) // CUTS)):
        out, other, _ = told(recorded, language, [wire[:cut], wire[cut:]])
        assert other is ending
        assert _counted_early.sub(b"", out) == _counted_early.sub(b"", whole), cut


@each_stream
@in_every_language
@pytest.mark.parametrize("percent", [50, 90])
def test_a_stream_that_breaks_off_is_whole_only_if_nothing_is_missing(recorded: Recorded, language: str, percent: int):
    out, ending, _ = told(recorded, language, [recorded.wire[: len(recorded.wire) * percent // 100]])
    if ending is Ending.COMPLETE:
        compare(CLIENTS[language].read_stream(out), expected(recorded.seen, language))


@each(lambda recorded: recorded.is_error)
@in_every_language
def test_a_recorded_stream_that_fails_never_ends_well(recorded: Recorded, language: str):
    for wire in (recorded.wire, recorded.wire.rstrip()):
        out, ending, error = told(recorded, language, [wire])
        assert ending is Ending.FAILED
        assert error is not None
        assert not CLIENTS[language].read_stream(out).is_ended if out else True


def failures() -> Iterator[tuple[str, UpstreamDialect, bytes]]:
    for recording in recordings():
        if recording.status >= 400 and recording.response:
            yield recording.name, openai.upstream_of(recording), recording.response
    for recording in anthropic_recordings():
        if recording.kind == "messages" and recording.status >= 400 and recording.response:
            yield recording.name, AnthropicUpstream(), recording.response
    for one in gemini.EVERY:
        if one.meta["status"] >= 400:
            yield one.name, GeminiUpstream(), one.response
    for native in ollama.natives():
        if native.status >= 400:
            yield native.name, OllamaUpstream(), native.response


@pytest.mark.parametrize(("upstream", "body"), [pytest.param(*rest, id=name) for name, *rest in failures()])
@in_every_language
def test_a_recorded_error_is_an_answer_to_nobody(upstream: UpstreamDialect, body: bytes, language: str):
    passage = Translation(DOWNSTREAMS[language], upstream)
    for tell in (passage.read_reply, passage.as_stream):
        with pytest.raises(UpstreamError):
            tell(call_in(language, stream=True), body, STAMP, provider="p")


# -- requests ------------------------------------------------------------------------------------------------------

MODELS = {
    "anthropic": (AnthropicUpstream(), ("claude-sonnet-4-5", "claude-opus-4-7", "claude-3-haiku-20240307")),
    "gemini": (GeminiUpstream(), ("gemini-3-pro-preview", "gemini-2.5-flash", "gemini-1.5-pro")),
    "ollama": (OllamaUpstream(), ("llama3",)),
    **{name: (OpenAIUpstream(quirks), ("m",)) for name, quirks in FAMILY.items()},
}


def requests() -> Iterator[tuple[str, str, CallKind, bytes]]:
    for recording in recordings():
        if recording.kind == "chat" and recording.request:
            yield recording.name, "chat", CallKind.CHAT, recording.request
    for recording in anthropic_recordings():
        if recording.kind in ("messages", "count_tokens") and recording.request:
            kind = CallKind.CHAT if recording.kind == "messages" else CallKind.TOKEN_COUNT
            yield recording.name, "messages", kind, recording.request
    for exchange in responses.exchanges():
        yield exchange.name, "responses", CallKind.CHAT, exchange.request
    for native in ollama.natives():
        if native.endpoint in ("/api/chat", "/api/generate") and native.request:
            yield native.name, "ollama", ollama.KINDS[native.endpoint], native.request


@pytest.mark.parametrize(("language", "kind", "body"), [pytest.param(*rest, id=name) for name, *rest in requests()])
def test_a_recorded_request_is_asked_of_every_provider_or_refused_with_a_reason(
    language: str, kind: CallKind, body: bytes
):
    downstream = DOWNSTREAMS[language]
    try:
        call = downstream.read(kind, body)
    except InvalidRequest:  # some were recorded for their mistakes
        return
    for upstream, models in MODELS.values():
        for model in models:
            try:
                outgoing = Translation(downstream, upstream).outgoing(call, model=model)
            except InvalidRequest:
                continue
            assert isinstance(json.loads(outgoing.body), dict)
