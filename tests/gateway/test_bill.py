"""Who pays, what is held before anybody is asked, and what one request has come to: a row each, exactly once."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import trio
from books_desk import (
    CHAT_ASK,
    CLAUDE_ASK,
    COUNTED,
    FORMS,
    MESSAGES,
    OLLAMA_ASK,
    PRICES,
    RESPONSE_ASK,
    STREAMED,
    by,
    chat,
    idle,
    key,
    pool,
    row_of,
    rows_of,
    send,
    told,
    used,
)
from gateway_house import CHAT, FakeUpstream, config, house_with, text_of
from msgspec.structs import replace

from hoosh.catalogue.prices import Tier
from hoosh.config import Audit, Cache, Provider
from hoosh.cost import Price, PriceOverride, cost_micro_usd
from hoosh.gateway.account import Account
from hoosh.gateway.bill import Bill
from hoosh.storage.settings import Storage
from hoosh.testing.exchange import MemoryExchange
from hoosh.testing.upstream import Body, Cut, Hang, Head, Pause, error_reply, json_reply, sse_chat
from hoosh.values import Call, CallKind, Outcome, Target, Usage

STREAM: dict[str, Any] = {**CHAT_ASK, "stream": True}
COUNTING: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True}}
ONE_CHOICE = [{"index": 0, "delta": {"content": "salam"}, "finish_reason": None}]


def limit_of(request) -> Any:
    return json.loads(request.body).get("max_tokens")


def said(name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value)]


# -- which pool ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "body", "headers", "pays"),
    [
        ("free", {}, (), "default"),
        ("free", {"pool": "purse"}, (), "purse"),
        ("free", {}, said(b"x-hoosh-pool", b"purse"), "purse"),
        ("free", {"pool": "purse"}, said(b"x-hoosh-pool", b"other"), "purse"),
        ("bound", {}, (), "purse"),
        ("bound", {"pool": "purse"}, (), "purse"),
        ("bound", {"pool": "other"}, (), 403),
        ("bound", {}, said(b"x-hoosh-pool", b"default"), 403),
        ("free", {"pool": "nowhere"}, (), 400),
        ("free", {"pool": 7}, (), 400),
    ],
)
@pytest.mark.parametrize("form", ["chat", "messages of a chat model", "ollama of a chat model", "responses", "speech"])
async def test_the_keys_pool_pays_else_the_one_that_is_named_else_the_default(
    form, caller, body, headers, pays, autojump_clock
):
    path, ask, type_, reply, _, tokens = FORMS[form]
    keys = (key("free"), key("bound", pool="purse"))
    settings = config(provider={"type": type_}, budgets=(pool(), pool("other")), keys=keys)
    upstream = FakeUpstream(reply)
    async with house_with(upstream, settings) as house:
        answer = await send(house, path, {**ask, **body}, by(caller, *headers))
        rows = await rows_of(house)
        if isinstance(pays, int):
            assert (answer.status, rows, upstream.requests) == (pays, [], [])
        else:
            assert answer.status == 200, answer.body
            assert [(row.pool, row.charge) for row in rows] == [(pays, sum(tokens))]
            assert {name: used(house, name) for name in ("default", "purse", "other")} == {
                "default": 0,
                "purse": 0,
                "other": 0,
                pays: sum(tokens),
            }
            if form != "speech":
                assert "pool" not in json.loads(upstream.requests[0].body)


async def test_a_form_of_sound_names_its_pool_in_a_header(autojump_clock):
    path, ask, _, reply, _, _ = FORMS["transcription"]
    async with house_with(FakeUpstream(reply), config(budgets=(pool(),))) as house:
        assert (await send(house, path, ask, said(b"x-hoosh-pool", b"purse"))).status == 200
        assert (await row_of(house)).pool == "purse"


SHAPES: dict[str, tuple[str, Any, Any]] = {
    "openai": (CHAT, CHAT_ASK, lambda body: body["error"]),
    "responses": ("/v1/responses", RESPONSE_ASK, lambda body: body["error"]),
    "anthropic": ("/v1/messages", CLAUDE_ASK, lambda body: body["error"]),
    "ollama": ("/api/chat", OLLAMA_ASK, lambda body: {"message": body["error"]}),
}


@pytest.mark.parametrize("language", SHAPES)
async def test_an_unknown_pool_is_told_in_the_clients_language(language, autojump_clock):
    path, ask, words = SHAPES[language]
    async with house_with(FakeUpstream(chat(COUNTED))) as house:
        answer = await send(house, path, ask, said(b"x-hoosh-pool", b"nowhere"))
        error = words(answer.json)
        assert answer.status == 400
        assert "nowhere" in error["message"]
        if language in ("openai", "responses"):
            assert (error["code"], error["param"]) == ("unknown_pool", "pool")
        assert await rows_of(house) == []


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", SHAPES)
@pytest.mark.parametrize(("window", "may_come_back"), [("none", False), ("minute", True), ("month", True)])
async def test_a_pool_of_tokens_that_is_dry_refuses_and_says_when_to_come_back(
    language, window, may_come_back, autojump_clock
):
    path, ask, words = SHAPES[language]
    settings = config(budgets=(pool(capacity=2000, window=window),))
    script = chat({**COUNTED, "prompt_tokens": 2000})
    upstream = FakeUpstream(script)
    async with house_with(upstream, settings) as house:
        assert (await send(house, path, ask, said(b"x-hoosh-pool", b"purse"))).status == 200
        await idle(house)
        answer = await send(house, path, ask, said(b"x-hoosh-pool", b"purse"))
        assert answer.status == 429
        assert (answer.headers.text(b"retry-after") is not None) == may_come_back
        error = words(answer.json)
        assert "`purse` has 0 tokens left" in error["message"]
        if language in ("openai", "responses"):
            assert (error["code"], error["type"]) == ("budget_exceeded", "tokens")
        assert len(await rows_of(house)) == len(upstream.requests) == 1


async def test_who_can_never_be_paid_is_not_told_to_wait(autojump_clock):
    async with house_with(FakeUpstream(), config(budgets=(pool("default", 100, window="minute"),))) as house:
        answer = await send(house, CHAT, {**CHAT_ASK, "max_tokens": 101})
        assert (answer.status, answer.headers.text(b"retry-after")) == (429, None)
        assert (await send(house, CHAT, {**CHAT_ASK, "max_tokens": 101, "n": 2})).status == 429


@pytest.mark.parametrize("language", SHAPES)
async def test_a_pool_of_money_that_is_spent_is_402(language, autojump_clock):
    path, ask, words = SHAPES[language]
    settings = config(budgets=(pool("default", 0.000001, unit="usd"),), prices=PRICES)
    async with house_with(FakeUpstream(), settings) as house:
        answer = await send(house, path, ask)
        assert answer.status == 402
        assert "0.000001 USD left" in words(answer.json)["message"]
        assert await rows_of(house) == []


async def test_a_pool_of_money_pays_for_no_model_of_unknown_price(autojump_clock):
    settings = config(budgets=(pool("default", 10.0, unit="usd"),))
    async with house_with(FakeUpstream(), settings) as house:
        answer = await send(house, CHAT, CHAT_ASK)
        assert (answer.status, answer.json["error"]["code"]) == (400, "price_unknown")
        assert await rows_of(house) == []


async def test_a_local_model_is_free_also_of_a_pool_that_is_empty(autojump_clock):
    provider = Provider(type="openai-compatible", name="home", base_url="http://127.0.0.1:80", models=("home-*",))
    settings = config(budgets=(pool("default", 0, unit="usd"),), more=(provider,), prices=PRICES)
    upstream = FakeUpstream(chat(COUNTED), STREAMED)
    async with house_with(FakeUpstream(), settings) as house:
        house.network.listen("127.0.0.1:80", upstream.serve_wire)
        for body in (CHAT_ASK, STREAM):
            assert (await send(house, CHAT, {**body, "model": "home-1"})).status == 200
        rows = await rows_of(house)
        assert [(row.local, row.charge, row.cost_micro_usd) for row in rows] == [(True, 0, 0), (True, 0, 0)]


FEE = PriceOverride(model="m", input=0.0, output=0.0, request=0.01)
PROMPT_ONLY = PriceOverride(model="m", input=1_000_000.0)


@pytest.mark.parametrize("price", [FEE, PROMPT_ONLY], ids=["a fee a request", "a price for the prompt alone"])
@pytest.mark.parametrize("on_exhausted", ["stop", "finish"])
@pytest.mark.parametrize("body", [CHAT_ASK, STREAM], ids=["whole", "stream"])
async def test_who_cannot_pay_for_the_prompt_is_refused_though_the_reply_were_free(
    price, on_exhausted, body, autojump_clock
):
    settings = config(budgets=(pool("default", 0.005, unit="usd", on_exhausted=on_exhausted),), prices=(price,))
    async with house_with(FakeUpstream(), settings) as house:
        assert (await send(house, CHAT, body)).status == 402


async def test_long_sound_is_held_for_what_it_may_come_to(autojump_clock):
    path, ask, _, reply, _, _ = FORMS["transcription"]
    ask = ask.replace(b"WAVE", b"WAVE" + bytes(60_000))
    settings = config(budgets=(pool("default", 70_000),))
    async with house_with(FakeUpstream([Pause(5), *reply]), settings) as house, trio.open_nursery() as nursery:
        nursery.start_soon(send, house, path, ask)
        await trio.sleep(1)
        (state,) = house.gateway.books.ledger.pools(house.gateway.books.now_ms())
        assert state.held == 107 + 1024  # ten seconds, by its size, and a reply


async def test_a_kept_answer_is_given_also_where_the_pool_is_dry(autojump_clock):
    upstream = FakeUpstream(chat({**COUNTED, "prompt_tokens": 5000}))
    async with house_with(upstream, config(budgets=(pool("default"),))) as house:
        for _ in range(2):
            assert (await send(house, CHAT, {**CHAT_ASK, "temperature": 0})).status == 200
            await idle(house)
        assert (await send(house, CHAT, CHAT_ASK)).status == 429
        rows = await rows_of(house)
        assert [(row.cached, row.charge, row.usage.prompt_tokens) for row in rows] == [
            (False, 5007, 5000),
            (True, 0, 5000),
        ]


# -- what is left ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "capacity"), [(None, 300), (500, 300), (40, 5000), (None, 5000)])
async def test_a_pool_that_finishes_asks_for_no_more_than_it_has(asked, capacity, autojump_clock):
    settings = config(budgets=(pool("default", capacity, on_exhausted="finish"),))
    upstream = FakeUpstream(chat(COUNTED))
    body = CHAT_ASK if asked is None else {**CHAT_ASK, "max_tokens": asked}
    async with house_with(upstream, settings) as house:
        assert (await send(house, CHAT, {**body, "temperature": 0})).status == 200
        limit = limit_of(upstream.requests[0])
        if capacity == 300:
            assert 200 < limit < 300  # less the prompt
        else:
            assert limit == asked
        await send(house, CHAT, {**body, "temperature": 0})
        was_kept = len(upstream.requests) == 1
        assert was_kept == (capacity == 5000)  # a shortened answer is no answer to the same question


@pytest.mark.parametrize("language", SHAPES)
async def test_every_language_is_shortened_in_its_own_words(language, autojump_clock):
    path, ask, _ = SHAPES[language]
    settings = config(budgets=(pool("default", 40, on_exhausted="finish"),))
    upstream = FakeUpstream(lambda request: error_reply(404) if "responses" in request.target else chat(COUNTED))
    async with house_with(upstream, settings) as house:
        assert (await send(house, path, ask)).status == 200
        assert 20 < limit_of(upstream.requests[-1]) < 40


async def test_several_choices_share_what_is_left(autojump_clock):
    settings = config(budgets=(pool("default", 300, on_exhausted="finish"),))
    upstream = FakeUpstream(chat(COUNTED))
    async with house_with(upstream, settings) as house:
        assert (await send(house, CHAT, {**CHAT_ASK, "n": 4})).status == 200
        assert 50 < limit_of(upstream.requests[0]) <= 300 // 4


@pytest.mark.parametrize("on_exhausted", ["stop", "finish"])
async def test_a_stream_without_a_limit_begins_with_what_is_left(on_exhausted, autojump_clock):
    settings = config(budgets=(pool("default", 100, on_exhausted=on_exhausted),))
    upstream = FakeUpstream(STREAMED)
    async with house_with(upstream, settings) as house:
        answer = await send(house, CHAT, STREAM)
        assert (answer.status, text_of(answer.body)) == (200, "salam donya")
        assert limit_of(upstream.requests[0]) is None
        assert used(house, "default") == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_a_pool_that_stops_refuses_what_would_not_fit_and_says_what_was_asked(stream, autojump_clock):
    async with house_with(FakeUpstream(), config(budgets=(pool("default", 300),))) as house:
        answer = await send(house, CHAT, {**CHAT_ASK, "stream": stream, "max_tokens": 1000})
        assert answer.status == 429
        assert "has 300 tokens left; this request may need 10" in answer.json["error"]["message"]


ENDLESS = [*sse_chat(*["da"] * 300)[:301], Hang()]


@pytest.mark.parametrize("block", [1, 50], ids=["one by one", "fifty at once"])
@pytest.mark.parametrize(("unit", "capacity"), [("tokens", 60), ("usd", 0.0005)])
@pytest.mark.parametrize("on_exhausted", ["stop", "finish"])
async def test_a_stream_ends_at_the_piece_where_its_pool_is_dry(on_exhausted, unit, capacity, block, autojump_clock):
    settings = config(budgets=(pool("default", capacity, unit=unit, on_exhausted=on_exhausted),), prices=PRICES)
    head, *events = ENDLESS[:-1]
    blocks = [Body(b"".join(e.data for e in events[at : at + block])) for at in range(0, len(events), block)]
    upstream = FakeUpstream([head, *blocks, Hang()])
    async with house_with(upstream, settings) as house:
        answer = await send(house, CHAT, COUNTING)
        await upstream.wait_cancelled()
        row = await row_of(house)
        pieces = text_of(answer.body).count("da")
        assert row.usage.completion_tokens == pieces
        whole = int(capacity * 1e6) if unit == "usd" else capacity
        assert whole * 0.8 < row.charge <= whole + (8 if unit == "usd" else 1)
        if on_exhausted == "finish":
            assert b'"finish_reason":"length"' in answer.body
            assert answer.body.endswith(b"data: [DONE]\n\n")
            assert told(answer.body)["cost_usd"] == row.cost_micro_usd / 1e6
            assert told(answer.body)["completion_tokens"] == pieces
        else:
            assert b"budget_exceeded" in answer.body.rsplit(b"data: ", 1)[1]
        assert row.outcome == ("ok" if on_exhausted == "finish" else "cut")


async def test_a_reply_that_is_dearer_behind_a_long_prompt_is_stopped_in_time(autojump_clock):
    """The tier of the prompt counts for the reply, too."""
    tier = Tier(100, Price(input=1_000_000, output=100_000_000))
    price = Price(input=1_000_000, output=1_000_000, tiers=(tier,))
    settings = config(budgets=(pool("default", 0.003, unit="usd"),), prices=PRICES)
    async with house_with(FakeUpstream(ENDLESS), settings) as house:
        books, target = house.gateway.books, Target("mock", "m")
        books._terms[target] = replace(books.terms(target), price=price, cost_of=partial(cost_micro_usd, price))
        await send(house, CHAT, {**STREAM, "messages": [{"role": "user", "content": "salam " * 200}]})
        row = await row_of(house)
        assert row.charge <= 3000 + 100


async def test_what_streams_hold_does_not_make_anybody_read_their_prompts_again(autojump_clock, monkeypatch):
    """A pool of money asks for sound in the prompt once, not at every slice."""
    import hoosh.gateway.bill as bill

    looks, look = [], bill._has_sound
    monkeypatch.setattr(bill, "_has_sound", lambda call: (looks.append(call), look(call))[1])
    settings = config(budgets=(pool("default", 0.01, unit="usd"),), prices=PRICES)
    async with house_with(FakeUpstream(sse_chat(*["da"] * 1000)), settings) as house:
        await send(house, CHAT, STREAM)
        await row_of(house)
    assert len(looks) == 1


# -- what it has come to ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["tokens", "usd"])
@pytest.mark.parametrize("name", FORMS)
async def test_what_the_upstream_has_counted_is_the_row_and_the_charge(name, unit, autojump_clock):
    form = FORMS[name]
    settings = config(
        provider={"type": form.type}, budgets=(pool("default", unit=unit),), prices=PRICES, cache=Cache(enabled=False)
    )
    async with house_with(FakeUpstream(form.reply), settings) as house:
        answer = await send(house, form.path, form.ask)
        assert answer.status == 200, answer.body
        row = await row_of(house)
        assert (row.usage.prompt_tokens, row.usage.completion_tokens) == form.tokens
        cost = 0 if form.type == "ollama" else form.tokens[0] * 2 + form.tokens[1] * 8  # at home
        assert row.estimated == (name == "speech")
        assert (row.outcome, row.provider, row.model) == ("ok", "mock", "m")
        assert row.charge == used(house, "default") == (sum(form.tokens) if unit == "tokens" else row.cost_micro_usd)
        assert row.cost_micro_usd == cost
        assert house.gateway.books.totals.total().cost_micro_usd == cost
        if form.path.startswith("/v1/") and "audio" not in form.path:
            assert told(answer.body)["cost_usd"] == cost / 1e6


@pytest.mark.parametrize("name", FORMS)
async def test_what_nobody_has_counted_is_guessed_and_the_row_says_so(name, autojump_clock):
    form = FORMS[name]
    async with house_with(FakeUpstream(form.uncounted), config(provider={"type": form.type}, prices=PRICES)) as house:
        answer = await send(house, form.path, form.ask)
        assert answer.status == 200, answer.body
        row = await row_of(house)
        assert row.estimated
        assert row.usage.prompt_tokens > 0
        assert row.charge == row.usage.total_tokens
        if form.path in (CHAT, "/v1/completions", "/v1/embeddings"):
            shown = told(answer.body)
            assert shown["prompt_tokens"] == row.usage.prompt_tokens
            assert shown["total_tokens"] == row.usage.total_tokens
            assert shown["cost_usd"] == (row.cost_micro_usd or 0) / 1e6


TAPPED: dict[str, tuple[str, Any]] = {
    "chat": (CHAT, COUNTING),
    "messages": ("/v1/messages", {**CLAUDE_ASK, "stream": True}),
    "responses": ("/v1/responses", {**RESPONSE_ASK, "stream": True}),
    "ollama": ("/api/chat", {**OLLAMA_ASK, "stream": True}),
}


@pytest.mark.parametrize("name", TAPPED)
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
async def test_a_stream_is_charged_what_was_counted_or_what_went_by(name, counted, autojump_clock):
    path, ask = TAPPED[name]
    script = sse_chat("sa", "lam", " don", "ya", usage=counted)
    upstream = FakeUpstream(lambda request: error_reply(404) if "responses" in request.target else script)
    async with house_with(upstream, config(prices=PRICES)) as house:
        answer = await send(house, path, ask)
        assert answer.status == 200
        row = await row_of(house)
        assert row.estimated == (not counted)
        assert row.usage.completion_tokens in ((4,) if counted else (4, 5))  # the last event may be one without a word
        assert row.usage.prompt_tokens == 1 if counted else row.usage.prompt_tokens > 1
        if counted and name != "ollama":
            assert told(answer.body)["cost_usd"] == (row.cost_micro_usd or 0) / 1e6


@pytest.mark.parametrize("name", TAPPED)
async def test_an_upstream_that_answers_a_stream_with_a_whole_reply_and_does_not_count_is_counted(name, autojump_clock):
    path, ask = TAPPED[name]
    upstream = FakeUpstream(lambda request: error_reply(404) if "responses" in request.target else chat(None))
    async with house_with(upstream, config(prices=PRICES)) as house:
        assert (await send(house, path, ask)).status == 200
        row = await row_of(house)
        assert row.estimated
        assert row.charge == row.usage.total_tokens > 4


HEAD = Head(200, [(b"content-type", b"text/event-stream")])
ENDS: dict[str, tuple[Any, Any, int | None, str, int | None]] = {
    # script, body, leaves after s, outcome, pieces charged (None: nothing at all)
    "refused by the upstream": (error_reply(400), CHAT_ASK, None, "error", None),
    "the upstream fails": (error_reply(500), CHAT_ASK, None, "error", None),
    "the upstream breaks before a word": ([HEAD, Cut()], STREAM, None, "error", None),
    "the upstream breaks within": ([*STREAMED[:3], Cut()], STREAM, None, "cut", 2),
    "the client leaves before a word": ([HEAD, Hang()], STREAM, 1, "client_left", None),
    "the client leaves within": ([*STREAMED[:3], Hang()], STREAM, 1, "client_left", 2),
    "the client leaves a whole answer": ([Pause(5), *chat(COUNTED)], CHAT_ASK, 1, "client_left", None),
    "not an answer": (json_reply({"error": {"message": "no"}}), CHAT_ASK, None, "error", None),
}


@pytest.mark.parametrize("end", ENDS)
async def test_every_end_is_one_row(end, autojump_clock):
    script, body, leaves_after_s, outcome, pieces = ENDS[end]
    settings = config(budgets=(pool("default", 10_000),), prices=PRICES, keys=(key("ada", max_concurrent=1),))
    async with house_with(FakeUpstream(script), settings) as house:
        with trio.move_on_after(leaves_after_s or 60):
            await send(house, CHAT, body, by("ada"))
        row = await row_of(house)
        assert (row.outcome, row.caller) == (outcome, "ada")
        if pieces is None:
            assert (row.usage, row.charge, row.cost_micro_usd, row.estimated) == (Usage(), 0, 0, False)
        else:
            assert (row.usage.completion_tokens, row.estimated) == (pieces, True)
            assert row.charge == row.usage.total_tokens == used(house, "default")


async def test_money_is_rounded_once_and_the_same_everywhere(autojump_clock):
    prices = (PriceOverride(model="m", input=0.15, output=0.6, cached_input=0.075),)
    usage = {**COUNTED, "prompt_tokens": 1337, "prompt_tokens_details": {"cached_tokens": 1001}}
    audit = Audit(enabled=True, signing_key=key("x" * 20).key)
    async with house_with(FakeUpstream(chat(usage)), config(prices=prices, audit=audit)) as house:
        answer = await send(house, CHAT, CHAT_ASK)
        row = await row_of(house)
        assert row.cost_micro_usd == round(336 * 0.15 + 1001 * 0.075 + 7 * 0.6)
        assert told(answer.body)["cost_usd"] == row.cost_micro_usd / 1e6
        assert house.gateway.books.totals.total().cost_micro_usd == row.cost_micro_usd
        assert house.gateway.trail is not None
        (entry,) = [e for e in await house.gateway.trail.read(0) if e.event == "inference.response"]
        assert json.loads(bytes(entry.metadata))["cost_micro_usd"] == row.cost_micro_usd


@pytest.mark.parametrize("body", [STREAM, {**STREAM, "temperature": 0}], ids=["alone", "in a flight"])
async def test_who_has_the_last_byte_finds_its_cost_in_the_next_report(body, autojump_clock):
    """Also while the upstream takes its time to end its side."""
    upstream = FakeUpstream([*STREAMED[:-1], Pause(0.2), STREAMED[-1]])
    async with house_with(upstream, config(prices=PRICES, budgets=(pool("default"),))) as house:
        got = b""
        async with house.exchange(CHAT, body, headers=[(b"connection", b"close")]) as response:
            while not got.endswith(b"data: [DONE]\n\n"):
                got += await response.receive()
            report = json.loads((await house.get("/v1/costs"))[2])
            assert (report["total_requests"], report["total_cost_micro_usd"]) == (1, 34)
            assert used(house, "default") == 5


# -- once ------------------------------------------------------------------------------------------------------------


async def bill_of(house, account=None) -> Bill:
    gateway = house.gateway
    account = account or Account(MemoryExchange("POST", CHAT), CallKind.CHAT, gateway.downstream("openai"))
    call = gateway.downstream("openai").read(CallKind.CHAT, json.dumps(CHAT_ASK).encode())
    assert isinstance(call, Call)
    return gateway.bill(account, call, gateway.dispatcher.journey(account, call, (Target("mock", "m"),)))


async def for_ever(position: int) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("durability", ["batched", "sync"])
async def test_a_bill_is_settled_once_however_often_it_is_told(durability, autojump_clock):
    settings = config(budgets=(pool("default", 5000),), storage=Storage(durability=durability))
    async with house_with(FakeUpstream(), settings) as house:
        with await bill_of(house) as bill:
            bill.account.usage = Usage(3, 4)
            await bill.keep()
            bill.settle(Outcome.OK)
            bill.settle(Outcome.ERROR)
        row = await row_of(house)
        assert (row.charge, row.outcome, used(house, "default")) == (7, "ok", 7)


async def test_who_leaves_while_the_row_is_being_kept_has_paid_once(autojump_clock, monkeypatch):
    settings = config(budgets=(pool("default", 5000),), storage=Storage(durability="sync"))
    async with house_with(FakeUpstream(), settings) as house:
        monkeypatch.setattr(house.gateway.books, "wait_kept", for_ever)
        with trio.move_on_after(1):
            with await bill_of(house) as bill:
                bill.account.usage = Usage(3, 4)
                await bill.keep()
        assert (await row_of(house)).charge == 7


async def test_a_bill_that_was_refused_holds_nothing(autojump_clock):
    async with house_with(FakeUpstream(), config(budgets=(pool("default", 5),))) as house:
        bill = await bill_of(house)
        with pytest.raises(Exception, match="this request may need"):
            bill.__enter__()
        assert await rows_of(house) == []


async def test_a_prompt_of_messages_is_counted_as_one_of_the_same_words_in_another_language(autojump_clock):
    """The guesses of two languages for one prompt lie close together, so that no language is cheaper to hold."""
    async with house_with(FakeUpstream()) as house:
        gateway, guesses = house.gateway, []
        for language, kind, body in (
            ("openai", CallKind.CHAT, {**CHAT_ASK, "messages": MESSAGES * 50}),
            ("anthropic", CallKind.CHAT, {**CLAUDE_ASK, "messages": MESSAGES * 50}),
            ("ollama", CallKind.CHAT, {**OLLAMA_ASK, "messages": MESSAGES * 50}),
        ):
            call = gateway.downstream(language).read(kind, json.dumps(body).encode())
            guesses.append(gateway.books.prompt_tokens(call, (await gateway.candidates(call, None))[0]))
        assert max(guesses) - min(guesses) <= 5
