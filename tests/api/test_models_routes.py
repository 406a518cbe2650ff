"""The cold routes that tell of models, in OpenAI's, Anthropic's and Ollama's shapes, and of kept responses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hoosh.api.models import anthropic_json, page_of
from hoosh.catalogue import catalogue_models
from hoosh.config import Alias, Config, Discovery, Key, Logging, Provider
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream, json_reply
from hoosh.values import Capability, ModelCard, ModelFacts, Secret

LISTED = [{"id": "gpt-4o", "owned_by": "openai", "created": 1715367049}, {"id": "house/own", "owned_by": "us"}]
CONFIG = Config(
    providers=(Provider(type="openai-compatible", name="mock", base_url="http://mock:80"),),
    models=(Alias(name="mine", targets=("mock/gpt-4o",), context_length=4000, capabilities=(Capability.TOOLS,)),),
    keys=(
        Key(name="ada", key=Secret("ada-key")),
        Key(name="bob", key=Secret("bob-key"), models=("house/*",)),
        Key(name="meter", key=Secret("meter-key"), scopes=("metrics",)),
    ),
    discovery=Discovery(local=False, environment=False),
    logging=Logging(level="error"),
)
ANTHROPIC = (b"anthropic-version", b"2023-06-01")


class Client:
    def __init__(self, house: MemoryHouse) -> None:
        self.house = house

    async def ask(
        self, path: str, *headers: tuple[bytes, bytes], method: str = "GET", body: Any = None, key: str = "ada"
    ) -> tuple[int, Any]:
        said = ((b"authorization", f"Bearer {key}-key".encode()), *headers)
        async with self.house.exchange(path, body, method=method, headers=said) as response:
            return response.status, json.loads(await response.read(1 << 20))


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async with memory_house(CONFIG) as house:
        house.network.listen("mock:80", FakeUpstream(json_reply({"object": "list", "data": LISTED})).serve_wire)
        yield Client(house)


async def test_a_listed_model_tells_what_is_known_of_it(autojump_clock):
    async with client() as asks:
        status, listing = await asks.ask("/v1/models")
        models = {model["id"]: model for model in listing["data"]}
        assert status == 200
        assert list(models) == ["mine", "gpt-4o", "house/own", "echo"]
        assert {name: models["gpt-4o"][name] for name in ("object", "created", "owned_by", "context_length")} == {
            "object": "model",
            "created": 1715367049,
            "owned_by": "openai",
            "context_length": 128000,
        }
        assert models["gpt-4o"]["max_output_tokens"] == 16384
        assert {"chat", "streaming", "tools", "vision"} <= set(models["gpt-4o"]["capabilities"])
        assert models["house/own"] == {"id": "house/own", "object": "model", "created": 0, "owned_by": "us"}
        assert (await asks.ask("/v1/models/gpt-4o"))[1] == models["gpt-4o"]
        assert (await asks.ask("/v1/models/house/own"))[1] == models["house/own"]


async def test_the_owners_word_on_an_alias_is_the_last(autojump_clock):
    async with client() as asks:
        mine = (await asks.ask("/v1/models/mine"))[1]
    assert (mine["owned_by"], mine["context_length"]) == ("hoosh", 4000)
    assert "tools" in mine["capabilities"]
    assert "vision" not in mine["capabilities"]


async def test_the_catalogue_tells_where_it_is_from(autojump_clock):
    async with client() as asks:
        status, listing = await asks.ask("/v1/models/catalog")
        assert status == 200
        assert len(listing["data"]) == len(catalogue_models())
        first = next(model for model in listing["data"] if model["id"] == "text-embedding-3-small")
        assert (first["owned_by"], first["context_length"], first["capabilities"]) == ("openai", 8192, ["embeddings"])
        assert "chat" in first["lacks"]
        assert first["source"].startswith("https://")
        assert first["as_of"]
        assert (await asks.ask("/v1/models/catalog", key="meter"))[0] == 403


async def test_anthropics_sdks_get_anthropics_list(autojump_clock):
    async with client() as asks:
        _, listing = await asks.ask("/v1/models", ANTHROPIC)
        assert [model["id"] for model in listing["data"]] == ["mine", "gpt-4o", "house/own", "echo"]
        assert (listing["has_more"], listing["first_id"], listing["last_id"]) == (False, "mine", "echo")
        gpt = listing["data"][1]
        assert (gpt["type"], gpt["display_name"], gpt["created_at"]) == ("model", "gpt-4o", "2024-05-10T18:50:49Z")
        assert (gpt["max_input_tokens"], gpt["max_tokens"]) == (128000, 16384)
        assert gpt["capabilities"]["image_input"] == {"supported": True}
        assert gpt["capabilities"]["thinking"] == {"supported": False}
        assert (await asks.ask("/v1/models/gpt-4o", ANTHROPIC))[1] == gpt
        _, page = await asks.ask("/v1/models?limit=2&after_id=mine", ANTHROPIC)
        assert ([model["id"] for model in page["data"]], page["has_more"]) == (["gpt-4o", "house/own"], True)
        status, missing = await asks.ask("/v1/models/nobody", ANTHROPIC)
        assert (status, missing["type"], missing["error"]["type"]) == (404, "error", "not_found_error")


CARDS = [ModelCard(name, "x") for name in "abcde"]


@pytest.mark.parametrize(
    ("query", "page", "has_more"),
    [
        ({"limit": 9}, "abcde", False),
        ({"limit": 2}, "ab", True),
        ({"limit": 2, "after_id": "b"}, "cd", True),
        ({"limit": 2, "after_id": "d"}, "e", False),
        ({"limit": 2, "after_id": "e"}, "", False),
        ({"limit": 2, "after_id": "gone"}, "ab", True),
        ({"limit": 2, "before_id": "d"}, "bc", True),
        ({"limit": 2, "before_id": "b"}, "a", False),
        ({"limit": 0}, "a", True),
        ({"limit": 10**9}, "abcde", False),
    ],
)
def test_a_page_is_what_lies_after_or_before_a_model(query, page, has_more):
    found, more = page_of(CARDS, **query)
    assert ("".join(card.id for card in found), more) == (page, has_more)


def test_a_time_beyond_the_calendar_does_no_harm():
    assert anthropic_json(ModelCard("m", "x", 10**18))["created_at"].startswith("9999")
    assert anthropic_json(ModelCard("m", "x", -5))["created_at"] == "1970-01-01T00:00:00Z"
    assert "capabilities" not in anthropic_json(ModelCard("m", "x", facts=ModelFacts()))


async def test_providers_show_what_their_dialects_can_carry(autojump_clock):
    async with client() as asks:
        _, providers = await asks.ask("/v1/health/providers")
    mock = next(provider for provider in providers if provider["provider"] == "mock")
    assert {"chat", "tools", "vision", "embeddings"} <= set(mock["capabilities"])


async def test_ollamas_clients_see_every_model_as_one_of_an_ollama(autojump_clock):
    async with client() as asks:
        _, tags = await asks.ask("/api/tags")
        assert [model["name"] for model in tags["models"]] == ["mine", "gpt-4o", "house/own", "echo"]
        _, shown = await asks.ask("/api/show", method="POST", body={"model": "gpt-4o:latest"})
        assert {"completion", "tools", "vision"} <= set(shown["capabilities"])
        assert (await asks.ask("/api/show", method="POST", body={"name": "gpt-4o"}))[1] == shown
        assert (await asks.ask("/api/ps"))[1] == {"models": []}
        assert set((await asks.ask("/api/version"))[1]) == {"version"}


@pytest.mark.parametrize(
    ("body", "status"), [({"model": "nobody"}, 404), ({}, 400), (b"{", 400), ([], 400), (b"[" * 5000, 400)]
)
async def test_ollamas_clients_are_told_of_errors_in_their_words(autojump_clock, body, status):
    async with client() as asks:
        got, error = await asks.ask("/api/show", method="POST", body=body)
    assert got == status
    assert isinstance(error["error"], str)


async def test_a_key_shows_only_the_models_it_is_for(autojump_clock):
    async with client() as asks:
        assert [model["name"] for model in (await asks.ask("/api/tags", key="bob"))[1]["models"]] == ["house/own"]
        assert (await asks.ask("/v1/models", ANTHROPIC, key="bob"))[1]["first_id"] == "house/own"
        assert (await asks.ask("/api/show", method="POST", body={"model": "gpt-4o"}, key="bob"))[0] == 404
        for path in ("/api/tags", "/api/version", "/api/ps", "/v1/responses/resp_1"):
            assert (await asks.ask(path, key="meter"))[0] == 403


async def test_a_kept_response_is_its_callers_to_see_and_to_delete(autojump_clock):
    async with client() as asks:
        said = b'[{"role":"user","content":"hi","id":"msg_1"}]'
        asks.house.gateway.responses.put("ada", "resp_1", body=b'{"id":"resp_1"}', input=said, output=b"[]")
        assert await asks.ask("/v1/responses/resp_1") == (200, {"id": "resp_1"})
        status, items = await asks.ask("/v1/responses/resp_1/input_items?limit=5&order=asc")
        assert (status, items["data"][0]["id"]) == (200, "msg_1")
        status, missing = await asks.ask("/v1/responses/resp_1", key="bob")
        assert (status, missing["error"]["type"]) == (404, "invalid_request_error")
        assert "resp_1" in missing["error"]["message"]
        assert (await asks.ask("/v1/responses/resp_1", method="DELETE", key="bob"))[0] == 404
        assert (await asks.ask("/v1/responses/resp_1", method="DELETE"))[1]["deleted"] is True
        assert (await asks.ask("/v1/responses/resp_1/input_items"))[0] == 404
