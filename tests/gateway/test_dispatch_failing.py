"""Attempts that fail: whose error is told, what is paid and held, and what must not be used up by them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, config, events_of, records_of, text_of

from hoosh.config import Alias, Budget, Cache, Key, Provider, Retry, Routing
from hoosh.cost import PriceOverride
from hoosh.errors import TransportError, Withdrawn
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import Body, Cut, End, FakeUpstream, Hang, Head, Pause, error_reply, json_reply, sse_chat
from hoosh.values import Outcome
from hoosh.values.secret import Secret

WORDS = [f"word{number} " for number in range(60)]
SAID = sse_chat(*WORDS)
BROKEN = [*SAID[:41], Cut()]
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 120, "total_tokens": 129},
}
LONG = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "salam " * 4000}]}
PLENTY = (Budget(name="default", capacity=10**9),)


@asynccontextmanager
async def house_of(*upstreams: FakeUpstream, settings: dict[str, Any] | None = None) -> AsyncIterator[MemoryHouse]:
    """Providers `mock`, `p2`, `p3` in this order."""
    changes = {"budgets": PLENTY, **(settings or {})}
    each = changes.pop("each", {})
    plain = {"type": "openai-compatible"}
    more = tuple(
        Provider(**{**plain, "name": f"p{n}", "base_url": f"http://p{n}:80", **each.get(f"p{n}", {})})
        for n in range(2, len(upstreams) + 1)
    )
    async with memory_house(config(more=more, **changes)) as house:
        for number, upstream in enumerate(upstreams, start=1):
            house.network.listen("mock:80" if number == 1 else f"p{number}:80", upstream.serve_wire)
        yield house


def pool_of(house: MemoryHouse) -> Any:
    return house.gateway.books.ledger.pool("default", house.gateway.books.now_ms())


def budget_of(house: MemoryHouse) -> float:
    return house.gateway.dispatcher.budget.left(trio.current_time())


async def hear(house: MemoryHouse, ask: dict[str, Any]) -> bytes:
    """A stream, also one that breaks off."""
    body = b""
    async with house.exchange(CHAT, ask) as response:
        try:
            while data := await response.receive():
                body += data
        except TransportError:
            pass
    return body


def usage_of(body: bytes) -> dict[str, int]:
    return [event["usage"] for event in events_of(body) if isinstance(event, dict) and event.get("usage")][-1]


# -- what is paid --------------------------------------------------------------------------------------------------


async def used_by_what_broke_off() -> int:
    async with house_of(FakeUpstream(BROKEN), settings={"routing": Routing(continuation="off")}) as house:
        await hear(house, STREAM)
        return int(pool_of(house).used)


@pytest.mark.parametrize("routing", [{}, {"max_attempts": 1}], ids=["nobody can go on", "nobody may"])
async def test_a_stream_that_nobody_has_gone_on_with_is_paid_once(routing, autojump_clock):
    async with house_of(
        FakeUpstream(BROKEN), FakeUpstream(error_reply(401)), settings={"routing": Routing(**routing)}
    ) as house:
        records = records_of(house)
        body = await hear(house, STREAM)
        assert text_of(body) == "".join(WORDS[:40])
        assert pool_of(house).used == await used_by_what_broke_off()
        assert records[0].outcome is Outcome.CUT


async def test_what_the_client_is_told_of_a_rescued_answer_is_what_is_paid(autojump_clock):
    async with house_of(FakeUpstream(BROKEN), FakeUpstream(SAID)) as house:
        records = records_of(house)
        body = await hear(house, {**STREAM, "stream_options": {"include_usage": True}})
        assert text_of(body) == "".join(WORDS)
        assert records[0].rescued
        told = usage_of(body)
        assert told["completion_tokens"] == records[0].usage.completion_tokens > 60
        assert told["total_tokens"] == pool_of(house).used


async def test_a_rescue_holds_its_prompt_once_more_where_the_pool_has_it(autojump_clock):
    async with house_of(FakeUpstream(BROKEN), FakeUpstream(SAID)) as house:
        _, _, body = await house.post(CHAT, LONG)
        assert text_of(body) == "".join(WORDS), body[-400:]
        assert pool_of(house).held == 0


async def test_a_pool_of_money_stops_a_dear_upstream_that_took_over_from_a_free_one(autojump_clock):
    prices = (
        PriceOverride(model="m", provider="mock", input=0.0, output=0.0),
        PriceOverride(model="m", provider="p2", input=0.0, output=1000.0),
    )
    budgets = (Budget(name="default", capacity=0.03, unit="usd"),)
    endless = sse_chat(*["word "] * 4000)
    async with house_of(
        FakeUpstream(error_reply(503)), FakeUpstream(endless), settings={"prices": prices, "budgets": budgets}
    ) as house:
        said = text_of(await hear(house, STREAM))
        assert 0 < len(said) < 500, "30 tokens are paid for"
        assert not house.gateway.books.guard._streams


async def test_who_cannot_be_paid_for_is_passed_over(autojump_clock):
    prices = tuple(PriceOverride(model="m", provider=name, input=1.0, output=1.0) for name in ("mock", "p3"))
    settings = {
        "prices": prices,
        "budgets": (Budget(name="default", capacity=1.0, unit="usd"),),
        "each": {"p2": {"max_concurrent": 1}},
    }
    good = FakeUpstream(json_reply(WHOLE))
    async with house_of(FakeUpstream(error_reply(503)), good, good, settings=settings) as house:
        for _ in range(2):
            status, headers, body = await house.post(CHAT, ASK)
            assert (status, headers.text(b"x-hoosh-provider")) == (200, "p3"), body
        (scope,) = house.gateway.books.admission.gate.statistics(trio.current_time()).scopes
        assert (scope.running, scope.requests) == (0, 0), "it was not asked"


async def test_where_nobody_else_can_be_paid_for_the_first_error_is_told(autojump_clock):
    settings = {
        "prices": (PriceOverride(model="m", provider="mock", input=1.0, output=1.0),),
        "budgets": (Budget(name="default", capacity=1.0, unit="usd"),),
        "each": {"p2": {"max_concurrent": 1}},
    }
    async with house_of(
        FakeUpstream(error_reply(503, "full")), FakeUpstream(json_reply(WHOLE)), settings=settings
    ) as house:
        status, _, body = await house.post(CHAT, ASK)
        assert (status, b"full" in body) == (503, True), body
        (scope,) = house.gateway.books.admission.gate.statistics(trio.current_time()).scopes
        assert scope.running == 0


# -- what is used up -----------------------------------------------------------------------------------------------


async def test_a_request_that_nobody_may_be_asked_for_has_not_used_up_the_limits_of_its_key(autojump_clock):
    settings = {"keys": (Key(name="k", key=Secret("sk-1234567890abcdef"), rpm=5),), "provider": {"rate_limit_rpm": 1}}
    async with house_of(FakeUpstream(json_reply(WHOLE)), settings=settings) as house:
        header = [(b"authorization", b"Bearer sk-1234567890abcdef")]
        assert (await house.post(CHAT, ASK, headers=header))[0] == 200
        for _ in range(3):
            assert (await house.post(CHAT, ASK, headers=header))[0] == 429
        scopes = house.gateway.books.admission.gate.statistics(trio.current_time()).scopes
        assert {each.kind: (each.requests, each.running) for each in scopes}["key"] == (1, 0)


async def test_malformed_requests_do_not_use_up_the_retries_of_others(autojump_clock):
    """Each candidate would have it translated, and finds the same mistake."""
    anthropic = {"type": "anthropic"}
    settings = {"provider": anthropic, "each": {"p2": anthropic, "p3": anthropic}}
    async with house_of(*[FakeUpstream(json_reply({}))] * 3, settings=settings) as house:
        records, before = records_of(house), budget_of(house)
        for _ in range(20):
            status, _, _ = await house.post(CHAT, {"model": "m", "messages": [{"role": 7}]})
            assert status == 400
        assert budget_of(house) >= before
        assert {record.attempts for record in records} == {0}, "nobody has heard of it"


async def test_a_last_failure_takes_nothing_from_the_budget_of_retries(autojump_clock):
    async with house_of(FakeUpstream(error_reply(500))) as house:
        before = budget_of(house)
        for _ in range(20):
            assert (await house.post(CHAT, ASK))[0] == 502
        assert budget_of(house) >= before, "there was nobody to ask"


# -- whose error is told -------------------------------------------------------------------------------------------


async def test_a_verdict_on_the_request_within_a_stream_is_not_routed_around(autojump_clock):
    error = {"error": {"message": "not that", "type": "invalid_request_error", "code": "content_policy_violation"}}
    refused = [*SAID[:10], Pause(0.1), Body(b"data: %b\n\n" % msgspec.json.encode(error)), Cut()]
    second = FakeUpstream(SAID)
    async with house_of(FakeUpstream(refused), second) as house:
        body = await hear(house, STREAM)
        assert b"not that" in body
        assert text_of(body) == "".join(WORDS[:9])
        assert not second.requests


# -- replies that are not what was asked for -----------------------------------------------------------------------


async def test_a_whole_body_can_go_on_with_a_stream(autojump_clock):
    async with house_of(FakeUpstream(BROKEN), FakeUpstream(json_reply(WHOLE))) as house:
        records = records_of(house)
        status, _, body = await house.post(CHAT, STREAM)
        assert (status, text_of(body)) == (200, "".join(WORDS))
        assert body.endswith(b"data: [DONE]\n\n")
        assert records[0].rescued


async def test_a_whole_body_can_come_after_comments(autojump_clock):
    silent = [Head(200, [(b"content-type", b"text/event-stream")]), Pause(20.0), Cut()]
    settings = {"provider": {"timeouts": {"first_token_s": 100.0}}}
    from hoosh.config import Timeouts

    settings = {"provider": {"timeouts": Timeouts(first_token_s=100.0)}}
    async with house_of(FakeUpstream(silent), FakeUpstream(json_reply(WHOLE)), settings=settings) as house:
        status, _, body = await house.post(CHAT, STREAM)
        assert (status, text_of(body)) == (200, "".join(WORDS))
        assert body.startswith(b":")


async def test_a_rescued_answer_is_nobody_elses(autojump_clock):
    first = FakeUpstream(BROKEN, SAID)
    async with house_of(first, FakeUpstream(SAID), settings={"cache": Cache(enabled=True)}) as house:
        ask = {**STREAM, "temperature": 0}
        for expected in (b"miss", b"miss", b"hit"):  # the second asks `mock`, which has recovered
            _, headers, body = await house.post(CHAT, ask)
            assert text_of(body) == "".join(WORDS)
            assert headers.get(b"x-hoosh-cache") == expected


# -- asking again --------------------------------------------------------------------------------------------------


async def test_a_sound_request_is_asked_again_after_an_error_of_the_upstream(autojump_clock):
    sound = [Head(200, [(b"content-type", b"audio/mpeg")]), Body(b"\xff\xf3" * 99), End()]
    upstream = FakeUpstream(error_reply(500), sound)
    async with house_of(upstream, settings={"retry": Retry(max_retries=2)}) as house:
        status, _, body = await house.post("/v1/audio/speech", {"model": "m", "input": "salam", "voice": "nova"})
        assert (status, len(upstream.requests)) == (200, 2), body


async def test_who_says_that_asking_again_will_not_help_is_asked_once(autojump_clock):
    final = error_reply(500, headers=[(b"x-should-retry", b"false")])
    first, second = FakeUpstream(final), FakeUpstream(json_reply(WHOLE))
    async with house_of(first, settings={"retry": Retry(max_retries=2)}) as house:
        status, headers, _ = await house.post(CHAT, ASK)
        assert (status, headers.get(b"x-should-retry"), len(first.requests)) == (502, b"false", 1)
    async with house_of(first, second, settings={"retry": Retry(max_retries=2)}) as house:
        status, headers, _ = await house.post(CHAT, ASK)
        assert (status, headers.get(b"x-should-retry"), len(first.requests)) == (200, None, 2)


async def test_a_deadline_that_passes_behind_the_last_word_is_no_failure(autojump_clock):
    held = [*SAID[:-1], Hang()]
    async with house_of(FakeUpstream([SAID[0], Pause(0.9), *held[1:]])) as house:
        records = records_of(house)
        status, _, body = await house.post(CHAT, STREAM, headers=[(b"x-hoosh-timeout", b"1")])
        assert (status, text_of(body)) == (200, "".join(WORDS))
        await trio.sleep(2)
        assert [(each.outcome, each.status) for each in records] == [(Outcome.OK, 200)]


@pytest.mark.parametrize("path", [CHAT, "/v1/audio/speech", "/v1/messages/count_tokens"])
async def test_who_was_stopped_while_nobody_was_asked_asks_nobody(path, autojump_clock):
    upstream = FakeUpstream(json_reply(WHOLE))
    settings = {"provider": {"type": "anthropic"}} if path.endswith("count_tokens") else {}
    async with house_of(upstream, settings=settings) as house:
        found = house.gateway.candidates

        async def candidates(call, provider):
            (account,) = house.gateway.in_flight
            account.interrupt(Withdrawn())
            return await found(call, provider)

        house.gateway.candidates = candidates
        ask = {**ASK, "input": "salam", "voice": "nova", "max_tokens": 9}
        status, _, body = await house.post(path, ask)
        assert (status >= 500, len(upstream.requests)) == (True, 0), body


async def test_the_time_of_a_rescue_says_how_soon_that_one_began(autojump_clock):
    slow = [*SAID[:20], Pause(5.0), *SAID[20:41], Cut()]
    settings = {"routing": Routing(strategy="lowest_latency"), "models": (Alias(name="a", targets=("mock/m", "p2/m")),)}
    async with house_of(FakeUpstream(slow), FakeUpstream([Pause(1.0), *SAID]), settings=settings) as house:
        _, _, body = await house.post(CHAT, {**STREAM, "model": "a"})
        assert text_of(body) == "".join(WORDS)
        loads = {each.provider: each.first_content_s for each in house.gateway.loads.statistics()}
        assert loads["p2"] is None or loads["p2"] >= 0


async def test_who_launches_a_flight_knows_its_attempts(autojump_clock):
    settings = {"cache": Cache(enabled=True)}
    async with house_of(FakeUpstream(error_reply(503)), FakeUpstream(json_reply(WHOLE)), settings=settings) as house:
        records = records_of(house)
        detail = [(b"x-hoosh-attempts", b"detail")]
        status, headers, _ = await house.post(CHAT, {**ASK, "temperature": 0}, headers=detail)
        assert (status, headers.get(b"x-hoosh-cache")) == (200, b"miss")
        assert [(each.provider, each.reason) for each in records[0].tried] == [("mock", "503")]


async def test_whose_head_comes_too_late_is_not_waited_for_first_and_then_thrown_away(autojump_clock):
    async with house_of(FakeUpstream([Pause(20.0), *SAID]), FakeUpstream(SAID)) as house:
        records = records_of(house)
        _, _, body = await house.post(CHAT, STREAM)
        assert text_of(body) == "".join(WORDS)
        assert [each.reason for each in records[0].tried] == ["first_token"]
        assert records[0].duration_s < 15.0
