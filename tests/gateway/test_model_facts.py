"""What a provider's list leaves out is asked for model by model, once."""

from __future__ import annotations

import json
from typing import Any

from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.testing.house import memory_house
from hoosh.testing.upstream import FakeUpstream, Hang, Received, json_reply

SHOWN = {"capabilities": ["completion", "vision"], "model_info": {"llama.context_length": 4096}}
OLLAMA = Config(
    providers=(Provider(type="ollama", name="engine", base_url="http://engine:80"),),
    discovery=Discovery(local=False, environment=False, echo=False),
    logging=Logging(level="error"),
)


def engine(names: list[str], *, silent: str = "") -> FakeUpstream:
    def answer(request: Received) -> list[Any]:
        if request.target == "/api/tags":
            return json_reply({"models": [{"name": name} for name in names]})
        asked = json.loads(request.body)["model"]
        return [Hang()] if asked == silent else json_reply(SHOWN)

    return FakeUpstream(answer)


async def listed(upstream: FakeUpstream, times: int = 1) -> list[dict[str, Any]]:
    async with memory_house(OLLAMA) as house:
        house.network.listen("engine:80", upstream.serve_wire)
        for _ in range(times):
            _, _, body = await house.get("/v1/models")
        return list(json.loads(body)["data"])


async def test_ollama_is_asked_what_each_model_can(autojump_clock: object):
    (card,) = await listed(engine(["own-model"]))
    assert card["context_length"] == 4096
    assert "vision" in card["capabilities"]
    assert "tools" not in card["capabilities"]


async def test_a_model_is_asked_about_once(autojump_clock: object):
    upstream = engine(["a", "b"])
    await listed(upstream, times=2)
    assert sorted(request.target for request in upstream.requests).count("/api/show") == 2


async def test_one_that_does_not_answer_keeps_no_other_from_the_list(autojump_clock: object):
    cards = await listed(engine(["a", "b"], silent="a"))
    assert [card["id"] for card in cards] == ["a", "b"]
    assert "context_length" not in cards[0]
    assert cards[1]["context_length"] == 4096


async def test_a_sound_server_without_a_list_is_shown_by_its_usual_names(autojump_clock: object):
    ear = Provider(type="whisper", name="ear", base_url="http://ear:80")
    config = Config(providers=(ear,), discovery=OLLAMA.discovery, logging=OLLAMA.logging)
    async with memory_house(config) as house:
        _, _, body = await house.get("/v1/models")
    assert [card["id"] for card in json.loads(body)["data"]] == ["whisper-1"]
