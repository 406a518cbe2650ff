"""The audit trail of a running house: an entry for each request, digests of what went over the wire, and no secret."""

from __future__ import annotations

import hashlib
import io
import json
import time
from typing import Any

import pytest
import trio
from books_desk import (
    CHAT_ASK,
    CLAUDE_ASK,
    COUNTED,
    FORMS,
    OLLAMA_ASK,
    PRICES,
    RESPONSE_ASK,
    STREAMED,
    Answer,
    by,
    chat,
    idle,
    key,
    pool,
    row_of,
    rows_of,
    send,
    trail_of,
)
from gateway_house import CHAT, FakeUpstream, house_with
from gateway_house import config as plain_config
from msgspec.structs import replace

from hoosh.audit import Audit, AuditEntry
from hoosh.config import Config, Logging
from hoosh.storage.settings import Storage
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import Cut, End, Hang, Head, Pause, error_reply
from hoosh.values import Secret

SIGNING = "the-signing-key-of-this-house"
AUDIT = Audit(enabled=True, signing_key=Secret(SIGNING))
STREAM: dict[str, Any] = {**CHAT_ASK, "stream": True}
FIXED: dict[str, Any] = {**CHAT_ASK, "temperature": 0}
KEYS = (
    key("ada", scopes=("inference",)),
    key("boss", scopes=("admin", "inference")),
    key("poor", pool="dry", rpm=1000),
    key("slow", rpm=1),
)


def config(**changes: Any) -> Config:
    settings: dict[str, Any] = {"audit": AUDIT, "keys": KEYS, "budgets": (pool("dry", 0),), "prices": PRICES}
    return plain_config(**{**settings, **changes})


async def logged(log: io.StringIO, word: str) -> None:
    """Until `word` is in the log.  A thread writes it, of which the mock clock knows nothing."""
    while word not in log.getvalue():
        await trio.to_thread.run_sync(time.sleep, 0.001)


def facts(entry: AuditEntry) -> dict[str, Any]:
    return json.loads(bytes(entry.metadata) or b"{}")


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


async def told(house: MemoryHouse, *events: str) -> list[AuditEntry]:
    return [entry for entry in await trail_of(house) if entry.event.startswith(events or ("",))]


# -- one entry for each ----------------------------------------------------------------------------------------------

ROADS: dict[str, tuple[str, Any, Any]] = {
    **{name: (form.path, form.ask, form.reply) for name, form in FORMS.items() if form.type == "openai-compatible"},
    "a stream": (CHAT, STREAM, STREAMED),
    "a stream of usage": (CHAT, {**STREAM, "stream_options": {"include_usage": True}}, STREAMED),
    "a slow stream": (CHAT, STREAM, [*STREAMED[:2], Pause(25), *STREAMED[2:]]),
    "a stream that came whole": (CHAT, STREAM, chat(COUNTED)),
    "messages streamed": ("/v1/messages", {**CLAUDE_ASK, "stream": True}, STREAMED),
    "responses streamed": ("/v1/responses", {**RESPONSE_ASK, "stream": True}, STREAMED),
    "ollama streamed": ("/api/chat", {**OLLAMA_ASK, "stream": True}, STREAMED),
    "a flight": (CHAT, FIXED, chat(COUNTED)),
    "a flight of a stream": (CHAT, {**FIXED, **STREAM}, STREAMED),
    "a slow flight": (CHAT, {**FIXED, **STREAM}, [*STREAMED[:2], Pause(25), *STREAMED[2:]]),
    "tokens counted": ("/v1/messages/count_tokens", CLAUDE_ASK, chat(COUNTED)),
    "a model loaded": ("/api/chat", {"model": "m", "messages": []}, chat(COUNTED)),
}


