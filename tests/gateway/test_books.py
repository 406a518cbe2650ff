"""The books and the store under them: what is on it before the last byte, what a start finds, what a full one does."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from books_desk import (
    CHAT_ASK,
    CLAUDE_ASK,
    COUNTED,
    FORMS,
    OLLAMA_ASK,
    STREAMED,
    Answer,
    by,
    chat,
    idle,
    key,
    pool,
    rows_of,
    send,
    used,
)
from gateway_house import CHAT, FakeUpstream, config, house_with, text_of
from msgspec.structs import replace

from hoosh.audit import Audit
from hoosh.config import Config
from hoosh.errors import StorageError
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.books import SNAPSHOT_ROWS, SNAPSHOT_S
from hoosh.storage.memory import MemoryStore
from hoosh.storage.settings import Storage
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.testing.upstream import Hang, Pause, error_reply, sse_chat

STREAM: dict[str, Any] = {**CHAT_ASK, "stream": True}
FIXED: dict[str, Any] = {**CHAT_ASK, "temperature": 0}
SYNC = Storage(durability="sync")


# -- the last byte ---------------------------------------------------------------------------------------------------


class Disk:
    """In place of the log's own `wait_kept`: it is slow until told, or broken."""

    def __init__(self, house: MemoryHouse, monkeypatch: Any) -> None:
        self.is_written = trio.Event()
        self.error: StorageError | None = None
        self.waits = 0
        monkeypatch.setattr(house.gateway.books._journal._log, "wait_kept", self.wait_kept)

    async def wait_kept(self, position: int) -> None:
        self.waits += 1
        await self.is_written.wait()
        if self.error is not None:
            raise self.error


async def listen(house: MemoryHouse, path: str, body: Any, heard: list[bytes]) -> None:
    """Ask, and note what comes as it comes."""
    async with house.exchange(path, body) as response:
        heard.append(b"%d" % response.status)
        while data := await response.receive():
            heard.append(data)
        heard.append(b"over")


WAYS: dict[str, tuple[str, Any, Any]] = {
    "whole": (CHAT, CHAT_ASK, chat(COUNTED)),
    "stream": (CHAT, STREAM, [*STREAMED[:3], Pause(1), *STREAMED[3:]]),
    "a stream in a flight": (CHAT, {**FIXED, **STREAM}, [*STREAMED[:3], Pause(1), *STREAMED[3:]]),
    "a flight": (CHAT, FIXED, chat(COUNTED)),
    "messages": ("/v1/messages", {**CLAUDE_ASK, "stream": True}, STREAMED),
    "ollama": ("/api/chat", {**OLLAMA_ASK, "stream": True}, STREAMED),
    "embedding": (FORMS["embedding"].path, FORMS["embedding"].ask, FORMS["embedding"].reply),
    "a stream that came whole": (CHAT, STREAM, chat(COUNTED)),
    "speech": (FORMS["speech"].path, FORMS["speech"].ask, FORMS["speech"].reply),
}
ENDINGS = (b"[DONE]", b"message_stop", b'"done":true', b'"finish_reason":"stop"', b"over")


@pytest.mark.parametrize("way", WAYS)
async def test_the_end_of_an_answer_waits_for_the_disk(way, autojump_clock, monkeypatch):
    path, body, script = WAYS[way]
    async with house_with(FakeUpstream(script), config(storage=SYNC)) as house:
        disk, heard = Disk(house, monkeypatch), []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, house, path, body, heard)
            await trio.sleep(60)
            assert disk.waits == 1
            assert not [end for end in ENDINGS if end in b"".join(heard)]
            disk.is_written.set()
        assert heard[0] == b"200"
        assert heard[-1] == b"over"


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_that_cannot_be_written_down_is_none(way, autojump_clock, monkeypatch):
    path, body, script = WAYS[way]
    async with house_with(FakeUpstream(script), config(storage=SYNC)) as house:
        disk = Disk(house, monkeypatch)
        disk.error = StorageError("The disk is gone.")
        disk.is_written.set()
        answer = await send(house, path, body)
        if answer.status == 200:  # part of it had gone out
            assert way in ("speech", "messages", "ollama") or "stream" in way
            assert way == "speech" or b"The disk is gone." in answer.body
            assert not [end for end in ENDINGS[:-1] if end in answer.body]
        else:
            assert answer.status == 503
            assert answer.json["error"]["code"] == "storage_error"
        assert house.gateway.cache.statistics().entries == 0


