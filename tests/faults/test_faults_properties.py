"""What holds whatever happens: a client that leaves (D2), a house that closes (D9), bytes that nobody can read (D16).

The whole house in memory on a mock clock, in the catalogue's own seconds; each request is caught in a phase:

    queued → connecting → waiting for the head → waiting for content → in the middle, in a rescue | backing off
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
from faults_house import Heard, config_of, provider, records_of, remains_of
from msgspec import Struct

from hoosh.api.serve import GRACE_S, build_server
from hoosh.config import Alias, Config, Health, Retry, Server, Timeouts
from hoosh.errors import TransportError, Unavailable
from hoosh.gateway.assembly import open_gateway
from hoosh.http.client import Pool
from hoosh.http.message import Headers
from hoosh.testing.faults import FAULTS, Asked, FaultyUpstream
from hoosh.testing.house import GATEWAY, MemoryHouse
from hoosh.testing.machines import FakeMachine
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import Cut, End, Script
from hoosh.values import Outcome

USER = [{"role": "user", "content": "Tell me all of it."}]
CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": USER}),
    "messages": ("/v1/messages", {"messages": USER, "max_tokens": 400}),
    "responses": ("/v1/responses", {"input": "Tell me all of it.", "store": False}),
    "ollama": ("/api/chat", {"messages": USER}),
}
EVENT_S = 0.02
"""A client that has left is noticed within this time, and its work is stopped."""
LONG_S = 35.0
"""Longer than any deadline and any wait of a request here."""


class Phase(Struct, frozen=True):
    """Where a request is caught `after_s`."""

    model: str
    after_s: float = 5.0
    asked: int = 1
    """How often the upstreams have been asked by then."""
    needs_stream: bool = False


PHASES = {
    "queued": Phase("plain", asked=1),  # by the one that runs
    "connecting": Phase("s06", after_s=2.0, asked=0),
    "waiting for the head": Phase("s06"),
    "waiting for content": Phase("s07", needs_stream=True),
    "in the middle": Phase("s09"),
    "in a rescue": Phase("rescue", asked=2, needs_stream=True),
    "backing off": Phase("alone-s02"),
}
WAYS = [*[(client, True) for client in CLIENTS], ("chat", False)]
CASES = [(phase, *way) for phase in PHASES for way in WAYS if way[1] or not PHASES[phase].needs_stream]
cases = pytest.mark.parametrize(("phase", "client", "stream"), CASES)


class World(Struct):
    house: MemoryHouse
    primary: FaultyUpstream
    fallback: FaultyUpstream

    @property
    def asked(self) -> list[str]:
        return [one.model for upstream in (self.primary, self.fallback) for one in upstream.asked]

    def remains(self) -> dict[str, object]:
        return remains_of(self.house.gateway, self.primary, self.fallback)

    async def must_be_at_rest(self, *, within_s: float) -> None:
        with trio.move_on_after(within_s):
            while self.remains():
                await trio.sleep(EVENT_S / 20)
        assert not self.remains()

    async def must_live(self) -> None:
        heard = await hear(self.house, "plain", "chat", stream=True)
        heard.must_be_whole()


@asynccontextmanager
async def world(
    language: str = "openai", *, http2: bool = False, phase: str = "", **changes: Any
) -> AsyncIterator[World]:
    """As `memory_house`, for inference alone: hundreds of houses, and none needs its cold half."""
    primary, fallback = FaultyUpstream(language), FaultyUpstream(language)
    primary.faults["rescue"] = FAULTS["s08"]
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        network.listen("primary:80", primary.serve_wire, connect_s=4.0 if phase == "connecting" else 0.0)
        network.listen("fallback:80", fallback.serve_wire)
        config = settings(language, phase, **changes)
        async with open_gateway(config, dialer=network.dialer(), environ={}, looks=FakeMachine()) as gateway:
            server, _ = build_server(gateway)
            nursery.start_soon(server.sweep)
            network.listen(GATEWAY, server.serve_wire)
            client = Pool(GATEWAY, dialer=network.dialer(), http2="prior" if http2 else "off")
            await nursery.start(client.run)
            yield World(MemoryHouse(gateway, network, server, client), primary, fallback)
        nursery.cancel_scope.cancel(reason="the test is over")


def settings(language: str, phase: str, **changes: Any) -> Config:
    limit_s = Timeouts()
    providers = tuple([provider(name, language, f"{name}:80", limit_s) for name in ("primary", "fallback")])
    aliases = [Alias(name="rescue", targets=("primary/rescue", "fallback/s06"))]
    server = Server(max_concurrent=1) if phase == "queued" else Server()
    # So long a delay, and nothing left to chance: whoever backs off is caught at it.
    retry = Retry(base_delay_ms=20_000, jitter_factor=0.0)
    return config_of(providers, aliases, **{"server": server, "retry": retry, **changes})


async def hear(house: MemoryHouse, model: str, client: str, *, stream: bool, body: bytes | None = None) -> Heard:
    """Ask, and take what comes for as long as it does."""
    path, fields = CLIENTS[client]
    more = {"stream_options": {"include_usage": True}} if client == "chat" and stream else {}
    heard = Heard(stream, 0, Headers([]))
    try:
        async with house.exchange(path, body or {"model": model, "stream": stream, **fields, **more}) as response:
            heard.status, heard.headers = response.status, response.headers
            while data := await response.receive():
                heard.body += data
    except TransportError as error:
        heard.broke = str(error)
    return heard


@asynccontextmanager
async def somebody_runs(it: World, phase: str) -> AsyncIterator[None]:
    """In the queue's case: a request that takes the only place there is."""
    async with trio.open_nursery() as nursery:
        if phase == "queued":
            nursery.start_soon(lambda: hear(it.house, "s09", "chat", stream=True))
            await it.primary.wait_requests(1)
        yield
        nursery.cancel_scope.cancel(reason="not needed any more")


