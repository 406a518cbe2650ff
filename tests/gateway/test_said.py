"""What is kept of a stream: exactly the text that the client has, for every client and every upstream, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from client_forms import CLIENTS, Seen, Wish
from upstream_forms import CALLS, THOUGHT, UPSTREAMS, Answer

from hoosh.codec.sse_blocks import events_in
from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import DownstreamDialect, Stamp, StreamTap
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import upstream_dialect
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.sent import LANGUAGES, sent_stream
from hoosh.dialects.translation import Translation
from hoosh.gateway.said import KEPT_BYTES_MAX, PIECE_BYTES, Said
from hoosh.values import CallKind

STAMP = Stamp("r1", "m", 1_700_000_000)
DOWNSTREAMS: dict[str, DownstreamDialect] = {
    "chat": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "messages": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}
_stub = re.compile(rb"\n\n(?:d|da|dat)\n\n$")
ANSWER = Answer(("Sal", "am, dün", "ya\n", " 🦉", ' "so', " ", "on\t"))

to_every_client = pytest.mark.parametrize("client", CLIENTS)
of_every_upstream = pytest.mark.parametrize("upstream", UPSTREAMS)


def tap_of(client: str, upstream: str) -> StreamTap:
    downstream, dialect = DOWNSTREAMS[client], upstream_dialect(UPSTREAMS[upstream].type)
    call = downstream.read(CallKind.CHAT, json.dumps(CLIENTS[client].ask("m", Wish(stream=True))).encode())
    own = None if client == "responses" else dialect.passage(call)
    return (own or Translation(downstream, dialect)).tap(call, STAMP, provider="a")


def language(client: str) -> str:
    return {"chat": "openai", "messages": "anthropic"}.get(client, client)


def broken_everywhere(client: str, upstream: str, answer: Answer) -> Iterator[tuple[bytes, str | None]]:
    """(what the client has got, what was kept as its text), where the connection breaks after each of its bytes."""
    wire = UPSTREAMS[upstream].stream(answer)
    tap, said, sent = tap_of(client, upstream), Said(language(client)), b""
    for at in range(len(wire)):
        if passed := tap.feed(wire[at : at + 1]):
            said.keep(passed)
            sent += passed
            yield sent, said.text()


def closed_everywhere(client: str, upstream: str, answer: Answer) -> Iterator[tuple[bytes, str | None]]:
    """The same, where the upstream closes its stream near the end of each event, and in the middle."""
    wire = UPSTREAMS[upstream].stream(answer)
    ends = [at for at in range(len(wire)) if wire.startswith(b"\n", at)]
    cuts = {end + near for end in ends for near in (-9, -1, 0, 1)} & set(range(1, len(wire)))
    for cut in sorted(cuts):
        tap, said = tap_of(client, upstream), Said(language(client))
        first = tap.feed(wire[:cut])
        last = b"" if tap.terminated else tap.close()[0]
        if first + last:
            said.keep(first)
            said.keep(last)
            yield first + last, said.text()


def is_over(client: str, sent: bytes) -> bool:
    """A finish reason has been told."""
    return b"event: message_delta" in sent if client == "messages" else has(client, sent).finish is not None


def has(client: str, sent: bytes) -> Seen:
    """What a client has understood.  A field's name without a colon, cut off by the end, says nothing to it."""
    return CLIENTS[client].read_stream(_stub.sub(b"\n\n", sent))


@to_every_client
@of_every_upstream
@pytest.mark.parametrize("broken", [broken_everywhere, closed_everywhere])
def test_what_is_kept_is_what_the_client_has_wherever_the_stream_breaks(client: str, upstream: str, broken: Any):
    texts = set()
    for sent, text in broken(client, upstream, ANSWER):
        assert (text is None) is is_over(client, sent)
        if text is not None:
            texts.add(text)
            assert text == has(client, sent).text
    assert texts >= {"".join(ANSWER.text[:count]) for count in range(1, len(ANSWER.text) + 1)}


@to_every_client
@of_every_upstream
@pytest.mark.parametrize("answer", [Answer(thought=THOUGHT), Answer(calls=CALLS), Answer((), calls=CALLS)])
def test_after_a_thought_or_a_call_nothing_is_continued(client: str, upstream: str, answer: Answer):
    for sent, text in broken_everywhere(client, upstream, answer):
        if text is not None:
            seen = has(client, sent)
            assert (seen.text, seen.thought, seen.calls) == (text, "", [])


# -- limits --------------------------------------------------------------------------------------------------------


def lines(texts: list[str]) -> list[bytes]:
    return [
        json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": False}).encode() + b"\n"
        for text in texts
    ]


def bytes_held(said: Said) -> int:
    return sum(len(sent) + PIECE_BYTES for sent in said._raw) + len(said._text)


