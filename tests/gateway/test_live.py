"""What runs is seen where it is, and ends when the owner says so: it alone, on its own road, and never as a success."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from gateway_house import CHAT, FakeUpstream, Key, Secret, config, events_of, house_with, records_of, text_of
from msgspec import to_builtins

from hoosh.dialects.openai import OpenAIDownstream
from hoosh.errors import HooshError, TransportError, Unavailable, Withdrawn
from hoosh.gateway.account import Account
from hoosh.gateway.live import BITE, LiveDesk
from hoosh.http.exchange import Exchange
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import Hang, Pause, Received, json_reply, sse_chat, with_pauses
from hoosh.values import AttemptRecord, Call, Caller, CallKind, Outcome, Selection

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "salam"}], "temperature": 1}
STREAM: dict[str, Any] = {**ASK, "stream": True}
SHARED: dict[str, Any] = {**STREAM, "temperature": 0}
ANSWER = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}
ENDLESS = [*sse_chat("sa", "lam")[:3], Hang()]


# -- requests as they are ----------------------------------------------------------------------------------------------


class Waiting:
    """What a request waits for."""

    def __init__(self, when_ended: Callable[[], None] = lambda: None) -> None:
        self.error: HooshError | None = None
        self._when_ended = when_ended

    def interrupt(self, error: HooshError) -> None:
        self.error = error
        self._when_ended()


class Told(list[dict[str, Any]]):
    """The notes that a desk has written."""

    def __call__(self, event: str, level: str, message: str, **facts: str | int) -> None:
        self.append({"event": event, **facts})


def account(key: str | None = "ada", asked: str = "m", /, **facts: Any) -> Account:
    exchange = cast(Exchange, SimpleNamespace(method="POST", path=CHAT))
    made = Account(exchange, CallKind.CHAT, OpenAIDownstream())
    made.caller = None if key is None else Caller(key)
    made.call = Call(CallKind.CHAT, asked, {}, stream=True)
    made.phase = "asking"
    made.attempt = Waiting()
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def ended(accounts: Sequence[Account]) -> list[int]:
    return [place for place, one in enumerate(accounts) if isinstance(one.stopped, Withdrawn)]


async def test_a_request_is_shown_with_all_that_is_known_of_it(autojump_clock):
    tried = AttemptRecord("slow", "m", 1.5, "503")
    now_s = trio.current_time()
    one = account(
        *("ada", "smart"),
        provider="mock",
        model="m-1",
        attempts=2,
        tried=[tried],
        phase="waiting",
        pool="team",
        deadline_at=now_s + 30,
        priority="high",
        body_bytes=70,
        sent_bytes=40,
        cache="miss",
        tap=SimpleNamespace(chunks=3),
    )
    await trio.sleep(10)
    page = LiveDesk({one}, Told()).running()
    assert to_builtins(page.requests[0]) == {
        "id": one.request_id,
        "method": "POST",
        "path": CHAT,
        "kind": "chat",
        "phase": "waiting",
        "age_s": 10.0,
        "key": "ada",
        "pool": "team",
        "model": "smart",
        "provider": "mock",
        "served_model": "m-1",
        "stream": True,
        "priority": "high",
        "attempts": 2,
        "deadline_left_s": 20.0,
        "body_bytes": 70,
        "sent_bytes": 40,
        "chunks": 3,
        "tried": ({"provider": "slow", "model": "m", "duration_s": 1.5, "reason": "503"},),
        "cache": "miss",
    }
    await trio.sleep(30)
    assert LiveDesk({one}, Told()).running().requests[0].deadline_left_s == 0


async def test_what_is_not_known_yet_is_nothing_and_matches_nothing(autojump_clock):
    one = account(None, call=None, phase="reading", attempt=None)
    desk = LiveDesk({one}, Told())
    shown = desk.running().requests[0]
    assert (shown.caller, shown.pool, shown.model, shown.provider, shown.deadline_left_s) == (None,) * 5
    for wanted in (Selection(key="ada"), Selection(pool="default"), Selection(model="m")):
        assert await desk.withdraw(wanted, by="root") == 0
    assert await desk.withdraw(Selection(id=one.request_id), by="root") == 1


async def test_the_oldest_come_first_and_a_limit_does_not_change_the_total(autojump_clock):
    running = []
    for _ in range(5):
        running.append(account())
        await trio.sleep(1)
    page = LiveDesk(set(running), Told()).running(limit=2)
    assert [request.id for request in page.requests] == [one.request_id for one in running[:2]]
    assert page.total == 5


SELECTIONS: list[tuple[Selection, list[int]]] = [
    (Selection(), [0, 1, 2, 3]),
    (Selection(key="ada"), [0, 1]),
    (Selection(key="ad*"), []),
    (Selection(pool="team"), [1, 2]),
    (Selection(model="m"), [0, 1, 3]),
    (Selection(model="m-1"), [3]),
    (Selection(model="smart"), [2]),
    (Selection(key="ada", pool="team"), [1]),
    (Selection(key="bob", model="m"), [3]),
    (Selection(phase="queued"), [2]),
    (Selection(id="nobody"), []),
]


@pytest.mark.parametrize(("wanted", "places"), SELECTIONS, ids=lambda value: repr(value).removeprefix("Selection"))
async def test_those_that_match_are_seen_and_end_and_nobody_else(wanted, places, autojump_clock):
    running = [
        account("ada"),
        account("ada", pool="team"),
        account("bob", "smart", pool="team", phase="queued"),
        account("bob", model="m-1"),
    ]
    told = Told()
    desk = LiveDesk(set(running), told)
    seen = {request.id for request in desk.running(wanted).requests}
    assert seen == {running[place].request_id for place in places}
    assert await desk.withdraw(wanted, by="root") == len(places)
    assert ended(running) == places
    assert all(isinstance(running[place].attempt.error, Withdrawn) for place in places)
    assert [(note["event"], note["by"], note["requests"]) for note in told] == (
        [("admin.requests_cancelled", "root", len(places))] if places else []
    )


async def test_the_note_says_which_were_meant(autojump_clock):
    one, told = account(pool="team"), Told()
    await LiveDesk({one}, told).withdraw(Selection(id=one.request_id, pool="team"), by="root")
    assert told == [
        {
            "event": "admin.requests_cancelled",
            "requests": 1,
            "by": "root",
            "request": one.request_id,
            "pool": "team",
        }
    ]


async def test_what_is_ending_already_is_left_alone(autojump_clock):
    answered, dry, failed = account(), account(), account()
    answered.answered(200)
    dry.interrupt(Unavailable("closing"))
    failed.failed(502, "upstream_error", "broke", cut=True)
    desk = LiveDesk({answered, dry, failed}, Told())
    assert {request.phase for request in desk.running().requests} == {"settling"}
    assert await desk.withdraw(Selection(), by="root") == 0
    assert isinstance(dry.stopped, Unavailable)
    assert answered.outcome is Outcome.OK


async def test_others_run_between_two_bites_and_who_has_ended_meanwhile_is_not_counted(autojump_clock):
    running = {account() for _ in range(10 * BITE)}
    turns = 0

    async def live_on() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1
            if turns == 5:
                survivors = [one for one in running if one.stopped is None]
                running.difference_update(survivors[: 2 * BITE])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live_on)
        count = await LiveDesk(running, told := Told()).withdraw(Selection(), by="root")
        nursery.cancel_scope.cancel()
    assert (count, len(running)) == (8 * BITE, 8 * BITE)
    assert turns >= 6
    assert told[0]["requests"] == 8 * BITE


async def test_those_that_wait_for_their_turn_end_first(autojump_clock):
    """Else each place that is given back would start one of them."""
    order: list[str] = []
    asking = [account(attempts=1, attempt=Waiting(lambda: order.append("asking"))) for _ in range(60)]
    queued = [account(phase="queued", attempt=Waiting(lambda: order.append("queued"))) for _ in range(60)]
    await LiveDesk({*asking, *queued}, Told()).withdraw(Selection(), by="root")
    assert order == ["queued"] * 60 + ["asking"] * 60


async def test_an_owner_who_leaves_in_the_middle_has_ended_some_and_the_note_says_how_many(autojump_clock):
    told = Told()
    with trio.CancelScope() as scope:
        scope.cancel()
        await LiveDesk({account() for _ in range(2 * BITE + 20)}, told).withdraw(Selection(), by="root")
    assert scope.cancelled_caught
    assert [note["requests"] for note in told] == [BITE]


# -- in a house --------------------------------------------------------------------------------------------------------


class Client:
    """One request's client, and what it was told."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.is_broken = False

    async def ask(self, house: MemoryHouse, path: str, body: Any, key: str | None = None) -> None:
        headers = [] if key is None else [(b"authorization", f"Bearer {key}-key".encode())]
        try:
            async with house.exchange(path, body, headers=headers) as response:
                self.status = response.status
                while piece := await response.receive():
                    self.body += piece
        except TransportError:
            self.is_broken = True


