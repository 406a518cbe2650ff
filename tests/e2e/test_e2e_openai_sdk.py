"""OpenAI's own SDK, through a gateway in a process of its own, to a real server and to `echo`.

Every test is told twice where it can be: with the synchronous client and with AsyncOpenAI under Trio.
"""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
import trio
from e2e_house import (
    CLIENT_KEY,
    LIMITED_KEY,
    PATIENCE_S,
    POLL_S,
    Gateway,
    OpenAIServer,
    config_text,
    free_port,
    wait_until,
)
from openai import AsyncOpenAI, OpenAI

SALAM: Any = [{"role": "user", "content": "salam donya"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "shout",
        "description": "Say it loud.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}
SAID = {"echo": "salam donya", "tiny-chat": "you said: salam donya", "org/tiny-chat": "you said: salam donya",
        "tiny/tiny-chat": "you said: salam donya", "best": "you said: salam donya"}  # fmt: skip
"""What each model answers to SALAM; `best` is an alias, `tiny/…` names the provider."""

# The SDK leaves the generators beneath a stream unfinished; Trio says so when they are collected.
pytestmark = pytest.mark.filterwarnings(r"ignore:Async generator .(openai|httpx|httpcore):ResourceWarning")

each_model = pytest.mark.parametrize("model", SAID)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
async def async_client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield client
    gc.collect()


async def until_cancelled(upstream: OpenAIServer, model: str, before: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while upstream.cancelled(model) == before:
            await trio.sleep(POLL_S)


# -- chat ----------------------------------------------------------------------------------------------------------


@each_model
def test_a_chat_is_answered(client: OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=SALAM)
    assert reply.choices[0].message.content == SAID[model]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


@each_model
def test_a_streamed_chat_arrives_in_pieces_and_shows_no_usage_that_was_not_asked_for(
    client: OpenAI, model: str
) -> None:
    stream = client.chat.completions.create(model=model, messages=SALAM, stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == SAID[model]
    assert len(chunks) > 3
    assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
    assert all(c.usage is None for c in chunks)


@each_model
def test_a_streamed_chat_shows_usage_that_was_asked_for(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=SALAM, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0
    assert all(c.usage is None for c in chunks)


async def test_chats_streams_and_usage_work_asynchronously_under_trio(async_client: AsyncOpenAI) -> None:
    reply = await async_client.chat.completions.create(model="tiny-chat", messages=SALAM)
    assert reply.choices[0].message.content == "you said: salam donya"
    stream = await async_client.chat.completions.create(
        model="tiny-chat", messages=SALAM, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "you said: salam donya"
    assert last.usage is not None


async def test_twenty_asynchronous_streams_at_once_do_not_mix(async_client: AsyncOpenAI) -> None:
    said: dict[int, str] = {}

    async def one(number: int) -> None:
        messages = [{"role": "user", "content": f"number {number} speaking"}]
        stream = await async_client.chat.completions.create(
            model="tiny-chat" if number % 2 else "echo", messages=messages, stream=True
        )
        said[number] = "".join([c.choices[0].delta.content or "" async for c in stream])

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number)
    for number in range(20):
        assert said[number].endswith(f"number {number} speaking")


def test_several_choices_stay_apart(client: OpenAI) -> None:
    assert len(client.chat.completions.create(model="tiny-chat", messages=SALAM, n=3).choices) == 3
    said = {0: "", 1: "", 2: ""}
    for chunk in client.chat.completions.create(model="tiny-chat", messages=SALAM, n=3, stream=True):
        said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert set(said.values()) == {"you said: salam donya"}


def test_fields_the_gateway_does_not_know_reach_the_upstream(client: OpenAI, upstream: OpenAIServer) -> None:
    client.chat.completions.create(
        model="best", messages=SALAM, temperature=0.25, seed=7, extra_body={"min_p": 0.125, "nested": {"a": [1, None]}}
    )
    body = upstream.stats()["last"]["body"]
    assert (body["temperature"], body["seed"], body["min_p"], body["nested"]) == (0.25, 7, 0.125, {"a": [1, None]})
    assert body["model"] == "tiny-chat"


def test_headers_of_the_client_stay_in_the_house_but_for_the_traceparent(
    client: OpenAI, upstream: OpenAIServer
) -> None:
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-private": "1"}
    client.chat.completions.create(model="tiny-chat", messages=SALAM, extra_headers=headers)
    seen = upstream.stats()["last"]["headers"]
    assert "traceparent" in seen
    assert not {"x-private", "x-stainless-lang", "openai-organization"} & set(seen)


# -- tools ---------------------------------------------------------------------------------------------------------


def test_a_tool_call_goes_out_and_its_result_comes_back(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="tool-user", messages=SALAM, tools=[TOOL])
    message = reply.choices[0].message
    assert reply.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    (call,) = message.tool_calls or ()
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"text": "salam donya"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "SALAM DONYA"}
    final = client.chat.completions.create(
        model="tool-user", messages=[*SALAM, message.model_dump(exclude_none=True), result], tools=[TOOL]
    )
    assert final.choices[0].message.content == "you said: SALAM DONYA"


def test_a_streamed_tool_call_is_put_together_by_the_sdk(client: OpenAI) -> None:
    with client.chat.completions.stream(model="tool-user", messages=SALAM, tools=[TOOL]) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or ()
    assert call.function.name == "shout"
    assert json.loads(call.function.arguments) == {"text": "salam donya"}


# -- completions, embeddings, models -------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "text"), [("echo", "once upon"), ("tiny-complete", "once upon and so on")])
def test_completions_are_answered_whole_and_as_a_stream(client: OpenAI, model: str, text: str) -> None:
    assert client.completions.create(model=model, prompt="once upon").choices[0].text == text
    stream = client.completions.create(model=model, prompt="once upon", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream).strip() == text


def test_embeddings_come_as_numbers_whether_they_travel_as_base64_or_not(client: OpenAI) -> None:
    texts = ["salam donya", "one"]
    packed = client.embeddings.create(model="tiny-embed", input=texts)  # the SDK asks for base64, unasked
    plain = client.embeddings.create(model="tiny-embed", input=texts, encoding_format="float")
    expected = [[11.0, 2.0, 0.5, -0.25], [3.0, 1.0, 0.5, -0.25]]
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data] == expected
    assert packed.usage.total_tokens == 3


async def test_embeddings_of_echo_are_unit_vectors_asynchronously_too(async_client: AsyncOpenAI) -> None:
    reply = await async_client.embeddings.create(model="echo", input="salam", dimensions=16)
    assert len(reply.data[0].embedding) == 16
    assert sum(x * x for x in reply.data[0].embedding) == pytest.approx(1.0, abs=1e-5)


def test_models_are_listed_and_each_can_be_asked_for_by_its_id(client: OpenAI) -> None:
    owners = {model.id: model.owned_by for model in client.models.list()}
    assert owners["echo"] == owners["best"] == "hoosh"
    assert owners["tiny-chat"] == owners["org/tiny-chat"] == "tiny"
    assert client.models.retrieve("echo").id == "echo"
    assert client.models.retrieve("org/tiny-chat").id == "org/tiny-chat"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no/such")
    assert caught.value.code == "model_not_found"


async def test_models_are_listed_asynchronously(async_client: AsyncOpenAI) -> None:
    assert "tiny-chat" in [model.id async for model in async_client.models.list()]
    assert (await async_client.models.retrieve("org/tiny-chat")).owned_by == "tiny"


def test_a_key_for_one_model_sees_and_uses_only_that(gateway: Gateway) -> None:
    with OpenAI(base_url=gateway.base_url, api_key=LIMITED_KEY, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["echo"]
        assert client.chat.completions.create(model="echo", messages=SALAM).choices[0].message.content == "salam donya"
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="tiny-chat", messages=SALAM)


# -- errors --------------------------------------------------------------------------------------------------------

REFUSED = [
    ("no-such-model", openai.NotFoundError, 404, "model_not_found"),
    ("fail-400", openai.BadRequestError, 400, "context_length_exceeded"),
    ("fail-401", openai.InternalServerError, 502, "upstream_refused"),
    ("fail-404", openai.NotFoundError, 404, "model_not_found"),
    ("fail-422", openai.UnprocessableEntityError, 422, None),
    ("fail-429", openai.RateLimitError, 429, "rate_limit_exceeded"),
    ("fail-500", openai.InternalServerError, 502, None),
    ("fail-503", openai.InternalServerError, 503, None),
    ("resets", openai.InternalServerError, 502, None),
    ("cuts", openai.InternalServerError, 502, None),
]


BEFORE_A_STREAM = [(*row, True) for row in REFUSED if row[0] not in ("resets", "cuts")]
"""Those two fail in the middle of a stream: see below."""


@pytest.mark.parametrize(
    ("model", "kind", "status", "code", "stream"), [*((*row, False) for row in REFUSED), *BEFORE_A_STREAM]
)
def test_each_failure_is_the_sdk_exception_its_user_expects(
    client: OpenAI, model: str, kind: type[openai.APIStatusError], status: int, code: str | None, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=SALAM, stream=stream)
    error = caught.value
    assert (error.status_code, error.response.headers["content-type"]) == (status, "application/json")
    assert error.request_id
    assert isinstance(error.body, dict)
    assert error.body.keys() == {"message", "type", "param", "code"}
    if code is not None:
        assert error.code == code


async def test_failures_are_the_same_exceptions_asynchronously(async_client: AsyncOpenAI) -> None:
    for model, kind, status, _ in REFUSED:
        with pytest.raises(kind) as caught:
            await async_client.chat.completions.create(model=model, messages=SALAM)
        assert caught.value.status_code == status


def test_a_refusal_of_the_upstream_keeps_its_message_and_param(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="fail-400", messages=SALAM)
    assert caught.value.param == "messages"
    assert "This model's context is 8 tokens." in caught.value.message


def test_a_rate_limit_says_when_to_come_back(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="fail-429", messages=SALAM)
    # Of the upstream's own 7 seconds what is left: it is not asked again before.
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 7


def test_a_wrong_key_is_an_authentication_error(gateway: Gateway) -> None:
    with (
        OpenAI(base_url=gateway.base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="echo", messages=SALAM)
    assert caught.value.status_code == 401
    assert "sk-wrong" not in caught.value.message
    with (
        OpenAI(base_url=gateway.base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_a_request_that_is_not_one_is_a_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="echo", messages="salam")  # type: ignore[arg-type]
    assert caught.value.param == "messages"


@pytest.mark.parametrize("model", ["cuts", "resets", "breaks"])
def test_a_stream_that_breaks_raises_in_the_middle_and_is_never_taken_for_whole(
    client: OpenAI, upstream: OpenAIServer, model: str
) -> None:
    said: list[str] = []

    def read(stream: openai.Stream[Any]) -> None:
        for chunk in stream:
            said.append(chunk.choices[0].delta.content or "")
            if said[-1] == " said:":
                upstream.go()

    with (
        client.chat.completions.create(model=model, messages=SALAM, stream=True) as stream,
        pytest.raises(openai.APIError) as caught,
    ):
        read(stream)
    assert "".join(said) == "you said:"
    if model == "breaks":
        assert "The engine died." in str(caught.value)
        assert caught.value.code == "engine_died"


async def test_a_stream_that_breaks_raises_asynchronously(async_client: AsyncOpenAI, upstream: OpenAIServer) -> None:
    stream = await async_client.chat.completions.create(model="cuts", messages=SALAM, stream=True)

    async def read() -> None:
        async for chunk in stream:
            if chunk.choices[0].delta.content == " said:":
                upstream.go()

    with pytest.raises(openai.APIError):
        await read()


def test_a_stream_without_its_terminator_is_completed(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="no-done", messages=SALAM, stream=True
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_an_upstream_that_is_not_there_is_a_bad_gateway(start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    gateway = start_gateway(config_text(f"http://127.0.0.1:{free_port()}", port), port=port)
    with (
        OpenAI(base_url=gateway.base_url, api_key=CLIENT_KEY, max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model="tiny-chat", messages=SALAM)
    assert caught.value.status_code == 502


def test_every_answer_has_a_request_id_of_its_own_and_says_who_answered(client: OpenAI, gateway: Gateway) -> None:
    ids = set()
    for model in ("echo", "best"):
        raw = client.chat.completions.with_raw_response.create(model=model, messages=SALAM)
        assert raw.headers["x-request-id"] == raw.request_id == raw.parse()._request_id
        ids.add(raw.request_id)
    assert (raw.headers["x-hoosh-provider"], raw.headers["x-hoosh-model"]) == ("tiny", "tiny-chat")
    assert raw.headers["x-hoosh-attempts"] == "1"
    ids.add(client.models.with_raw_response.list().headers["x-request-id"])
    assert len(ids) == 3
    for request_id in ids:
        wait_until(lambda text=f'"{request_id}"': text in gateway.stderr, "the request is in the log")


# -- leaving early -------------------------------------------------------------------------------------------------


def test_closing_a_stream_stops_the_upstream_while_it_still_has_more_to_say(
    client: OpenAI, upstream: OpenAIServer
) -> None:
    before = upstream.cancelled("waits")
    stream = client.chat.completions.create(model="waits", messages=SALAM, stream=True)
    assert next(iter(stream)).choices
    assert upstream.cancelled("waits") == before
    stream.close()  # the upstream stands in the middle of its stream until somebody says /go; nobody does
    wait_until(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


def test_leaving_the_context_of_a_stream_stops_the_upstream(client: OpenAI, upstream: OpenAIServer) -> None:
    before = upstream.cancelled("waits")
    with client.chat.completions.create(model="waits", messages=SALAM, stream=True) as stream:
        next(iter(stream))
    wait_until(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


async def test_cancelling_the_task_that_reads_stops_the_upstream(
    async_client: AsyncOpenAI, upstream: OpenAIServer
) -> None:
    before = upstream.cancelled("waits")
    with trio.CancelScope() as scope:
        async with await async_client.chat.completions.create(model="waits", messages=SALAM, stream=True) as stream:
            async for _ in stream:
                scope.cancel()
    await until_cancelled(upstream, "waits", before)


@pytest.mark.parametrize("model", ["waits", "waits-for-head"])
async def test_cancelling_a_request_that_is_not_streamed_stops_the_upstream(
    async_client: AsyncOpenAI, upstream: OpenAIServer, model: str
) -> None:
    before, asked = upstream.cancelled(model), upstream.seen(model)
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            await async_client.chat.completions.create(model=model, messages=SALAM)

        nursery.start_soon(ask)
        with trio.fail_after(PATIENCE_S):
            while upstream.seen(model) == asked:
                await trio.sleep(POLL_S)
        nursery.cancel_scope.cancel()
    await until_cancelled(upstream, model, before)


def test_a_stream_read_to_its_end_is_no_cancellation(client: OpenAI, upstream: OpenAIServer) -> None:
    before = upstream.stats()["cancelled"].get("tiny-chat", 0)
    for _ in range(5):
        list(client.chat.completions.create(model="tiny-chat", messages=SALAM, stream=True))
    assert upstream.stats()["cancelled"].get("tiny-chat", 0) == before
