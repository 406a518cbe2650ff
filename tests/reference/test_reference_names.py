"""The original's public names do what it says of them, with hoosh's own rooms behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

import hoosh
from hoosh.errors import ConfigError, NoRoute, UnknownPool
from hoosh.reference.cache import cache_key
from hoosh.testing.upstream import FakeUpstream, Received, Script, json_reply, sse_chat

NAMES = [
    *(
        "InferenceRequest",
        "InferenceResponse",
        "ModelInfo",
        "LlmProvider",
        "ProviderRegistry",
        "ProviderType",
        "Router",
    ),
    *("ProviderRoute", "RoutingStrategy", "TokenBudget", "TokenPool", "ResponseCache", "ToolCall", "ToolChoice"),
    *("ToolDefinition", "ToolResult", "HooshError", "HooshClient", "Router"),
]
"""Product section 8."""


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_there(name: str):
    assert name in hoosh.__all__
    assert getattr(hoosh, name).__name__ == name


LIGHT = "import sys, hoosh; hoosh.TokenBudget, hoosh.ResponseCache; print('httpx' in sys.modules)"


def test_a_pool_brings_no_gateway_with_it():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- pools -------------------------------------------------------------------------------------------------------


def test_a_pool_reserves_commits_and_releases():
    pool = hoosh.TokenPool("team", 1000)
    assert pool.reserve(600)
    assert (pool.reserved, pool.available) == (600, 400)
    assert not pool.reserve(401)
    assert pool.can_reserve(400)
    pool.commit(600, 450)
    assert (pool.used, pool.reserved, pool.available, pool.utilization) == (450, 0, 550, 0.45)
    assert pool.reserve(100)
    pool.release(40)
    assert pool.reserved == 60
    pool.release(1000)  # no more than there is
    assert pool.reserved == 0


def test_a_pool_may_be_overdrawn_and_has_nothing_left_then():
    pool = hoosh.TokenPool("team", 10)
    pool.commit(0, 25)
    assert (pool.used, pool.available, pool.reserve(1), pool.reserve(0)) == (25, 0, False, True)
    assert hoosh.TokenPool("none", 0).utilization == 0.0


def test_a_budget_knows_its_pools_by_name():
    budget = hoosh.TokenBudget()
    budget.add_pool(hoosh.TokenPool("team", 100))
    assert budget.check("team", 100)
    assert budget.reserve("team", 70)
    assert not budget.reserve("team", 31)
    budget.report("team", 70, 40)
    pool = budget.get_pool("team")
    assert pool is not None
    assert (pool.used, pool.reserved) == (40, 0)
    assert not budget.check("nobody", 1)
    assert not budget.reserve("nobody", 1)
    assert budget.get_pool("nobody") is None
    with pytest.raises(UnknownPool):
        budget.report("nobody", 1, 1)
    budget.add_pool(hoosh.TokenPool("team", 5))
    assert [each.capacity for each in budget.pools()] == [5]


# -- cache -------------------------------------------------------------------------------------------------------


def test_answers_are_kept_until_they_grow_too_old_or_have_to_make_room():
    now = [0.0]
    cache = hoosh.ResponseCache(max_entries=2, ttl_secs=10.0, now_s=lambda: now[0])
    key = cache_key("m", [{"role": "user", "content": "salam"}])
    assert cache.get(key) is None
    assert cache.insert(key, "donya")
    assert (cache.get(key), len(cache)) == ("donya", 1)
    cache.insert("b", "2")
    assert cache.get(key) == "donya"  # so that `b` is the longest unused
    cache.insert("c", "3")
    assert cache.get("b") is None
    now[0] = 10.0
    assert cache.sweep() == 2
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.evictions) == (2, 2, 0, 3)
    cache.insert(key, "donya")
    assert cache.clear() == 1


def test_a_cache_that_is_off_keeps_nothing_and_counts_nothing():
    cache = hoosh.ResponseCache(enabled=False)
    assert not cache.insert("a", "1")
    assert cache.get("a") is None
    assert cache.stats().misses == 0


def test_the_key_of_a_question_is_of_all_of_it():
    said = {"role": "user", "content": "salam"}
    assert cache_key("m", [said]) == cache_key("m", [dict(reversed(said.items()))])
    others = [cache_key("m2", [said]), cache_key("m", []), cache_key("m", [{**said, "name": "ada"}])]
    assert len({cache_key("m", [said]), *others}) == 4


# -- routes ------------------------------------------------------------------------------------------------------

LLAMAS = hoosh.ProviderRoute("Ollama", priority=1, model_patterns=("llama*",))
OPENAI = hoosh.ProviderRoute("OpenAi", priority=5, model_patterns=("gpt-*", "llama*"))


def test_a_router_selects_by_priority_health_and_pattern():
    router = hoosh.Router([OPENAI, LLAMAS])
    assert router.routes() == (LLAMAS, OPENAI)
    assert router.select("llama3.2") == LLAMAS
    assert router.select("gpt-4o") == OPENAI
    assert router.select("claude") is None
    router.set_unhealthy({"ollama"})
    assert router.candidates("llama3.2") == (OPENAI,)


def test_round_robin_takes_turns_and_lowest_latency_the_fastest():
    one, two = (hoosh.ProviderRoute("vLLM", name=name, base_url=f"http://{name}:80") for name in ("one", "two"))
    router = hoosh.Router([one, two], hoosh.RoutingStrategy.ROUND_ROBIN)
    selected = [router.select("m") for _ in range(4)]
    assert selected == [one, two, one, two]
    router.reload([one, two], hoosh.RoutingStrategy.LOWEST_LATENCY)
    router.report_latency("one", "m", 900)
    router.report_latency("two", "m", 100)
    assert router.select("m") == two


def test_a_router_refuses_what_it_cannot_tell_apart_or_does_not_know():
    router = hoosh.Router([LLAMAS])
    with pytest.raises(ValueError, match="same name"):
        router.reload([LLAMAS, LLAMAS], hoosh.RoutingStrategy.PRIORITY)
    with pytest.raises(ConfigError):
        router.reload([hoosh.ProviderRoute("Nobody")], hoosh.RoutingStrategy.PRIORITY)
    assert router.routes() == (LLAMAS,)


# -- providers ---------------------------------------------------------------------------------------------------


def answers(request: Received) -> Script:
    if request.method == "GET":
        return json_reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
    if request.target.endswith("/embeddings"):
        return json_reply({"data": [{"index": 0, "embedding": [1.0]}], "model": "m", "usage": {"prompt_tokens": 1}})
    if json.loads(request.body).get("stream"):
        return sse_chat("Salam", " donya")
    message = {"role": "assistant", "content": "Salam"}
    return json_reply({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@asynccontextmanager
async def a_registry() -> AsyncIterator[hoosh.ProviderRegistry]:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(FakeUpstream(answers).serve_tcp)
        registry = hoosh.ProviderRegistry()
        for _ in range(2):
            registry.register_from_route(
                hoosh.ProviderRoute("vLLM", name="mine", base_url=f"http://127.0.0.1:{port}", model_patterns=("m",))
            )
        assert len(registry) == 1
        async with registry:
            yield registry
        nursery.cancel_scope.cancel()


async def test_a_registered_provider_is_asked_through_a_gateway():
    with trio.fail_after(60):
        async with a_registry() as registry:
            provider: hoosh.LlmProvider = registry.require("mine")
            assert provider.provider_type.wire == "vllm"
            answer = await provider.infer(hoosh.InferenceRequest(model="m", prompt="salam"))
            assert (answer.text, answer.provider) == ("Salam", "mine")
            async with provider.infer_stream(hoosh.InferenceRequest(model="m", prompt="salam")) as stream:
                assert (await stream.rest()).text == "Salam donya"
            assert [model.id for model in await provider.list_models()] == ["m"]
            assert await provider.health_check()
            assert (await provider.embeddings("m", ["salam"])).vectors == ((1.0,),)
            assert registry.all() == (provider,)
            assert registry.get("nobody") is None
            with pytest.raises(NoRoute):
                registry.require("nobody")
            with pytest.raises(RuntimeError):
                registry.register_from_route(LLAMAS)


def test_a_registry_refuses_a_type_that_nobody_knows():
    with pytest.raises(ConfigError):
        hoosh.ProviderRegistry().register_from_route(hoosh.ProviderRoute("Nobody"))
