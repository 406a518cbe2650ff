"""Tracing: whose child the upstream is, and what each attempt's span says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from gateway_house import ASK, CHAT, STREAM, config, house_with
from opentelemetry.sdk.resources import Resource

from hoosh.config import Cache, Provider, Retry, Routing, Telemetry
from hoosh.gateway.readings import readings_of
from hoosh.observe.context import parse_traceparent
from hoosh.observe.spans import Ended, SpanMaker
from hoosh.observe.traces import Trace
from hoosh.testing.collector import collector
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream, Head, Pause, Reset, error_reply, json_reply, sse_chat
from hoosh.values import Record, Secret

CLIENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACED = {"telemetry": Telemetry(enabled=True)}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
}
QUICK = json_reply(WHOLE)
SECOND = Provider(type="openai-compatible", name="second", base_url="http://second:80")

Kept = list[tuple[Record, Trace, float]]


def traces_of(house: MemoryHouse) -> Kept:
    """What would be exported; nothing is."""
    kept: Kept = []
    house.gateway.traces.put = lambda *ended: kept.append(ended)  # type: ignore[method-assign]
    return kept


@asynccontextmanager
async def two(first: FakeUpstream, second: FakeUpstream, **changes: Any) -> AsyncIterator[MemoryHouse]:
    async with memory_house(config(more=(SECOND,), **TRACED, **changes)) as house:
        house.network.listen("mock:80", first.serve_wire)
        house.network.listen("second:80", second.serve_wire)
        yield house


def told(upstream: FakeUpstream, number: int = 0) -> tuple[int, int, int]:
    """Trace, parent and flags, as the upstream got them."""
    (value,) = upstream.requests[number].headers.all(b"traceparent")
    context = parse_traceparent(value)
    assert context is not None
    return context.trace_id, context.span_id, context.flags


def ended(house: MemoryHouse, kept: Kept) -> tuple[Record, Trace]:
    house.gateway.flush()
    ((record, trace, ended_at),) = kept
    for tried in trace.attempts:
        assert trace_time(record, ended_at) <= tried.begun_at <= (tried.over_at or ended_at) <= ended_at
    return record, trace


def trace_time(record: Record, ended_at: float) -> float:
    return ended_at - record.duration_s - 1e-6


async def test_without_tracing_the_clients_own_header_goes_on(autojump_clock):
    upstream = FakeUpstream(QUICK)
    async with house_with(upstream) as house:
        kept = traces_of(house)
        await house.post(CHAT, ASK, headers=((b"traceparent", CLIENT), (b"tracestate", b"a=1")))
        house.gateway.flush()
    assert upstream.requests[0].headers.all(b"traceparent") == [CLIENT]
    assert upstream.requests[0].headers.all(b"tracestate") == [b"a=1"]
    assert kept == []


async def test_with_it_the_upstream_is_a_child_of_the_attempt(autojump_clock):
    upstream = FakeUpstream(QUICK)
    async with house_with(upstream, config(**TRACED)) as house:
        kept = traces_of(house)
        await house.post(CHAT, ASK, headers=((b"traceparent", CLIENT), (b"tracestate", b"a=1")))
        record, trace = ended(house, kept)
    (attempt,) = trace.attempts
    assert told(upstream) == (int(CLIENT[3:35], 16), attempt.span_id, 1)
    assert upstream.requests[0].headers.all(b"tracestate") == [b"a=1"]
    assert trace.parent_id == int(CLIENT[36:52], 16)
    assert (attempt.provider, attempt.model, attempt.status, attempt.error) == ("mock", "m", 200, "")
    assert record.attempts == 1


async def test_what_no_client_could_mean_is_replaced_by_a_trace_of_our_own(autojump_clock):
    upstream = FakeUpstream(QUICK)
    async with house_with(upstream, config(telemetry=Telemetry(enabled=True, sample=0.0))) as house:
        kept = traces_of(house)
        await house.post(CHAT, ASK, headers=((b"traceparent", b"nonsense"), (b"tracestate", b"a=1")))
        _, trace = ended(house, kept)
    assert told(upstream) == (trace.trace_id, trace.attempts[0].span_id, 2), "not sampled, and the upstream knows"
    assert upstream.requests[0].headers.get(b"tracestate") is None


async def test_each_attempt_of_a_failover_is_one(autojump_clock):
    first, second = FakeUpstream(error_reply(503)), FakeUpstream(QUICK)
    async with two(first, second, retry=Retry(max_retries=1, base_delay_ms=1, max_delay_ms=1)) as house:
        kept = traces_of(house)
        status, _, _ = await house.post(CHAT, ASK)
        assert status == 200
        _, trace = ended(house, kept)
    said = [(each.provider, each.error, each.status) for each in trace.attempts]
    assert said[0] == ("mock", "503", 503)
    assert said[-1] == ("second", "", 200)
    assert told(first) == (trace.trace_id, trace.attempts[0].span_id, 3)
    assert told(second) == (trace.trace_id, trace.attempts[-1].span_id, 3)


async def test_one_that_cannot_be_reached_is_one_too(autojump_clock):
    async with memory_house(config(**TRACED)) as house:
        kept = traces_of(house)
        await house.post(CHAT, ASK)
        record, trace = ended(house, kept)
    (attempt,) = trace.attempts
    assert (attempt.error, attempt.status) == ("connect", None)
    assert record.status == 502


async def test_a_hedge_says_that_it_is_one_and_who_was_slower(autojump_clock):
    first, second = FakeUpstream([Pause(2.0), *QUICK]), FakeUpstream(QUICK)
    async with two(first, second, routing=Routing(hedge_after_ms=100, hedge_max_ratio=1.0)) as house:
        kept = traces_of(house)
        await house.post(CHAT, ASK)
        _, trace = ended(house, kept)
    slow, quick = trace.attempts
    assert (slow.provider, slow.error, slow.is_hedge) == ("mock", "hedged", False)
    assert (quick.provider, quick.error, quick.is_hedge, quick.status) == ("second", "", True, 200)
    assert told(first)[1] == slow.span_id != told(second)[1] == quick.span_id


async def test_a_stream_that_was_rescued_has_a_span_for_the_one_that_went_on(autojump_clock):
    broken = [*sse_chat("sa", "lam")[:2], Reset()]
    first, second = FakeUpstream(broken), FakeUpstream(sse_chat("sa", "lam"))
    async with two(first, second) as house:
        kept = traces_of(house)
        status, _, _ = await house.post(CHAT, STREAM)
        assert status == 200
        record, trace = ended(house, kept)
    cut, onward = trace.attempts
    assert (cut.error, cut.status, cut.is_rescue) == ("broke", 200, False)
    assert (onward.error, onward.is_rescue) == ("", True)
    assert record.rescued


async def test_a_client_that_leaves_has_left_an_attempt_cancelled(autojump_clock):
    silent = [Head(200, [(b"content-type", b"text/event-stream")]), Pause(100.0)]
    upstream = FakeUpstream(silent)
    async with house_with(upstream, config(**TRACED)) as house:
        kept = traces_of(house)
        with trio.move_on_after(1.0):
            await house.post(CHAT, STREAM)
        await upstream.wait_cancelled()
        await trio.sleep(1.0)
        record, trace = ended(house, kept)
    assert record.outcome == "client_left"
    assert [each.error for each in trace.attempts] == ["cancelled"]


async def test_the_one_who_pays_for_a_flight_has_the_attempts(autojump_clock):
    upstream = FakeUpstream([Pause(1.0), *QUICK])
    cached = Cache(enabled=True)
    async with house_with(upstream, config(cache=cached, **TRACED)) as house:
        kept = traces_of(house)
        asked = {**ASK, "temperature": 0}
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(house.post, CHAT, asked)
        house.gateway.flush()
    assert len(upstream.requests) == 1
    assert sorted(len(trace.attempts) for _, trace, _ in kept) == [0, 0, 1]
    assert len({trace.span_id for _, trace, _ in kept}) == 3


async def test_no_prompt_no_answer_and_no_key_is_in_a_span(autojump_clock):
    upstream = FakeUpstream(error_reply(401, "your key sk-provider is wrong: PROMPT"))
    provider = {"api_key": Secret("sk-provider"), "headers": {"x-extra": Secret("sk-header")}}
    async with house_with(upstream, config(provider=provider, **TRACED)) as house:
        kept = traces_of(house)
        ask = {**ASK, "messages": [{"role": "user", "content": "PROMPT"}], "user": "PROMPT"}
        await house.post(CHAT, ask, headers=((b"authorization", b"Bearer sk-client"),))
        house.gateway.flush()
    maker = SpanMaker(Resource({}), "1", str)
    spans = [span for each in kept for span in maker.spans_of(Ended(*each))]
    assert len(spans) == 2
    text = " ".join(span.to_json() for span in spans)
    assert "401" in text
    for secret in ("sk-", "PROMPT", "salam"):
        assert secret not in text
    assert msgspec.json.decode(spans[0].to_json())["attributes"]["hoosh.provider"] == "mock"


async def test_it_can_be_switched_on_while_the_house_is_open(autojump_clock):
    upstream = FakeUpstream(QUICK)
    async with house_with(upstream) as house:
        kept = traces_of(house)
        await house.post(CHAT, ASK)
        house.gateway.traces.configure(Telemetry(enabled=True))
        await house.post(CHAT, ASK)
        house.gateway.traces.configure(Telemetry())
        await house.post(CHAT, ASK)
        house.gateway.flush()
    assert [request.headers.get(b"traceparent") is None for request in upstream.requests] == [True, False, True]
    assert len(kept) == 1


async def test_what_has_ended_reaches_the_collector_before_the_house_is_closed():
    upstream = FakeUpstream(QUICK)
    with collector() as there:
        async with house_with(upstream, config(telemetry=Telemetry(otlp_endpoint=there.url))) as house:
            status, _, _ = await house.post(CHAT, ASK, headers=((b"traceparent", CLIENT),))
            assert status == 200
            assert readings_of(house.gateway).traces == {"exported": 0, "dropped": 0}
        assert readings_of(house.gateway).traces == {"exported": 1, "dropped": 0}
    request, attempt = there.spans()
    assert request.trace_id.hex() == CLIENT[3:35].decode()
    assert attempt.parent_span_id == request.span_id
    assert attempt.span_id.hex().encode() in upstream.requests[0].headers.all(b"traceparent")[0]
    assert there.resource()["service.name"] == "hoosh"


async def test_a_collector_that_is_away_is_nothing_that_a_request_notices():
    upstream = FakeUpstream(QUICK)
    settings = config(telemetry=Telemetry(otlp_endpoint="http://127.0.0.1:9", queue=1, timeout_s=0.01))
    async with house_with(upstream, settings) as house:
        for _ in range(3):
            status, _, _ = await house.post(CHAT, ASK)
            assert status == 200
            house.gateway.flush()
        assert readings_of(house.gateway).traces["dropped"] == 2
        assert readings_of(house.gateway).traces_waiting == 1