@pytest.mark.parametrize("durability", ["batched", "sync"])
@pytest.mark.parametrize("road", ROADS)
async def test_a_request_is_one_entry_with_digests_of_both_bodies(road, durability, autojump_clock):
    path, ask, script = ROADS[road]
    upstream = FakeUpstream(lambda request: error_reply(404) if "responses" in request.target else script)
    async with house_with(upstream, config(storage=Storage(durability=durability))) as house:
        answer = await send(house, path, ask, by("ada"))
        assert answer.status == 200, answer.body
        (entry,) = await told(house, "inference")
        said = facts(entry)
        assert (entry.event, said["caller"], said["status"], said["outcome"]) == (
            "inference.response",
            "ada",
            200,
            "ok",
        )
        body = ask if isinstance(ask, bytes) else json.dumps(ask).encode()
        assert said["request_sha256"] == sha256(body)
        assert said["reply_sha256"] == sha256(answer.body)
        assert said["request_id"] == answer.headers.text(b"x-request-id")
        assert "request" not in said
        assert "reply" not in said
        rows = await rows_of(house)
        assert [(row.request_id, row.charge, row.cost_micro_usd) for row in rows] == [
            (said["request_id"], said.get("charge", 0), said["cost_micro_usd"]) for row in rows
        ]


async def test_hits_and_those_who_share_a_flight_have_digests_of_what_they_were_told(autojump_clock):
    async with house_with(FakeUpstream([Pause(1), *chat(COUNTED)]), config()) as house:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await send(house, CHAT, FIXED, by("ada")))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        await idle(house)
        await ask()
        entries = [facts(entry) for entry in await told(house, "inference")]
        assert sorted(said["reply_sha256"] for said in entries) == sorted(sha256(answer.body) for answer in answers)
        assert sorted(said["cache"] for said in entries) == ["hit", "hit", "hit", "miss"]
        assert sorted(said.get("charge", 0) for said in entries) == [0, 0, 0, 18]


HEAD = Head(200, [(b"content-type", b"text/event-stream")])
ENDS: dict[str, tuple[Any, Any, float | None, str, str]] = {
    "the upstream refuses": (error_reply(400), CHAT_ASK, None, "inference.error", "error"),
    "the upstream fails": (error_reply(500), CHAT_ASK, None, "inference.error", "error"),
    "the stream is cut": ([*STREAMED[:3], Cut()], STREAM, None, "inference.cut", "error"),
    "the client leaves": ([HEAD, Hang()], STREAM, 1, "inference.client_left", "info"),
    "not a request": (chat(COUNTED), {"model": "m"}, None, "inference.error", "error"),
    "no such model": (chat(COUNTED), {**CHAT_ASK, "provider": "nobody"}, None, "inference.error", "error"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_how_a_request_ended_is_its_entry(end, autojump_clock):
    script, ask, leaves_after_s, event, level = ENDS[end]
    async with house_with(FakeUpstream(script), config()) as house:
        with trio.move_on_after(leaves_after_s or 60):
            await send(house, CHAT, ask, by("ada"))
        (entry,) = await told(house, "inference")
        assert (entry.event, entry.level) == (event, level)
        assert facts(entry)["request_sha256"] == sha256(json.dumps(ask).encode())


async def test_a_chain_of_all_this_is_whole(autojump_clock):
    scripts = [script for script, _, leaves_after_s, _, _ in ENDS.values() if leaves_after_s is None]
    async with house_with(FakeUpstream(*scripts, STREAMED), config()) as house:
        for _ in range(10):
            await send(house, CHAT, STREAM, by("ada"))
        await idle(house)
        verdict = json.loads((await house.get("/v1/audit/verify", headers=by("boss")))[2])
        assert verdict["valid"] is True
        assert verdict["entries"] >= 11


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "ask", "script"), [(CHAT, CHAT_ASK, chat(COUNTED)), (CHAT, STREAM, STREAMED)])
async def test_words_are_kept_only_where_the_owner_asks_for_them(path, ask, script, autojump_clock):
    audit = Audit(enabled=True, signing_key=Secret(SIGNING), content=True)
    async with house_with(FakeUpstream(script), config(audit=audit)) as house:
        answer = await send(house, path, ask, by("ada"))
        (entry,) = await told(house, "inference")
        assert facts(entry)["request"] == json.dumps(ask)
        assert facts(entry)["reply"] == answer.body.decode()