async def test_where_rows_are_written_in_groups_no_answer_waits(autojump_clock, monkeypatch):
    for path, body, script in WAYS.values():
        async with house_with(FakeUpstream(script)) as house:
            disk = Disk(house, monkeypatch)
            assert (await send(house, path, body)).status == 200
            await idle(house)
            assert disk.waits == 0


async def test_who_shares_an_answer_out_of_the_air_waits_for_a_row_of_its_own(autojump_clock, monkeypatch):
    async with house_with(FakeUpstream([Pause(1), *chat(COUNTED)]), config(storage=SYNC)) as house:
        books, kept = house.gateway.books, []

        async def wait_kept(position: int) -> None:
            kept.append(position)

        monkeypatch.setattr(books._journal._log, "wait_kept", wait_kept)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(send, house, CHAT, FIXED)
        assert sorted(kept) == [1, 2, 3]
        rows = await rows_of(house)
        assert [(row.cached, row.charge) for row in rows] == [(False, 18), (True, 0), (True, 0)]


async def test_a_stream_that_its_budget_ends_waits_for_the_disk_too(autojump_clock, monkeypatch):
    settings = config(storage=SYNC, budgets=(pool("default", 30, on_exhausted="finish"),))
    async with house_with(FakeUpstream([*sse_chat(*["da"] * 99)[:99], Hang()]), settings) as house:
        disk, heard = Disk(house, monkeypatch), []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, house, CHAT, STREAM, heard)
            await trio.sleep(60)
            assert b"length" not in b"".join(heard)
            disk.is_written.set()
        assert heard[-2].endswith(b"data: [DONE]\n\n")


# -- a store that is full --------------------------------------------------------------------------------------------


def say(house: MemoryHouse, monkeypatch: Any, status: str) -> None:
    store = house.gateway.store
    statistics = replace(store.statistics(), status=status)
    monkeypatch.setattr(store, "statistics", lambda: statistics)


async def test_a_full_store_takes_no_new_work_and_says_so_until_there_is_room(autojump_clock, monkeypatch):
    upstream = FakeUpstream(chat(COUNTED))
    async with house_with(upstream) as house:
        assert (await send(house, CHAT, CHAT_ASK)).status == 200
        say(house, monkeypatch, "full")
        await send(house, CHAT, CHAT_ASK)  # there is room for some
        await idle(house)
        asked = len(upstream.requests)
        for path, ask in ((CHAT, CHAT_ASK), (CHAT, FIXED), (FORMS["speech"].path, FORMS["speech"].ask)):
            refused = await send(house, path, ask)
            assert (refused.status, refused.json["error"]["code"]) == (503, "service_unavailable")
            assert refused.headers.text(b"retry-after") is not None
        assert len(upstream.requests) == asked
        assert (await send(house, "/v1/tokens/reserve", {"pool": "default", "tokens": 1})).status == 503
        assert (await house.get("/readyz"))[0] == 503
        status, _, health = await house.get("/v1/health")
        assert (status, json.loads(health)["status"]) == (200, "degraded")
        assert json.loads(health)["storage"]["status"] == "full"
        say(house, monkeypatch, "ok")
        assert (await send(house, CHAT, CHAT_ASK)).status == 200
        assert (await house.get("/readyz"))[0] == 200


async def test_a_store_that_spools_works_on_and_is_seen(autojump_clock, monkeypatch):
    async with house_with(FakeUpstream(chat(COUNTED))) as house:
        say(house, monkeypatch, "spooling")
        await send(house, CHAT, CHAT_ASK)
        assert (await send(house, CHAT, CHAT_ASK)).status == 200
        assert (await house.get("/readyz"))[0] == 200
        assert json.loads((await house.get("/v1/health"))[2])["status"] == "degraded"


