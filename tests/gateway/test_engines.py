"""Engines on loopback are found, brought up to date, and let go; nothing waits for them that need not."""

from __future__ import annotations

import json

import pytest
import trio
from gateway_house import ASK, CHAT, FakeUpstream, config
from msgspec.structs import replace

from hoosh.config import Cache, Config, Logging, Provider, Server
from hoosh.config import Discovery as DiscoverySettings
from hoosh.gateway.discovery import EVERY_S, MISSES, Discovery
from hoosh.gateway.models import AGAIN_S
from hoosh.gateway.steps import RoomFailed
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import Body, End, Hang, Head, Pause, Step, error_reply, json_reply

ANSWER = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}
LOOKING = Config(discovery=DiscoverySettings(local=True, environment=False), logging=Logging(level="error"))


def engine(*models: str, owner: str = "library") -> FakeUpstream:
    """Lists `models` as OpenAI does, answers any chat, and has nothing else."""
    listed = {"object": "list", "data": [{"id": name, "owned_by": owner} for name in models]}
    return answering({"/v1/models": json_reply(listed)})


def ollama(*models: str) -> FakeUpstream:
    """Speaks nothing but Ollama's own language."""
    answer = {"model": "m", "message": {"role": "assistant", "content": "salam"}, "done": True, "done_reason": "stop"}
    return answering(
        {
            "/api/tags": json_reply({"models": [{"name": name, "model": name} for name in models]}),
            "/api/chat": json_reply(answer),
            CHAT: error_reply(404),
        }
    )


def answering(paths: dict[str, list[Step]]) -> FakeUpstream:
    def script(request):
        found = paths.get(request.target)
        if found is None:
            return error_reply(404) if request.method == "GET" else json_reply(ANSWER)
        return found

    return FakeUpstream(script)


def page(body: bytes, server: str) -> list[Step]:
    return [Head(200, [(b"server", server.encode()), (b"content-type", b"text/html")]), Body(body), End()]


async def ids(house: MemoryHouse) -> list[str]:
    return [model["id"] for model in json.loads((await house.get("/v1/models"))[2])["data"]]


async def test_an_engine_at_its_usual_port_is_found_and_asked(autojump_clock):
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:11434", ollama("qwen2.5:7b").serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == ["qwen2.5:7b", "echo"]
        status, headers, _ = await house.post(CHAT, {**ASK, "model": "qwen2.5:7b"})
        assert (status, headers.get(b"x-hoosh-provider")) == (200, b"ollama")
        assert (await house.post(CHAT, {**ASK, "model": "unheard-of"}))[0] == 404


async def test_what_an_engine_says_of_itself_counts_more_than_its_port(autojump_clock):
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:8080", engine("phi-4", owner="localai").serve_wire)
        await trio.sleep(EVERY_S * 2)
        states = {provider.name: provider for provider in house.gateway.providers()}
        assert "localai" in states
        assert "llamacpp" not in states


