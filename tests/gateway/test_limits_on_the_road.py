"""Limits of keys, models and providers on a request's way: who is refused costs nothing, and every slot comes back."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from books_desk import (
    CHAT_ASK,
    CLAUDE_ASK,
    COUNTED,
    FORMS,
    OLLAMA_ASK,
    RESPONSE_ASK,
    STREAMED,
    Answer,
    by,
    chat,
    idle,
    key,
    pool,
    rows_of,
    send,
)
from gateway_house import CHAT, FakeUpstream, config, house_with

from hoosh.admission import Limits, ModelLimits
from hoosh.config import Provider
from hoosh.storage.settings import Storage
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import Cut, Hang, Head, Pause, error_reply, sse_chat

STREAM: dict[str, Any] = {**CHAT_ASK, "stream": True}
FIXED: dict[str, Any] = {**CHAT_ASK, "temperature": 0}
"""What the cache keeps."""


def standing(house: MemoryHouse, kind: str, name: str) -> tuple[int, int, int]:
    """Requests, tokens and slots that count against a scope."""
    (found,) = [
        scope
        for scope in house.gateway.books.admission.gate.statistics(trio.current_time()).scopes
        if (scope.kind, scope.name) == (kind, name)
    ]
    return found.requests, found.tokens, found.running


def second_provider(**limits: Any) -> Provider:
    return Provider(type="openai-compatible", name="spare", base_url="http://spare:80", priority=20, **limits)


# -- what a limit says -----------------------------------------------------------------------------------------------

SCOPES: dict[str, Any] = {
    "of the key": lambda **limits: {"keys": (key("ada", **limits),)},
    "of every key": lambda **limits: {"keys": (key("ada"),), "limits": Limits(**limits)},
    "of the model": lambda **limits: {
        "keys": (key("ada"),),
        "limits": Limits(models=(ModelLimits(name="other-*"), ModelLimits(name="m*", **limits))),
    },
    "of the provider": lambda **limits: {
        "keys": (key("ada"),),
        "provider": {"rate_limit_rpm" if name == "rpm" else name: value for name, value in limits.items()},
    },
}


@pytest.mark.parametrize("whose", SCOPES)
async def test_requests_a_minute(whose, autojump_clock):
    upstream = FakeUpstream(chat(COUNTED))
    async with house_with(upstream, config(**SCOPES[whose](rpm=3))) as house:
        statuses = [(await send(house, CHAT, CHAT_ASK, by("ada"))).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        refused = await send(house, CHAT, CHAT_ASK, by("ada"))
        assert 0 < int(refused.headers.text(b"retry-after") or "0") <= 61
        assert (refused.json["error"]["type"], refused.json["error"]["code"]) == ("requests", "rate_limit_exceeded")
        assert len(await rows_of(house)) == len(upstream.requests) == 3
        await trio.sleep(61)
        assert (await send(house, CHAT, CHAT_ASK, by("ada"))).status == 200


@pytest.mark.parametrize("whose", SCOPES)
async def test_tokens_a_minute_as_the_upstream_counts_them(whose, autojump_clock):
    usage = {"prompt_tokens": 150, "completion_tokens": 250, "total_tokens": 400}
    async with house_with(FakeUpstream(chat(usage)), config(**SCOPES[whose](tpm=1000))) as house:
        statuses = []
        for _ in range(4):
            statuses.append((await send(house, CHAT, CHAT_ASK, by("ada"))).status)
            await idle(house)
        assert statuses == [200, 200, 200, 429]
        refused = await send(house, CHAT, CHAT_ASK, by("ada"))
        assert (refused.json["error"]["type"], refused.json["error"]["code"]) == ("tokens", "rate_limit_exceeded")


@pytest.mark.parametrize("whose", SCOPES)
async def test_a_request_that_can_never_fit_is_told_so(whose, autojump_clock):
    async with house_with(FakeUpstream(chat(COUNTED)), config(**SCOPES[whose](tpm=100))) as house:
        refused = await send(house, CHAT, {**CHAT_ASK, "max_tokens": 200}, by("ada"))
        assert (refused.status, refused.headers.text(b"retry-after")) == (429, None)
        assert "can never fit" in refused.json["error"]["message"]
        assert (await send(house, CHAT, {**CHAT_ASK, "max_tokens": 50}, by("ada"))).status == 200


@pytest.mark.parametrize("whose", SCOPES)
async def test_so_many_at_once_until_the_last_byte(whose, autojump_clock):
    upstream = FakeUpstream([*STREAMED[:2], Pause(10), *STREAMED[2:]])
    async with house_with(upstream, config(**SCOPES[whose](max_concurrent=2))) as house:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await send(house, CHAT, STREAM, by("ada")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.sleep(5)
            assert (await send(house, CHAT, STREAM, by("ada"))).status == 429
        assert [answer.status for answer in answers] == [200, 200]
        assert (await send(house, CHAT, STREAM, by("ada"))).status == 200
        await idle(house)


async def test_a_key_does_not_feel_the_limits_of_another(autojump_clock):
    settings = config(keys=(key("ada", rpm=1), key("bob", rpm=1)))
    async with house_with(FakeUpstream(chat(COUNTED)), settings) as house:
        statuses = [(await send(house, CHAT, CHAT_ASK, by(name))).status for name in ("ada", "ada", "bob", "bob")]
        assert statuses == [200, 429, 200, 429]


@pytest.mark.parametrize(
    ("model", "limited_by"), [("gpt-4o", "gpt-4o"), ("gpt-4o-mini", "gpt-*"), ("GPT-4o", None), ("claude", None)]
)
async def test_of_models_the_first_name_that_fits_counts_as_the_client_says_it(model, limited_by, autojump_clock):
    limits = Limits(models=(ModelLimits(name="gpt-4o", rpm=9), ModelLimits(name="gpt-*", rpm=9)))
    async with house_with(FakeUpstream(chat(COUNTED)), config(limits=limits)) as house:
        await send(house, CHAT, {**CHAT_ASK, "model": model})
        found = [name for name in ("gpt-4o", "gpt-*") if standing(house, "model", name)[0]]
        assert found == [limited_by] * (limited_by is not None)


async def test_a_key_may_only_use_its_models_and_who_may_not_has_used_up_nothing(autojump_clock):
    settings = config(keys=(key("ada", models=("m", "m-*"), rpm=2),))
    async with house_with(FakeUpstream(chat(COUNTED)), settings) as house:
        statuses = [
            (await send(house, CHAT, {**CHAT_ASK, "model": model}, by("ada"))).status
            for model in ("other", "M", "m-1", "m", "m")
        ]
        assert statuses == [403, 403, 200, 200, 429]


# -- providers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"rate_limit_rpm": 1}, {"tpm": 60}, {"max_concurrent": 1}], ids=str)
async def test_a_provider_that_is_full_makes_the_next_one_answer_and_none_is_429(limits, autojump_clock):
    first, second = FakeUpstream([Pause(1), *chat(COUNTED)]), FakeUpstream([Pause(1), *chat(COUNTED)])
    settings = config(provider=limits, more=(second_provider(**limits),))
    async with house_with(first, settings) as house:
        house.network.listen("spare:80", second.serve_wire)
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await send(house, CHAT, {**CHAT_ASK, "max_tokens": 40}))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        by_status = {answer.status: answer for answer in answers}
        assert sorted(answer.status for answer in answers) == [200, 200, 429]
        assert "provider `" in by_status[429].json["error"]["message"]
        assert len(first.requests) == len(second.requests) == 1
        assert len(await rows_of(house)) == 2


async def test_where_all_are_full_the_client_is_told_of_the_one_that_is_free_first(autojump_clock):
    upstream = FakeUpstream(chat(COUNTED))
    settings = config(provider={"rate_limit_rpm": 1}, more=(second_provider(rate_limit_rpm=1),))
    async with house_with(upstream, settings) as house:
        house.network.listen("spare:80", upstream.serve_wire)
        await send(house, CHAT, {**CHAT_ASK, "provider": "spare"})
        await trio.sleep(30)
        await send(house, CHAT, CHAT_ASK)
        answer = await send(house, CHAT, CHAT_ASK)
        assert (answer.status, answer.headers.text(b"retry-after")) == (429, "31")


# -- nothing is taken from whom nothing was given --------------------------------------------------------------------


@pytest.mark.parametrize("whose", SCOPES)
async def test_who_is_refused_by_a_budget_has_used_up_nobodys_limit(whose, autojump_clock):
    settings = config(budgets=(pool("dry", 0),), **SCOPES[whose](rpm=2, tpm=5000, max_concurrent=2))
    async with house_with(FakeUpstream(chat(COUNTED)), settings) as house:
        for _ in range(5):
            refused = await send(house, CHAT, CHAT_ASK, by("ada", (b"x-hoosh-pool", b"dry")))
            assert refused.json["error"]["code"] == "budget_exceeded"
        await idle(house)
        assert (await send(house, CHAT, CHAT_ASK, by("ada"))).status == 200


async def test_who_is_refused_by_one_limit_has_used_up_no_other(autojump_clock):
    limits = Limits(models=(ModelLimits(name="m", rpm=100),))
    settings = config(keys=(key("ada", rpm=1),), limits=limits, provider={"rate_limit_rpm": 100})
    async with house_with(FakeUpstream(chat(COUNTED)), settings) as house:
        for _ in range(5):
            await send(house, CHAT, CHAT_ASK, by("ada"))
        await idle(house)
        scopes = (("key", "ada"), ("model", "m"), ("provider", "mock"))
        assert [standing(house, *scope) for scope in scopes] == [(1, 18, 0)] * 3


HEAD = Head(200, [(b"content-type", b"text/event-stream")])
IMPOSSIBLE = {**CHAT_ASK, "tools": [{"type": "function", "function": {"name": "f", "parameters": 7}}]}
ENDS: dict[str, tuple[Any, Any, float | None, int, int]] = {
    # script, body, leaves after s, status, tokens that count
    "ok": (chat(COUNTED), CHAT_ASK, None, 200, 18),
    "a stream": (STREAMED, STREAM, None, 200, 5),
    "a miss": (chat(COUNTED), FIXED, None, 200, 18),
    "the upstream refuses": (error_reply(400), CHAT_ASK, None, 400, 0),
    "the upstream fails": (error_reply(500), CHAT_ASK, None, 502, 0),
    "the upstream fails in a flight": (error_reply(500), FIXED, None, 502, 0),
    "the upstream breaks": ([HEAD, Cut()], STREAM, None, 502, 0),
    "the client leaves": ([Pause(9), *chat(COUNTED)], CHAT_ASK, 1, 0, 0),
    "the client leaves a flight": ([Pause(9), *chat(COUNTED)], FIXED, 1, 0, 0),
    "refused by the budget": (chat(COUNTED), {**CHAT_ASK, "pool": "dry"}, None, 429, 0),
    "refused by the budget in a flight": (chat(COUNTED), {**FIXED, "pool": "dry"}, None, 429, 0),
    "an unknown pool": (chat(COUNTED), {**CHAT_ASK, "pool": "nowhere"}, None, 400, 0),
    "a translation that cannot be": (chat(COUNTED), IMPOSSIBLE, None, 400, 0),
    "a word of the cache that nobody knows": (chat(COUNTED), {**CHAT_ASK, "x": "cache"}, None, 400, 0),
}


@pytest.mark.parametrize("durability", ["batched", "sync"])
@pytest.mark.parametrize("end", ENDS)
async def test_every_end_gives_its_slots_back_and_corrects_the_tokens(end, durability, autojump_clock):
    script, body, leaves_after_s, status, tokens = ENDS[end]
    limits = Limits(models=(ModelLimits(name="m", max_concurrent=1, tpm=100_000),))
    settings = config(
        keys=(key("ada", max_concurrent=1, tpm=100_000),),
        limits=limits,
        provider={
            "max_concurrent": 1,
            "tpm": 100_000,
            "type": "anthropic" if body is IMPOSSIBLE else "openai-compatible",
        },
        budgets=(pool("dry", 0), pool("default", 50_000)),
        storage=Storage(durability=durability),
    )
    headers = [(b"x-hoosh-cache", b"what?")] if "x" in body else []
    async with house_with(FakeUpstream(script), settings) as house:
        answer = None
        with trio.move_on_after(leaves_after_s or 60):
            answer = await send(house, CHAT, body, by("ada", *headers))
        assert (0 if answer is None else answer.status) == status, answer and answer.body
        await idle(house)
        for kind, name in (("key", "ada"), ("model", "m")):
            assert standing(house, kind, name)[1:] == (tokens, 0)
        assert standing(house, "provider", "mock")[1:] == (tokens, 0)


async def test_a_stream_that_is_cut_counts_what_went_by(autojump_clock):
    script = [*sse_chat(*["da"] * 20)[:21], Hang()]
    settings = config(keys=(key("ada", tpm=1000, max_concurrent=1),))
    async with house_with(FakeUpstream(script), settings) as house:
        with trio.move_on_after(1):
            await send(house, CHAT, STREAM, by("ada"))
        (row,) = await rows_of(house)
        assert standing(house, "key", "ada") == (1, row.usage.total_tokens, 0)
        assert row.usage.completion_tokens == 20


# -- cache and flights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["batched", "sync"])
async def test_a_hit_counts_as_a_request_and_costs_no_tokens(durability, autojump_clock):
    settings = config(keys=(key("ada", rpm=3, tpm=20),), storage=Storage(durability=durability))
    upstream = FakeUpstream(chat(COUNTED))
    async with house_with(upstream, settings) as house:
        statuses = []
        for _ in range(4):
            statuses.append((await send(house, CHAT, {**FIXED, "max_tokens": 1}, by("ada"))).status)
            await idle(house)
        assert statuses[:1] == [200]
        assert standing(house, "key", "ada")[1:] == (18, 0)
        assert len(upstream.requests) == 1


LATE_END = [*STREAMED[:-1], Pause(0.2), STREAMED[-1]]
"""The upstream's connection is over a while after its last word."""


