"""Every client's language × every upstream's, ended early after each line that the upstream has sent.

What a client then has must read as a whole stream that came to the limit of its tokens, with everything so far in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from client_forms import CLIENTS, Seen, Wish
from msgspec.structs import replace
from upstream_forms import CALLS, THOUGHT, UPSTREAMS, Answer, Forms

from hoosh.dialects.anthropic import AnthropicDownstream
from hoosh.dialects.contract import DownstreamDialect, Stamp, StreamTap
from hoosh.dialects.ollama import OllamaDownstream
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import upstream_dialect
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.translation import Translation
from hoosh.values import CallKind, Usage

STAMP = Stamp("r1", "m", 1_700_000_000)
PRICED = replace(STAMP, cost_of=lambda usage: usage.total_tokens)
DOWNSTREAMS: dict[str, DownstreamDialect] = {
    "chat": OpenAIDownstream(),
    "responses": ResponsesDownstream(),
    "messages": AnthropicDownstream(),
    "ollama": OllamaDownstream(),
}
ANSWERS = {
    "text": Answer(),
    "tools after text": Answer(calls=CALLS),
    "thought, text, tools": Answer(thought=THOUGHT, calls=CALLS),
}
SPENT = Usage(9, 5)
ENDS = ('"finish_reason": "', '"stop_reason": "', '"finishReason"', '"done": true')
"""How an upstream says that its answer is over."""

in_every_pair = pytest.mark.parametrize(
    ("client", "upstream"), [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS]
)


def tap_of(client: str, forms: Forms, stamp: Stamp = STAMP) -> StreamTap:
    """What the house would put between the two."""
    downstream, upstream = DOWNSTREAMS[client], upstream_dialect(forms.type)
    body = CLIENTS[client].ask(forms.model, Wish(stream=True, tools=True, thinks=True))
    call = downstream.read(CallKind.CHAT, json.dumps(body).encode())
    way = (None if client == "responses" else upstream.passage(call)) or Translation(downstream, upstream)
    return way.tap(call, stamp, provider="p")


def ended_after(client: str, forms: Forms, answer: Answer, stamp: Stamp = STAMP) -> Iterator[tuple[str, bytes, bytes]]:
    """(what the upstream has sent, what the client has got of it, the end), for each number of lines."""
    lines = forms.stream(answer).splitlines(keepends=True)
    for count in range(len(lines) + 1):
        tap = tap_of(client, forms, stamp)
        got = b"".join([tap.feed(line) for line in lines[:count]])
        if tap.terminated:
            return
        rest = tap.finish_early(SPENT)
        assert rest is not None
        yield b"".join(lines[:count]).decode(), got, rest + DOWNSTREAMS[client].terminator


def so_far(client: str, got: bytes) -> Seen:
    return CLIENTS[client].read_stream(got) if got else Seen()


@in_every_pair
@pytest.mark.parametrize("said", ANSWERS)
def test_a_stream_ended_early_is_whole_and_has_come_to_its_limit(client: str, upstream: str, said: str):
    answer = ANSWERS[said]
    for sent, got, rest in ended_after(client, UPSTREAMS[upstream], answer):
        seen, before = CLIENTS[client].read_stream(got + rest), so_far(client, got)
        assert (seen.is_ended, seen.error) == (True, None)
        if not any(end in sent for end in ENDS):
            assert seen.finish == "length" or (client == "ollama" and seen.calls)
            assert seen.tokens == (9, 5)
        assert seen.text.startswith(before.text)
        assert "".join(answer.text).startswith(before.text)
        assert "".join(answer.thought).startswith(seen.thought)
        for (name, arguments), (wanted, whole) in zip(seen.calls, answer.calls, strict=False):
            assert name == wanted
            assert arguments == whole or isinstance(arguments, str) or arguments == {}


@in_every_pair
def test_what_it_cost_is_told_at_an_early_end_too(client: str, upstream: str):
    times = 0 if client == "ollama" else 1
    for sent, got, rest in ended_after(client, UPSTREAMS[upstream], Answer(), PRICED):
        assert (got + rest).count(b'"cost_usd":') == times
        if not any(end in sent for end in ENDS):
            assert rest.count(b'"cost_usd":0.000014') == times


def test_a_call_cut_before_its_first_argument_is_called_by_nobody():
    """Ollama's clients go by the call; the others have a place for arguments that are no JSON, and go by the reason."""
    for sent, got, rest in ended_after("ollama", UPSTREAMS["openai"], Answer(calls=CALLS)):
        events = sent.rpartition("\n\n")[0]
        whole = [end in events for end in ('Rasht\\"}', '"arguments": "{}"')]
        assert CLIENTS["ollama"].read_stream(got + rest).calls == list(CALLS[: sum(whole)])


@in_every_pair
def test_a_stream_that_has_failed_cannot_be_ended(client: str, upstream: str):
    tap = tap_of(client, UPSTREAMS[upstream])
    tap.feed(UPSTREAMS[upstream].stream(Answer(fails=True)))
    assert tap.error is not None
    assert tap.finish_early(SPENT) is None
