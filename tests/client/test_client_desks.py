"""Everything but inference: each question is put to a real gateway, by both faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from served_house import ADMIN, KEY, House, config_of, in_loop, running, scripted

import hoosh
from hoosh.client import HooshClient, SyncHooshClient, chats, errors
from hoosh.config import Server
from hoosh.http.message import Headers
from hoosh.testing.upstream import Body, Cut, End, Head, json_reply


def test_budgets_are_checked_reserved_reported_and_released(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client:
            tokens = client.tokens
            assert (await tokens.check("team", 10)).allowed
            assert not (await tokens.check("team", 10**9)).allowed
            promised = await tokens.reserve("team", 100, ttl_s=60)
            assert promised.reserved
            assert promised.id is not None
            assert (await tokens.report(30, id=promised.id)).used >= 30
            other = await tokens.reserve("team", 50)
            assert other.id is not None
            assert (await tokens.release(other.id)).released
            with pytest.raises(errors.NoSuchEntry):
                await tokens.release(other.id)
            assert not (await tokens.reserve("team", 10**9)).reserved
            pools = {pool.name: pool for pool in await tokens.pools()}
            assert (pools["team"].capacity, pools["team"].reserved, pools["team"].unit) == (100_000, 0, "tokens")
            with pytest.raises(errors.NoSuchEntry) as unknown:
                await tokens.check("nobody", 1)
            assert unknown.value.code == "unknown_pool"

    in_loop(backend, story)


def test_costs_are_told_estimated_and_begun_anew(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, key=ADMIN) as client:
            await client.chat("salam", model="m", pool="team")
            costs = await client.costs.get(by=["provider", "model"], since="2020-01-01")
            assert costs.total_requests == 1
            assert [(each.provider, each.total_output_tokens) for each in costs.records] == [("mock", 2)]
            estimated = await client.costs.estimate("echo", input_tokens=10, output_tokens=5)
            assert (estimated.provider, estimated.estimated_cost_micro_usd) == ("echo", 0)
            with pytest.raises(errors.GatewayError):
                await client.costs.recommend(input_tokens=10, has_vision=True)
            reset = await client.costs.reset("a new month")
            assert (reset.reason, reset.cleared.total_requests) == ("a new month", 1)
            assert (await client.costs.get()).total_requests == 0

    with running() as house:
        in_loop(backend, lambda: story(house.url))


def test_running_requests_are_seen_and_ended(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=KEY) as client, HooshClient(house.url, key=ADMIN) as owner:
            async with client.stream("salam", model="slow") as stream:
                await anext(stream)
                running = await owner.requests.running(key="ada", phase="streaming")
                assert [each.id for each in running.requests] == [stream.request_id]
                assert (await owner.requests.get(stream.request_id)).caller == "ada"
                assert await owner.requests.cancel(stream.request_id) == 1
                with pytest.raises(errors.Withdrawn):
                    await stream.rest()
            with pytest.raises(errors.NoSuchEntry):
                await owner.requests.cancel("req_nobody")
            assert await owner.requests.cancel_all(model="nobody") == 0
            assert await owner.requests.cancel_all() == 0

    in_loop(backend, story)


def test_cancelling_nothing_in_particular_is_a_mistake_before_it_is_sent(house: House):
    with SyncHooshClient(house.url, key=ADMIN) as client, pytest.raises(ValueError, match="id of a request"):
        client.requests.cancel("")


def test_cache_queue_health_and_models(house: House, backend: str):
    async def story() -> None:
        async with HooshClient(house.url, key=ADMIN) as client:
            await client.cache.clear()
            first = await client.chat("salam", model="m", temperature=0)
            again = await client.chat("salam", model="m", temperature=0)
            assert (first.cache, again.cache, first.text) == ("miss", "hit", again.text)
            stats = await client.cache.stats()
            assert (stats.entries, stats.enabled) == (1, True)
            assert await client.cache.clear(model="m") == 1
            assert (await client.queue()).queued["normal"] == 0
            assert (await client.health()).status == "ok"
            assert {each.provider for each in await client.providers()} == {"mock", "echo"}
            assert await client.ready()
            models = {model.id: model for model in await client.models()}
            assert (models["echo"].provider, models["echo"].available) == ("hoosh", True)
            assert (await client.model("echo")) == models["echo"]
            with pytest.raises(errors.NoRoute):
                await client.model("no/body")

    in_loop(backend, story)


def test_the_blocking_face_has_all_of_it(house: House):
    with SyncHooshClient(house.url, key=ADMIN) as client:
        assert client.tokens.check("team", 1).allowed
        promised = client.tokens.reserve("team", 1)
        assert client.tokens.release(promised.id or "").released
        assert client.tokens.report(0, pool="team").used >= 0
        assert any(pool.name == "team" for pool in client.tokens.pools())
        assert client.costs.get(by=("day",)).truncated is False
        assert client.costs.estimate("echo", input_tokens=1).provider == "echo"
        assert client.requests.running().total == 0
        assert client.requests.cancel_all() == 0
        assert client.cache.stats().enabled
        assert client.cache.clear(key="ada") >= 0
        assert client.queue().running == 0
        assert client.health().version
        assert client.ready()
        assert client.embed("a", model="m").vectors
        assert client.complete("a", model="m").text


def test_both_faces_have_the_same_methods():
    def methods(desk: Any) -> set[str]:
        return {name for name in dir(desk) if not name.startswith("_")} - {"close", "aclose"}

    with SyncHooshClient("http://127.0.0.1:9") as sync:
        waiting = HooshClient("http://127.0.0.1:9")
        assert methods(sync) == methods(waiting)
        for name in ("tokens", "costs", "requests", "cache", "audio"):
            assert methods(getattr(sync, name)) == methods(getattr(waiting, name)), name
        assert sync.chat.__doc__ == waiting.chat.__doc__ == chats.chat.__doc__


def test_sound_goes_in_and_comes_out(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url) as client:
            told = await client.audio.transcribe(b"RIFF....", model="w", language="az", pool="team")
            assert (told.text, told.language) == ("salam", "az")
            assert (await client.audio.translate(b"RIFF....", model="w", provider="mock")).text == "hello"
            speech = await client.audio.speak("salam", model="t", voice="ada", response_format="wav")
            assert (speech.audio, speech.media_type, speech.provider) == (b"RIFF", "audio/wav", "piper")
            with pytest.raises(hoosh.HooshError):  # half a sound is none
                await client.audio.speak("salam", model="t", voice="ada")

    heard = [(b"content-type", b"audio/wav"), (b"x-hoosh-provider", b"piper")]
    with scripted(
        json_reply({"text": "salam", "language": "az"}),
        json_reply({"text": "hello"}),
        [Head(200, heard), Body(b"RI"), Body(b"FF"), End()],
        [Head(200, heard), Body(b"RI"), Cut()],
    ) as server:
        in_loop(backend, lambda: story(server.url))
        first = server.upstream.requests[0]
    assert first.headers.text(b"x-hoosh-pool") == "team"
    assert b'name="language"\r\n\r\naz' in first.body
    assert b'name="file"; filename="sound.wav"' in first.body


def test_the_key_goes_out_as_a_bearer_and_no_compression_is_asked_for():
    with scripted(json_reply({"status": "ok"})) as server:
        with SyncHooshClient(server.url, key=KEY) as client:
            client.health()
        headers: Headers = server.upstream.requests[0].headers
    assert headers.text(b"authorization") == f"Bearer {KEY}"
    assert headers.text(b"accept-encoding") == "identity"


async def test_it_talks_to_a_gateway_in_the_same_program():
    from hoosh.config import Config, Discovery, Logging

    config = Config(discovery=Discovery(local=False, environment=False), logging=Logging(level="error"))
    async with (
        hoosh.open_gateway(config) as gateway,
        HooshClient(transport=hoosh.transport(gateway)) as client,
    ):
        assert (await client.chat("no socket", model="echo")).text == "no socket"
        async with client.stream("word by word", model="echo") as stream:
            with trio.fail_after(60):
                assert (await stream.rest()).text == "word by word"


def test_it_talks_through_a_unix_socket(tmp_path: Path, backend: str):
    path = tmp_path / "hoosh.sock"

    async def story() -> None:
        async with HooshClient(f"unix:{path}", key=KEY) as client:
            assert (await client.health()).status == "ok"
            assert client.base_url == f"unix:{path}"

    with running(config=lambda port: config_of(port, server=Server(unix_socket=str(path)))):
        in_loop(backend, story)
        with SyncHooshClient(f"unix:{path}", key=KEY) as client:
            assert client.chat("salam", model="m").text
