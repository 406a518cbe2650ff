"""Every recorded stream, ended early at a few places by the tap of its own language: it reads as whole, at its limit.

The places are drawn from the stream's name; the translations are ended early event by event in tests/matrix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import test_recorded_ollama as ollama
import test_recorded_responses as responses
import test_recorded_streams as openai
from anthropic_recordings import anthropic_recordings
from client_forms import CLIENTS, Seen
from recordings import Recording

from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.anthropic.tap import AnthropicTap
from hoosh.dialects.contract import Stamp, StreamTap
from hoosh.dialects.ollama.tap import OllamaTap
from hoosh.dialects.openai import OpenAITap
from hoosh.dialects.responses.tap import ResponsesTap
from hoosh.values import Call, CallKind, Usage

STAMP = Stamp("r1", "m", 1_700_000_000)
SPENT = Usage(90, 50)
PLACES = 8

_nameless = re.compile(rb'(?<=\n\n)(data: {"type":"([\w.]+)")')


def ended_early(make: Any, wire: bytes, name: str, *, joint: bytes = b"\n\n") -> Iterator[tuple[bytes, bytes]]:
    """(what had passed, the end), at the beginning and at a few places; none where the stream had ended by itself."""
    events = [event + joint for event in wire.replace(b"\r\n", b"\n").split(joint) if event]
    random = Random(name)
    for count in sorted({0, 1, *(random.randrange(len(events)) for _ in range(PLACES))}):
        tap: StreamTap = make()
        passed = b"".join([tap.feed(line) for line in b"".join(events[:count]).splitlines(keepends=True)])
        if tap.error is not None or tap.terminated:
            assert tap.error is None or tap.finish_early(SPENT) is None
            return
        rest = tap.finish_early(SPENT)
        assert rest is not None
        yield passed, rest


# -- OpenAI ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", openai.STREAMS, ids=lambda stream: stream.name)
def test_every_choice_of_a_recorded_chat_comes_to_its_end(stream: Recording):
    kind = CallKind.COMPLETION if stream.kind == "completions" else CallKind.CHAT
    call = Call(kind, "m", {}, stream=True, include_usage=True)
    for passed, rest in ended_early(lambda: OpenAITap(call, STAMP, provider="p"), stream.response or b"", stream.name):
        before = [json.loads(data) for _, data in openai.decoded(passed)]
        after = [json.loads(data) for _, data in openai.decoded(rest)]
        finishes = finishes_in(before)
        cut = {index for index, finish in finishes.items() if not finish} or ({0} if not finishes else set())
        assert finishes_in(before + after) == {**finishes, **dict.fromkeys(cut, "length")}
        counted = [chunk for chunk in before + after if not chunk["choices"] and chunk.get("usage")]
        assert counted or not cut
        for chunk in after:  # as all the others
            whole = [one for one in before if one["choices"]] or [chunk]
            names = ("id", "object", "created", "model")
            assert [chunk[name] for name in names] == [whole[0].get(name, chunk[name]) for name in names]


def finishes_in(chunks: list[Any]) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            found[choice["index"]] = choice.get("finish_reason") or found.get(choice["index"])
    return found


# -- the others --------------------------------------------------------------------------------------------------


def compare(language: str, passed: bytes, end: bytes) -> Seen:
    seen = CLIENTS[language].read_stream(passed + end)
    before = CLIENTS[language].read_stream(passed) if passed else Seen()
    assert (seen.is_ended, seen.error) == (True, None)
    assert seen.text == before.text
    return seen


MESSAGES = [one for one in anthropic_recordings() if one.streaming and one.status == 200 and one.kind == "messages"]


@pytest.mark.parametrize("stream", MESSAGES, ids=lambda stream: stream.name)
def test_a_recorded_message_comes_to_its_end(stream: Recording):
    for passed, rest in ended_early(lambda: AnthropicTap(STAMP, provider="p"), stream.response or b"", stream.name):
        seen = compare("messages", passed, rest + AnthropicDownstream.terminator)
        if b"message_delta" not in passed:
            assert seen.finish == "length"
            assert seen.tokens == (90, 50)
        events = [json.loads(line[6:]) for line in (passed + rest).splitlines() if line.startswith(b"data: ")]
        begun = [event["index"] for event in events if event["type"] == "content_block_start"]
        assert sorted(begun) == sorted(event["index"] for event in events if event["type"] == "content_block_stop")


@pytest.mark.parametrize("stream", responses.STREAMS, ids=lambda stream: stream.name)
def test_a_recorded_response_comes_to_its_end(stream: responses.Exchange):
    call = Call(CallKind.CHAT, "m", {}, stream=True, language="responses")
    for passed, rest in ended_early(lambda: ResponsesTap(call, STAMP, provider="p"), stream.response, stream.name):
        passed = _nameless.sub(rb"event: \2\n\1", passed)  # OpenRouter's have none
        seen = compare("responses", passed, rest)
        assert (seen.finish, seen.tokens) == ("length", (90, 50))
        events = responses.decoded(passed + rest)
        response = events[-1]["response"]
        added, done = (
            [event["output_index"] for event in events if event["type"] == f"response.output_item.{step}"]
            for step in ("added", "done")
        )
        assert sorted(added) == sorted(done) == list(range(len(response["output"])))
        items = {event["output_index"]: event["item"] for event in events if event["type"].endswith("item.done")}
        assert response["output"] == [items[at] for at in sorted(items)]
        for step in ("content_part", "reasoning_summary_part"):
            begun, ended = (
                sum(event["type"] == f"response.{step}.{word}" for event in events) for word in ("added", "done")
            )
            assert begun == ended


@pytest.mark.parametrize("native", ollama.TALKS, ids=lambda native: native.name)
def test_a_recorded_talk_comes_to_its_end(native: ollama.Native):
    call = Call(ollama.KINDS[native.endpoint], "m", {}, stream=True, language="ollama")
    make = lambda: OllamaTap(call, STAMP, provider="p")  # noqa: E731
    for passed, rest in ended_early(make, native.response, native.name, joint=b"\n"):
        lines = [json.loads(line) for line in (passed + rest).splitlines()]
        last = lines[-1]
        assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "length", 50)
        assert ("message" in last) is (call.kind is CallKind.CHAT)
        assert not any(line["done"] for line in lines[:-1])