@pytest.mark.parametrize(("body", "script", "tokens"), [(FIXED, chat(COUNTED), 18), ({**FIXED, **STREAM}, LATE_END, 5)])
@pytest.mark.parametrize("first_leaves", [False, True])
async def test_a_flight_counts_its_tokens_once_whoever_has_left_by_then(
    body, script, tokens, first_leaves, autojump_clock
):
    settings = config(keys=(key("ada", tpm=100_000, max_concurrent=3),))
    upstream = FakeUpstream([Pause(10), *script])
    async with house_with(upstream, settings) as house:

        async def ask(patience_s: float) -> None:
            with trio.move_on_after(patience_s):
                await send(house, CHAT, body, by("ada"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 2 if first_leaves else 60)
            await trio.sleep(1)
            nursery.start_soon(ask, 60)
            await trio.sleep(5)
            assert standing(house, "key", "ada")[2] == 2  # the upstream call has the place of who began it
        await idle(house)
        assert standing(house, "key", "ada") == (2, tokens, 0)
        assert len(upstream.requests) == 1


# -- headers ---------------------------------------------------------------------------------------------------------

OPENAI = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
OPENAI_TOKENS = ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens")
ANTHROPIC = ("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining")
ROADS: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "chat": (CHAT, CHAT_ASK, OPENAI + OPENAI_TOKENS),
    "a stream": (CHAT, STREAM, OPENAI + OPENAI_TOKENS),
    "a hit, or not": (CHAT, FIXED, OPENAI + OPENAI_TOKENS),
    "responses": ("/v1/responses", RESPONSE_ASK, OPENAI + OPENAI_TOKENS),
    "messages": ("/v1/messages", CLAUDE_ASK, ANTHROPIC),
    "messages streamed": ("/v1/messages", {**CLAUDE_ASK, "stream": True}, ANTHROPIC),
    "ollama": ("/api/chat", OLLAMA_ASK, OPENAI),
    "speech": (FORMS["speech"].path, FORMS["speech"].ask, OPENAI),
    "transcription": (FORMS["transcription"].path, FORMS["transcription"].ask, OPENAI),
}