async def test_rows_are_handed_over_while_a_snapshot_waits_for_a_slow_disk(autojump_clock, monkeypatch):
    async with house_with(FakeUpstream(chat(COUNTED))) as house:
        books = house.gateway.books

        async def put(*args: Any, **more: Any) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(books._journal._table, "put", put)
        books._journal.unsaved_rows = SNAPSHOT_ROWS
        await trio.sleep(2 * SNAPSHOT_S)
        await send(house, CHAT, CHAT_ASK)
        assert [row.charge for row in await rows_of(house)] == [18]
        assert b"hoosh_tokens_total" in (await house.get("/metrics"))[2]
        monkeypatch.undo()


# -- starts ----------------------------------------------------------------------------------------------------------


class Lives:
    """One store, and one gateway after another on it."""

    def __init__(self, monkeypatch: Any, **settings: Any) -> None:
        self.store = MemoryStore()
        self.settings = settings
        monkeypatch.setattr("hoosh.gateway.assembly.open_store", lambda *args, **more: self.store)

    def house(self, *scripts: Any, **settings: Any) -> Any:
        return house_with(FakeUpstream(*scripts), config(**{**self.settings, **settings}))

    def lose(self, table: str = "books") -> None:
        """As a crash would have it: no snapshot."""
        self.store._tables.pop(table, None)


POOLS = (pool("purse", 5000), pool("money", 1.0, unit="usd"))


@pytest.mark.parametrize("ends", ["properly", "without a snapshot", "with an old snapshot"])
async def test_what_was_spent_is_spent_after_a_restart(ends, autojump_clock, monkeypatch):
    lives = Lives(monkeypatch, budgets=POOLS, keys=(key("ada", scopes=("inference", "admin")),))
    async with lives.house(chat(COUNTED)) as house:
        await send(house, CHAT, {**CHAT_ASK, "pool": "purse"}, by("ada"))
        if ends == "with an old snapshot":
            await idle(house)
            await house.gateway.books.save()
            old = dict(lives.store._tables["books"]._entries)
        reserved = await send(house, "/v1/tokens/reserve", {"pool": "purse", "tokens": 100}, by("ada"))
        assert reserved.json["reserved"] is True
        await send(house, CHAT, CHAT_ASK, by("ada"))
        await idle(house)
        before = house.gateway.books.ledger.pools(house.gateway.books.now_ms())
        total = house.gateway.books.totals.total()
    if ends == "without a snapshot":
        lives.lose()
    if ends == "with an old snapshot":
        lives.store._tables["books"]._entries = old
    async with lives.house(chat(COUNTED)) as house:
        books = house.gateway.books
        assert books.ledger.pools(books.now_ms()) == before
        assert books.totals.total() == total
        ledger, totals = await books.replayed()
        assert ledger.pools(books.now_ms()) == before
        assert totals.total() == total
        assert (await send(house, "/v1/tokens/release", {"id": reserved.json["id"]}, by("ada"))).status == 200


async def test_what_was_only_held_is_free_again_after_a_crash(autojump_clock, monkeypatch):
    lives = Lives(monkeypatch, budgets=(pool("default", 5000),))
    async with lives.house([Hang()]) as house, trio.open_nursery() as nursery:
        nursery.start_soon(send, house, CHAT, CHAT_ASK)
        await trio.sleep(1)
        (state,) = house.gateway.books.ledger.pools(house.gateway.books.now_ms())
        assert state.held > 1000
        rows = await lives.store.log("ledger").read()
        lives.store = MemoryStore()
        lives.store.log("ledger").append([row.body for row in rows])
        async with lives.house() as second:
            (state,) = second.gateway.books.ledger.pools(second.gateway.books.now_ms())
            assert (state.held, state.available) == (0, 5000)
        nursery.cancel_scope.cancel()


