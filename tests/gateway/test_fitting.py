"""A model that does not fit the machine is asked of everybody else first: engine, look and configuration decide."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import pytest
import trio
from gateway_house import ASK, CHAT
from msgspec.structs import replace

from hoosh.config import Alias, Config, Discovery, Logging, Provider, Routing
from hoosh.gateway.fitting import EVERY_S, REMEMBERED
from hoosh.gateway.steps import RoomFailed
from hoosh.hardware import Hardware
from hoosh.testing.house import ONE_TRY, MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream, Received, Step, error_reply, json_reply
from hoosh.values import Fit, Target
from hoosh.values.hardware import Device, DeviceFamily, Environment, Inventory

GB = 10**9
CPU = Device(kind="cpu", family=DeviceFamily.CPU, index=0, name="cpu", memory_bytes=64 * GB)
BIG, SMALL = "big:72b", "small:4b"  # nobody knows their architecture
WEIGHTS = {BIG: 47 * GB, SMALL: 2 * GB}
OLLAMA = {"message": {"role": "assistant", "content": "salam"}, "done": True, "done_reason": "stop"}
OPENAI = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}
NO_DISCOVERY = Discovery(local=False, environment=False, echo=False)


class Engine:
    """An Ollama on this machine.  `in_memory` is what its `/api/ps` says."""

    def __init__(self) -> None:
        self.in_memory: list[dict[str, Any]] = []
        self.upstream = FakeUpstream(self._answer)

    def _answer(self, request: Received) -> list[Step]:
        match request.target:
            case "/api/tags":
                return json_reply({"models": [{"name": name, "size": size} for name, size in WEIGHTS.items()]})
            case "/api/ps":
                return json_reply({"models": self.in_memory})
            case "/api/chat":
                return json_reply({"model": "m", **OLLAMA})
        return error_reply(404)

    def asked(self, path: str) -> int:
        return sum(request.target == path for request in self.upstream.requests)


def home(**fields: Any) -> Provider:
    return Provider(**{"type": "ollama", "name": "home", "base_url": "http://127.0.0.1:11434", **fields})


def far(**fields: Any) -> Provider:
    return Provider(type="openai-compatible", name="far", base_url="http://far.example:80", **fields)


def settings(*providers: Provider, **changes: Any) -> Config:
    return Config(
        providers=providers or (home(), far()),
        discovery=NO_DISCOVERY,
        logging=Logging(level="error"),
        hardware=Hardware(enabled=False),  # `look_at` looks
        **{**ONE_TRY, **changes},
    )


def machine(vram: int | None, *, used: int = 0, **fields: Any) -> Inventory:
    """With one GPU, or none."""
    gpu = Device(kind="cuda", family=DeviceFamily.GPU, index=0, name="gpu", memory_bytes=vram or 0, used_bytes=used)
    return Inventory(devices=(CPU,) if vram is None else (CPU, gpu), **{"system_memory_bytes": 64 * GB, **fields})


@asynccontextmanager
async def house_of(config: Config, engine: Engine, look: Inventory | None = None) -> AsyncIterator[MemoryHouse]:
    """Both are there, and the first round of questions is over."""
    async with memory_house(config) as house:
        house.network.listen("127.0.0.1:11434", engine.upstream.serve_wire)
        house.network.listen("lan.example:11434", engine.upstream.serve_wire)
        house.network.listen("far.example:80", FakeUpstream(json_reply(OPENAI)).serve_wire)
        await look_at(house, look)
        yield house


async def look_at(house: MemoryHouse, inventory: Inventory | None) -> None:
    """The machine is looked at anew, and everybody has been judged."""
    house.gateway.hardware.inventory = inventory
    await trio.sleep(EVERY_S + 1)


async def answers(house: MemoryHouse, model: str = BIG, *headers: tuple[bytes, bytes]) -> str:
    """Who has answered."""
    status, heads, body = await house.post(CHAT, {**ASK, "model": model}, headers=headers)
    assert status == 200, body
    return (heads.get(b"x-hoosh-provider") or b"").decode()


def lines_of(house: MemoryHouse, level: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the log is told from now on, at one level."""
    told: list[dict[str, object]] = []
    monkeypatch.setattr(house.gateway.log, level, lambda message, **facts: told.append(facts))
    return told


