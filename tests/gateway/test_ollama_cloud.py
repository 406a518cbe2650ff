"""A model of Ollama's cloud that a server at home lists is not at home: not private, not first, not free, not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from gateway_house import ASK, CHAT

from hoosh.catalogue.ollama_names import is_cloud_name, whole_name
from hoosh.config import Alias, Config, Discovery, Logging, Provider
from hoosh.gateway.fitting import EVERY_S
from hoosh.gateway.models import FRESH_S
from hoosh.hardware import Hardware
from hoosh.testing.house import ONE_TRY, MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream, Hang, Received, Step, error_reply, json_reply
from hoosh.values import Target
from hoosh.values.hardware import Device, DeviceFamily, Inventory

OLLAMA = {"message": {"role": "assistant", "content": "salam"}, "done": True, "done_reason": "stop"}
OPENAI = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}
PRIVATE = (b"x-hoosh-privacy", b"local")
AT_HOME = {"name": "qwen3:4b", "model": "qwen3:4b", "size": 2_600_000_000}
CLOUD = {
    "name": "gpt-oss:120b-cloud",
    "size": 384,
    "remote_model": "gpt-oss:120b",
    "remote_host": "https://ollama.com:443",
}
RENAMED = {**CLOUD, "name": "mine:latest"}
"""Copied by `ollama cp`: the name tells nothing."""


class Engine:
    """An Ollama at home; None for `listed` where it does not tell."""

    def __init__(self, *listed: dict[str, Any]) -> None:
        self.listed: tuple[dict[str, Any], ...] | None = listed or (AT_HOME, CLOUD, RENAMED)
        self.upstream = FakeUpstream(self._answer)

    def _answer(self, request: Received) -> list[Step]:
        if request.target == "/api/tags" and self.listed is not None:
            return json_reply({"models": self.listed})
        return json_reply({"model": "m", **OLLAMA}) if request.target == "/api/chat" else error_reply(500)

    @property
    def chats(self) -> int:
        return sum(request.target == "/api/chat" for request in self.upstream.requests)


@asynccontextmanager
async def house_of(engine: Engine, **changes: Any) -> AsyncIterator[MemoryHouse]:
    config = Config(
        providers=(
            Provider(type="ollama", name="home", base_url="http://127.0.0.1:11434"),
            Provider(type="openai-compatible", name="far", base_url="http://far.example:80"),
        ),
        discovery=Discovery(local=False, environment=False, echo=False),
        logging=Logging(level="error"),
        hardware=Hardware(enabled=False),
        **{**ONE_TRY, **changes},
    )
    async with memory_house(config) as house:
        house.network.listen("127.0.0.1:11434", engine.upstream.serve_wire)
        house.network.listen("far.example:80", FakeUpstream(json_reply(OPENAI)).serve_wire)
        yield house


async def status_of(house: MemoryHouse, model: str, *headers: tuple[bytes, bytes]) -> int:
    status, _, _ = await house.post(CHAT, {**ASK, "model": model}, headers=headers)
    return status


@pytest.mark.parametrize(
    "model", ["gpt-oss:120b-cloud", "home/gpt-oss:120b-cloud", "home/GPT-OSS:Cloud", "home/new:1b-cloud"]
)
async def test_a_private_request_does_not_leave_by_the_name_of_a_cloud_model(autojump_clock: object, model: str):
    engine = Engine()
    async with house_of(engine) as house:
        assert await status_of(house, model, PRIVATE) == 403
    assert engine.chats == 0


@pytest.mark.parametrize("model", ["mine", "home/mine", "home/MINE:latest", "home/library/mine"])
async def test_nor_by_another_name_that_its_owner_has_given_it(autojump_clock: object, model: str):
    engine = Engine()
    async with house_of(engine) as house:
        assert await status_of(house, model, PRIVATE) == 403
    assert engine.chats == 0


async def test_what_runs_at_home_answers_private_requests(autojump_clock: object):
    async with house_of(engine := Engine()) as house:
        assert await status_of(house, "qwen3:4b", PRIVATE) == 200
    assert engine.chats == 1


async def test_an_engine_that_does_not_tell_what_it_has_gets_no_private_request(autojump_clock: object):
    engine = Engine()
    engine.listed = None
    async with house_of(engine) as house:
        assert await status_of(house, "home/qwen3:4b", PRIVATE) == 403
        assert await status_of(house, "home/qwen3:4b") == 200
    assert engine.chats == 1


async def test_a_model_that_moves_into_the_cloud_is_private_no_more(autojump_clock: object):
    async with house_of(engine := Engine(AT_HOME)) as house:
        assert await status_of(house, "qwen3:4b", PRIVATE) == 200
        engine.listed = ({**CLOUD, "name": "qwen3:4b"},)
        await trio.sleep(FRESH_S)
        assert await status_of(house, "home/qwen3:4b", PRIVATE) == 403
    assert engine.chats == 1


async def test_it_is_asked_after_what_runs_at_home_like_any_remote_one(autojump_clock: object):
    alias = Alias(name="best", targets=("home/gpt-oss:120b-cloud", "home/qwen3:4b"), strategy="round-robin")
    async with house_of(Engine(), models=(alias,)) as house:
        await house.gateway.models()
        routes = house.gateway.snapshot.routes
        assert routes.candidates("best")[0] == Target("home", "qwen3:4b")
        assert [target.provider for target in routes.candidates("qwen3:4b")] == ["home", "far"]
        plan = routes.plan("gpt-oss:120b-cloud")
        assert plan.only is not None, "a step of equals, home no better than far"


async def test_it_is_not_free_but_of_unknown_price(autojump_clock: object):
    async with house_of(Engine()) as house:
        await house.gateway.models()
        terms = house.gateway.books.terms
        for model in ("gpt-oss:120b-cloud", "mine"):
            assert (terms(Target("home", model)).price, terms(Target("home", model)).local) == (None, False)
        assert terms(Target("home", "qwen3:4b")).cost_of is not None
        assert terms(Target("home", "qwen3:4b")).local


async def test_what_was_thought_to_be_free_is_not_once_the_list_is_known(autojump_clock: object):
    async with house_of(Engine()) as house:
        mine = Target("home", "mine")
        assert house.gateway.books.terms(mine).local
        await house.gateway.models()
        assert not house.gateway.books.terms(mine).local


async def test_its_size_is_not_held_against_our_machine(autojump_clock: object):
    cpu = Device(kind="cpu", family=DeviceFamily.CPU, index=0, name="cpu", memory_bytes=1)
    async with house_of(Engine()) as house:
        house.gateway.hardware.inventory = Inventory(devices=(cpu,), system_memory_bytes=1)
        await trio.sleep(EVERY_S + 1)
        fit_of = house.gateway.fitting.of
        assert fit_of(Target("home", "gpt-oss:120b-cloud")) is fit_of(Target("home", "mine:latest")) is None
        assert fit_of(Target("home", "qwen3:4b")) is not None


@pytest.mark.parametrize("url", ["https://ollama.com", "https://OLLAMA.com./v1", "https://api.ollama.com"])
def test_the_cloud_itself_is_nobodys_own_machine(url: str):
    assert not Provider(type="ollama", name="cloud", base_url=url).is_local
    assert Provider(type="ollama", name="home", base_url="http://ollama.lan:11434").is_local


@pytest.mark.parametrize(
    ("name", "is_cloud"),
    [
        ("gpt-oss:120b-cloud", True),
        ("gpt-oss:CLOUD", True),
        ("hf.co/maker/model:q4-cloud ", True),
        ("soundcloud", False),
        ("soundcloud:7b", False),
        ("a-cloud", False),
        ("host:80/some-cloud", False),
        ("x:cloudy", False),
        ("", False),
    ],
)
def test_a_name_of_the_cloud_is_known_by_its_tag(name: str, is_cloud: bool):
    assert is_cloud_name(name) is is_cloud


def test_one_model_has_one_whole_name():
    assert {
        whole_name(name) for name in ("Qwen3", "qwen3:latest", "library/qwen3", "registry.ollama.ai/library/qwen3")
    } == {"registry.ollama.ai/library/qwen3:latest"}
    assert len({whole_name(name) for name in ("a", "a:b", "b/a", "c/b/a", "host:80/b/a")}) == 5


async def test_a_private_request_waits_for_no_list_but_that_of_its_engine(autojump_clock: object):
    async with house_of(Engine()) as house:
        house.network.listen("far.example:80", FakeUpstream([Hang()]).serve_wire)  # its list comes later, or never
        assert await status_of(house, "qwen3:4b", PRIVATE) == 200
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.gateway.models)
            await trio.testing.wait_all_tasks_blocked()
            began_at = trio.current_time()
            assert await status_of(house, "qwen3:4b", PRIVATE) == 200
            assert trio.current_time() == began_at
            nursery.cancel_scope.cancel()


async def test_a_list_that_is_known_again_still_tells_what_runs_elsewhere(autojump_clock: object):
    async with house_of(Engine()) as house:
        lists = house.gateway.lists
        await lists.refresh()
        go_back = lists.keep()
        lists.forget("home")  # as by a reload that replaces it, and is undone
        go_back()
        assert lists.is_remote(Target("home", "mine"))
        assert await status_of(house, "mine", PRIVATE) == 403