async def test_a_start_that_had_to_read_many_rows_is_soon_followed_by_a_snapshot(autojump_clock, monkeypatch):
    monkeypatch.setattr("hoosh.gateway.books.SNAPSHOT_ROWS", 5)
    lives = Lives(monkeypatch)
    for _ in range(2):
        async with lives.house(chat(COUNTED)) as house:
            for _ in range(3):
                await send(house, CHAT, CHAT_ASK)
            await idle(house)
        lives.lose()
    async with lives.house(chat(COUNTED)):
        await trio.sleep(2 * SNAPSHOT_S)
        assert lives.store.table("books")._entries


async def test_a_journal_in_memory_does_not_fill_it(autojump_clock, monkeypatch):
    monkeypatch.setattr("hoosh.gateway.books.SNAPSHOT_ROWS", 5)
    monkeypatch.setattr("hoosh.gateway.journal.MEMORY_ROWS", 10)
    lives = Lives(monkeypatch, budgets=(pool("default", 1e9),))
    async with lives.house(chat(COUNTED)) as house:
        for _ in range(30):
            await send(house, CHAT, CHAT_ASK)
        await trio.sleep(2 * SNAPSHOT_S)
        rows = await rows_of(house)
        assert len(rows) == 10
    async with lives.house() as house:
        assert used(house, "default") == 30 * 18


async def test_a_pool_that_is_removed_and_comes_back_has_its_balance(autojump_clock, monkeypatch):
    lives = Lives(monkeypatch, budgets=POOLS)
    async with lives.house(chat(COUNTED)) as house:
        await send(house, CHAT, {**CHAT_ASK, "pool": "purse"})
    async with lives.house(chat(COUNTED), budgets=()) as house:
        assert (await send(house, CHAT, {**CHAT_ASK, "pool": "purse"})).status == 400
    lives.lose()
    async with lives.house(chat(COUNTED)) as house:
        assert used(house, "purse") == 18


async def test_what_has_been_learnt_survives_a_proper_end(autojump_clock, monkeypatch):
    lives = Lives(monkeypatch)
    ask = {**CHAT_ASK, "messages": [{"role": "user", "content": "salam " * 200}]}
    counted = {**COUNTED, "prompt_tokens": 2000}
    async with lives.house(chat(counted)) as house:
        for _ in range(20):
            await send(house, CHAT, ask)
            await idle(house)
        taught = house.gateway.books.estimator.state()
    async with lives.house(chat(counted)) as house:
        assert house.gateway.books.estimator.state() == taught


NEWER = b'{"type":"teleported","at_ms":1}'
DEEP = b'{"type":"settled","x":' + b"[" * 100_000


@pytest.mark.parametrize(
    "row", [NEWER, DEEP, b"not a row", b"\xff", b'{"type":"settled"}', b"[]"], ids=lambda row: repr(row[:40])
)
async def test_a_row_of_a_newer_version_stops_the_start_with_advice(row, autojump_clock, monkeypatch):
    lives = Lives(monkeypatch)
    lives.store.log("ledger").append([row])
    with pytest.raises(StorageError, match=r"Row 1 of the ledger's journal .* newer hoosh\? Then start that one"):
        async with open_gateway(Config(), environ={}):
            raise AssertionError("it must not open")


@pytest.mark.parametrize("kept", [b"", b"nonsense", b"\x91\x01"], ids=repr)
async def test_a_snapshot_that_cannot_be_read_stops_the_start_with_advice(kept, autojump_clock, monkeypatch):
    lives = Lives(monkeypatch)
    await lives.store.table("books").put("snapshot", kept)
    with pytest.raises(StorageError, match="restore the store from a backup"):
        async with open_gateway(Config(), environ={}):
            raise AssertionError("it must not open")