@asynccontextmanager
async def asking(house: MemoryHouse, *asked: tuple[str, Any, str | None]) -> AsyncIterator[list[Client]]:
    """Clients that ask, one a second; leaving the block waits for them."""
    clients = [Client() for _ in asked]
    async with trio.open_nursery() as nursery:
        for client, (path, body, key) in zip(clients, asked, strict=True):
            nursery.start_soon(client.ask, house, path, body, key)
            await trio.sleep(1)
        yield clients


def chats_of(upstream: FakeUpstream) -> list[Received]:
    """Without the questions whether it is well."""
    return [request for request in upstream.requests if request.method == "POST"]


def desk_of(house: MemoryHouse) -> LiveDesk:
    return LiveDesk(house.gateway.in_flight, house.gateway.note)


async def test_a_request_without_an_answer_gets_a_503_of_its_own_code(autojump_clock):
    upstream = FakeUpstream([Hang()])
    async with house_with(upstream) as house:
        records = records_of(house)
        async with asking(house, (CHAT, ASK, None)) as clients:
            shown = desk_of(house).running().requests[0]
            assert (shown.phase, shown.provider, shown.model, shown.attempts) == ("asking", "mock", "m", 1)
            assert await desk_of(house).withdraw(Selection(id=shown.id), by="root") == 1
        await upstream.wait_cancelled()
        assert desk_of(house).running().total == 0
    assert clients[0].status == 503
    assert json.loads(clients[0].body)["error"]["code"] == "request_cancelled"
    assert len(chats_of(upstream)) == 1, "an owner's word is no failure to be tried again"
    assert [(record.outcome, record.error_code) for record in records] == [(Outcome.ERROR, "request_cancelled")]


