"""Every topic, through the real gateway: who listens hears it, with its fields and nothing that it must not hear."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, FakeUpstream, Key, Secret, config, house_with

from hoosh.codec.sse import ServerSentEvent, SseDecoder
from hoosh.config import Budget, Config, Events, Health
from hoosh.errors import Unavailable
from hoosh.events import Event, Lost, RateLimited, Reloaded, encode_event
from hoosh.http.message import Response
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import Hang, error_reply, json_reply, sse_chat
from hoosh.values import Selection

ANSWER = {
    "choices": [{"index": 0, "message": {"content": "an answer in words"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
STRICT = Health(interval_secs=0, failure_threshold=1, min_requests=1, open_s=5.0)
ADMIN: Any = [(b"authorization", b"Bearer sk-root")]
KEYS = {"keys": (Key(name="root", key=Secret("sk-root")), Key(name="ada", key=Secret("sk-ada"), scopes=("inference",)))}


def told(house: MemoryHouse, *topics: str) -> list[dict[str, Any]]:
    house.gateway.flush()
    return [json.loads(encode_event(event)) for event in house.gateway.events.recent(*topics).events]


def fields(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ("id", "topic", "timestamp")}


async def test_an_answer_is_told_with_the_names_of_the_reference(autojump_clock):
    async with house_with(FakeUpstream(json_reply(ANSWER))) as house:
        assert (await house.post(CHAT, ASK))[0] == 200
        (completed,) = told(house, "providers/inference")
        assert completed.pop("latency_ms") >= 0
        names = {"event": "inference_completed", "provider": "mock", "model": "m", "tokens": 7}
        assert fields(completed) == names
        (finished,) = told(house, "requests/finished")
        assert (finished["status"], finished["outcome"], finished["prompt_tokens"]) == (200, "ok", 3)
        assert "salam" not in str(told(house))
        assert "in words" not in str(told(house))


async def test_a_stream_is_told_when_it_has_ended(autojump_clock):
    async with house_with(FakeUpstream(sse_chat("sa", "lam"))) as house:
        await house.post(CHAT, STREAM)
        (completed,) = told(house, "providers/inference")
        assert (completed["provider"], completed["tokens"]) == ("mock", 3)
        assert told(house, "requests/*")[0]["stream"] is True


async def test_a_failure_and_its_breaker_and_health_are_told_without_an_upstreams_words(autojump_clock):
    upstream = FakeUpstream(error_reply(503, "sk-upstream is broken"), json_reply(ANSWER))
    settings = config(health=STRICT, provider={"base_url": "http://mock:80/v1"})
    async with house_with(upstream, settings) as house:
        assert (await house.post(CHAT, ASK))[0] == 503
        (failed,) = told(house, "providers/errors")
        assert fields(failed).keys() == {"event", "provider", "model", "error"}
        assert (failed["event"], failed["provider"], failed["model"]) == ("inference_failed", "mock", "m")
        (opened,) = told(house, "providers/breaker")
        assert (opened["model"], opened["from"], opened["to"], opened["reason"]) == ("m", "closed", "open", "503")
        (ill,) = told(house, "providers/health")
        assert fields(ill) == {
            "event": "health_changed",
            "provider": "mock",
            "base_url": "http://mock:80/v1",
            "healthy": False,
            "reason": "503",
        }
        await trio.sleep(60)
        assert (await house.post(CHAT, ASK))[0] == 200
        assert [each["healthy"] for each in told(house, "providers/health")] == [False, True]
        assert "sk-upstream" not in str(told(house))


async def test_an_upstream_that_asks_for_patience_is_told(autojump_clock):
    async with house_with(FakeUpstream(error_reply(429, "slowly"))) as house:
        await house.post(CHAT, ASK)
        assert [fields(each) for each in told(house, "providers/rate_limit")] == [
            {"event": "rate_limited", "provider": "mock"}
        ]


async def test_a_budget_that_runs_low_and_is_spent_is_told(autojump_clock):
    used = [json_reply({**ANSWER, "usage": {"prompt_tokens": 0, "completion_tokens": n}}) for n in (850, 150)]
    async with house_with(FakeUpstream(*used), config(budgets=(Budget(name="default", capacity=1000),))) as house:
        for _ in used:
            assert (await house.post(CHAT, {**ASK, "max_tokens": 5}))[0] == 200
            await trio.sleep(1)
        low, spent = told(house, "budgets/#")
        about = {"pool": "default", "unit": "tokens", "capacity": 1000}
        assert (low["topic"], fields(low)) == ("budgets/low", {"event": "pool_low", **about, "used": 850})
        assert (spent["topic"], fields(spent)) == ("budgets/spent", {"event": "pool_spent", **about, "used": 1000})


async def test_what_the_owner_does_is_told_and_what_he_cancels(autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam")[:3], Hang()])
    async with house_with(upstream) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.post, CHAT, STREAM)
        await upstream.wait_requests()
        await trio.sleep(1)
        assert await house.gateway.live.withdraw(Selection(), by="root") == 1
        (cancelled,) = told(house, "requests/cancelled")
        assert fields(cancelled) == {"event": "requests_cancelled", "count": 1, "by": "root"}
        (entry,) = told(house, "audit/entries")
        assert (entry["action"], entry["facts"]) == ("admin.requests_cancelled", {"requests": 1, "by": "root"})
        nursery.cancel_scope.cancel()


async def test_a_house_says_that_it_has_started_stops_and_ends_what_runs(autojump_clock):
    upstream = FakeUpstream([*sse_chat("sa", "lam")[:3], Hang()])
    async with house_with(upstream) as house, trio.open_nursery() as nursery:
        gateway = house.gateway
        assert [fields(each) for each in told(house)] == [{"event": "gateway_started", "version": gateway.version}]
        nursery.start_soon(house.post, CHAT, STREAM)
        await upstream.wait_requests()
        gateway.begin_draining()
        gateway.begin_draining()
        assert [fields(each) for each in told(house, "gateway/stopping")] == [
            {"event": "gateway_stopping", "in_flight": 1}
        ]
        gateway.interrupt_all(Unavailable("The gateway is shutting down."))
        assert [fields(each) for each in told(house, "requests/cancelled")] == [
            {"event": "requests_cancelled", "count": 1, "by": None}
        ]
        nursery.cancel_scope.cancel()


async def test_a_reload_can_be_told(autojump_clock):
    async with house_with(FakeUpstream()) as house:
        house.gateway.events.publish(Reloaded(True, ("providers", "keys")))
        (reloaded,) = told(house, "gateway/reloaded")
        assert fields(reloaded) == {"event": "reloaded", "ok": True, "changed": ["providers", "keys"], "mistakes": 0}


async def test_an_embedder_hears_until_the_gateway_is_closed(autojump_clock):
    heard: list[Event | Lost] = []

    async def listen(house: MemoryHouse, task_status: trio.TaskStatus[None]) -> None:
        with house.gateway.events.subscribe("requests/*", "gateway/*") as events:
            task_status.started()
            heard.extend([event async for event in events])

    async with trio.open_nursery() as nursery, house_with(FakeUpstream(json_reply(ANSWER))) as house:
        await nursery.start(listen, house)
        await house.post(CHAT, ASK)
    assert [event.name for event in heard if isinstance(event, Event)] == ["request_finished", "gateway_stopping"]


# -- over HTTP ---------------------------------------------------------------------------------------------------------


class Reader:
    """Reads a stream of events."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._decoder = SseDecoder()
        self._ready: list[ServerSentEvent] = []

    async def next(self) -> ServerSentEvent | None:
        while not self._ready:
            piece = await self._response.receive()
            if not piece:
                return None
            self._ready += self._decoder.feed(piece)
        return self._ready.pop(0)