async def test_a_store_that_cannot_be_opened_is_told_as_it_is_and_leaves_nothing_running(autojump_clock, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    settings = config(storage=Storage(url=f"sqlite:///{blocked}/hoosh.db"))
    tasks = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(StorageError):
        async with open_gateway(settings, environ={}):
            raise AssertionError("it must not open")
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_chain_that_does_not_end_as_it_should_stops_the_start(autojump_clock, monkeypatch):
    audit = Audit(enabled=True, signing_key=key("a-key-of-the-house").key)
    lives = Lives(monkeypatch, audit=audit)
    async with lives.house(chat(COUNTED)) as house:
        await send(house, CHAT, CHAT_ASK)
    lives.store.log("audit")._bodies.pop()
    tasks = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(StorageError):
        async with open_gateway(config(audit=audit), environ={}):
            raise AssertionError("it must not open")
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_bug_in_the_block_is_not_taken_for_one_of_the_store(autojump_clock):
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_gateway(Config(), environ={}):
            raise ZeroDivisionError
    assert caught.group_contains(ZeroDivisionError)


# -- windows and clocks ----------------------------------------------------------------------------------------------


async def test_a_window_refills_for_requests_exactly_at_its_boundary(autojump_clock):
    clock = [59.9]
    settings = config(budgets=(pool("default", 2000, window="minute"),))
    async with memory_house(settings, wall_s=lambda: clock[0]) as house:
        house.network.listen("mock:80", FakeUpstream(chat({**COUNTED, "prompt_tokens": 1990})).serve_wire)
        assert (await send(house, CHAT, CHAT_ASK)).status == 200
        await idle(house)
        refused = await send(house, CHAT, CHAT_ASK)
        assert (refused.status, refused.headers.text(b"retry-after")) == (429, "1")
        clock[0] = 60.0
        assert (await send(house, CHAT, CHAT_ASK)).status == 200
        await idle(house)
        clock[0] = 10.0  # set back: nobody gets a second refill
        assert (await send(house, CHAT, CHAT_ASK)).status == 429


async def test_a_pool_that_is_lowered_below_what_is_used_gives_nothing(autojump_clock, monkeypatch):
    lives = Lives(monkeypatch, budgets=(pool("default", 5000),))
    async with lives.house(chat(COUNTED)) as house:
        await send(house, CHAT, CHAT_ASK)
    async with lives.house(chat(COUNTED), budgets=(pool("default", 10),)) as house:
        assert (await send(house, CHAT, CHAT_ASK)).status == 429
        assert used(house, "default") == 18


async def test_of_two_who_want_the_last_tokens_one_gets_them(autojump_clock):
    settings = config(budgets=(pool("default", 60),))
    async with house_with(FakeUpstream([Pause(1), *chat(COUNTED)]), settings) as house:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await send(house, CHAT, {**CHAT_ASK, "max_tokens": 30}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        assert sorted(answer.status for answer in answers) == [200, 429]


async def test_outsiders_and_requests_share_one_pool(autojump_clock):
    settings = config(budgets=(pool("default", 1100),))
    async with house_with(FakeUpstream(STREAMED), settings) as house:
        reserved = (await send(house, "/v1/tokens/reserve", {"pool": "default", "tokens": 1090})).json
        assert reserved["available"] == 10
        assert (await send(house, CHAT, {**STREAM, "max_tokens": 50})).status == 429
        await send(house, "/v1/tokens/report", {"id": reserved["id"], "actual": 7})
        answer = await send(house, CHAT, {**STREAM, "max_tokens": 50})
        assert text_of(answer.body) == "salam donya"
        await idle(house)
        assert used(house, "default") == 12


async def test_an_error_of_the_upstream_moves_no_balance(autojump_clock):
    async with house_with(FakeUpstream(error_reply(500)), config(budgets=POOLS)) as house:
        for name in ("purse", "default"):
            assert (await send(house, CHAT, {**CHAT_ASK, "pool": name})).status == 502
        rows = await rows_of(house)
        assert [(row.charge, row.outcome) for row in rows] == [(0, "error")] * 2
        assert [used(house, name) for name in ("purse", "money", "default")] == [0, 0, 0]