LANGUAGES: dict[str, tuple[dict[str, Any], bytes]] = {
    CHAT: (STREAM, b"[DONE]"),
    "/v1/responses": ({"model": "m", "input": "salam", "stream": True, "temperature": 1}, b"response.completed"),
    "/v1/messages": ({**STREAM, "max_tokens": 10}, b"message_stop"),
    "/api/chat": (ASK, b'"done":true'),
}
"""What is asked at a path, and what only a whole answer holds."""


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("path", LANGUAGES)
async def test_a_stream_that_has_begun_ends_with_an_error_in_its_language(path, http2, autojump_clock):
    upstream = FakeUpstream(ENDLESS)
    body, end = LANGUAGES[path]
    async with house_with(upstream, http2=http2) as house:
        records = records_of(house)
        async with asking(house, (path, body, None)) as clients:
            shown = desk_of(house).running(Selection(phase="streaming")).requests[0]
            assert shown.sent_bytes > 0
            assert await desk_of(house).withdraw(Selection(model="m"), by="root") == 1
        await upstream.wait_cancelled()
    assert clients[0].status == 200
    assert b"lam" in clients[0].body
    assert str(Withdrawn()).encode() in clients[0].body.rstrip().splitlines()[-1]
    assert end not in clients[0].body
    assert [record.outcome for record in records] == [Outcome.CUT]


async def test_one_of_those_who_share_an_answer_ends_alone(autojump_clock):
    """The first one, who began the upstream call, and then the second; the third gets all of it."""
    upstream = FakeUpstream([Pause(5), *with_pauses(sse_chat(*"salam"), 1)])
    async with house_with(upstream) as house:
        desk = desk_of(house)
        async with asking(house, *[(CHAT, SHARED, None)] * 3) as clients:
            first, second, _ = (request.id for request in desk.running().requests)
            assert await desk.withdraw(Selection(id=first), by="root") == 1
            await trio.sleep(5)
            shown = [(request.phase, request.provider, request.cache) for request in desk.running().requests]
            assert shown == [("streaming", "mock", "hit")] * 2
            assert await desk.withdraw(Selection(id=second), by="root") == 1
        chat, *others = chats_of(upstream)
    assert not others
    assert [client.status for client in clients] == [503, 200, 200]
    assert json.loads(clients[0].body)["error"]["code"] == "request_cancelled"
    assert events_of(clients[1].body)[-1]["error"]["code"] == "request_cancelled"
    assert text_of(clients[2].body) == "salam"
    assert events_of(clients[2].body)[-1] == "[DONE]"
    assert chat.answered


async def test_the_last_one_of_a_shared_call_takes_it_along(autojump_clock):
    upstream = FakeUpstream(ENDLESS)
    async with house_with(upstream) as house:
        async with asking(house, *[(CHAT, SHARED, None)] * 2):
            assert await desk_of(house).withdraw(Selection(model="m"), by="root") == 2
        await upstream.wait_cancelled()


async def test_the_requests_of_a_key_end_and_others_go_on(autojump_clock):
    keys = (Key(name="ada", key=Secret("ada-key")), Key(name="bob", key=Secret("bob-key")))
    upstream = FakeUpstream([Pause(10), *json_reply(ANSWER)])
    async with house_with(upstream, config(keys=keys)) as house:
        async with asking(house, (CHAT, ASK, "ada"), (CHAT, ASK, "bob"), (CHAT, ASK, "ada")) as clients:
            assert await desk_of(house).withdraw(Selection(key="ada"), by="root") == 2
        assert [client.status for client in clients] == [503, 200, 503]


async def test_the_gateway_has_the_desk_behind_its_admin_routes(autojump_clock):
    upstream = FakeUpstream(ENDLESS)
    async with house_with(upstream) as house:
        async with asking(house, (CHAT, STREAM, None)) as clients:
            _, _, body = await house.get("/v1/admin/requests")
            (shown,) = json.loads(body)["data"]
            assert (shown["phase"], shown["model"], shown["key"]) == ("streaming", "m", "anonymous")
            async with house.exchange(f"/v1/admin/requests/{shown['id']}", method="DELETE") as response:
                assert (response.status, await response.read(1000)) == (200, b'{"cancelled":1}')
        assert (await house.get(f"/v1/admin/requests/{shown['id']}"))[0] == 404
    assert events_of(clients[0].body)[-1]["error"]["code"] == "request_cancelled"