@asynccontextmanager
async def streaming(house: MemoryHouse, query: str = "", headers: Any = ()) -> AsyncIterator[Reader]:
    async with house.exchange(f"/v1/events/stream{query}", method="GET", headers=headers) as response:
        assert response.status == 200, await response.read(10_000)
        assert response.headers.get(b"content-type") == b"text/event-stream"
        yield Reader(response)


async def until_no_guest(house: MemoryHouse) -> None:
    while house.gateway.events.statistics().guests:
        await trio.sleep(0.01)


def say(house: MemoryHouse, *providers: str) -> None:
    for provider in providers:
        house.gateway.events.publish(RateLimited(provider))


def provider_of(event: ServerSentEvent | None) -> str:
    assert event is not None
    return str(json.loads(event.data)["provider"])


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_a_stream_resumes_without_a_gap_or_a_double(autojump_clock, http2: bool):
    async with house_with(FakeUpstream(), http2=http2) as house:
        async with streaming(house, "?topic=providers/*") as reader:
            say(house, "a", "b", "c")
            first = [await reader.next(), await reader.next()]
        assert [provider_of(event) for event in first] == ["a", "b"]
        last = first[-1]
        assert last is not None
        assert last.event == "rate_limited"
        await until_no_guest(house)
        say(house, "d")
        async with streaming(house, "?topic=providers/*", [(b"last-event-id", last.id.encode())]) as reader:
            say(house, "e")
            assert [provider_of(await reader.next()) for _ in range(3)] == ["c", "d", "e"]
        async with streaming(house, f"?topic=providers/*&last_event_id={last.id}") as reader:
            assert [provider_of(await reader.next()) for _ in range(3)] == ["c", "d", "e"]