async def test_of_long_words_the_beginning_is_kept_and_the_digest_is_of_all(autojump_clock):
    audit = Audit(enabled=True, signing_key=Secret(SIGNING), content=True)
    ask = {**CHAT_ASK, "messages": [{"role": "user", "content": "salam " * 50_000}]}
    async with house_with(FakeUpstream(chat(COUNTED, "donya " * 50_000)), config(audit=audit)) as house:
        answer = await send(house, CHAT, ask, by("ada"))
        (entry,) = await told(house, "inference")
        said = facts(entry)
        assert len(said["request"]) == len(said["reply"]) == 64 * 1024
        assert (said["request_sha256"], said["reply_sha256"]) == (sha256(json.dumps(ask).encode()), sha256(answer.body))


async def test_without_a_trail_nothing_is_hashed_or_told(autojump_clock):
    async with house_with(FakeUpstream(chat(COUNTED)), plain_config()) as house:
        assert house.gateway.trail is None
        seen = []
        dismiss = house.gateway.dismiss
        house.gateway.dismiss = lambda account: (seen.append(account.witness), dismiss(account))[1]  # type: ignore[method-assign]
        await send(house, CHAT, CHAT_ASK)
        assert seen == [None]
        status, _, body = await house.get("/v1/audit")
        assert (status, json.loads(body)["error"]["code"]) == (404, "audit_disabled")


# -- what an owner does, and what strangers do -----------------------------------------------------------------------


async def test_what_an_administrator_does_is_told_with_his_name(autojump_clock):
    async with house_with(FakeUpstream(chat(COUNTED)), config()) as house:
        assert (await send(house, "/v1/costs/reset", {"reason": "a new month"}, by("boss"))).status == 200
        assert (await send(house, "/v1/cache/clear", {}, by("boss"))).status == 200
        assert (await send(house, "/v1/costs/reset", {"reason": "no"}, by("ada"))).status == 403
        entries = await told(house, "admin")
        assert [entry.event for entry in entries] == ["admin.costs_reset", "admin.cache_cleared"]
        assert facts(entries[0]) == {"by": "boss", "reason": "a new month"}


@pytest.mark.parametrize(
    ("path", "ask", "headers", "event", "subject"),
    [
        (CHAT, CHAT_ASK, by("nobody"), "auth.failed", None),
        (CHAT, CHAT_ASK, [], "auth.failed", None),
        ("/v1/costs", {}, by("nobody"), "auth.failed", None),
        (CHAT, CHAT_ASK, by("poor"), "budget.exceeded", "dry"),
        (CHAT, FIXED, by("poor"), "budget.exceeded", "dry"),
        (CHAT, CHAT_ASK, by("slow"), "limit.exceeded", "slow"),
    ],
)
async def test_what_can_be_done_at_will_is_told_once_and_then_counted(
    path, ask, headers, event, subject, autojump_clock
):
    async with house_with(FakeUpstream(chat(COUNTED)), config()) as house:
        if subject == "slow":
            await send(house, path, ask, headers)
        for _ in range(50):
            assert (await send(house, path, ask, headers)).status in (401, 429)
        await idle(house)
        trail = house.gateway.trail
        assert trail is not None
        assert [entry.event for entry in await told(house, event)] == [event]
        trail._facts += []
        at_ms = house.gateway.books.now_ms() + 61_000
        counted = trail._tally.due(at_ms)
        assert [(each.event, each.subject, each.count) for each in counted] == [(event, subject or "", 49)]


async def test_the_house_tells_when_it_opens_and_when_it_closes(autojump_clock):
    async with house_with(FakeUpstream(chat(COUNTED)), config()) as house:
        trail = house.gateway.trail
        assert trail is not None
        assert [entry.event for entry in await told(house)] == ["gateway.started"]
    rows = await house.gateway.store.log("audit").read()
    assert [json.loads(row.body)["event"] for row in rows] == ["gateway.started", "gateway.stopped"]