def test_a_long_stream_is_condensed_on_the_way():
    said, texts = Said("ollama"), [f"{at} سلام " for at in range(1_500)]
    for line in lines(texts):
        said.keep(line)
        assert bytes_held(said) <= KEPT_BYTES_MAX
    assert said.text() == "".join(texts)


def test_a_text_that_is_too_long_is_given_up_for_good():
    said = Said("ollama")
    for line in lines(["x" * 1_000] * 40):
        said.keep(line)
        assert bytes_held(said) <= KEPT_BYTES_MAX
    assert said.text() is None
    said.keep(lines(["more"])[0])
    assert said.text() is None
    assert bytes_held(said) == 0


def test_one_line_beyond_every_limit_is_given_up():
    said = Said("ollama")
    said.keep(b'{"message":{"content":"' + b"x" * (17 << 20) + b'"}}\n')
    assert said.text() is None


def test_nothing_said_is_a_text_to_begin_with():
    assert all(Said(name).text() == "" for name in LANGUAGES)


def test_a_language_that_nobody_speaks_has_no_streams():
    with pytest.raises(LookupError):
        sent_stream("klingon")


# -- what cannot be gone on with -------------------------------------------------------------------------------------


def event(**fields: object) -> bytes:
    name = f"event: {fields['type']}\n" if "type" in fields else ""
    return f"{name}data: {json.dumps(fields)}\n\n".encode()


def chunk(**delta: object) -> bytes:
    return event(id="c", created=1, model="m", choices=[{"index": 0, "delta": delta, "finish_reason": None}])


def created(identity: str) -> bytes:
    return event(type="response.created", sequence_number=0, response={"id": identity, "model": "m"})


BEGUN = event(type="message_start", message={"id": "msg", "content": [], "usage": {}})
OPENED = event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
GROWN = event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "a"})
STOPPED = event(type="content_block_stop", index=0)
TEXT = event(type="response.output_text.delta", sequence_number=3, delta="a", output_index=0)

STREAMS = [
    ("openai", chunk(role="assistant", content="a"), "a"),
    ("openai", b": comment\n\n" + chunk(content="a") + chunk(content="b"), "ab"),
    ("openai", event(id="", choices=[]) + chunk(content="a"), "a"),
    ("openai", chunk(content="a") + chunk(refusal="no"), None),
    ("openai", chunk(content="a") + chunk(audio={"transcript": "b", "data": ""}), "ab"),
    ("openai", chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]), None),
    ("openai", chunk(content="\ud800"), "\ufffd"),
    ("openai", chunk(content="a") + event(choices=[{"delta": {}, "finish_reason": "stop"}]), None),
    ("openai", chunk(content="a") + event(error={"message": "no"}), None),
    ("anthropic", BEGUN + OPENED + GROWN, "a"),
    ("anthropic", BEGUN + OPENED + GROWN + STOPPED, "a"),
    ("anthropic", BEGUN + OPENED + GROWN + STOPPED + OPENED.replace(b'"index": 0', b'"index": 1'), "a"),
    ("anthropic", BEGUN + OPENED + GROWN + OPENED.replace(b'"index": 0', b'"index": 1'), None),
    ("anthropic", BEGUN + OPENED.replace(b'"text"', b'"thinking"', 1), None),
    ("anthropic", BEGUN + OPENED.replace(b'"type": "text"', b'"type": "server_tool_use"'), None),
    ("anthropic", BEGUN + OPENED + GROWN + event(type="message_delta", delta={"stop_reason": "end_turn"}), None),
    ("responses", created("resp_hoosh_r1") + TEXT, "a"),
    ("responses", created("resp_theirs") + TEXT, None),
    ("responses", created("resp_hoosh_r1"), None),
    ("responses", created("resp_hoosh_r1") + TEXT + event(type="response.output_text.done", sequence_number=4), None),
    ("responses", created("resp_hoosh_r1") + b"data: [1]\n\n", None),
]


@pytest.mark.parametrize(("name", "sent", "text"), STREAMS)
def test_only_a_text_in_the_making_is_gone_on_with(name: str, sent: bytes, text: str | None):
    said = Said(name)
    said.keep(sent)
    assert said.text() == text


def test_what_is_read_leanly_says_the_same_as_what_is_read_closely():
    texts = ["a", "", "\n\ndata: {}", '"]}', "سلام", "🦉", "b"]
    whole = b"".join([chunk(role="assistant", content=""), *(chunk(content=text) for text in texts)])
    odd = {"index": 1, "delta": {"content": "x"}, "finish_reason": None}
    more = [
        chunk(content="c"),
        chunk(content="d", name="n"),
        event(choices=[odd]),
        b": comment\n\n",
        chunk(content=None),
    ]
    for sent in (whole, whole + b"".join(more)):
        closely, leanly = Said("openai"), Said("openai")
        closely.keep(sent)
        for one in events_in(sent):
            leanly.keep(one)
            assert leanly.text() is not None
        assert closely.text() == leanly.text() == "".join(texts) + ("cd" if sent != whole else "")