@pytest.mark.parametrize("road", ROADS)
async def test_answers_say_what_the_key_may_still_ask_for_refusals_too(road, autojump_clock):
    path, ask, names = ROADS[road]
    is_stream = isinstance(ask, dict) and ask.get("stream")
    script = FORMS[road].reply if "audio" in path else STREAMED if is_stream else chat(COUNTED)
    upstream = FakeUpstream(lambda request: error_reply(404) if "responses" in request.target else script)
    async with house_with(upstream, config(keys=(key("ada", rpm=2, tpm=100_000),))) as house:
        answers = [await send(house, path, ask, by("ada")) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        for answer in answers:
            assert [name for name in names if answer.headers.text(name.encode()) is None] == []
        assert [answer.headers.text(names[1].encode()) for answer in answers] == ["1", "0", "0"]
        assert answers[2].headers.text(b"retry-after") is not None


async def test_who_has_no_limit_is_told_of_none(autojump_clock):
    async with house_with(FakeUpstream(chat(COUNTED))) as house:
        answer = await send(house, CHAT, CHAT_ASK)
        assert not [name for name, _ in answer.headers.raw if b"ratelimit" in name]


# -- privacy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "wish", "served_by"),
    [
        ("open", None, "mock"),
        ("open", "any", "mock"),
        ("open", "local", "home"),
        ("open", "LOCAL", 400),
        ("open", "none", 400),
        ("shy", None, "home"),
        ("shy", "any", "home"),
        ("shy", "local", "home"),
    ],
)
@pytest.mark.parametrize("name", ["chat", "embedding", "speech", "transcription", "messages of a chat model"])
async def test_what_is_private_stays_at_home(name, caller, wish, served_by, autojump_clock):
    form = FORMS[name]
    home = Provider(type="openai-compatible", name="home", base_url="http://127.0.0.1:80", priority=99)
    settings = config(keys=(key("open"), key("shy", privacy="local")), more=(home,))
    away, here = FakeUpstream(form.reply), FakeUpstream(form.reply)
    headers = [] if wish is None else [(b"x-hoosh-privacy", wish.encode())]
    async with house_with(away, settings) as house:
        house.network.listen("127.0.0.1:80", here.serve_wire)
        answer = await send(house, form.path, form.ask, by(caller, *headers))
        if isinstance(served_by, int):
            assert (answer.status, away.requests, here.requests) == (served_by, [], [])
        else:
            assert answer.headers.text(b"x-hoosh-provider") == served_by
            assert bool(away.requests) == (served_by == "mock")


async def test_what_is_private_and_known_to_nobody_at_home_is_refused(autojump_clock):
    async with house_with(FakeUpstream(), config(keys=(key("shy", privacy="local"),))) as house:
        answer = await send(house, CHAT, CHAT_ASK, by("shy"))
        assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")
        assert (await send(house, "/v1/messages/count_tokens", CLAUDE_ASK, by("shy"))).status == 403
        assert await rows_of(house) == []
