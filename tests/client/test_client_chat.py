"""The client asks a real gateway: whole answers and streams, on Trio, on asyncio, and blocking."""

from __future__ import annotations

import gc
import json

import pytest
from served_house import ADMIN, KEY, House, in_loop

from hoosh.client import (
    HooshClient,
    InferenceRequest,
    Message,
    StreamCut,
    SyncHooshClient,
    ToolChoice,
    ToolDefinition,
    ToolResult,
    errors,
)
from hoosh.errors import ConnectionBroke, TransportTimeout

WEATHER = ToolDefinition("weather", "Of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})


def test_a_chat_is_answered_whole(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            answer = await client.chat("salam", model="m", temperature=0.5, pool="team")
        assert answer.text == "Salam, donya"
        assert (answer.provider, answer.model, answer.finish_reason) == ("mock", "m-1", "stop")
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 5)
        assert answer.request_id.startswith("req_")
        assert (answer.cache, answer.attempts) == ("bypass", 1)
        assert answer.raw["object"] == "chat.completion"

    in_loop(backend, story)


def test_the_blocking_face_says_the_same(house: House):
    with SyncHooshClient(house.url, key=KEY) as client:
        answer = client.chat([Message("system", "be short"), {"role": "user", "content": "salam"}], model="m")
        assert (answer.text, answer.provider, answer.usage.total_tokens) == ("Salam, donya", "mock", 5)
        with client.stream("salam", model="m") as stream:
            assert "".join(map(str, stream)) == "Salam, donya" == stream.text
        with client.stream_complete("salam", model="m") as stream:
            assert stream.rest().text == " donya"
    assert json.loads(house.upstream.requests[-2].body)["stream_options"] == {"include_usage": True}


def test_a_stream_tells_pieces_and_then_all_of_it(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            async with client.stream("salam", model="m") as stream:
                assert stream.request_id.startswith("req_")
                assert stream.provider == "mock"
                pieces = [piece async for piece in stream]
            assert [piece.text for piece in pieces] == ["Salam", ",", " donya", ""]
            assert pieces[-1].finish_reason == stream.finish_reason == "stop"
            assert stream.usage is not None
            assert stream.usage.completion_tokens == 3
            assert stream.is_whole
            async with client.stream("salam", model="m") as stream:
                whole = await stream.rest()
            assert (whole.text, whole.usage.completion_tokens, whole.provider) == ("Salam, donya", 3, "mock")
        gc.collect()  # nothing was left for the collector to end, which Trio would complain about

    in_loop(backend, story)


def test_leaving_a_stream_stops_the_upstream(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            before = house.upstream.cancelled
            async with client.stream("salam", model="slow") as stream:
                async for piece in stream:
                    assert piece.text == "Salam"
                    break
            await house.reach(house.upstream.wait_cancelled, before + 1)
            assert not stream.is_whole
            assert (await client.chat("salam", model="m")).text  # the client goes on
        gc.collect()

    in_loop(backend, story)


def test_a_cancelled_chat_and_a_cancelled_stream_stop_the_upstream(house: House, backend: str):
    import anyio

    async def ask(client: HooshClient) -> None:
        await client.chat("salam", model="slow")

    async def listen(client: HooshClient) -> None:
        async with client.stream("salam", model="slow") as stream:
            async for _ in stream:
                pass

    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            for what in (ask, listen):
                before, asked = house.upstream.cancelled, len(house.upstream.requests)
                async with anyio.create_task_group() as group:
                    group.start_soon(what, client)
                    await house.reach(house.upstream.wait_requests, asked + 1)
                    group.cancel_scope.cancel()
                await house.reach(house.upstream.wait_cancelled, before + 1)
        gc.collect()

    in_loop(backend, story)


def test_leaving_a_blocking_stream_stops_the_upstream(house: House):
    before = house.upstream.cancelled
    with SyncHooshClient(house.url, key=KEY) as client, client.stream("salam", model="slow") as stream:
        assert next(iter(stream)).text == "Salam"
    house.wait(house.upstream.wait_cancelled, before + 1)


def test_a_stream_that_breaks_is_an_error_after_what_came(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            async with client.stream("salam", model="cut") as stream:
                assert (await anext(stream)).text == "Salam"
                with pytest.raises(errors.UpstreamError) as broken:
                    await stream.rest()
            assert broken.value.status == 502
            assert broken.value.request_id == stream.request_id
            assert broken.value.provider == "mock"
            with pytest.raises(RuntimeError):
                _ = stream._telling.response(0.0)

    in_loop(backend, story)


def test_a_deadline_is_told_to_the_gateway_and_kept_here(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY, retries=0) as client:
            before = house.upstream.cancelled
            with pytest.raises((TransportTimeout, errors.RequestTimeout)):
                await client.chat("salam", model="slow", timeout_s=0.2)
            with pytest.raises((TransportTimeout, errors.RequestTimeout)):
                async with client.stream("salam", model="slow", timeout_s=0.2) as stream:
                    await stream.rest()
            await house.reach(house.upstream.wait_cancelled, before + 2)

    in_loop(backend, story)


def test_what_the_gateway_adds_is_an_argument(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            with pytest.raises(errors.NoRoute):
                await client.chat("salam", model="m", provider="nobody")
            with pytest.raises(errors.UnknownPool):
                await client.chat("salam", model="m", pool="nobody")
            with pytest.raises(errors.NotCached):
                await client.chat("salam", model="m", cache="only-if-cached", temperature=0)
            answer = await client.chat("salam", model="m", models=["m2"], priority="low", privacy="local")
            assert answer.text
            with pytest.raises(errors.InvalidRequest) as wrong:
                await client.chat("salam", model="m", extra={"max_tokens": "many"})
            assert wrong.value.param == "max_tokens"

    in_loop(backend, story)


def test_a_misspelt_argument_is_no_wish(house: House):
    with SyncHooshClient(house.url, key=KEY) as client:
        with pytest.raises(TypeError, match="privcy"):
            client.chat("salam", model="m", privcy="local")  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="cache"):
            client.chat("salam", model="m", cache="no-store\r\nx-hoosh-privacy: any")
        with pytest.raises(ValueError, match="timeout_s"):
            client.chat("salam", model="m", timeout_s=0)


def test_tools_go_out_and_calls_come_back(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            request = InferenceRequest(
                model="m", prompt="weather?", system="be short", tools=[WEATHER], tool_choice=ToolChoice(name="weather")
            )
            answer = await client.infer(request, pool="team")
            assert answer.finish_reason == "tool_calls"
            (call,) = answer.tool_calls
            assert (call.id, call.name, call.arguments) == ("call_1", "weather", {"city": "Bakı"})
            said = [Message("user", "weather?"), answer.as_message(), ToolResult(call.id, "rain")]
            assert (await client.chat(said, model="m")).text == "Salam, donya"

    in_loop(backend, story)
    asked = [json.loads(request.body) for request in house.upstream.requests[-2:]]
    assert asked[0]["tools"][0]["function"]["name"] == "weather"
    assert asked[0]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert [message["role"] for message in asked[0]["messages"]] == ["system", "user"]
    assert asked[1]["messages"][1]["tool_calls"][0]["id"] == asked[1]["messages"][2]["tool_call_id"] == "call_1"


def test_completions_embeddings_and_an_inference_stream(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            assert (await client.complete("salam", model="m", max_tokens=3)).text == " donya"
            vectors = await client.embed(["a", "b"], model="m")
            assert vectors.vectors == ((0.5, 0.0), (0.5, 1.0))
            assert vectors.usage.prompt_tokens == 3
            async with client.infer_stream(InferenceRequest(model="m", prompt="salam")) as stream:
                assert (await stream.rest()).text == "Salam, donya"

    in_loop(backend, story)


def test_an_upstreams_verdict_keeps_its_words(house: House):
    with SyncHooshClient(house.url, key=KEY) as client, pytest.raises(errors.InvalidRequest) as refused:
        client.chat("salam", model="sorry")
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")
    assert "maximum context length" in str(refused.value)
    assert refused.value.request_id in str(refused.value)


def test_a_key_that_is_wrong_or_not_enough(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key="sk-wrong-key") as client:
            with pytest.raises(errors.Unauthenticated) as refused:
                await client.chat("salam", model="m")
            assert refused.value.code == "invalid_api_key"
        async with HooshClient(house.url, key=KEY) as client:
            with pytest.raises(errors.Forbidden):
                await client.queue()

    in_loop(backend, story)


def test_server_and_key_come_from_the_environment(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOOSH_SERVER", f"{house.url}/v1/")
    monkeypatch.setenv("HOOSH_API_KEY", ADMIN)
    with SyncHooshClient() as client:
        assert client.base_url == house.url
        assert client.queue().running == 0


def test_a_cut_stream_is_a_broken_connection():
    assert issubclass(StreamCut, ConnectionBroke)
