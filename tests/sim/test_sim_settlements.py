"""Every way in which a request can end, and the one row that the ledger gets for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from msgspec import Struct
from sim_books import check_books
from sim_upstream import CHAT, PROMPT_TOKENS, SOUND, WORD, chunk
from sim_world import World, world

from hoosh.config import Budget, Config, Discovery, Logging, Provider
from hoosh.errors import TransportError
from hoosh.testing.house import ONE_TRY
from hoosh.testing.upstream import Body, Cut, End, FakeUpstream, Hang, Head, Pause, Step, error_reply, json_reply
from hoosh.values import Call, CallKind, Settlement

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "salam"}]}
STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
CHAT_PATH = "/v1/chat/completions"
SSE = Head(200, [(b"content-type", b"text/event-stream")])
JSON = Head(200, [(b"content-type", b"application/json")])
GUESS = -1
"""Of the prompt, by the gateway."""
NOTHING = (0, 0)
COUNTED = (PROMPT_TOKENS, 3)
OPENING = Body(CHAT.opening()[0])
PIECES = [Body(CHAT.piece(None))] * 3
PIECES_COUNTED = [Body(CHAT.piece(n)) for n in (1, 2, 3)]
DONE = Body(CHAT.terminator)
ERROR = Body(CHAT.error)
WHOLE = json.dumps(CHAT.whole(3, True)).encode()
ENDLESS = [SSE, OPENING, *([Body(CHAT.piece(None)), Pause(0.01)] * 4000)]


def finish(tokens: int | None) -> list[Body]:
    return [Body(event) for event in CHAT.finish(tokens)]


def config(*pools: Budget, **changes: Any) -> Config:
    return Config(
        providers=(Provider(type="openai-compatible", name="one", base_url="http://one:80"),),
        budgets=(Budget(name="default", capacity=100_000), *pools),
        discovery=Discovery(local=False, environment=False, echo=False),
        **ONE_TRY,
        logging=Logging(level="error"),
        **changes,
    )


class Case(Struct, frozen=True):
    """A script, a client, and the row."""

    script: Sequence[Step]
    tokens: tuple[int, int]
    outcome: str
    estimated: bool = False
    body: dict[str, Any] | None = None
    """None: STREAM."""
    path: str = CHAT_PATH
    leaves_after_s: float = 1000.0
    """The client goes then, whatever has come."""
    leaves_at: bytes | None = None
    """The client goes as soon as it has read this."""


CASES = {
    "finished": Case([SSE, OPENING, *PIECES, *finish(3), DONE, End()], COUNTED, "ok"),
    "finished, without the framing's end": Case([SSE, OPENING, *PIECES, *finish(3), DONE, Cut()], COUNTED, "ok"),
    "finished, whole": Case([JSON, Body(WHOLE), End()], COUNTED, "ok", body=ASK),
    "a stream asked, an answer got": Case([JSON, Body(WHOLE), End()], COUNTED, "ok"),
    "uncounted stream": Case([SSE, OPENING, *PIECES, *finish(None), DONE, End()], (GUESS, 4), "ok", estimated=True),
    "failed": Case(error_reply(500), NOTHING, "error"),
    "too many there": Case(error_reply(429), NOTHING, "error", body=ASK),
    "cut before content": Case([SSE, Cut()], NOTHING, "error"),
    "cut": Case([SSE, OPENING, *PIECES, Pause(1), Cut()], (GUESS, 3), "cut", estimated=True),
    "cut, counted up to there": Case([SSE, OPENING, *PIECES_COUNTED, Pause(1), Cut()], COUNTED, "cut"),
    "cut, whole": Case([JSON, Body(WHOLE[:50]), Cut()], NOTHING, "error", body=ASK),
    "error in band": Case([SSE, OPENING, *PIECES, Pause(1), ERROR, End()], (GUESS, 3), "cut", estimated=True),
    "error in band, with all that came before": Case([SSE, OPENING, *PIECES, ERROR, End()], NOTHING, "error"),
    "error in band before content": Case([SSE, ERROR, End()], NOTHING, "error"),
    "left before the head": Case([Hang()], NOTHING, "client_left", leaves_after_s=3),
    "left after the head": Case([SSE, Hang()], NOTHING, "client_left", leaves_after_s=3),
    "left after the role": Case([SSE, OPENING, Hang()], NOTHING, "client_left", leaves_after_s=3),
    "left in the middle": Case([SSE, OPENING, *PIECES, Hang()], (GUESS, 3), "client_left", True, leaves_after_s=3),
    "left, counted": Case([SSE, OPENING, *PIECES_COUNTED, Hang()], COUNTED, "client_left", leaves_after_s=3),
    "left before the usage": Case(
        [SSE, OPENING, *PIECES, finish(3)[0], Hang()], (GUESS, 4), "client_left", True, leaves_after_s=1
    ),
    "left at the end": Case([SSE, OPENING, *PIECES, *finish(3), DONE, Hang()], COUNTED, "ok", leaves_at=b"[DONE]"),
    "left a whole answer": Case([JSON, Body(WHOLE[:50]), Hang()], NOTHING, "client_left", body=ASK, leaves_after_s=3),
    "silent for too long": Case([SSE, OPENING, *PIECES, Hang()], (GUESS, 3), "cut", True),
    "embedded": Case(
        json_reply({"data": [{"embedding": [0.5], "index": 0}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}),
        (7, 0), "ok", path="/v1/embeddings", body={"model": "m", "input": "salam"},
    ),
    "spoken": Case(
        [Head(200, [(b"content-type", b"audio/mpeg")]), Body(SOUND), End()],
        (2, 0), "ok", True, path="/v1/audio/speech", body={"model": "m", "input": "salam", "voice": "nova"},
    ),
    "spoken, cut": Case(
        [Head(200, [(b"content-type", b"audio/mpeg")]), Body(SOUND), Pause(1), Cut()],
        (2, 0), "cut", True, path="/v1/audio/speech", body={"model": "m", "input": "salam", "voice": "nova"},
    ),
}  # fmt: skip


async def ask(
    sim: World,
    body: Any,
    *,
    path: str = CHAT_PATH,
    leaves_after_s: float = 1000.0,
    leaves_at: bytes | None = None,
    http2: bool = False,
    headers: Any = (),
) -> bytes:
    """What the client got, until it left or the answer ended, well or not."""
    got = b""
    sim.house.client = sim.h2 if http2 else sim.h1
    with trio.move_on_after(leaves_after_s):
        try:
            async with sim.house.exchange(path, body, headers=headers) as response:
                while data := await response.receive():
                    got += data
                    if leaves_at is not None and leaves_at in got:
                        return got
        except TransportError:
            pass
    return got


def guess_of(sim: World, body: dict[str, Any]) -> int:
    import msgspec

    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    call = Call(CallKind.CHAT, "m", fields)
    return sim.gateway.books.prompt_tokens(call, sim.gateway.snapshot.routes.candidates("m", CallKind.CHAT)[0])


async def only_row(sim: World) -> Settlement:
    await sim.wait_quiet()
    rows = await check_books(sim)
    (row,) = rows.values()
    return row


@pytest.mark.parametrize("durability", ["batched", "sync"])
@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("name", CASES)
async def test_each_way_to_end_has_its_row(name, http2, durability, autojump_clock):
    from hoosh.config import Storage

    case = CASES[name]
    async with world(config(storage=Storage(durability=durability)), {"one:80": FakeUpstream(case.script)}) as sim:
        body = case.body or STREAM
        prompt = guess_of(sim, body) if case.tokens[0] == GUESS else case.tokens[0]
        await ask(sim, body, path=case.path, leaves_after_s=case.leaves_after_s, leaves_at=case.leaves_at, http2=http2)
        row = await only_row(sim)
    assert (row.usage.prompt_tokens, row.usage.completion_tokens) == (prompt, case.tokens[1])
    assert (row.outcome, row.estimated, row.cached) == (case.outcome, case.estimated, False)
    assert row.charge == row.usage.total_tokens


async def test_nobody_there_costs_nothing(autojump_clock):
    async with world(config(), {}) as sim:
        assert b"error" in await ask(sim, STREAM)
        row = await only_row(sim)
    assert (row.charge, row.outcome, row.estimated) == (0, "error", False)


async def test_an_answer_that_nobody_has_counted_tells_the_count_that_was_charged(autojump_clock):
    words = CHAT.whole(300, False)
    async with world(config(), {"one:80": FakeUpstream(json_reply(words))}) as sim:
        told = json.loads(await ask(sim, ASK))["usage"]
        row = await only_row(sim)
    assert row.estimated
    assert (told["prompt_tokens"], told["completion_tokens"]) == (row.usage.prompt_tokens, row.usage.completion_tokens)
    assert 100 < row.usage.completion_tokens < 500


@pytest.mark.parametrize(("ends", "outcome"), [("finish", "ok"), ("stop", "cut")])
async def test_a_stream_that_its_budget_ends_pays_what_has_gone_by(ends, outcome, autojump_clock):
    pool = Budget(name="small", capacity=100, on_exhausted=ends)
    async with world(config(pool), {"one:80": FakeUpstream(ENDLESS)}) as sim:
        prompt = guess_of(sim, STREAM)
        got = await ask(sim, STREAM, headers=[(b"x-hoosh-pool", b"small")])
        row = await only_row(sim)
    assert got.count(WORD.encode()) == row.usage.completion_tokens
    assert (row.outcome, row.estimated) == (outcome, True)
    assert (row.usage.prompt_tokens, row.charge) == (prompt, row.usage.total_tokens)
    assert 100 <= row.charge <= 101


async def test_what_is_kept_or_shared_costs_nothing_and_has_its_row(autojump_clock):
    script = [SSE, OPENING, Pause(1), *PIECES, *finish(3), DONE, End()]
    async with world(config(), {"one:80": FakeUpstream(script)}) as sim:
        body = {**STREAM, "temperature": 0}
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, sim, body)
        await trio.sleep(1)
        await ask(sim, body)
        await sim.wait_quiet()
        rows = list((await check_books(sim)).values())
    assert sorted(row.charge for row in rows) == [0, 0, 0, sum(COUNTED)]
    assert sorted(row.cached for row in rows) == [False, True, True, True]
    assert {row.outcome for row in rows} == {"ok"}


async def test_who_joins_a_flight_that_is_refused_is_refused_and_has_no_row(autojump_clock):
    pool = Budget(name="empty", capacity=1)
    async with world(config(pool), {"one:80": FakeUpstream(json_reply({}))}) as sim:
        body = {**ASK, "temperature": 0}
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(lambda: ask(sim, body, headers=[(b"x-hoosh-pool", b"empty")]))
        await sim.wait_quiet()
        assert {seen.cache for seen in sim.witness.seen} == {"miss", "hit"}
        assert await check_books(sim) == {}


async def test_the_one_who_began_a_flight_pays_for_it_also_when_he_has_left(autojump_clock):
    script = [SSE, OPENING, *PIECES, Pause(10), *finish(3), DONE, End()]
    async with world(config(), {"one:80": FakeUpstream(script)}) as sim:
        body = {**STREAM, "temperature": 0}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ask(sim, body, leaves_after_s=2))
            await trio.sleep(1)
            nursery.start_soon(ask, sim, body)
        await sim.wait_quiet()
        rows = list((await check_books(sim)).values())
    assert [(row.cached, row.charge, row.outcome) for row in rows] == [(False, 10, "ok"), (True, 0, "ok")]
    assert [seen.outcome for seen in sim.witness.seen] == ["client_left", "ok"]


def test_the_simulator_speaks_as_openai_does():
    assert chunk({"content": WORD}).startswith(b'data: {"id": "c"')
