"""Whole bodies, of upstreams and of clients: hostile ones are errors of whoever sent them, and nothing crashes.

Made by `hostile.py` out of valid ones; as many as `HOOSH_FRAMES` says for streams, divided by 20.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from client_forms import CLIENTS, Wish
from fuzz_material import COUNTS, EMBEDDINGS, HISTORIES, LISTS, WHOLES
from hostile import Fuzz
from test_fuzz import ANSWERS, CALLS_OF, DOWNSTREAMS, FRAMES, SEED, STAMP, UPSTREAM, WIRES, check_usage, tell
from upstream_forms import UPSTREAMS

from hoosh.dialects.contract import DownstreamDialect, Ending
from hoosh.dialects.ollama import read_show
from hoosh.dialects.replies import unfold
from hoosh.dialects.responses import ResponsesPassage
from hoosh.errors import InvalidRequest, UpstreamError
from hoosh.values import Call, CallKind, ChatReply

BODIES = FRAMES // 20


# -- whole bodies ----------------------------------------------------------------------------------------------------


def whole_bodies(name: str) -> list[Any]:
    forms = UPSTREAMS[name]
    wholes = [forms.whole(answer) for answer in ANSWERS]
    kind = "openai" if name == "mistral" else name
    return [*wholes, *[WHOLES[kind]] * 3, forms.error()[1], EMBEDDINGS.get(kind, {}), *LISTS, *COUNTS]


def only(expected: type[Exception], act: Callable[[], Any]) -> Any:
    try:
        return act()
    except expected:
        return None


@pytest.mark.parametrize("name", UPSTREAM)
def test_hostile_bodies_are_answers_or_upstream_errors(name: str):
    dialect, fuzz, known = UPSTREAM[name], Fuzz(f"{SEED} {name} whole"), whole_bodies(name)
    passages = [(CALLS_OF[client], dialect.passage(CALLS_OF[client])) for client in DOWNSTREAMS]
    for _ in range(BODIES):
        value = fuzz.dice.choice(known)
        body = fuzz.changed(value) if fuzz.dice.random() < 0.7 else fuzz.bytes(fuzz.text(value))
        try:
            reply = only(UpstreamError, partial(dialect.decode_chat, body, provider="p"))
            if reply is not None:
                check_reply(reply)
            only(UpstreamError, partial(dialect.decode_embeddings, body, provider="p"))
            only(UpstreamError, partial(dialect.decode_token_count, body, provider="p"))
            error = dialect.decode_error(fuzz.dice.choice((400, 429, 500)), "soon", body, provider="p")
            assert str(error)
            assert error.retry_after_s is None or error.retry_after_s >= 0
            assert all(card.id and card.owned_by for card in dialect.read_models(body, default_owner="o"))
            if name == "ollama":
                read_show(body)
            for call, passage in passages:
                if passage is not None:
                    for read in (passage.read_reply, passage.as_stream):
                        passed = only(UpstreamError, partial(read, call, body, STAMP, provider="p"))
                        check_usage(passed and passed.usage)
        except Exception as broken:
            raise AssertionError(f"HOOSH_SEED={SEED}, the body {body!r}") from broken


def check_reply(reply: ChatReply) -> None:
    check_usage(reply.usage)
    tell(list(unfold(reply)), Ending.COMPLETE)


def test_hostile_responses_are_passed_on_or_upstream_errors():
    fuzz, passage, call = Fuzz(f"{SEED} responses"), ResponsesPassage(), CALLS_OF["responses"]
    ends = [json.loads(WIRES["responses"].streams[at][-1].partition(b"data: ")[2])["response"] for at in range(3)]
    ends.append(WHOLES["responses"])
    for _ in range(BODIES):
        value = fuzz.dice.choice(ends)
        body = fuzz.changed(value) if fuzz.dice.random() < 0.7 else fuzz.bytes(fuzz.text(value))
        for read in (passage.read_reply, passage.as_stream):
            try:
                reply = only(UpstreamError, partial(read, call, body, STAMP, provider="p"))
                check_usage(reply and reply.usage)
            except Exception as broken:
                raise AssertionError(f"HOOSH_SEED={SEED}, the body {body!r}") from broken


# -- what clients send -----------------------------------------------------------------------------------------------

MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-3-flash", "ollama": "llama3"}


def asked(client: str) -> list[dict[str, Any]]:
    wishes = (Wish(), Wish(tools=True, thinks=True), Wish(image=True, stream=True))
    return [CLIENTS[client].ask("m", wish) for wish in wishes] + HISTORIES[client]


KINDS = {
    "chat": (CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING),
    "responses": (CallKind.CHAT, CallKind.TOKEN_COUNT),
    "messages": (CallKind.CHAT, CallKind.TOKEN_COUNT),
    "ollama": (CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING),
}


@pytest.mark.parametrize("client", DOWNSTREAMS)
def test_hostile_requests_are_understood_or_refused(client: str):
    downstream, fuzz, known = DOWNSTREAMS[client], Fuzz(f"{SEED} {client} request"), asked(client)
    for _ in range(BODIES):
        value = fuzz.dice.choice(known)
        body = fuzz.changed(value) if fuzz.dice.random() < 0.85 else fuzz.bytes(fuzz.text(value))
        kind = fuzz.dice.choice(KINDS[client])
        try:
            call = only(InvalidRequest, partial(downstream.read, kind, body))
            if call is not None:
                ask(downstream, call)
        except Exception as broken:
            raise AssertionError(f"HOOSH_SEED={SEED}, a {kind} with the body {body!r}") from broken


def ask(downstream: DownstreamDialect, call: Call) -> None:
    limited = only(InvalidRequest, partial(downstream.limit_tokens, call, 10))
    only(InvalidRequest, partial(downstream.immediate, call))
    embedded = only(InvalidRequest, partial(downstream.embedding_request, call))
    request = only(InvalidRequest, partial(downstream.chat_request, limited or call))
    for name, upstream in UPSTREAM.items():
        model = MODELS.get(name, "m")
        if request is not None:
            for encode in (upstream.encode_chat, upstream.encode_token_count):
                outgoing = only(InvalidRequest, partial(encode, request, model=model))
                assert outgoing is None or isinstance(json.loads(outgoing.body), dict)
        if embedded is not None:
            only(InvalidRequest, partial(upstream.encode_embeddings, embedded, model=model))
        passage = upstream.passage(call)
        if passage is not None:
            only(InvalidRequest, partial(passage.outgoing, call, model=model))