@pytest.fixture
def engine() -> Engine:
    return Engine()


async def test_a_model_that_fits_is_asked_at_home_and_one_that_does_not_far_away(
    autojump_clock: object, engine: Engine
):
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        assert await answers(house, SMALL) == "home"
        assert await answers(house, BIG) == "far"
    async with house_of(settings(), engine, machine(80 * GB)) as house:
        assert await answers(house, BIG) == "home"


async def test_without_a_look_at_the_machine_nobody_is_judged_or_asked(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine) as house:
        assert await answers(house, BIG) == "home"
        assert house.gateway.fitting.of(Target("home", BIG)) is None
    assert engine.asked("/api/ps") == engine.asked("/api/tags") == 0


async def test_a_model_of_unknown_size_is_asked_as_ever(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(1)) as house:
        # Not on the engine's list: whatever it answers with, nobody knows how large that is.
        assert await answers(house, "llama-3.1-405b") == "home"
        assert house.gateway.fitting.of(Target("home", "llama-3.1-405b")) == Fit(None, None, 1)


async def test_what_an_engine_does_not_list_is_known_by_its_name(autojump_clock: object, engine: Engine):
    silent = home(type="openai-compatible", base_url="http://127.0.0.1:9000")
    async with house_of(settings(silent, far()), engine, machine(24 * GB)) as house:
        fits = house.gateway.fitting.of
        known = {name: fits(Target("home", name)) for name in ("llama-3.1-405b", "mixtral-8x7b", "phi-4", "bert-base")}
        assert [fit and fit.fits for fit in known.values()] == [False, False, True, None]


async def test_a_machine_without_a_gpu_still_asks_its_own_engine_first(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(None)) as house:
        assert await answers(house, BIG) == "home"
        await look_at(house, machine(None, available_memory_bytes=20 * GB))
        assert await answers(house, BIG) == "far"
        assert await answers(house, SMALL) == "home"


async def test_a_container_that_sees_no_gpu_judges_nobody(autojump_clock: object, engine: Engine):
    look = machine(None, environment=Environment(is_docker=True), system_memory_bytes=GB)
    async with house_of(settings(), engine, look) as house:
        assert await answers(house, BIG) == "home"


async def test_a_model_that_is_in_memory_fits(autojump_clock: object, engine: Engine):
    engine.in_memory = [{"name": BIG, "size": 23 * GB, "size_vram": 22 * GB}]
    async with house_of(settings(), engine, machine(24 * GB, used=22 * GB)) as house:
        assert await answers(house, BIG) == "home"
        # What it holds it gives up for another.
        assert house.gateway.fitting.of(Target("home", SMALL)) == Fit(True, 2_400_000_000, 24 * GB)


async def test_a_model_that_does_not_fit_draws_no_requests_once_somebody_has_loaded_it(
    autojump_clock: object, engine: Engine
):
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        assert await answers(house, BIG, (b"x-hoosh-privacy", b"local")) == "home"
        engine.in_memory = [{"name": BIG, "size": 50 * GB, "size_vram": 22 * GB}]  # the rest is on the processor
        await look_at(house, machine(24 * GB, used=22 * GB))
        assert await answers(house, BIG) == "far"


async def test_what_an_engine_has_let_go_of_since_the_look_counts_as_free(autojump_clock: object, engine: Engine):
    engine.in_memory = [{"name": SMALL, "size": 22 * GB, "size_vram": 22 * GB}]
    async with house_of(settings(), engine, machine(24 * GB, used=22 * GB)) as house:
        engine.in_memory = []
        await trio.sleep(EVERY_S * 2)  # and no new look
        assert await answers(house, SMALL) == "home"
        await look_at(house, machine(24 * GB, used=22 * GB))  # it is somebody else's, after all
        assert await answers(house, SMALL) == "far"


