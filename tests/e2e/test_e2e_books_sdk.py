"""What the books mean to a program that uses OpenAI's or Anthropic's own SDK: costs, limits, budgets, the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from books_house import BookedHouse, pools_of
from e2e_house import CLIENT_KEY, PATIENCE_S, Gateway, OpenAIServer

HURRIED_KEY = "sk-e2e-hurried-5d1e77c0"
LONG: Any = [{"role": "user", "content": "again and " * 200}]
"""`tiny-chat` repeats it: the reply has some 400 pieces, each counted as a token."""
SHORT: Any = [{"role": "user", "content": "salam donya"}]
POOLS = {
    # name: (capacity, unit, on_exhausted); each test that runs one dry has its own
    "empty": (0, "tokens", "stop"),
    "poor": (0.000001, "usd", "stop"),
    "stops": (600, "tokens", "stop"),
    "finishes": (600, "tokens", "finish"),
    "stops-money": (0.006, "usd", "stop"),
    "stops-claude": (600, "tokens", "stop"),
    "finishes-claude": (600, "tokens", "finish"),
    "vectors": (1000, "tokens", "stop"),
}
MORE = f"""
[[keys]]
name = "hurried"
key = "{HURRIED_KEY}"
rpm = 2
tpm = 5000
"""


@pytest.fixture(scope="module")
def gateway(upstream: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    house = BookedHouse(tmp_path_factory.mktemp("sdk"), upstream)
    budgets = "".join(
        f'[[budgets]]\nname = "{name}"\ncapacity = {capacity}\nunit = "{unit}"\non_exhausted = "{what}"\n'
        for name, (capacity, unit, what) in POOLS.items()
    )
    with house.life(house.config(budgets=budgets, pools=("stops", "poor"), more=MORE)) as gateway:
        yield gateway
        assert gateway.stop() == 0


def openai_client(gateway: Gateway, *, pool: str | None = None, key: str = CLIENT_KEY) -> openai.OpenAI:
    headers = {} if pool is None else {"x-hoosh-pool": pool}
    return openai.OpenAI(
        base_url=gateway.base_url, api_key=key, max_retries=0, timeout=PATIENCE_S, default_headers=headers
    )


def claude_client(gateway: Gateway, *, pool: str | None = None, key: str = CLIENT_KEY) -> anthropic.Anthropic:
    headers = {} if pool is None else {"x-hoosh-pool": pool}
    return anthropic.Anthropic(
        base_url=gateway.url, api_key=key, max_retries=0, timeout=PATIENCE_S, default_headers=headers
    )


def price_of(usage: Any) -> float:
    """3.5 and 14.25 USD for a million, half a micro-USD up."""
    return int(usage.prompt_tokens * 3.5 + usage.completion_tokens * 14.25 + 0.5) / 1e6


# -- costs ---------------------------------------------------------------------------------------------------------


def test_an_answer_says_what_it_has_cost(gateway: Gateway) -> None:
    with openai_client(gateway) as client:
        usage = client.chat.completions.create(model="tiny-chat", messages=SHORT).usage
        assert usage is not None
        assert usage.model_extra == {"cost_usd": price_of(usage)}
        stream = client.chat.completions.create(
            model="tiny-chat", messages=SHORT, stream=True, stream_options={"include_usage": True}
        )
        (usage,) = [chunk.usage for chunk in stream if chunk.usage is not None]
        assert usage.model_extra == {"cost_usd": price_of(usage)}


def test_the_second_equal_question_is_answered_from_the_cache_and_costs_nothing(gateway: Gateway) -> None:
    with openai_client(gateway) as client:
        ask = {"model": "tiny-chat", "messages": SHORT, "temperature": 0}
        answers = [client.chat.completions.with_raw_response.create(**ask) for _ in range(2)]
        assert [answer.headers["x-hoosh-cache"] for answer in answers] == ["miss", "hit"]
        first, second = [answer.parse() for answer in answers]
        assert first.choices == second.choices
        assert first.usage.model_extra["cost_usd"] > 0
        assert second.usage.model_extra == {"cost_usd": 0}


def test_embeddings_pay(gateway: Gateway) -> None:
    with openai_client(gateway, pool="vectors") as client:
        usage = client.embeddings.create(model="tiny-embed", input=["salam donya", "one two three"]).usage
        assert pools_of(gateway)["vectors"]["used"] == usage.total_tokens == 5


# -- budgets -------------------------------------------------------------------------------------------------------


def test_an_empty_pool_of_tokens_is_a_rate_limit_error_with_a_code_of_its_own(gateway: Gateway) -> None:
    with openai_client(gateway, pool="empty") as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="tiny-chat", messages=SHORT)
    error = caught.value
    assert (error.status_code, error.code, error.type) == (429, "budget_exceeded", "tokens")
    assert "The budget `empty` has 0 tokens left" in error.message
    assert "retry-after" not in error.response.headers  # it never is refilled


def test_an_empty_pool_of_money_is_402(gateway: Gateway) -> None:
    with openai_client(gateway, pool="poor") as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="tiny-chat", messages=SHORT, max_tokens=10)
    assert (caught.value.status_code, caught.value.code) == (402, "budget_exceeded")
    assert "The budget `poor` has 0.000001 USD left" in caught.value.message


@pytest.mark.parametrize("pool", ["empty", "poor"])
def test_the_sdks_do_not_ask_again_of_a_pool_that_nobody_refills(gateway: Gateway, pool: str) -> None:
    before = refusals(gateway)
    with openai_client(gateway, pool=pool) as client, pytest.raises(openai.APIStatusError):
        client.with_options(max_retries=2).chat.completions.create(model="tiny-chat", messages=SHORT)
    with claude_client(gateway, pool=pool) as claude, pytest.raises(anthropic.APIStatusError):
        claude.with_options(max_retries=2).messages.create(model="tiny-chat", messages=SHORT, max_tokens=10)
    assert refusals(gateway) == before + 2


def refusals(gateway: Gateway) -> float:
    return gateway.metric('hoosh_refusals_total{code="budget_exceeded"}')


@pytest.mark.parametrize("pool", ["stops", "stops-money"])
def test_a_stream_on_a_pool_that_stops_raises_in_the_middle(gateway: Gateway, pool: str) -> None:
    text: list[str] = []
    with openai_client(gateway, pool=pool) as client:
        stream = client.chat.completions.create(model="tiny-chat", messages=LONG, stream=True)
        with pytest.raises(openai.APIError) as caught:
            text.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert caught.value.code == "budget_exceeded"
    assert "".join(text).startswith("you said: again and again")
    assert len("".join(text).split()) < 402
    check_spent(gateway, pool)


def test_a_stream_on_a_pool_that_finishes_ends_as_if_it_had_come_to_its_limit(gateway: Gateway) -> None:
    with openai_client(gateway, pool="finishes") as client:
        chunks = list(client.chat.completions.create(model="tiny-chat", messages=LONG, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"
    assert 0 < len("".join(chunk.choices[0].delta.content or "" for chunk in chunks).split()) < 402
    check_spent(gateway, "finishes")


def check_spent(gateway: Gateway, pool: str) -> None:
    """All of it, and not more than one piece beyond; nothing is held any more."""
    state = pools_of(gateway)[pool]
    piece = 1 if state["unit"] == "tokens" else 15
    assert state["reserved"] == 0
    assert 0 <= state["used"] - state["capacity"] + piece <= 2 * piece


# -- Anthropic's ---------------------------------------------------------------------------------------------------


def test_claudes_sdk_raises_its_own_errors_for_empty_pools(gateway: Gateway) -> None:
    ask: dict[str, Any] = {"model": "tiny-chat", "messages": SHORT, "max_tokens": 100}
    with claude_client(gateway, pool="empty") as client, pytest.raises(anthropic.RateLimitError) as limited:
        client.messages.create(**ask)
    assert kind_of(limited.value) == "rate_limit_error"
    assert "The budget `empty` has 0 tokens left" in limited.value.message
    with claude_client(gateway, pool="poor") as client, pytest.raises(anthropic.APIStatusError) as spent:
        client.messages.create(**ask)
    assert (spent.value.status_code, kind_of(spent.value)) == (402, "billing_error")


def kind_of(error: anthropic.APIStatusError) -> str:
    body: Any = error.body
    kind: str = body["error"]["type"]
    return kind


def test_a_message_on_a_pool_that_stops_raises_in_the_middle(gateway: Gateway) -> None:
    """Its limit of tokens is held from the beginning; this upstream does not keep to it."""
    ask: dict[str, Any] = {"model": "tiny-chat", "messages": LONG, "max_tokens": 20}
    text: list[str] = []
    with (
        claude_client(gateway, pool="stops-claude") as client,
        client.messages.stream(**ask) as stream,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        text.extend(stream.text_stream)
    assert "The budget `stops-claude`" in str(caught.value)
    assert "".join(text).startswith("you said: again and again")


def test_a_message_on_a_pool_that_finishes_stops_at_max_tokens(gateway: Gateway) -> None:
    ask: dict[str, Any] = {"model": "tiny-chat", "messages": LONG, "max_tokens": 4000}
    with claude_client(gateway, pool="finishes-claude") as client, client.messages.stream(**ask) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "max_tokens"
    check_spent(gateway, "finishes-claude")


# -- limits --------------------------------------------------------------------------------------------------------


def test_headers_tell_of_the_limits_and_beyond_them_is_429_in_either_sdk(gateway: Gateway) -> None:
    with openai_client(gateway, key=HURRIED_KEY) as client:
        left = []
        for _ in range(2):
            answer = client.chat.completions.with_raw_response.create(model="tiny-chat", messages=SHORT)
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
            assert answer.headers["x-ratelimit-limit-tokens"] == "5000"
            assert 0 < int(answer.headers["x-ratelimit-remaining-tokens"]) < 5000
            left.append(answer.headers["x-ratelimit-remaining-requests"])
        assert left == ["1", "0"]
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="tiny-chat", messages=SHORT)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 61  # the window has a bucket a second
    with claude_client(gateway, key=HURRIED_KEY) as claude, pytest.raises(anthropic.RateLimitError) as limited:
        claude.messages.create(model="tiny-chat", messages=SHORT, max_tokens=10)
    headers = limited.value.response.headers
    assert headers["anthropic-ratelimit-requests-limit"] == "2"
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert "retry-after" in headers
    assert json.loads(limited.value.response.text)["error"]["type"] == "rate_limit_error"