# -- D2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "client", "stream", "http2"),
    [*[(*case, False) for case in CASES], *[(*case, True) for case in CASES if case[1] == "chat"]],
)
async def test_d2_a_client_that_leaves_stops_its_work_at_once_wherever_it_is(
    phase: str, client: str, stream: bool, http2: bool, autojump_clock: trio.testing.MockClock
):
    where = PHASES[phase]
    async with world(http2=http2, phase=phase) as it:
        records = records_of(it.house.gateway)
        async with somebody_runs(it, phase):
            with trio.move_on_after(where.after_s):
                await hear(it.house, where.model, client, stream=stream)
            assert len(it.asked) == where.asked, f"it was not {phase}: {it.asked}"
            if phase == "queued":
                await trio.sleep(EVENT_S)
                assert len(it.house.gateway.in_flight) == 1, "it is in the queue still"
        await it.must_be_at_rest(within_s=EVENT_S)
        await trio.sleep(LONG_S)
        assert len(it.asked) == where.asked, "somebody was asked for a client that had left"
        assert [record.outcome for record in records] == [Outcome.CLIENT_LEFT] * len(records)
        assert len(records) == (2 if phase == "queued" else 1)
        await it.must_live()


# -- D9 ------------------------------------------------------------------------------------------------------------


async def drain(house: MemoryHouse, drain_s: float) -> None:
    """As `House.drain` does it."""
    house.gateway.begin_draining()
    house.server.drain()
    await trio.sleep(drain_s)
    house.gateway.interrupt_all(Unavailable("The gateway is shutting down.", retry_after_s=1.0))
    await trio.sleep(GRACE_S)


@cases
async def test_d9_a_house_that_closes_tells_every_client_wherever_its_request_is(
    phase: str, client: str, stream: bool, autojump_clock: trio.testing.MockClock
):
    where = PHASES[phase]
    heard: list[Heard] = []

    async def listen(it: World) -> None:
        heard.append(await hear(it.house, where.model, client, stream=stream))

    async with world(phase=phase) as it:
        records = records_of(it.house.gateway)
        async with somebody_runs(it, phase), trio.open_nursery() as nursery:
            nursery.start_soon(listen, it)
            await trio.sleep(where.after_s - 1.0)
            await drain(it.house, 1.0)
            assert heard, "its client waits still"
            assert not it.house.gateway.in_flight
        assert len(records) == (2 if phase == "queued" else 1)
        await it.must_be_at_rest(within_s=EVENT_S)
        asked = len(it.asked)
        await trio.sleep(LONG_S)
        assert len(it.asked) == asked, "somebody was asked after the end"
    [one] = heard
    assert b"shutting down" in one.body, (one.status, one.body[-300:])
    assert one.status >= 500 or (stream and one.status == 200)
    if client == "chat":
        one.must_be_an_error()


async def test_d9_who_can_finish_while_the_house_drains_does(autojump_clock: trio.testing.MockClock):
    async with world() as it:
        heard: list[Heard] = []

        async def listen(model: str) -> None:
            heard.append(await hear(it.house, model, "chat", stream=True))

        async with trio.open_nursery() as nursery:
            for model in ("s07", "s01", "s06", "s09", "rescue"):
                nursery.start_soon(listen, model)
            await trio.sleep(1.0)
            await drain(it.house, 60.0)
            for one in heard:
                one.must_not_lie()
        assert len([one for one in heard if one.is_done]) >= 4, "a closing house still fails over"
        await it.must_be_at_rest(within_s=EVENT_S)