async def test_what_others_hold_is_no_room(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(24 * GB, used=23 * GB)) as house:
        assert await answers(house, SMALL) == "far"
        house.gateway.hardware.reserve_bytes = 23 * GB
        await look_at(house, machine(24 * GB))
        assert await answers(house, SMALL) == "far"
        house.gateway.hardware.reserve_bytes = 0
        await look_at(house, machine(24 * GB))
        assert await answers(house, SMALL) == "home"


async def test_what_others_use_may_come_and_go_without_a_verdict_each_time(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(24 * GB, used=22 * GB)) as house:
        for used in (21_590_000_000, 21_610_000_000, 21_500_000_000):  # 2.4 GB are needed
            assert await answers(house, SMALL) == "far"
            await look_at(house, machine(24 * GB, used=used))
        await look_at(house, machine(24 * GB, used=21_400_000_000))
        assert await answers(house, SMALL) == "home"


async def test_an_engine_on_another_host_is_not_judged_by_this_one(autojump_clock: object, engine: Engine):
    there = home(base_url="http://lan.example:11434", allow_private=True)
    async with house_of(settings(there, far()), engine, machine(1)) as house:
        assert await answers(house, BIG) == "home"
        assert engine.asked("/api/ps") == 0


async def test_an_engine_anywhere_is_judged_by_its_owners_word(autojump_clock: object, engine: Engine):
    there = home(base_url="http://lan.example:11434", allow_private=True, accelerator_bytes=24 * GB)
    async with house_of(settings(there, far()), engine) as house:  # no look is needed for that
        assert await answers(house, BIG) == "far"
        assert await answers(house, SMALL) == "home"


async def test_at_home_the_owners_word_counts_more_than_the_look(autojump_clock: object, engine: Engine):
    async with house_of(settings(home(accelerator_bytes=80 * GB), far()), engine, machine(1)) as house:
        assert await answers(house, BIG) == "home"


async def test_a_unix_socket_is_on_this_machine(autojump_clock: object, engine: Engine):
    async with house_of(settings(home(base_url="unix:/run/ollama.sock"), far()), engine, machine(24 * GB)) as house:
        assert house.gateway.fitting.of(Target("home", "llama-3.1-405b")) is not None


