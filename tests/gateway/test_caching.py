"""Equal requests: one upstream call, the same bytes for everybody, and nothing that was not whole is given again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import trio
from gateway_house import (
    CHAT,
    FakeUpstream,
    Key,
    Secret,
    config,
    events_of,
    house_with,
    records_of,
    text_of,
)

from hoosh.cache import Cache
from hoosh.cost import PriceOverride
from hoosh.errors import TransportError, Unavailable
from hoosh.gateway.account import Account
from hoosh.testing.house import MemoryHouse
from hoosh.testing.leftovers import Leftovers
from hoosh.testing.seeds import seed_of_run
from hoosh.testing.upstream import Body, Cut, End, Hang, Head, Pause, error_reply, json_reply, sse_chat, with_pauses
from hoosh.values import Outcome, Record, Usage

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "salam"}], "temperature": 0}
STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "fake",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALLING = {
    **ANSWER,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "tool_calls": [CALL]}, "finish_reason": "tool_calls"},
    ],
}
WHOLE = json_reply(ANSWER)
SAYS = sse_chat("sa", "lam", " don", "ya")
KEYS = (Key(name="ada", key=Secret("ada-key")), Key(name="bob", key=Secret("bob-key")))
OWN_HEADERS = ("x-request-id", "date")


def said(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-hoosh-cache", value.encode()) for value in values]


def key_of(name: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {name}-key".encode())]


async def verdict(house: MemoryHouse, body: Any = ASK, *, path: str = CHAT, headers: Any = ()) -> str:
    """What the cache has done for one request."""
    status, got, _ = await house.post(path, body, headers=headers)
    return (got.text(b"x-hoosh-cache") or "") if status == 200 else str(status)


async def leave_after(house: MemoryHouse, body: Any, seconds: float) -> None:
    with trio.move_on_after(seconds):
        async with house.exchange(CHAT, body) as response:
            while await response.receive():
                pass


async def nothing_left(house: MemoryHouse) -> None:
    """Until no request is in flight; then nothing else may be."""
    while house.gateway.in_flight:
        await trio.sleep(0.01)
    await trio.sleep(1)
    left = house.gateway.caching.flights.statistics()
    assert (left.flights, left.members, left.buffered_bytes) == (0, 0, 0)


def only(records: list[Record]) -> Record:
    assert len(records) == 1
    return records[0]


# -- kept answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "script"), [(ASK, WHOLE), (STREAM, SAYS)], ids=["whole", "stream"])
@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_the_second_time_the_same_bytes_come_without_an_upstream(body, script, http2, autojump_clock):
    upstream = FakeUpstream(script)
    async with house_with(upstream, http2=http2) as house:
        records = records_of(house)
        live = await house.post(CHAT, body)
        await trio.sleep(1)
        kept = await house.post(CHAT, dict(reversed(body.items())))
        assert len(upstream.requests) == 1
        assert live[1].text(b"x-hoosh-cache") == "miss"
        assert kept[1].text(b"x-hoosh-cache") == "hit"
        assert kept[0] == 200
        assert kept[2] == live[2]
        for name in (b"content-type", b"cache-control", b"x-accel-buffering", b"x-hoosh-provider", b"x-hoosh-model"):
            assert kept[1].get(name) == live[1].get(name), name
        assert kept[1].get(b"x-request-id") != live[1].get(b"x-request-id")
        assert (live[1].text(b"x-hoosh-attempts"), kept[1].text(b"x-hoosh-attempts")) == ("1", "0")
        await nothing_left(house)
    miss, hit = records
    assert (miss.outcome, miss.cache, miss.attempts) == (Outcome.OK, "miss", 1)
    assert (hit.outcome, hit.cache, hit.attempts, hit.charge) == (Outcome.OK, "hit", 0, 0)
    assert (hit.provider, hit.served_model, hit.sent_bytes) == (miss.provider, miss.served_model, miss.sent_bytes)
    assert hit.first_token_s is not None


async def test_a_kept_stream_says_what_it_said_and_ends_as_it_ended(autojump_clock):
    async with house_with(FakeUpstream(SAYS)) as house:
        await house.post(CHAT, STREAM)
        await trio.sleep(1)
        _, _, body = await house.post(CHAT, STREAM)
    assert text_of(body) == "salam donya"
    assert events_of(body)[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"temperature": 0.5}, ()),
        ({"store": True}, ()),
        ({}, said("no-store")),
        ({}, [(b"cache-control", b"no-store")]),
    ],
    ids=repr,
)
async def test_what_must_not_be_kept_goes_by(change, headers, autojump_clock):
    upstream = FakeUpstream(WHOLE)
    async with house_with(upstream) as house:
        assert [await verdict(house, ASK | change, headers=headers) for _ in range(2)] == ["bypass", "bypass"]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (said("no-cache"), ["miss", "miss", "hit"]),
        ([(b"cache-control", b"max-age=0")], ["miss", "miss", "hit"]),
        (said("only-if-cached"), ["504", "504", "miss"]),
        (said("only-if-cached", "no-cache"), ["504", "504", "miss"]),
        (said("only-if-cached", "no-store"), ["504", "504", "miss"]),
        (said("never"), ["400", "400", "miss"]),
    ],
    ids=repr,
)
async def test_the_client_has_a_say(headers, expected, autojump_clock):
    async with house_with(FakeUpstream(WHOLE)) as house:
        found = []
        for which in (headers, headers, ()):
            found.append(await verdict(house, headers=which))
            await trio.sleep(1)
    assert found == expected


async def test_only_if_cached_takes_what_is_kept_and_refuses_in_words(autojump_clock):
    async with house_with(FakeUpstream(WHOLE)) as house:
        status, _, body = await house.post(CHAT, ASK | {"temperature": 1}, headers=said("only-if-cached"))
        assert (status, json.loads(body)["error"]["code"]) == (504, "not_cached")
        await house.post(CHAT, ASK)
        await trio.sleep(1)
        assert await verdict(house, headers=said("only-if-cached")) == "hit"


async def test_an_answer_grows_too_old(autojump_clock):
    async with house_with(FakeUpstream(WHOLE), config(cache=Cache(ttl_secs=60))) as house:
        found = [await verdict(house)]
        for wait_s in (59, 2, 1):
            await trio.sleep(wait_s)
            found.append(await verdict(house))
    assert found == ["miss", "hit", "miss", "hit"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Cache(), ["miss", "miss", "hit"]),
        (Cache(share="all"), ["miss", "hit", "hit"]),
        (Cache(enabled=False), ["bypass", "bypass", "bypass"]),
        (Cache(max_bytes=100), ["miss", "miss", "miss"]),
    ],
    ids=["key", "all", "off", "too large"],
)
async def test_callers_are_kept_apart_unless_the_owner_shares(settings, expected, autojump_clock):
    async with house_with(FakeUpstream(WHOLE), config(cache=settings, keys=KEYS)) as house:
        found = []
        for name in ("ada", "bob", "ada"):
            found.append(await verdict(house, headers=key_of(name)))
            await trio.sleep(1)
    assert found == expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_tool_call_is_kept_only_where_the_owner_allows_it(stream, autojump_clock):
    delta = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in (delta, end)]
    sse = Head(200, [(b"content-type", b"text/event-stream")])
    script = [sse, *(Body(event) for event in events), Body(b"data: [DONE]\n\n"), End()] if stream else None
    asked = (STREAM if stream else ASK) | {"tools": TOOLS}
    for settings, expected in ((Cache(), ["miss", "miss"]), (Cache(tool_calls=True), ["miss", "hit"])):
        async with house_with(FakeUpstream(script or json_reply(CALLING)), config(cache=settings)) as house:
            found = []
            for _ in range(2):
                found.append(await verdict(house, asked))
                await trio.sleep(1)
        assert found == expected


SSE = Head(200, [(b"content-type", b"text/event-stream")])
BAD_ENDS = {
    "an error": (ASK, error_reply(500)),
    "a refusal": (ASK, error_reply(400)),
    "not a reply": (ASK, json_reply({"error": {"message": "no"}})),
    "cut before the first byte": (STREAM, [SSE, Cut()]),
    "cut in the middle": (STREAM, [*SAYS[:3], Cut()]),
    "an error in the stream": (STREAM, [*SAYS[:3], Body(b'data: {"error":{"message":"no"}}\n\n'), End()]),
    "a whole body that is cut": (ASK, [Head(200, [(b"content-length", b"1000")]), Body(b"{"), Cut()]),
}


@pytest.mark.parametrize("how", BAD_ENDS)
async def test_what_failed_is_told_to_all_and_never_given_again(how, autojump_clock):
    body, script = BAD_ENDS[how]
    upstream = FakeUpstream([Pause(1), *script], SAYS if body is STREAM else WHOLE)
    async with house_with(upstream) as house:
        records = records_of(house)
        got: list[tuple[int, bytes]] = []

        async def ask() -> None:
            said = b""
            async with house.exchange(CHAT, body) as response:
                try:
                    while piece := await response.receive():
                        said += piece
                except TransportError:
                    pass
            got.append((response.status, said))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert len(upstream.requests) == 1
        for status, answer in got:
            assert status == got[0][0]
            assert b"[DONE]" not in answer
            assert b'"error"' in answer
        assert {(r.outcome, r.status) for r in records} == {(records[0].outcome, records[0].status)}
        assert records[0].outcome in (Outcome.ERROR, Outcome.CUT)
        await nothing_left(house)
        assert house.gateway.cache.statistics().entries == 0
        assert await verdict(house, body) == "miss"


# -- in the air ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "script"), [(ASK, [Pause(1), *WHOLE]), (STREAM, with_pauses(SAYS, 1))])
async def test_fifty_equal_requests_share_one_upstream_call(body, script, autojump_clock):
    upstream = FakeUpstream(script)
    async with house_with(upstream) as house:
        records = records_of(house)
        answers: list[tuple[str, str, bytes]] = []

        async def ask(after_s: float) -> None:
            await trio.sleep(after_s)
            _, headers, answer = await house.post(CHAT, body)
            answers.append((headers.text(b"x-hoosh-cache"), headers.text(b"x-request-id"), answer))

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, number / 100)
        await nothing_left(house)
        assert len(upstream.requests) == 1
        found = house.gateway.cache.statistics()
    assert [cache for cache, _, _ in sorted(answers, reverse=True)] == ["miss"] + ["hit"] * 49
    assert len({request_id for _, request_id, _ in answers}) == 50
    assert len({answer for _, _, answer in answers}) == 1
    assert (found.misses, found.shared, found.hits, found.entries) == (1, 49, 0, 1)
    assert {r.outcome for r in records} == {Outcome.OK}
    assert sum(r.attempts for r in records) == 1
    assert len({(r.provider, r.served_model, r.usage) for r in records}) == 1


async def test_a_house_without_single_flight_asks_for_each(autojump_clock):
    upstream = FakeUpstream([Pause(1), *WHOLE])
    async with house_with(upstream, config(cache=Cache(single_flight=False))) as house:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(verdict, house)
        assert len(upstream.requests) == 5
        assert await verdict(house) == "hit"


@pytest.mark.parametrize("stays_s", [0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
async def test_the_first_leaves_and_the_others_get_the_whole(stays_s, autojump_clock):
    upstream = FakeUpstream(with_pauses(SAYS, 1))
    async with house_with(upstream) as house:
        records = records_of(house)
        answers: list[bytes] = []

        async def stay() -> None:
            await trio.sleep(0.1)
            answers.append((await house.post(CHAT, STREAM))[2])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_after, house, STREAM, stays_s)
            for _ in range(3):
                nursery.start_soon(stay)
        await nothing_left(house)
        assert upstream.cancelled == (0 if stays_s else len(upstream.requests) - 1)
    assert [text_of(answer) for answer in answers] == ["salam donya"] * 3
    assert {r.outcome for r in records} >= {Outcome.OK}


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_when_all_have_left_the_upstream_is_stopped_at_once(http2, autojump_clock):
    upstream = FakeUpstream([*SAYS[:3], Hang()])
    async with house_with(upstream, http2=http2) as house:
        records = records_of(house)
        async with trio.open_nursery() as nursery:
            for stays_s in (1, 2, 3):
                nursery.start_soon(leave_after, house, STREAM, stays_s)
        left_at = trio.current_time()
        await upstream.wait_cancelled()
        assert upstream.requests[0].cancelled_at - left_at < 0.02
        await nothing_left(house)
        assert len(upstream.requests) == 1
        assert house.gateway.cache.statistics().entries == 0
    assert [r.outcome for r in records] == [Outcome.CLIENT_LEFT] * 3


async def test_who_wants_a_fresh_answer_joins_nobody_and_may_be_joined(autojump_clock):
    upstream = FakeUpstream(with_pauses(SAYS, 1))
    async with house_with(upstream) as house:
        found: list[str] = []

        async def ask(after_s: float, *headers: tuple[bytes, bytes]) -> None:
            await trio.sleep(after_s)
            found.append(f"{after_s} {await verdict(house, STREAM, headers=headers)}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 0)
            nursery.start_soon(ask, 1, *said("no-cache"))
            nursery.start_soon(ask, 2)
            nursery.start_soon(ask, 3, *said("only-if-cached"))
    assert sorted(found) == ["0 miss", "1 miss", "2 hit", "3 504"]
    assert len(upstream.requests) == 2


async def test_a_silent_flight_keeps_its_members_awake_and_its_answer_clean(autojump_clock):
    upstream = FakeUpstream([SAYS[0], Pause(25), *SAYS[1:]])
    async with house_with(upstream) as house:
        _, _, live = await house.post(CHAT, STREAM)
        await trio.sleep(1)
        _, headers, kept = await house.post(CHAT, STREAM)
    assert live.count(b": keep-alive\n\n") == 1
    assert headers.text(b"x-hoosh-cache") == "hit"
    assert kept == live.replace(b": keep-alive\n\n", b"")


async def test_a_draining_house_says_goodbye_to_every_member(autojump_clock):
    upstream = FakeUpstream([*SAYS[:3], Hang()])
    async with house_with(upstream) as house:
        got: list[bytes] = []

        async def read() -> None:
            said = b""
            try:
                async with house.exchange(CHAT, STREAM) as response:
                    while piece := await response.receive():
                        said += piece
            except TransportError:
                pass
            got.append(said)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(read)
            await trio.sleep(2)
            assert house.gateway.interrupt_all(Unavailable("The gateway is shutting down.")) == 2
        await upstream.wait_cancelled()
        await nothing_left(house)
    for answer in got:
        assert events_of(answer)[-1]["error"]["code"] == "service_unavailable"


# -- other languages, other kinds ------------------------------------------------------------------------------------

EMBEDDING = {"object": "list", "model": "fake", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
OTHERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "embeddings": ("/v1/embeddings", {"model": "m", "input": "salam"}, EMBEDDING),
    "messages": ("/v1/messages", {**ASK, "max_tokens": 10}, ANSWER),
    "responses": ("/v1/responses", {"model": "m", "input": "salam", "temperature": 0, "store": False}, ANSWER),
    "ollama": (
        "/api/chat",
        {"model": "m", "messages": ASK["messages"], "stream": False, "options": {"seed": 1}},
        ANSWER,
    ),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_every_language_is_served_from_the_cache(name, autojump_clock):
    path, body, reply = OTHERS[name]
    upstream = FakeUpstream(lambda request: json_reply(reply) if "responses" not in request.target else NO_SUCH_API)
    async with house_with(upstream) as house:
        live = await house.post(path, body)
        assert live[0] == 200, live[2]
        await trio.sleep(1)
        asked = len(upstream.requests)
        kept = await house.post(path, body)
        assert [answer[1].text(b"x-hoosh-cache") for answer in (live, kept)] == ["miss", "hit"]
        assert kept[2] == live[2]
        assert len(upstream.requests) == asked


NO_SUCH_API = error_reply(404)


async def test_a_response_that_is_to_be_remembered_is_never_played_again(autojump_clock):
    path, body, reply = OTHERS["responses"]
    upstream = FakeUpstream(lambda request: json_reply(reply) if "responses" not in request.target else NO_SUCH_API)
    async with house_with(upstream) as house:
        for change in ({"store": True}, {"store": None}):
            assert await verdict(house, body | change, path=path) == "bypass"


# -- everything at once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [seed_of_run()], ids=["1"])
async def test_hundreds_of_requests_aborted_at_random_moments_leave_no_flight_behind(seed, autojump_clock):
    print(f"seed {seed}")
    chance = random.Random(seed)
    scripts = [
        [Hang()],
        with_pauses(WHOLE, 0.5),
        with_pauses(SAYS, 0.4),
        [*SAYS[:2], Hang()],
        [*SAYS[:3], Cut()],
        error_reply(503),
    ]
    upstream = FakeUpstream(lambda request: chance.choice(scripts))
    settings = config(cache=Cache(ttl_secs=5), provider={"max_connections": 40})
    leftovers = Leftovers(Account)
    async with house_with(upstream, settings) as house:
        records = records_of(house)

        async def one() -> None:
            await trio.sleep(chance.uniform(0, 60))
            body = chance.choice([ASK, STREAM]) | {"seed": chance.randrange(4)}
            try:
                await leave_after(house, body, chance.choice([0, chance.uniform(0, 3)]))
            except TransportError:
                pass

        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(one)
        await nothing_left(house)
        await trio.sleep(200)
        pool = house.gateway.fleet["mock"].statistics()
        assert (pool.open, pool.active, pool.waiting) == (0, 0, 0)
        assert not leftovers.now()
        assert len({r.request_id for r in records}) == len(records)
        assert {r.cache for r in records if r.outcome is Outcome.OK} == {"hit", "miss"}
    await upstream.wait_closed()


async def test_the_first_member_shows_what_was_paid_and_the_others_nothing(autojump_clock):
    async with house_with(FakeUpstream([Pause(1), *WHOLE])) as house:
        records = records_of(house)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verdict, house)
            nursery.start_soon(verdict, house)
        await nothing_left(house)
    by_verdict = {r.cache: r for r in records}
    assert by_verdict["miss"].usage == by_verdict["hit"].usage == Usage(3, 1)
    assert by_verdict["hit"].charge == 0


async def test_a_hit_costs_nothing_and_says_so_also_out_of_the_air(autojump_clock):
    prices = (PriceOverride(model="m", input=1000.0, output=1000.0),)
    upstream = FakeUpstream([Pause(1), *WHOLE])
    async with house_with(upstream, config(prices=prices)) as house:
        costs: dict[str, list[float]] = {"miss": [], "hit": []}

        async def ask() -> None:
            _, headers, body = await house.post(CHAT, ASK)
            costs[headers.text(b"x-hoosh-cache") or ""].append(json.loads(body)["usage"]["cost_usd"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        await nothing_left(house)
        await ask()
    assert costs == {"miss": [0.004], "hit": [0, 0]}
