"""What is asked again, when, and what never is."""

from __future__ import annotations

import socket
from random import Random

import pytest
from served_house import in_loop, scripted

from hoosh.client import HooshClient, Retries, SyncHooshClient, errors
from hoosh.client.errors import error_from
from hoosh.client.question import Repeat
from hoosh.client.retry import Attempts
from hoosh.errors import (
    ConnectFailed,
    ConnectionBroke,
    HooshError,
    ProtocolViolation,
    TransportError,
    TransportTimeout,
)
from hoosh.testing.upstream import Cut, Head, Reset, error_reply, json_reply, sse_chat

AT_ONCE = Retries(most=2, base_s=0.0)
WHOLE = {"model": "m", "choices": [{"message": {"content": "Salam"}, "finish_reason": "stop"}]}
COUNT = json_reply({"allowed": True, "available": 3})


def answered(status: int, **headers: str) -> HooshError:
    return error_from(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


TABLE: list[tuple[HooshError, set[Repeat]]] = [
    (ConnectFailed("refused"), {"reading", "asking", "changing"}),
    (TransportTimeout("connect", 3.0), {"reading", "asking", "changing"}),
    (answered(429), {"reading", "asking", "changing"}),
    (answered(408), {"reading", "asking"}),
    (answered(502), {"reading", "asking"}),
    (answered(503), {"reading", "asking"}),
    (answered(504), {"reading", "asking"}),
    (ConnectionBroke("reset"), {"reading"}),
    (TransportTimeout("idle", 3.0), {"reading"}),
    (TransportTimeout("total", 3.0), set()),
    (ProtocolViolation("nonsense"), set()),
    (answered(503, x_should_retry="false"), set()),
    (answered(429, x_should_retry="false"), set()),
    (answered(400), set()),
    (answered(401), set()),
    (answered(402), set()),
    (answered(404), set()),
    (answered(500), set()),
]


@pytest.mark.parametrize("repeat", ["reading", "asking", "changing"])
@pytest.mark.parametrize(("error", "repeated"), TABLE, ids=[str(error)[:40] for error, _ in TABLE])
def test_the_table_of_what_may_be_repeated(error: HooshError, repeated: set[Repeat], repeat: Repeat):
    attempts = Attempts(repeat, Retries(), None, now_s=0.0, chance=Random(1))
    if repeat in repeated:
        assert 0.25 <= attempts.wait_s(error, 0.0) <= 0.5
    else:
        with pytest.raises(type(error)):
            attempts.wait_s(error, 0.0)


def test_waits_double_with_jitter_until_there_are_no_more():
    attempts = Attempts("asking", Retries(most=4, base_s=1.0, longest_s=3.0), None, now_s=0.0, chance=Random(1))
    for low, high in ((0.5, 1.0), (1.0, 2.0), (1.5, 3.0), (1.5, 3.0)):
        assert low <= attempts.wait_s(answered(503), 0.0) <= high
    with pytest.raises(errors.Unavailable):
        attempts.wait_s(answered(503), 0.0)


def test_retry_after_is_waited_for_unless_it_is_too_long():
    attempts = Attempts("asking", Retries(longest_s=10.0), None, now_s=0.0, chance=Random(1))
    assert attempts.wait_s(answered(429, retry_after="7"), 0.0) == 7.0
    with pytest.raises(errors.Refused):
        attempts.wait_s(answered(429, retry_after="11"), 0.0)


def test_nothing_is_waited_for_beyond_the_deadline():
    attempts = Attempts("asking", Retries(), 5.0, now_s=100.0, chance=Random(1))
    assert attempts.headers(101.0) == {"x-hoosh-timeout": "4.000"}
    assert attempts.wait_s(answered(503, retry_after="1"), 101.0) == 1.0
    with pytest.raises(errors.Unavailable):
        attempts.wait_s(answered(503, retry_after="3"), 102.0)
    with pytest.raises(TransportTimeout):
        attempts.headers(105.0)


def test_a_deadline_that_the_gateway_would_not_take_is_kept_here_alone():
    assert Attempts("asking", Retries(), 7200.0, now_s=0.0, chance=Random(1)).headers(0.0) == {}


def test_a_refusal_is_asked_again_and_then_answered(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, retries=AT_ONCE, timeout_s=30.0) as client:
            answer = await client.chat("salam", model="m", priority="low", cache="no-store", max_price_usd=0.6)
            assert answer.text == "Salam"

    retry = [(b"retry-after", b"0")]
    with scripted(error_reply(429, headers=retry), error_reply(503), json_reply(WHOLE)) as server:
        in_loop(backend, lambda: story(server.url))
        first, second, third = server.upstream.requests
    assert first.body == second.body == third.body
    left = [float(each.headers.text(b"x-hoosh-timeout") or 0) for each in (first, second, third)]
    assert 30.0 >= left[0] >= left[1] >= left[2] > 0
    assert [third.headers.text(name) for name in (b"x-hoosh-priority", b"x-hoosh-cache", b"x-hoosh-max-price")] == [
        "low",
        "no-store",
        "0.6",
    ]


def test_the_blocking_face_asks_again_too():
    with (
        scripted(error_reply(502), error_reply(504), sse_chat("Salam")) as server,
        SyncHooshClient(server.url, retries=AT_ONCE) as client,
        client.stream("salam", model="m") as stream,
    ):
        assert stream.rest().text == "Salam"
    assert len(server.upstream.requests) == 3


def test_after_the_last_retry_the_error_is_raised(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, retries=AT_ONCE) as client:
            with pytest.raises(errors.Unavailable):
                await client.chat("salam", model="m")

    with scripted(error_reply(503)) as server:
        in_loop(backend, lambda: story(server.url))
        assert len(server.upstream.requests) == 3


@pytest.mark.parametrize(
    "script",
    [
        error_reply(503, headers=[(b"x-should-retry", b"false")]),
        error_reply(500),
        [Reset()],
        [Cut()],
        [Head(200, [(b"content-type", b"application/json"), (b"content-length", b"500")]), Cut()],
    ],
    ids=["told not to", "a bug", "reset", "closed", "cut"],
)
def test_inference_is_not_asked_twice(script: list[object], backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, retries=AT_ONCE) as client:
            with pytest.raises((errors.GatewayError, TransportError)):
                await client.chat("salam", model="m")

    with scripted(script) as server:  # type: ignore[arg-type]
        in_loop(backend, lambda: story(server.url))
        assert len(server.upstream.requests) == 1


def test_a_stream_that_has_begun_is_not_asked_for_again(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, retries=AT_ONCE) as client, client.stream("salam", model="m") as stream:
            with pytest.raises(ConnectionBroke):
                await stream.rest()
            assert stream.text == "Salam"

    with scripted([*sse_chat("Salam")[:2], Cut()]) as server:
        in_loop(backend, lambda: story(server.url))
        assert len(server.upstream.requests) == 1


def test_reading_is_asked_again_after_a_break_and_changing_is_not(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, retries=AT_ONCE) as client:
            assert (await client.tokens.check("team", 3)).allowed
            with pytest.raises(ConnectionBroke):
                await client.tokens.report(3, pool="team")

    with scripted([Reset()], COUNT, [Reset()]) as server:
        in_loop(backend, lambda: story(server.url))
        assert len(server.upstream.requests) == 3


def test_nobody_there(backend: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    async def story() -> None:
        async with HooshClient(url, retries=AT_ONCE) as client:
            with pytest.raises(ConnectFailed, match="no gateway answers at"):
                await client.models()

    in_loop(backend, story)
    with SyncHooshClient(url, retries=AT_ONCE) as client, pytest.raises(ConnectFailed):
        client.models()


@pytest.mark.parametrize(
    "script",
    [
        json_reply({"ok": True}),
        json_reply([1, 2]),
        json_reply({"choices": []}),
        [Head(302, [(b"location", b"http://elsewhere"), (b"content-length", b"0")])],
        sse_chat("Salam"),
    ],
    ids=["another object", "a list", "no choice", "a redirect", "a stream"],
)
def test_what_is_no_gateway_is_not_taken_for_one(script: list[object], backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, retries=AT_ONCE) as client:
            with pytest.raises(ProtocolViolation):
                await client.chat("salam", model="m")

    with scripted(script) as server:  # type: ignore[arg-type]
        in_loop(backend, lambda: story(server.url))


def test_a_connection_is_used_again_after_a_whole_stream(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url) as client:
            for _ in range(3):
                async with client.stream("salam", model="m") as stream:
                    await stream.rest()

    with scripted(sse_chat("Salam")) as server:
        in_loop(backend, lambda: story(server.url))
        assert server.upstream.connections == 1
