"""An answer told in one language, read as that of an upstream, and told in the next: nothing wears off on the way.

    ChatReply ─▶ a downstream's stream or whole reply ─▶ the same language's upstream decoder ─▶ ChatReply ─▶ …

Responses has no upstream decoder: the matrix's naive client reads it.  What a language has no place for is named, with
the reason, in its `forgets`; citations are left to each dialect's own tests, for their forms differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from client_forms import CLIENTS, Wish
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicUpstream
from hoosh.dialects.anthropic.seals import open_seal
from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, UpstreamDialect
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream
from hoosh.dialects.openai import OpenAIDownstream, OpenAIUpstream
from hoosh.dialects.replies import fold, unfold
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.testing.chats import chat_replies
from hoosh.values import (
    Call,
    CallKind,
    CallSaid,
    ChatReply,
    Finished,
    FinishReason,
    ReasoningSaid,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
)

STAMP = Stamp("r", "m", 1_700_000_000)
RESPONSES = ResponsesDownstream()
few = settings(max_examples=60)


class Language(Struct, frozen=True):
    """Both halves, and the name under which the matrix's clients ask in it."""

    down: DownstreamDialect
    up: UpstreamDialect
    client: str
    forgets: Callable[[Told], Told]


class Told(Struct, frozen=True):
    """What counts of an answer."""

    text: str
    refusal: str
    thoughts: tuple[tuple[str, str, str, str], ...]
    """(text, signature, data, origin)"""
    calls: tuple[tuple[str, str, Any], ...]
    finish: FinishReason
    usage: Usage | None


def told_by(reply: ChatReply) -> Told:
    thoughts = [part for part in reply.parts if isinstance(part, ReasoningSaid)]
    return Told(
        reply.text,
        reply.refusal,
        tuple([opened(thought) for thought in thoughts]),
        tuple([(call.id, call.name, json.loads(call.arguments)) for call in reply.calls]),
        reply.finish.reason,
        reply.usage,
    )


def opened(thought: ReasoningSaid) -> tuple[str, str, str, str]:
    """With the seal broken that carries others' signatures through Anthropic's blocks, as our own reader does."""
    if thought.origin == "anthropic":
        found = open_seal(thought.text, thought.data or thought.signature, redacted=bool(thought.data))
        return found.text, found.signature, found.data, found.origin
    return thought.text, thought.signature, thought.data, thought.origin


# -- what a language has no place for --------------------------------------------------------------------------------


def forgets_nothing(told: Told) -> Told:
    return told


def forgets_refusals(told: Told) -> Told:
    """Anthropic: a refusal is text, and how it ended says so."""
    refused = told.refusal and told.finish is FinishReason.STOP
    return replace(
        told,
        text=told.text + told.refusal,
        refusal="",
        finish=FinishReason.CONTENT_FILTER if refused else told.finish,
    )


def forgets_seals(told: Told) -> Told:
    """Ollama: thoughts are one text that nobody signs, a refusal is text, and three counts are all."""
    thought = "".join([text for text, *_ in told.thoughts])
    usage = told.usage and Usage(told.usage.prompt_tokens, told.usage.completion_tokens, told.usage.cached_tokens)
    thoughts = ((thought, "", "", ""),) if thought else ()
    return replace(told, text=told.text + told.refusal, refusal="", thoughts=thoughts, usage=usage)


LANGUAGES = {
    "openai": Language(OpenAIDownstream(), OpenAIUpstream(), "chat", forgets_nothing),
    "anthropic": Language(AnthropicDownstream(), AnthropicUpstream(), "messages", forgets_refusals),
    "ollama": Language(OllamaDownstream(), OllamaUpstream(), "ollama", forgets_seals),
}


# -- one trip --------------------------------------------------------------------------------------------------------


def call_in(language: DownstreamDialect, client: str, *, stream: bool) -> Call:
    body = CLIENTS[client].ask("m", Wish(stream=stream, tools=True, thinks=True))
    return language.read(CallKind.CHAT, json.dumps(body).encode())