# -- D16 -----------------------------------------------------------------------------------------------------------

JUNK = [
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"{",
        b"}",
        b"[" * 3000,
        b'"',
        b"\\u",
        b"null",
        b"NaN",
        b"-0",
        b"1e999",
    ),
    *(b"data: ", b"data: [DONE]\n\n", b"data: {}\n\n", b"event: error\n", b"\n\n", b"\r", b": \n\n", b"id: 1\n"),
    *(b'"finish_reason":"stop"', b'"usage":{"completion_tokens":-1}', b'"index":99999999999999999999', b'"done":true'),
    *(b'{"error":{}}', b'{"error":"x"}\n', b"9" * 5000, b'"content":[[[]]]', b'"stream":1', b'"n":-3', b'"model":7'),
]
MUTATIONS: Sequence[Callable[[bytes, Random], bytes]] = (
    lambda data, random: data[: random.randrange(len(data) + 1)],
    lambda data, random: data[random.randrange(len(data) + 1) :],
    lambda data, random: _spliced(data, random, random.choice(JUNK)),
    lambda data, random: _spliced(data, random, random.randbytes(random.randrange(1, 9))),
    lambda data, random: _spliced(data, random, data[: random.randrange(200)]),
    lambda data, random: data.replace(*random.choice([(b":", b":["), (b'"', b""), (b"\n", b"\r"), (b"0", b"null")]), 3),
    lambda data, random: bytes([byte ^ 0x20 if random.random() < 0.02 else byte for byte in data]),
)


def _spliced(data: bytes, random: Random, junk: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + junk + data[at + random.randrange(9) :]


def spoilt(data: bytes, random: Random) -> bytes:
    for _ in range(random.randint(1, 3)):
        data = random.choice(MUTATIONS)(data, random)
    return data


STEADY: dict[str, Any] = {
    "health": Health(interval_secs=0, failure_threshold=10**6, min_requests=10**6),
    "retry": Retry(max_retries=0),
}
"""Every request is to reach its upstream, however many have failed."""


def bugs_of(it: World) -> list[object]:
    """Whatever is logged as an error from now on."""
    found: list[object] = []
    it.house.gateway.log.error = lambda *words, **facts: found.append((words, facts))  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("client", CLIENTS)
async def test_d16_no_body_breaks_the_house_and_each_client_gets_a_typed_error(
    client: str, autojump_clock: trio.testing.MockClock
):
    seed = 16
    random = Random(f"{seed} {client}")
    print("seed", seed)
    async with world(**STEADY) as it:
        bugs = bugs_of(it)
        for _ in range(600):
            body = json.dumps({"model": "plain", "stream": random.random() < 0.5, **CLIENTS[client][1]}).encode()
            heard = await hear(it.house, "", client, stream=False, body=spoilt(body, random) or b" ")
            assert heard.status == 200 or 400 <= heard.status < 500, (heard.status, heard.body)
            if heard.status != 200:
                assert json.loads(heard.body)["error"], heard.body
        assert not bugs
        await it.must_be_at_rest(within_s=EVENT_S)
        await it.must_live()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("language", ["openai", "anthropic", "ollama"])
async def test_d16_no_stream_breaks_the_house_and_each_client_is_told(
    language: str, client: str, autojump_clock: trio.testing.MockClock
):
    seed = 16
    random = Random(f"{seed} {client} {language}")
    print("seed", seed)

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        if not asked.is_stream:
            return upstream.stream([spoilt(json.dumps(upstream.whole(asked)).encode(), random)], End())
        data = spoilt(b"".join(upstream.events(asked)[-12:]), random)
        blocks = [data[:90], data[90:]] if random.random() < 0.5 else [data]
        return upstream.stream(blocks, random.choice([End(), Cut()]))

    async with world(language, **STEADY) as it:
        bugs = bugs_of(it)
        it.primary.faults["s04"] = script
        for _ in range(100):
            heard = await hear(it.house, "alone-s04", client, stream=random.random() < 0.8)
            assert heard.status in (200, 400, 413, 422, 429, 500, 502, 503, 504, 529), (heard.status, heard.body)
            assert b"internal error" not in heard.body
            if client == "chat" and not heard.is_done:
                assert heard.error is not None, heard.body
        assert not bugs
        await it.must_be_at_rest(within_s=EVENT_S)
        await it.must_live()
