"""Where an owner says what is local: type and address cannot know all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gateway_house import ASK, CHAT, FakeUpstream
from msgspec.structs import replace

from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.testing.house import ONE_TRY, MemoryHouse, memory_house
from hoosh.testing.upstream import json_reply
from hoosh.values import Target

ANSWER = json_reply({"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]})
PRIVATE = (b"x-hoosh-privacy", b"local")
PROXY = Provider(type="openai-compatible", name="proxy", base_url="http://127.0.0.1:4000")
ENGINE = Provider(type="openai-compatible", name="engine", base_url="http://engine.lan:8000", allow_private=True)


def settings(*providers: Provider) -> Config:
    quiet = Discovery(local=False, environment=False, echo=False)
    return Config(providers=providers, discovery=quiet, logging=Logging(level="error"), **ONE_TRY)


@asynccontextmanager
async def house_of(*providers: Provider) -> AsyncIterator[MemoryHouse]:
    async with memory_house(settings(*providers)) as house:
        for place in ("127.0.0.1:4000", "engine.lan:8000"):
            house.network.listen(place, FakeUpstream(ANSWER).serve_wire)
        yield house


async def asked(house: MemoryHouse, *headers: tuple[bytes, bytes]) -> str | int:
    """Who has answered, or with what status nobody has."""
    status, heads, _ = await house.post(CHAT, ASK, headers=headers)
    return heads.text(b"x-hoosh-provider") or status if status == 200 else status


@pytest.mark.parametrize(
    ("provider", "is_private"),
    [
        (PROXY, True),
        (replace(PROXY, local=False), False),
        (replace(ENGINE, local=True), True),
        (ENGINE, False),
        (Provider(type="vllm", name="v", base_url="http://127.0.0.1:4000", local=False), False),
    ],
)
async def test_a_private_request_goes_where_its_owner_calls_it_local(
    autojump_clock: object, provider: Provider, is_private: bool
):
    async with house_of(provider) as house:
        assert await asked(house) == provider.name
        assert await asked(house, PRIVATE) == (provider.name if is_private else 403)
        terms = house.gateway.books.terms(Target(provider.name, "m"))
        assert (terms.price is not None) is is_private, "what is local is free; what is not has no known price here"


async def test_local_ones_are_asked_first_and_a_reload_may_change_who_is(autojump_clock: object):
    async with house_of(PROXY, ENGINE) as house:
        assert await asked(house) == "proxy"
        await house.gateway.reload(settings(replace(PROXY, local=False), replace(ENGINE, local=True)))
        assert await asked(house) == "engine"