@pytest.mark.parametrize(
    ("port", "upstream", "name", "models"),
    [
        (8080, answering({"/": page(b"<title>Whisper.cpp Server</title>", "whisper.cpp")}), "whisper", ["whisper-1"]),
        (8080, answering({"/": page(b"<title>Whisper.cpp Server</title>", "")}), "whisper", ["whisper-1"]),
        (8080, engine("phi-4", owner="llamacpp"), "llamacpp", ["phi-4"]),
        (8080, answering({"/": page(b"<title>llama.cpp - chat</title>", "llama.cpp")}), None, []),
        (5000, answering({"/voices": json_reply({"en_US-amy": {"audio": {}}})}), "piper", ["piper", "tts-1"]),
        (5000, engine("llama-3"), "synapse", ["llama-3"]),
        (5000, answering({"/voices": json_reply(["en_US-amy"])}), None, []),
        (5000, answering({"/": page(b"ControlCenter", "AirTunes/890")}), None, []),
        (8420, engine("llama-3"), "synapse", ["llama-3"]),
        (8880, engine("tts-1", "kokoro", owner="kokoro"), "openedai", ["tts-1", "kokoro"]),
        (8000, engine("tts-1", "tts-1-hd", owner="openai"), "openedai", ["tts-1", "tts-1-hd"]),
        (11434, ollama("phi4"), "ollama", ["phi4"]),
    ],
)
async def test_engines_that_share_a_port_are_told_apart(autojump_clock, port, upstream, name, models):
    async with memory_house(LOOKING) as house:
        house.network.listen(f"127.0.0.1:{port}", upstream.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == [*models, "echo"]
        assert [provider.name for provider in house.gateway.providers()] == ["echo", *([name] if name else [])]


async def go_away(house: MemoryHouse, address: str) -> None:
    """The engine at `address` ends, and so many rounds pass that it is forgotten."""
    house.network.stop(address)
    for wire in house.network.open:
        if wire.peer != "gateway:80":
            wire.reset()
    await trio.sleep(EVERY_S * (MISSES + 8))


async def test_another_engine_may_come_to_the_port_of_one_that_has_gone(autojump_clock):
    piper = answering({"/voices": json_reply({"amy": {}})})
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:5000", piper.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert "piper" in await ids(house)
        await go_away(house, "127.0.0.1:5000")
        assert await ids(house) == ["echo"]
        house.network.listen("127.0.0.1:5000", engine("llama-3").serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == ["llama-3", "echo"]


async def test_an_engine_that_is_gone_is_forgotten_after_a_few_rounds_and_found_again(autojump_clock):
    lmstudio = engine("gemma3")
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:1234", lmstudio.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert "gemma3" in await ids(house)
        await go_away(house, "127.0.0.1:1234")
        assert "gemma3" not in await ids(house)
        assert (await house.post(CHAT, {**ASK, "model": "gemma3"}))[0] == 404
        house.network.listen("127.0.0.1:1234", lmstudio.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert "gemma3" in await ids(house)


async def test_silent_ports_hold_up_neither_the_start_nor_each_other(autojump_clock):
    async with memory_house(LOOKING) as house:
        for port in (11434, 8080, 8000):
            house.network.listen(f"127.0.0.1:{port}", FakeUpstream([Hang()]).serve_wire)
        began = trio.current_time()
        assert (await house.post(CHAT, {**ASK, "model": "echo"}))[0] == 200  # beside the first round, not after it
        assert trio.current_time() == began
        house.network.listen("127.0.0.1:1234", engine("gemma3").serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert "gemma3" in await ids(house)


async def test_a_gateway_like_this_one_is_no_engine(autojump_clock):
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:8000", engine("echo", "big-model", owner="hoosh").serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == ["echo"]


async def test_models_are_merged_without_doubles_and_the_first_to_be_asked_owns_them(autojump_clock):
    cheap, dear = engine("m", "only-cheap", owner="one"), engine("m", "only-dear", owner="two")
    second = Provider(type="openai-compatible", name="second", base_url="http://second:80", priority=20)
    async with memory_house(config(more=(second,))) as house:
        house.network.listen("mock:80", cheap.serve_wire)
        house.network.listen("second:80", dear.serve_wire)
        listed = json.loads((await house.get("/v1/models"))[2])["data"]
    owners = {model["id"]: model["owned_by"] for model in listed}
    assert owners == {"m": "one", "only-cheap": "one", "only-dear": "two", "echo": "hoosh"}
    assert len(listed) == len(owners)


async def test_the_list_is_asked_for_once_however_many_want_it_and_survives_a_provider_that_does_not_answer(
    autojump_clock,
):
    lists = engine("m")
    hanging = Provider(
        type="openai-compatible", name="hangs", base_url="http://hangs:80", models=("spelled-out", "glob*")
    )
    async with memory_house(config(more=(hanging,))) as house:
        house.network.listen("mock:80", lists.serve_wire)
        house.network.listen("hangs:80", FakeUpstream([Hang()]).serve_wire)
        answers: list[list[str]] = []

        async def ask() -> None:
            answers.append(await ids(house))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
    assert len(lists.requests) == 1
    assert answers == [["m", "spelled-out", "echo"]] * 20


async def test_a_list_that_could_not_be_had_is_asked_for_again_soon_and_one_that_was_had_is_kept(autojump_clock):
    lists = engine("m")
    async with memory_house(config()) as house:
        assert await ids(house) == ["echo"]  # nobody listens there yet
        house.network.listen("mock:80", lists.serve_wire)
        await trio.sleep(AGAIN_S)
        assert await ids(house) == ["m", "echo"]
        house.network.stop("mock:80")
        await trio.sleep(100)
        assert await ids(house) == ["m", "echo"]


async def test_an_engine_that_says_nothing_of_its_models_is_found_all_the_same(autojump_clock):
    answered = ollama("own-model").script_for
    upstream = FakeUpstream(lambda request: [Hang()] if request.target == "/api/show" else answered(request))
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:11434", upstream.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == ["own-model", "echo"]
        await trio.sleep(EVERY_S * (MISSES + 2))
        assert await ids(house) == ["own-model", "echo"]


async def test_no_route_is_left_to_an_engine_that_has_been_let_go(autojump_clock, monkeypatch):
    watch, nobodys = Discovery._watch, []

    async def look(self, port, kind, pools):  # where discovery waits, and requests get their turn
        gateway = self._gateway
        nobodys.extend(
            route.name for route in gateway.snapshot.routes.routes if route.name not in gateway.fleet.members
        )
        return await watch(self, port, kind, pools)

    monkeypatch.setattr(Discovery, "_watch", look)
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:5000", answering({"/voices": json_reply({"amy": {}})}).serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert "piper" in await ids(house)
        await go_away(house, "127.0.0.1:5000")
        assert await ids(house) == ["echo"]
    assert nobodys == []


# -- another configuration ---------------------------------------------------------------------------------------------


async def test_a_found_engine_gives_way_to_a_configuration_that_knows_its_address_and_comes_back(autojump_clock):
    mine = Provider(type="ollama", name="mine", base_url="http://127.0.0.1:11434", models=("big",))
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:11434", ollama("phi4").serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == ["phi4", "echo"]
        await house.gateway.reload(replace(LOOKING, providers=(mine,)))
        assert [each.name for each in house.gateway.providers()] == ["mine", "echo"]
        assert (await house.post(CHAT, {**ASK, "model": "big"}))[1].get(b"x-hoosh-provider") == b"mine"
        await house.gateway.reload(LOOKING)
        await trio.sleep(EVERY_S * 2)
        assert [each.name for each in house.gateway.providers()] == ["echo", "ollama"]
        assert await ids(house) == ["phi4", "echo"]


async def test_a_found_engine_may_take_as_long_as_is_configured_now(autojump_clock):
    slow = answering({"/v1/models": json_reply({"data": [{"id": "m"}]}), CHAT: [Pause(25.0), *json_reply(ANSWER)]})
    async with memory_house(replace(LOOKING, server=Server(request_timeout_s=20))) as house:
        house.network.listen("127.0.0.1:1234", slow.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert (await house.post(CHAT, ASK))[0] == 504
        await house.gateway.reload(LOOKING)
        assert (await house.post(CHAT, ASK))[0] == 200


async def test_nobody_is_looked_for_once_that_is_switched_off_and_again_when_it_is_on(autojump_clock):
    quiet = replace(LOOKING, discovery=DiscoverySettings(local=False, environment=False))
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:1234", engine("gemma3").serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert "gemma3" in await ids(house)
        await house.gateway.reload(quiet)
        assert (await house.post(CHAT, {**ASK, "model": "gemma3"}))[0] == 404
        await trio.sleep(EVERY_S * 2)
        assert await ids(house) == ["echo"]
        await house.gateway.reload(LOOKING)
        await trio.sleep(EVERY_S * 2)
        assert "gemma3" in await ids(house)


@pytest.mark.parametrize("room", ["caching", "discovery"])
async def test_a_found_engine_outlives_a_configuration_that_is_not_taken(room, autojump_clock):
    """Whom discovery has given up by then it finds again."""
    quiet = replace(LOOKING, discovery=DiscoverySettings(local=False, environment=False), cache=Cache(max_entries=1))
    async with memory_house(LOOKING) as house:
        house.network.listen("127.0.0.1:1234", engine("gemma3").serve_wire)
        await trio.sleep(EVERY_S * 2)

        def fail(_: object) -> None:
            raise ValueError("a bug")

        if room == "caching":
            house.gateway.caching.configure = fail
        else:
            house.gateway.when_configured.append(fail)
        with pytest.raises(RoomFailed):
            await house.gateway.reload(quiet)
        if room == "discovery":
            assert (await house.post(CHAT, {**ASK, "model": "gemma3"}))[0] == 404
            await trio.sleep(EVERY_S * 2)
        assert (await house.post(CHAT, {**ASK, "model": "gemma3"}))[0] == 200
