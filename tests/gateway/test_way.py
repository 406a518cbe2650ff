"""How a call travels: which headers go along, what is limited, and what is asked again in other words."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from gateway_house import house_with

from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.testing.house import ONE_TRY, MemoryHouse
from hoosh.testing.upstream import Body, End, FakeUpstream, Head, Received, error_reply, json_reply
from hoosh.values.secret import Secret

ANTHROPIC = Provider(
    type="anthropic", name="up", base_url="http://mock:80/v1", api_key=Secret("sk-up"), max_tokens_limit=64
)
OPENAI = Provider(type="openai", name="up", base_url="http://mock:80", api_key=Secret("sk-up"))
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Salam"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Salam"}, "finish_reason": "stop"}
ASKED: dict[str, Any] = {"model": "claude", "max_tokens": 999, "messages": [{"role": "user", "content": "Salam"}]}


def house_of(provider: Provider, upstream: FakeUpstream) -> AbstractAsyncContextManager[MemoryHouse]:
    discovery = Discovery(local=False, environment=False)
    return house_with(
        upstream, Config(providers=(provider,), discovery=discovery, logging=Logging(level="error"), **ONE_TRY)
    )


async def test_a_languages_own_headers_go_to_an_upstream_that_speaks_it(autojump_clock: object):
    upstream = FakeUpstream(json_reply(MESSAGE))
    sent = ((b"anthropic-version", b"2024-01-01"), (b"anthropic-beta", b"one,two"), (b"cookie", b"no"))
    async with house_of(ANTHROPIC, upstream) as house:
        await house.post("/v1/messages", ASKED, headers=sent)
        await house.post("/v1/messages", ASKED)
    passed, default = (request.headers for request in upstream.requests)
    assert passed.all(b"anthropic-version") == [b"2024-01-01"]
    assert passed.get(b"anthropic-beta") == b"one,two"
    assert passed.get(b"cookie") is None
    assert passed.get(b"x-api-key") == b"sk-up"
    assert default.all(b"anthropic-version") == [b"2023-06-01"]


async def test_they_do_not_go_to_any_other(autojump_clock: object):
    upstream = FakeUpstream(json_reply({"choices": [CHOICE]}))
    async with house_of(OPENAI, upstream) as house:
        status, _, _ = await house.post("/v1/messages", ASKED, headers=((b"anthropic-beta", b"one"),))
    assert status == 200
    assert upstream.requests[0].headers.get(b"anthropic-beta") is None


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_limit_of_tokens_holds_in_every_language(path: str, autojump_clock: object):
    upstream = FakeUpstream(json_reply(MESSAGE))
    async with house_of(ANTHROPIC, upstream) as house:
        status, _, _ = await house.post(path, ASKED)
    assert status == 200
    assert json.loads(upstream.requests[0].body)["max_tokens"] == 64


async def test_a_count_of_the_prompt_is_not_limited(autojump_clock: object):
    upstream = FakeUpstream(json_reply({"input_tokens": 5}))
    body = {name: value for name, value in ASKED.items() if name != "max_tokens"}
    async with house_of(ANTHROPIC, upstream) as house:
        _, _, answer = await house.post("/v1/messages/count_tokens", body)
    assert json.loads(answer) == {"input_tokens": 5}
    assert "max_tokens" not in json.loads(upstream.requests[0].body)


async def test_an_upstream_without_the_responses_api_is_asked_in_chat_from_then_on(autojump_clock: object):

    def answer(request: Received) -> list[Any]:
        if request.target == "/v1/chat/completions":
            return json_reply({"id": "c", "model": "m", "choices": [CHOICE]})
        return error_reply(404, "no such path")

    upstream = FakeUpstream(answer)
    async with house_of(OPENAI, upstream) as house:
        for _ in range(2):
            status, _, body = await house.post("/v1/responses", {"model": "gpt-5", "input": "Salam"})
            assert status == 200, body
    asked = [request.target for request in upstream.requests if request.method == "POST"]
    assert asked == ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]


async def test_a_model_that_is_not_there_is_no_missing_path(autojump_clock: object):
    upstream = FakeUpstream(error_reply(404, "no such model", code="model_not_found"))
    async with house_of(OPENAI, upstream) as house:
        status, _, body = await house.post("/v1/responses", {"model": "gpt-5", "input": "Salam"})
    assert status == 404
    assert json.loads(body)["error"]["code"] == "model_not_found"
    assert len(upstream.requests) == 1


async def test_an_engine_that_is_let_go_meanwhile_is_still_asked_again(autojump_clock: object):
    def answer(request: Received) -> list[Any]:
        if request.target == "/v1/chat/completions":
            return json_reply({"id": "c", "model": "m", "choices": [CHOICE]})
        house.gateway.fleet.leave("up")
        return error_reply(404, "no such path")

    async with house_of(OPENAI, FakeUpstream(answer)) as house:
        status, _, body = await house.post("/v1/responses", {"model": "gpt-5", "input": "Salam"})
        assert status == 200, body


async def test_a_dialect_that_stumbles_over_an_error_keeps_no_connection(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
):
    def stumble(*_: object, **__: object) -> Any:
        raise KeyError("a bug in a plugin")

    endless = [Head(500, [(b"transfer-encoding", b"chunked")]), Body(b"no"), End()]
    async with house_of(OPENAI, FakeUpstream(endless)) as house:
        upstream = house.gateway.fleet["up"]
        monkeypatch.setattr(type(upstream.dialect), "decode_error", stumble)
        status, _, _ = await house.post("/v1/chat/completions", ASKED)
        pool = upstream.statistics()
    assert status == 500
    assert pool is not None
    assert pool.active == 0


async def test_a_model_that_is_not_there_in_either_language_says_nothing_of_the_path(autojump_clock: object):
    """vLLM and others give no code that would tell the one 404 from the other."""
    there = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": []}

    def answer(request: Received) -> list[Any]:
        if json.loads(request.body)["model"] == "gpt-5-not-there":
            return error_reply(404, "The model does not exist.")
        return json_reply(there)

    upstream = FakeUpstream(answer)
    async with house_of(OPENAI, upstream) as house:
        for model, expected in (("gpt-5-not-there", 404), ("gpt-5", 200)):
            status, _, body = await house.post("/v1/responses", {"model": model, "input": "Salam"})
            assert status == expected, body
    assert [request.target for request in upstream.requests] == [
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/responses",
    ]


@pytest.mark.parametrize(("model", "effort"), [("gpt-5", "high"), ("gpt-4o", None)])
async def test_a_model_that_cannot_think_is_not_told_how_hard_it_may(
    model: str, effort: str | None, autojump_clock: object
):
    upstream = FakeUpstream(json_reply({"choices": [CHOICE]}))
    wish = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}  # as Claude Code asks everybody
    async with house_of(OPENAI, upstream) as house:
        status, _, body = await house.post("/v1/messages", {**ASKED, "model": model, **wish})
    assert status == 200, body
    assert json.loads(upstream.requests[0].body).get("reasoning_effort") == effort


async def test_a_prompt_is_still_counted_for_an_upstream_that_turned_out_to_lack_the_responses_api(
    autojump_clock: object,
):
    def answer(request: Received) -> list[Any]:
        if request.target == "/v1/chat/completions":
            return json_reply({"id": "c", "model": "m", "choices": [CHOICE]})
        return error_reply(404, "no such path")

    asked = {"model": "gpt-5", "input": "Salam"}
    async with house_of(OPENAI, FakeUpstream(answer)) as house:
        assert (await house.post("/v1/responses", asked))[0] == 200
        status, headers, body = await house.post("/v1/responses/input_tokens", asked)
    assert status == 200, body
    assert headers.get(b"x-hoosh-estimated") == b"true"
    assert json.loads(body)["input_tokens"] > 0