# -- secrets ---------------------------------------------------------------------------------------------------------

UPSTREAM_KEY = "sk-upstream-SECRET"
WORDS = "word-of-the-upstream-SECRET"
PATH = "path-of-the-upstream-SECRET"
HEADER = "header-of-the-upstream-SECRET"
PROMPT = "prompt-of-the-client-SECRET"
SECRETS = (UPSTREAM_KEY, WORDS, PATH, HEADER, PROMPT, "mock:80", SIGNING, *(each.key.reveal() for each in KEYS))


def repeats(request: Any) -> Any:
    """An upstream that repeats, in its refusal, whatever it was sent."""
    return error_reply(401, f"{WORDS}: {request.target} {dict(request.headers.raw)} {request.body!r}")


TROUBLES: dict[str, Any] = {
    "it refuses the key and repeats it": repeats,
    "it breaks": [HEAD, Cut()],
    "it is no HTTP": [b"SSH-2.0 " + WORDS.encode() + b"\r\n\r\n", End()],
    "it is not there": None,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_no_secret_is_told_anywhere(trouble, autojump_clock, capsys, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    provider = {
        "base_url": f"http://mock:80/{PATH}",
        "api_key": Secret(UPSTREAM_KEY),
        "headers": {"x-more": Secret(HEADER)},
    }
    settings = replace(config(provider=provider), logging=Logging(level="debug"))
    script = TROUBLES[trouble]
    async with house_with(FakeUpstream(script or []), settings) as house:
        if script is None:
            house.network.stop("mock:80")
        bodies = []
        for path, ask in (
            (CHAT, {**CHAT_ASK, "messages": [{"role": "user", "content": PROMPT}]}),
            (CHAT, {**STREAM, "messages": [{"role": "user", "content": PROMPT}]}),
            ("/v1/messages", {**CLAUDE_ASK, "messages": [{"role": "user", "content": PROMPT}]}),
        ):
            bodies.append((await send(house, path, ask, by("ada"))).body)
        await idle(house)
        await logged(log, "/v1/messages")
        bodies.append((await house.get("/v1/costs", headers=by("ada")))[2])  # an owner may see his addresses
        paths = ("/v1/audit", "/v1/health", "/v1/tokens/pools", "/metrics")
        bodies += [(await house.get(path, headers=by("boss")))[2] for path in paths]
        store = house.gateway.store
        for name in ("ledger", "audit"):
            bodies += [row.body for row in await store.log(name).read(0, 10_000)]
        bodies += [value for name in ("books", "audit") for _, value in await store.table(name).items()]
    bodies.append(log.getvalue().encode())
    assert len(bodies) > 10
    assert b"/v1/messages" in bodies[-1]
    bodies[-1] = bodies[-1].replace(b"mock:80", b"")  # at the level `debug` the owner sees his addresses
    for body in bodies:
        assert [secret for secret in SECRETS if secret.encode() in body] == [], body


async def test_the_row_of_a_refused_key_says_nothing_of_it(autojump_clock):
    async with house_with(FakeUpstream(repeats), config()) as house:
        answer = await send(house, CHAT, CHAT_ASK, by("ada"))
        assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_refused")
        row = await row_of(house)
        assert (row.outcome, row.charge) == ("error", 0)


async def test_a_budget_that_passes_a_mark_is_told_of_once(autojump_clock):
    """Of 22 tokens each answer takes 18."""
    async with house_with(FakeUpstream(chat(COUNTED)), config(keys=(), budgets=(pool("small", 22),))) as house:
        for _ in range(3):
            await send(house, CHAT, {**CHAT_ASK, "max_tokens": 3, "pool": "small"})
            await trio.sleep(1)
        told = [entry.message for entry in await trail_of(house) if entry.event == "budget.low"]
    assert told == ["A budget runs low."]