async def test_a_reader_that_stops_costs_little_and_learns_how_much_it_lost(autojump_clock):
    settings = config(events=Events(keep=50, buffer=20))
    async with house_with(FakeUpstream(), settings) as house, streaming(house, "?topic=providers/*") as reader:
        say(house, "first")
        assert provider_of(await reader.next()) == "first"
        total, heard, lost = 30_000, 0, 0
        for number in range(total):
            say(house, "x" * 100)
            if number % 10 == 0:
                await trio.sleep(0.001)
        say(house, "last")
        while heard + lost < total + 1:
            event = await reader.next()
            assert event is not None
            if event.event == "lost":
                lost += json.loads(event.data)["count"]
            else:
                heard += 1
        assert provider_of(event) == "last"
        assert lost == house.gateway.events.statistics().lost > total / 2


async def test_silence_is_filled_with_comments_and_a_drain_ends_the_stream(autojump_clock):
    async with house_with(FakeUpstream()) as house:
        async with house.exchange("/v1/events/stream", method="GET") as response:
            got = b""
            with trio.move_on_after(40):
                while True:
                    got += await response.receive()
            assert got.count(b": still here\n\n") == 2
            house.gateway.begin_draining()
            assert b"event: gateway_stopping" in await response.read(10_000)
        assert (await house.get("/v1/events/stream"))[0] == 503
        assert house.gateway.events.statistics().guests == 0


async def test_a_thousand_listeners_that_come_and_go_leave_nothing(autojump_clock):
    async with house_with(FakeUpstream(), config(events=Events(max_listeners=2))) as house:
        async with streaming(house):
            pass
        await until_no_guest(house)
        await trio.testing.wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        for number in range(1000):
            if number % 20 == 0:
                async with streaming(house):
                    pass
                await until_no_guest(house)
            with house.gateway.events.subscribe("#"):
                pass
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living <= before
        assert house.gateway.events.statistics().listeners == 0


async def test_there_is_an_end_to_the_number_of_listeners(autojump_clock):
    async with house_with(FakeUpstream(), config(events=Events(max_listeners=2))) as house:
        async with streaming(house), streaming(house):
            status, headers, body = await house.get("/v1/events/stream")
            assert (status, json.loads(body)["error"]["code"]) == (503, "too_many_listeners")
            assert headers.get(b"retry-after") == b"10"
        await until_no_guest(house)
        async with streaming(house):
            pass


async def test_recent_events_are_asked_for_by_topic_id_and_number(autojump_clock):
    async with house_with(FakeUpstream()) as house:
        say(house, "a", "b", "c")
        page = json.loads((await house.get("/v1/events/recent?topic=providers/%23&limit=2"))[2])
        assert [each["provider"] for each in page["events"]] == ["b", "c"]
        assert page["last_id"] == page["events"][-1]["id"]
        after = page["events"][0]["id"]
        page = json.loads((await house.get(f"/v1/events/recent?after={after}"))[2])
        assert ([each["provider"] for each in page["events"]], page["lost"]) == (["c"], None)


MISTAKES = [
    "topic=nobody",
    "topic=%23/a",
    "after=x",
    "after=-1",
    "limit=0",
    "limit=1001",
    "tpoic=%23",
    "after=1&after=2",
]


@pytest.mark.parametrize("query", MISTAKES)
async def test_what_is_not_understood_is_refused(autojump_clock, query: str):
    async with house_with(FakeUpstream()) as house:
        assert (await house.get(f"/v1/events/recent?{query}"))[0] == 400
        assert (await house.get("/v1/events/stream?last_event_id=x"))[0] == 400
        assert (await house.get(f"/v1/events/stream?{query}"))[0] == 400


async def test_only_the_owner_may_listen_and_nobody_where_it_is_disabled(autojump_clock):
    for settings, headers, status in (
        (config(**KEYS), [(b"authorization", b"Bearer sk-ada")], 403),
        (config(**KEYS), ADMIN, 200),
        (config(**KEYS), [], 401),
        (config(events=Events(enabled=False)), [], 404),
    ):
        async with house_with(FakeUpstream(), settings) as house:
            assert (await house.get("/v1/events/recent", headers=headers))[0] == status
            async with house.exchange("/v1/events/stream", method="GET", headers=headers) as response:
                assert response.status == status


async def test_the_metrics_count_events_and_listeners(autojump_clock):
    async with house_with(FakeUpstream()) as house:
        say(house, "a", "b")
        with house.gateway.events.subscribe():
            text = (await house.get("/metrics"))[2].decode()
        assert 'hoosh_events_published_total{topic="providers/rate_limit"} 2.0' in text
        assert "hoosh_event_listeners 1.0" in text


def test_the_default_keeps_what_the_configuration_says():
    assert Config().events == Events()