def streamed(language: Language, reply: ChatReply, piece: int) -> ChatReply:
    encoder = language.down.chat_encoder(call_in(language.down, language.client, stream=True), STAMP)
    wire = b"".join([encoder.encode([event]) for event in unfold(reply)]) + encoder.finish() + language.down.terminator
    decoder = language.up.chat_decoder(provider="p")
    events: list[ReplyEvent] = []
    for start in range(0, len(wire), piece):
        events += decoder.feed(wire[start : start + piece])
    rest, ending = decoder.close()
    assert (ending, decoder.error) == (Ending.COMPLETE, None)
    return fold([*events, *rest])


def whole(language: Language, reply: ChatReply) -> ChatReply:
    body = language.down.encode_reply(call_in(language.down, language.client, stream=False), reply, STAMP)
    return language.up.decode_chat(body, provider="p")


@few
@given(reply=chat_replies(), piece=st.integers(1, 400))
def test_an_answer_comes_back_from_every_language_as_it_was(reply: ChatReply, piece: int):
    for name, language in LANGUAGES.items():
        expected = (name, language.forgets(told_by(reply)))
        assert (name, told_by(streamed(language, reply, piece))) == expected
        assert (name, told_by(whole(language, reply))) == expected


@few
@given(reply=chat_replies(), piece=st.integers(1, 400))
def test_an_answer_that_went_through_two_gateways_is_still_the_same(reply: ChatReply, piece: int):
    """Hoosh behind hoosh, in two languages: what the second forgets is all that the first has not forgotten."""
    for first, second in permutations(LANGUAGES, 2):
        expected = LANGUAGES[second].forgets(LANGUAGES[first].forgets(told_by(reply)))
        again = streamed(LANGUAGES[second], streamed(LANGUAGES[first], reply, piece), piece)
        assert (first, second, told_by(again)) == (first, second, expected)
        again = whole(LANGUAGES[second], whole(LANGUAGES[first], reply))
        assert (first, second, told_by(again)) == (first, second, expected)


@few
@given(reply=chat_replies())
def test_an_answer_is_read_by_a_client_of_responses_as_it_was(reply: ChatReply):
    encoder = RESPONSES.chat_encoder(call_in(RESPONSES, "responses", stream=True), STAMP)
    wire = encoder.encode(list(unfold(reply))) + encoder.finish()
    body = RESPONSES.encode_reply(call_in(RESPONSES, "responses", stream=False), reply, STAMP)
    for seen in (CLIENTS["responses"].read_stream(wire), CLIENTS["responses"].read(json.loads(body))):
        assert (seen.text, seen.refusal, seen.thought) == (reply.text, reply.refusal, reply.reasoning)
        told = told_by(reply)
        assert seen.calls == [(name, arguments) for _, name, arguments in told.calls]
        assert seen.ids == [call.id for call in reply.calls]
        assert seen.finish == reply.finish.reason
        assert seen.tokens == (reply.usage and (reply.usage.prompt_tokens, reply.usage.completion_tokens))


# -- what no strategy draws ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LANGUAGES)
def test_calls_whose_fragments_are_interleaved_come_out_right(name: str):
    language = LANGUAGES[name]
    pieces = [(0, '{"a"'), (1, '{"b"'), (0, ": 1"), (1, ": 2}"), (0, "}")]
    events: list[ReplyEvent] = [TextDelta("so: "), ToolCallStarted(0, "c0", "f"), ToolCallStarted(1, "c1", "g")]
    events += [ToolCallDelta(index, fragment) for index, fragment in pieces]
    encoder = language.down.chat_encoder(call_in(language.down, language.client, stream=True), STAMP)
    wire = b"".join([encoder.encode([event]) for event in [*events, Finished(FinishReason.TOOL_CALLS)]])
    decoder = language.up.chat_decoder(provider="p")
    read = [*decoder.feed(wire + encoder.finish() + language.down.terminator), *decoder.close()[0]]
    assert told_by(fold(read)).calls == (("c0", "f", {"a": 1}), ("c1", "g", {"b": 2}))


@pytest.mark.parametrize("name", ["anthropic", "ollama"])
def test_null_for_no_arguments_is_an_empty_object_where_it_must_be_one(name: str):
    """Llama on Groq writes it."""
    call = CallSaid("c", "f", "null")
    reply = ChatReply((call,), Finished(FinishReason.TOOL_CALLS))
    language = LANGUAGES[name]
    assert streamed(language, reply, 50).calls == whole(language, reply).calls == (replace(call, arguments="{}"),)
