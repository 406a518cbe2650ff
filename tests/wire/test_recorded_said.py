"""Every recorded stream, told to the clients of every language and broken at a few places: what was kept of it is what
a naive client has understood, or nothing where there is more than text.

The places are drawn from the stream's name; streams of our own making are broken after every byte in tests/gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pytest
from client_forms import CLIENTS, Seen, Wish
from test_recorded_across import DOWNSTREAMS, STAMP, Recorded, answers

from hoosh.dialects.translation import Translation
from hoosh.gateway.said import Said
from hoosh.values import CallKind

STREAMS = [recorded for recorded in answers() if recorded.is_stream]
LANGUAGES = {"chat": "openai", "responses": "responses", "messages": "anthropic", "ollama": "ollama"}
PLACES = 6


def broken(client: str, recorded: Recorded, *, translated: bool) -> Iterator[tuple[bytes, str | None]]:
    """(what the client has got, what was kept as its text) at a few places and at the end."""
    downstream, wire, random = DOWNSTREAMS[client], recorded.wire, Random(recorded.name)
    call = downstream.read(CallKind.CHAT, json.dumps(CLIENTS[client].ask("m", Wish(stream=True))).encode())
    passage = Translation(downstream, recorded.upstream) if translated else recorded.upstream.passage(call)
    if passage is None:  # it takes one form of request alone, and so every request is translated
        return
    tap, said, sent, before = passage.tap(call, STAMP, provider="p"), Said(call.language), b"", 0
    for cut in sorted(random.randrange(len(wire) + 1) for _ in range(PLACES)):
        for at in range(before, cut, 97):
            if passed := tap.feed(wire[at : min(at + 97, cut)]):
                said.keep(passed)
                sent += passed
        before = cut
        if sent:
            yield sent, said.text()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("recorded", STREAMS, ids=lambda recorded: recorded.name)
def test_what_is_kept_of_a_translated_stream_is_what_the_client_has(recorded: Recorded, client: str):
    for sent, text in broken(client, recorded, translated=True):
        seen = CLIENTS[client].read_stream(sent)
        if text is not None:
            assert seen == Seen(text, tokens=seen.tokens)
        elif not is_over(sent):
            assert seen.thought or seen.calls or seen.refusal or has_more(sent)


@pytest.mark.parametrize("recorded", STREAMS, ids=lambda recorded: recorded.name)
def test_what_is_kept_of_a_stream_that_passes_is_what_the_client_has(recorded: Recorded):
    client = {"openai": "chat", "anthropic": "messages", "ollama": "ollama"}.get(recorded.upstream.name)
    if client is None or "completions" in recorded.name or "generate" in recorded.name:
        pytest.skip("there is no chat client of this language")
    if "two-candidates" in recorded.name:
        pytest.skip("a request for several answers is not rescued")
    for sent, text in broken(client, recorded, translated=False):
        if text is not None:
            assert text == text_in(sent)
            assert not is_over(sent)


def is_over(sent: bytes) -> bool:
    return b"event: message_delta" in sent or b'"done":true' in sent or b'"done": true' in sent


def has_more(sent: bytes) -> bool:
    """What naive clients pass over: citations, pictures, thoughts that are only sealed, parts of a Responses stream
    that are done, a block that only Anthropic knows."""
    words = (b"annotations", b'"images"', b"reasoning_details", b"citations_delta", b".done", b'"reasoning"')
    blocks = (b'"type":"%b"' % kind for kind in (b"thinking", b"redacted_thinking", b"tool_use", b"server_tool_use"))
    return any(word in sent for word in (*words, *blocks, b"compaction"))


def text_in(sent: bytes) -> str:
    """The text in a stream of any of three languages, by json.loads alone."""
    texts = []
    for line in sent.splitlines():
        data = line.removeprefix(b"data:").strip()
        if data.startswith(b"{"):
            event = json.loads(data)
            choices = event.get("choices") or [{}]
            deltas = [event.get("message"), event.get("delta"), event.get("content_block"), choices[0].get("delta")]
            texts += [delta.get("content") or delta.get("text") or "" for delta in deltas if isinstance(delta, dict)]
    return "".join(text for text in texts if isinstance(text, str))