async def test_a_private_request_stays_at_home(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        assert await answers(house, BIG, (b"x-hoosh-privacy", b"local")) == "home"


async def test_a_provider_that_is_asked_for_by_name_answers(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        assert await answers(house, BIG, (b"x-hoosh-provider", b"home")) == "home"
        assert await answers(house, f"home/{BIG}") == "home"


async def test_the_engine_at_home_is_the_last_resort(autojump_clock: object, engine: Engine):
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        house.network.stop("far.example:80")
        for wire in house.network.open:
            if wire.peer != "gateway:80":
                wire.reset()
        assert await answers(house, BIG) == "home"


async def test_an_alias_goes_where_it_fits(autojump_clock: object, engine: Engine):
    alias = Alias(name="best", targets=(f"home/{BIG}", "far/gpt"))
    async with house_of(settings(models=(alias,)), engine, machine(24 * GB)) as house:
        assert await answers(house, "best") == "far"
        await look_at(house, machine(80 * GB))
        assert await answers(house, "best") == "home"


@pytest.mark.parametrize("strategy", ["round_robin", "least_loaded", "sticky"])
async def test_it_is_so_with_a_strategy(autojump_clock: object, engine: Engine, strategy: Any):
    async with house_of(settings(routing=Routing(strategy=strategy)), engine, machine(24 * GB)) as house:
        assert {await answers(house, BIG) for _ in range(4)} == {"far"}
        assert {await answers(house, SMALL) for _ in range(4)} == {"home"}


async def test_a_new_look_changes_the_verdict_and_the_log_says_so(
    autojump_clock: object, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    async with house_of(settings(), engine) as house:
        told = lines_of(house, "info", monkeypatch)
        await look_at(house, machine(24 * GB))
        assert await answers(house, BIG) == "far"
        await look_at(house, machine(80 * GB))
        assert await answers(house, BIG) == "home"
        routes = house.gateway.snapshot.routes
        await look_at(house, machine(81 * GB))
        assert house.gateway.snapshot.routes is routes  # nobody's verdict has changed: nothing is built anew
    assert [(line["asked"], line["provider"], line["room_bytes"]) for line in told if "needed_bytes" in line] == [
        (BIG, "home", str(24 * GB)),
        (BIG, "home", str(80 * GB)),
    ]


async def test_a_reload_switches_it_off_and_on_and_changes_the_owners_word(autojump_clock: object, engine: Engine):
    config = settings()
    async with house_of(config, engine, machine(24 * GB)) as house:
        assert await answers(house, BIG) == "far"
        await house.gateway.reload(replace(config, routing=Routing(hardware="off")))
        assert await answers(house, BIG) == "home"
        assert house.gateway.fitting.of(Target("home", BIG)) is None
        await house.gateway.reload(config)
        assert await answers(house, BIG) == "far"
        upstream = house.gateway.fleet["home"]
        told = replace(config, providers=(home(accelerator_bytes=80 * GB), far()))
        await house.gateway.reload(told)
        assert house.gateway.fleet["home"] is upstream
        assert await answers(house, BIG) == "home"


async def test_a_reload_that_fails_leaves_who_is_asked_as_it_was(autojump_clock: object, engine: Engine):
    def fail(config: Config) -> None:
        raise LookupError

    before = settings()
    after = replace(before, hardware=Hardware(enabled=False, vram_reserve_bytes=60 * GB))
    async with house_of(before, engine, machine(80 * GB)) as house:
        house.gateway.when_configured.append(fail)
        with pytest.raises(RoomFailed):
            await house.gateway.reload(after)
        house.gateway.when_configured.pop()
        assert await answers(house, BIG) == "home"
        await house.gateway.reload(after)
        assert await answers(house, BIG) == "far"


async def test_the_model_list_says_what_fits(autojump_clock: object, engine: Engine):
    named = far(models=("gpt",))
    async with house_of(settings(home(models=("*",)), named), engine, machine(24 * GB)) as house:
        _, _, body = await house.get("/v1/models")
    shown = {card["id"]: (card.get("fits", "-"), card.get("memory_bytes")) for card in json.loads(body)["data"]}
    assert shown == {BIG: (False, 47 * GB * 6 // 5), SMALL: (True, 2_400_000_000), "gpt": ("-", None)}


async def test_an_engine_that_is_found_is_judged(autojump_clock: object, engine: Engine):
    config = replace(settings(far(priority=100)), discovery=Discovery(local=True, environment=False, echo=False))
    async with house_of(config, engine, machine(24 * GB)) as house:
        await trio.sleep(EVERY_S * 3)
        assert "ollama" in house.gateway.fleet.members
        assert house.gateway.fitting.is_too_large(Target("ollama", BIG))
        assert await answers(house, BIG) == "far"
        assert await answers(house, SMALL) == "ollama"


async def test_an_engine_that_does_not_answer_holds_nobody_up(autojump_clock: object, engine: Engine):
    async with memory_house(settings()) as house:  # nobody listens
        house.network.listen("far.example:80", FakeUpstream(json_reply(OPENAI)).serve_wire)
        await look_at(house, machine(24 * GB))
        assert await answers(house, BIG) == "far"
        await trio.sleep(EVERY_S * 5)
        house.network.listen("127.0.0.1:11434", engine.upstream.serve_wire)
        await trio.sleep(EVERY_S * 2)
        assert house.gateway.fitting.of(Target("home", SMALL)) == Fit(True, 2_400_000_000, 24 * GB)


async def test_a_model_without_its_tag_is_the_latest(autojump_clock: object, engine: Engine, monkeypatch: Any):
    monkeypatch.setitem(WEIGHTS, "mine:latest", 40 * GB)
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        assert house.gateway.fitting.is_too_large(Target("home", "mine"))
        assert not house.gateway.fitting.is_too_large(Target("home", "another"))


async def test_a_bug_in_a_plugin_costs_an_opinion_and_no_more(
    autojump_clock: object, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    def broken(body: bytes) -> NoReturn:
        raise KeyError(body)

    async with memory_house(settings()) as house:
        house.network.listen("127.0.0.1:11434", engine.upstream.serve_wire)
        told = lines_of(house, "error", monkeypatch)
        upstream = house.gateway.fleet["home"]
        monkeypatch.setattr(upstream.dialect, "read_memory", broken)
        await look_at(house, machine(80 * GB, used=79 * GB))
        await trio.sleep(EVERY_S * 3)
        assert house.gateway.ready
        assert await answers(house, BIG) == "home"  # by its name, and all memory may be its own
    assert engine.asked("/api/ps") == 1
    assert [(line["provider"], line["error"]) for line in told] == [("home", "KeyError")]


async def test_a_model_that_has_been_fetched_since_is_judged(
    autojump_clock: object, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        monkeypatch.setitem(WEIGHTS, "new:70b", 42 * GB)
        await trio.sleep(EVERY_S * 2)
        assert house.gateway.fitting.is_too_large(Target("home", "new:70b"))
        await house.get("/v1/models")  # from now on the gateway's own lists have it
        monkeypatch.delitem(WEIGHTS, "new:70b")
        monkeypatch.setitem(WEIGHTS, "newer:70b", 42 * GB)
        await trio.sleep(EVERY_S * 6)
        await house.get("/v1/models")
        assert house.gateway.fitting.is_too_large(Target("home", "newer:70b"))
        assert not house.gateway.fitting.is_too_large(Target("home", "new:70b"))


async def test_an_engine_with_any_number_of_models_costs_a_bounded_time(
    autojump_clock: object, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    for number in range(REMEMBERED * 2):
        monkeypatch.setitem(WEIGHTS, f"m{number}:70b", 42 * GB)
    async with house_of(settings(), engine, machine(24 * GB)) as house:
        fitting = house.gateway.fitting
        for number in range(REMEMBERED * 2):
            assert fitting.is_too_large(Target("home", f"m{number}:70b"))
            assert fitting.of(Target("home", f"unheard-of-{number}")) == Fit(None, None, 24 * GB)
        assert len(fitting._fits) == REMEMBERED
        fitting.refresh()
        assert len(fitting._fits) == REMEMBERED


async def test_what_is_in_memory_counts_though_it_is_on_no_list(autojump_clock: object, engine: Engine):
    engine.in_memory = [{"name": "unlisted:1b", "size": 20 * GB, "size_vram": 20 * GB}]
    async with house_of(settings(), engine, machine(24 * GB, used=20 * GB)) as house:
        assert house.gateway.fitting.of(Target("home", SMALL)) == Fit(True, 2_400_000_000, 24 * GB)
        assert house.gateway.fitting.of(Target("home", "unlisted:1b")) == Fit(True, 20 * GB, 24 * GB)


async def test_an_engine_that_is_found_after_the_look_is_judged_by_what_is_free(autojump_clock: object, engine: Engine):
    config = replace(settings(far(priority=100)), discovery=Discovery(local=True, environment=False, echo=False))
    async with memory_house(config) as house:
        house.network.listen("far.example:80", FakeUpstream(json_reply(OPENAI)).serve_wire)
        await look_at(house, machine(24 * GB, used=23 * GB))
        house.network.listen("127.0.0.1:11434", engine.upstream.serve_wire)
        await trio.sleep(EVERY_S * 4)
        assert await answers(house, SMALL) == "far"
