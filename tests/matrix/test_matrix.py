"""Every client's language × every upstream's × everything that can happen, streamed and whole, through the whole house.

The upstreams' bytes are in `upstream_forms.py`, what clients send and read in `client_forms.py`; each cell asks, and
compares what the client has understood with what the upstream has said.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from client_forms import CLIENTS, PNG, Seen, Wish
from upstream_forms import CALLS, PROMPT_TOKENS, REPLY_TOKENS, TEXT, THOUGHT, UPSTREAMS, Answer, Forms

from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.errors import ConnectionBroke
from hoosh.testing.house import ONE_TRY, memory_house
from hoosh.testing.upstream import Body, End, FakeUpstream, Head, Pause, Received, Script, Step
from hoosh.values.secret import Secret

SCENARIOS: dict[str, tuple[Wish, Answer]] = {
    "text": (Wish(), Answer()),
    "one tool": (Wish(tools=True), Answer(text=(), calls=CALLS[:1])),
    "parallel tools after text": (Wish(tools=True), Answer(calls=CALLS)),
    "vision": (Wish(image=True), Answer()),
    "reasoning": (Wish(thinks=True), Answer(thought=THOUGHT)),
    "reasoning and tools": (Wish(thinks=True, tools=True), Answer(text=(), thought=THOUGHT, calls=CALLS)),
    "length": (Wish(), Answer(finish="length")),
}
PAIRS = [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS]


def config_for(forms: Forms) -> Config:
    provider = Provider(type=forms.type, name="up", base_url="http://up:80", api_key=Secret("sk-test"))
    return Config(
        providers=(provider,),
        discovery=Discovery(local=False, environment=False),
        logging=Logging(level="error"),
        **ONE_TRY,
    )


def passes_responses(request: Received) -> bool:
    return request.target.startswith("/v1/responses")


def play(forms: Forms, answer: Answer) -> Script:
    """The upstream's answer, streamed or whole as it was asked for."""

    def script(request: Received) -> list[Any]:
        if passes_responses(request):  # this one here knows chat alone
            return [Head(404, [(b"content-type", b"application/json")]), Body(b'{"error":"no such path"}'), End()]
        streamed = ":streamGenerateContent" in request.target or json.loads(request.body).get("stream") is True
        if streamed:
            said, last = split_last(forms.stream(answer)) if answer.fails else (forms.stream(answer), b"")
            return [Head(200, [(b"content-type", forms.stream_type)]), Body(said), Pause(1), *after(last), End()]
        if answer.fails:
            status, body = forms.error()
            headers = [(b"content-type", b"application/json"), (b"retry-after", b"7")]
            return [Head(status, headers), Body(json.dumps(body).encode()), End()]
        whole = json.dumps(forms.whole(answer)).encode()
        return [Head(200, [(b"content-type", b"application/json")]), Body(whole), End()]

    return script


def split_last(stream: bytes) -> tuple[bytes, bytes]:
    """A stream before its last event, and that."""
    text = stream.rstrip(b"\r\n")
    at = max(text.rfind(end) + len(end) for end in (b"\n\n", b"\r\n\r\n", b"}\n") if end in text)
    return stream[:at], stream[at:]


def after(last: bytes) -> list[Step]:
    return [Body(last)] if last else []


async def ask(client: str, forms: Forms, wish: Wish, answer: Answer) -> tuple[int, Any, bytes, FakeUpstream]:
    """Status, headers, body as the client got them (a broken stream: what of it had come)."""
    upstream = FakeUpstream(play(forms, answer))
    spoken = CLIENTS[client]
    got = b""
    async with memory_house(config_for(forms)) as house:
        house.network.listen("up:80", upstream.serve_wire)
        async with house.exchange(spoken.path, spoken.ask(forms.model, wish)) as response:
            try:
                while data := await response.receive():
                    got += data
            except ConnectionBroke:
                pass
            return response.status, response.headers, got, upstream


def expected(answer: Answer) -> Seen:
    return Seen(
        text="".join(answer.text),
        thought="".join(answer.thought),
        calls=list(answer.calls),
        finish="tool_calls" if answer.calls else answer.finish,
        tokens=(PROMPT_TOKENS, REPLY_TOKENS),
        is_ended=True,
    )


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_the_client_understands_what_the_upstream_has_said(
    client: str, upstream: str, scenario: str, streamed: bool, autojump_clock: object
):
    forms, spoken = UPSTREAMS[upstream], CLIENTS[client]
    wish, answer = SCENARIOS[scenario]
    wish = Wish(streamed, wish.tools, wish.image, wish.thinks)
    status, _, body, asked = await ask(client, forms, wish, answer)
    assert status == 200, body
    seen = spoken.read_stream(body) if streamed else spoken.read(json.loads(body))
    ids, seen.ids = seen.ids, []
    assert seen == expected(answer)
    if (client, upstream) != ("ollama", "ollama"):  # where there are no ids, none are made up
        assert len(ids) == len(set(ids)) == len(answer.calls)

    sent = json.loads(asked.requests[-1].body)
    assert forms.tools_asked(sent) == (["weather", "time"] if wish.tools else [])
    assert forms.images_asked(sent) == ([PNG] if wish.image else [])
    if upstream != "mistral":  # it always does
        assert forms.thinks(sent) is wish.thinks


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_an_error_before_the_reply_has_the_clients_shape(client: str, upstream: str, autojump_clock: object):
    forms, spoken = UPSTREAMS[upstream], CLIENTS[client]
    status, headers, body, _ = await ask(client, forms, Wish(), Answer(fails=True))
    assert status == 429
    assert headers.get(b"retry-after") == b"7"
    assert "slow down" in spoken.read_error(json.loads(body))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_an_error_in_the_stream_is_told_and_the_stream_is_never_whole(
    client: str, upstream: str, autojump_clock: object
):
    status, _, body, _ = await ask(client, UPSTREAMS[upstream], Wish(stream=True), Answer(fails=True))
    seen = CLIENTS[client].read_stream(body)
    assert status == 200
    assert seen.text == TEXT[0]
    assert seen.error is not None
    assert "it broke" in seen.error
    assert not seen.is_ended


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_stream_that_is_cut_is_never_whole(client: str, upstream: str, autojump_clock: object):
    status, _, body, _ = await ask(client, UPSTREAMS[upstream], Wish(stream=True), Answer(cut=True))
    seen = CLIENTS[client].read_stream(body)
    assert status == 200
    assert seen.text == TEXT[0]
    assert seen.error is not None
    assert not seen.is_ended
