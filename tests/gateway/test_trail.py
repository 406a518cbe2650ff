"""The audit trail between the requests and the store."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import trio

from hoosh.audit import Audit, AuditEntry, Details, decode_checkpoint, decode_entry, verify
from hoosh.audit.tally import PERIOD_MS
from hoosh.errors import ConfigError, StorageError
from hoosh.gateway.trail import AuditTrail
from hoosh.gateway.trail_pages import AuditPages
from hoosh.storage.memory import MemoryStore
from hoosh.values import Outcome, Record, Secret, Usage

KEY, NEW_KEY = Secret("the key of the house"), Secret("another key of the house")
SETTINGS = Audit(enabled=True, signing_key=KEY, checkpoint_every=100_000)


class World:
    """A store, and a clock that the test sets."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.log = self.store.log("audit")
        self.table = self.store.table("audit")
        self.now_ms = 1_000_000

    async def trail(self, settings: Audit = SETTINGS, *, keep: int | None = None) -> AuditTrail:
        trail = AuditTrail(settings, self.log, self.table, lambda: self.now_ms, keep=keep)
        await trail.open()
        return trail

    async def entries(self) -> list[AuditEntry]:
        return [decode_entry(row.body) for row in await self.log.read(0, 100_000)]

    async def forge(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """A log whose rows somebody has changed."""
        rows = [row.body for row in await self.log.read(0, 100_000)]
        self.log = MemoryStore().log("audit")
        self.log.append(change(rows))

    async def is_whole(self, *keys: Secret) -> bool:
        """As a stranger with the keys would find it."""
        checkpoint = decode_checkpoint(await self.table.get("checkpoint") or b"")
        rows = await self.log.read(checkpoint.cut_number, 100_000)
        return verify([row.body for row in rows], keys or [KEY], checkpoint).valid


def record(number: int = 1, **changes: object) -> Record:
    plain = Record(
        request_id=f"req_{number}",
        method="POST",
        path="/v1/chat/completions",
        http_version="1.1",
        outcome=Outcome.OK,
        status=200,
        started_at=1000.0,
        duration_s=0.25,
        kind="chat",
        caller="ada",
        model="gpt",
        served_model="gpt-4o",
        provider="openai",
        attempts=1,
        usage=Usage(10, 20),
        pool="team",
        charge=30,
        cost_micro_usd=7,
        cache="miss",
    )
    return msgspec.structs.replace(plain, **changes)


def metadata(entry: AuditEntry) -> dict[str, object]:
    return msgspec.json.decode(entry.metadata) if entry.metadata else {}


async def test_a_finished_request_is_one_entry():
    world = World()
    trail = await world.trail()
    trail.record(record())
    assert trail.flush() == 1
    (entry,) = await trail.read()
    assert (entry.event, entry.level, entry.provider, entry.model) == ("inference.response", "info", "openai", "gpt-4o")
    assert entry.timestamp == 1_000_250
    said = metadata(entry)
    assert said.pop("usage") == msgspec.to_builtins(Usage(10, 20))
    assert said == {
        "asked_model": "gpt",
        "attempts": 1,
        "cache": "miss",
        "caller": "ada",
        "charge": 30,
        "cost_micro_usd": 7,
        "kind": "chat",
        "outcome": "ok",
        "pool": "team",
        "request_id": "req_1",
        "status": 200,
        "stream": False,
    }


@pytest.mark.parametrize(
    ("changes", "event", "level"),
    [
        ({"outcome": Outcome.ERROR, "status": 502, "error_code": "upstream_error"}, "inference.error", "error"),
        ({"outcome": Outcome.CUT}, "inference.cut", "error"),
        ({"outcome": Outcome.CLIENT_LEFT, "status": 499}, "inference.client_left", "info"),
        ({"outcome": Outcome.ERROR, "status": 401, "caller": None}, "auth.failed", "warn"),
        ({"outcome": Outcome.ERROR, "status": 503, "caller": None}, "inference.refused", "warn"),
        ({"outcome": Outcome.ERROR, "attempts": 0, "error_code": "budget_exceeded"}, "budget.exceeded", "warn"),
        ({"outcome": Outcome.ERROR, "attempts": 0, "error_code": "rate_limit_exceeded"}, "limit.exceeded", "warn"),
        ({"outcome": Outcome.ERROR, "attempts": 1, "error_code": "rate_limit_exceeded"}, "inference.error", "error"),
    ],
    ids=str,
)
async def test_how_a_request_ended_is_the_event(changes: dict[str, object], event: str, level: str):
    trail = await World().trail()
    trail.record(record(**changes))
    (entry,) = await trail.read()
    assert (entry.event, entry.level) == (event, level)


async def test_requests_that_ask_for_no_inference_are_not_told_of():
    trail = await World().trail()
    trail.record(record(kind=None))
    assert await trail.read() == []


async def test_no_word_of_an_upstream_and_no_prompt_goes_in():
    secret = "sk-upstream-key http://10.0.0.1/"
    world = World()
    trail = await world.trail()
    details = Details("a" * 64, "b" * 64, request="my prompt", reply="my reply")
    trail.record(record(outcome=Outcome.ERROR, error_code=secret, error_message=secret), details)
    (entry,) = await trail.read()
    line = (await world.log.read())[0].body
    assert b"sk-upstream" not in line
    assert b"10.0.0.1" not in line
    assert b"my " not in line
    assert metadata(entry)["error_code"] == "upstream_error"
    assert (metadata(entry)["request_sha256"], metadata(entry)["reply_sha256"]) == ("a" * 64, "b" * 64)


async def test_names_that_clients_choose_are_bounded_and_can_be_written():
    world = World()
    trail = await world.trail()
    names = dict.fromkeys(("caller", "pool", "model", "served_model", "provider"), "\udfff" + "x" * 100_000)
    for outcome in Outcome:
        for code in ("budget_exceeded", "rate_limit_exceeded", "\udfff"):
            trail.record(record(outcome=outcome, error_code=code, attempts=0, **names))
    await trail.close()
    assert (await trail.verify()).valid
    assert max(len(row.body) for row in await world.log.read()) < 3000


async def test_content_is_kept_where_the_owner_wants_it():
    trail = await World().trail(Audit(enabled=True, signing_key=KEY, content=True))
    trail.record(record(), Details(request="my prompt \ud800", reply="x" * 1_000_000))
    (entry,) = await trail.read()
    assert metadata(entry)["request"] == "my prompt ?"
    assert len(metadata(entry)["reply"]) == 256 * 1024


async def test_whatever_is_noted_is_written_somehow():
    trail = await World().trail()
    trail.note(
        "admin.costs_reset", "warn", "half \ud800", reason="\udfff", key=Secret("hidden"), big=2**80, nan=float("nan")
    )
    trail.note("x", "info", "y", long="z" * 100_000)
    trail.note("x", "info", "y", deep={"a": [Secret("hidden")]})
    first, second, third = await trail.read()
    assert first.message == "half ?"
    assert metadata(first)["reason"] == "?"
    assert b"hidden" not in bytes(first.metadata) + bytes(third.metadata)
    assert list(metadata(second)) == ["omitted_bytes"]


async def test_strangers_cannot_fill_the_log():
    world = World()
    trail = await world.trail()
    for second in range(180):
        world.now_ms = 1_000_000 + 1000 * second
        for _ in range(100):
            trail.record(record(outcome=Outcome.ERROR, status=401, caller=None))
        trail.flush()
    await trail.close()
    entries = await world.entries()
    assert len(entries) == 4
    assert 1 + sum(metadata(entry)["count"] for entry in entries[1:]) == 18_000


async def test_kinds_are_counted_apart():
    world = World()
    trail = await world.trail()
    for caller in ("ada", "bob", "ada"):
        refused = {"outcome": Outcome.ERROR, "attempts": 0, "error_code": "rate_limit_exceeded", "caller": caller}
        trail.record(record(**refused))
    trail.tally("auth.failed", "No key.")
    assert len(await trail.read()) == 3
    world.now_ms += PERIOD_MS
    assert metadata((await trail.recent(1))[0]) == {"count": 1, "from": 1_000_000, "subject": "ada"}


async def test_checkpoints_stand_in_the_chain():
    world = World()
    trail = await world.trail(Audit(enabled=True, signing_key=KEY, checkpoint_every=3))
    for _ in range(6):
        trail.note("x", "info", "y")
    entries = await trail.read()
    assert [entry.event for entry in entries] == ["x", "x", "audit.checkpoint", "x", "x", "audit.checkpoint", "x", "x"]
    assert metadata(entries[2]) == {"entries": 2, "head": entries[2].integrity.previous_hash}


async def test_a_clock_that_is_set_back_is_noted_and_jitter_is_not():
    world = World()
    trail = await world.trail()
    for now_ms in (5_000_000, 4_999_500, 1_000, 2_000):
        world.now_ms = now_ms
        trail.note("x", "info", "y")
    entries = await trail.read()
    assert [(entry.event, entry.timestamp) for entry in entries] == [
        ("x", 5_000_000), ("x", 5_000_000), ("audit.clock_set_back", 1_000), ("x", 1_000), ("x", 2_000),
    ]  # fmt: skip
    again = await world.trail()
    world.now_ms = 1_500
    again.note("x", "info", "y")
    assert (await again.recent(1))[0].timestamp == 2_000


# -- from start to start ---------------------------------------------------------------------------------------------


async def test_a_chain_goes_on_after_a_restart_also_when_its_last_checkpoint_is_missing():
    world = World()
    for number in range(4):
        trail = await world.trail()
        for _ in range(5):
            trail.note("x", "info", "y")
        trail.flush()
        if number % 2:
            await trail.close()
    assert [entry.number for entry in await world.entries()] == list(range(1, 21))
    assert len({entry.id for entry in await world.entries()}) == 20
    assert await world.is_whole()


async def test_a_new_key_takes_over_with_the_word_of_the_old_one():
    world = World()
    first = await world.trail()
    first.note("x", "info", "y")
    await first.close()
    with pytest.raises(StorageError, match="previous_key"):
        await world.trail(Audit(enabled=True, signing_key=NEW_KEY))
    both = Audit(enabled=True, signing_key=NEW_KEY, previous_key=KEY)
    for _ in range(2):
        trail = await world.trail(both)
        trail.note("x", "info", "y")
        await trail.close()
        assert (await trail.verify()).valid
    later = await world.trail(Audit(enabled=True, signing_key=NEW_KEY))
    assert (await later.verify()).valid
    assert [entry.event for entry in await world.entries()] == ["x", "audit.key_handover", "x", "x"]
    assert await world.is_whole(KEY, NEW_KEY)
    with pytest.raises(StorageError, match="previous_key"):
        await world.trail()


async def test_a_new_key_over_an_empty_log_just_begins():
    world = World()
    await (await world.trail()).close()
    trail = await world.trail(Audit(enabled=True, signing_key=NEW_KEY, previous_key=KEY))
    trail.note("x", "info", "y")
    await trail.close()
    assert await world.is_whole(NEW_KEY)


# -- while it runs ---------------------------------------------------------------------------------------------------


async def test_a_running_chain_is_taken_over_by_another_key_and_back():
    world = World()
    trail = await world.trail()
    for signing, previous in ((NEW_KEY, KEY), (KEY, NEW_KEY)):
        trail.note("x", "info", "y")
        trail.configure(Audit(enabled=True, signing_key=signing, previous_key=previous))
        assert (await trail.verify()).valid
    trail.note("x", "info", "y")
    await trail.close()
    entries = await world.entries()
    assert [entry.event for entry in entries] == ["x", "audit.key_handover", "x", "audit.key_handover", "x"]
    assert await world.is_whole(KEY, NEW_KEY)
    assert (await (await world.trail()).verify()).valid


@pytest.mark.parametrize("previous", [None, Secret("a third key of the house")])
async def test_a_key_for_which_the_running_one_does_not_vouch_changes_nothing(previous: Secret | None):
    world = World()
    trail = await world.trail()
    wrong = Audit(enabled=True, signing_key=NEW_KEY, previous_key=previous, checkpoint_every=1)
    trail.note("x", "info", "y")
    for ask in (trail.require, trail.configure):
        with pytest.raises(ConfigError, match="previous_key"):
            ask(wrong)
    await trail.close()
    assert [entry.event for entry in await world.entries()] == ["x"]
    assert await world.is_whole()


async def test_a_running_chain_without_an_entry_just_begins_under_another_key():
    world = World()
    trail = await world.trail()
    trail.configure(Audit(enabled=True, signing_key=NEW_KEY, previous_key=KEY))
    await trail.sign()
    trail.note("x", "info", "y")
    await trail.close()
    assert [entry.event for entry in await world.entries()] == ["x"]
    assert await world.is_whole(NEW_KEY)
    assert (await (await world.trail(Audit(enabled=True, signing_key=NEW_KEY))).verify()).valid


async def test_a_clock_that_was_set_back_is_noted_before_a_key_hands_over():
    world = World()
    trail = await world.trail()
    trail.note("x", "info", "y")
    world.now_ms = 10
    trail.configure(Audit(enabled=True, signing_key=NEW_KEY, previous_key=KEY))
    entries = await trail.read()
    assert [(entry.event, entry.timestamp) for entry in entries] == [
        ("x", 1_000_000), ("audit.clock_set_back", 10), ("audit.key_handover", 10),
    ]  # fmt: skip
    assert [entry.integrity.key_id for entry in entries[:2]] == [entries[0].integrity.key_id] * 2
    assert (await trail.verify()).valid


@pytest.mark.parametrize("number", [0, 1], ids=["an empty log", "a log"])
async def test_a_trail_that_is_withdrawn_leaves_the_store_as_it_was(number: int):
    world = World()
    if number:
        trail = await world.trail()
        trail.note("x", "info", "y")
        await trail.close()
    stored = await world.table.items()
    both = Audit(enabled=True, signing_key=NEW_KEY, previous_key=KEY)
    trail = AuditTrail(both, world.log, world.table, lambda: world.now_ms)
    await trail.withdraw()
    assert await world.table.items() == stored
    await trail.find_end()
    await trail.withdraw()
    assert await world.table.items() == stored
    assert world.log.position == number
    assert (await (await world.trail()).verify()).valid


# -- broken ends -----------------------------------------------------------------------------------------------------

FORGERIES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "the last is gone": lambda rows: rows[:-1],
    "all are gone": lambda rows: [],
    "the last was changed": lambda rows: [*rows[:-1], rows[-1].replace(b'"y"', b'"z"')],
    "the last is noise": lambda rows: [*rows[:-1], b"{}"],
    "one was added": lambda rows: [*rows, rows[-1]],
    "noise was added": lambda rows: [*rows, b"\xff"],
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_nothing_is_sealed_behind_a_broken_end(name: str):
    world = World()
    trail = await world.trail()
    for _ in range(3):
        trail.note("x", "info", "y")
    await trail.close()
    await world.forge(FORGERIES[name])
    with pytest.raises(StorageError, match="audit verify"):
        await world.trail()


@pytest.mark.parametrize("checkpoint", [None, b"", b"{}", b"[[["])
async def test_a_log_without_its_checkpoint_is_not_ours(checkpoint: bytes | None):
    world = World()
    trail = await world.trail()
    trail.note("x", "info", "y")
    await trail.close()
    await world.table.swap("checkpoint", await world.table.get("checkpoint"), checkpoint)
    with pytest.raises(StorageError, match="checkpoint"):
        await world.trail()


async def test_without_a_key_it_does_not_start():
    with pytest.raises(ConfigError, match="signing_key"):
        await World().trail(Audit(enabled=True))


async def test_a_store_in_memory_forgets_the_oldest_and_the_rest_is_whole(autojump_clock: trio.abc.Clock):
    world = World()
    trail = await world.trail(keep=50)
    async with trio.open_nursery() as nursery:
        await nursery.start(trail.run)
        for number in range(500):
            trail.note("x", "info", str(number))
            if number % 7 == 0:
                await trio.sleep(0.2)
                assert (await trail.verify()).valid
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    await trail.close()
    entries = await world.entries()
    assert 50 <= len(entries) <= 56
    assert entries[-1].message == "499"
    assert trail.statistics().entries == len(entries)
    assert await world.is_whole()
    again = await world.trail(keep=50)
    assert (await again.verify()).entries == len(entries)


async def test_the_checkpoint_follows_by_itself_and_outlives_a_disk_that_fails(autojump_clock: trio.abc.Clock):
    world = World()
    trail = await world.trail()
    put, failures = world.table.put, 3

    async def failing(key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StorageError("The disk is full.")
        await put(key, value)

    world.table.put = failing  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        await nursery.start(trail.run)
        trail.note("x", "info", "y")
        await trio.sleep(0.5)
        assert trail.statistics().last_error == "The disk is full."
        await trio.sleep(5)
        assert trail.statistics().last_error is None
        nursery.cancel_scope.cancel()
    assert decode_checkpoint(await world.table.get("checkpoint") or b"").number == 1


async def test_a_disk_that_fails_does_not_keep_the_house_from_closing(monkeypatch: pytest.MonkeyPatch):
    world = World()
    trail = await world.trail()
    trail.note("x", "info", "y")

    async def failing(key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as full:
        full.setattr(world.table, "put", failing)
        await trail.close()
    assert (await (await world.trail()).verify()).entries == 1


# -- reading ---------------------------------------------------------------------------------------------------------


async def test_a_verification_finds_what_was_changed_below_a_running_gateway():
    world = World()
    trail = await world.trail()
    for _ in range(2500):
        trail.note("x", "info", "y")
    assert (await trail.verify()).entries == 2500
    rows = world.log._bodies
    rows[1700] = rows[1700].replace(b'"y"', b'"z"')
    verdict = await trail.verify()
    assert (verdict.valid, verdict.first_bad) == (False, 1701)


async def test_those_who_ask_together_get_one_verification():
    world = World()
    trail = await world.trail()
    for _ in range(100):
        trail.note("x", "info", "y")
    verdicts = []

    async def ask() -> None:
        verdicts.append(await trail.verify())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert len({id(verdict) for verdict in verdicts}) == 1
    assert await trail.verify() is not verdicts[0]


async def test_pages_join_without_a_gap_in_both_directions():
    world = World()
    trail = await world.trail()
    pages = AuditPages(trail)
    for number in range(1234):
        trail.note("odd" if number % 2 else "even", "info" if number % 3 else "warn", "y")
    for event, level in ((None, None), ("odd", None), ("odd", "warn"), ("never", None)):
        wanted = [e.number for e in await trail.read(0, 2000) if event in (None, e.event) and level in (None, e.level)]
        found: list[int] = []
        page = await pages.page(limit=100, event=event, level=level)
        assert (page.total, page.chain_valid) == (1234, None)
        found = [entry.number for entry in page.entries]
        while page.next is not None:
            page = await pages.page(limit=100, before=page.next, event=event, level=level)
            found = [entry.number for entry in page.entries] + found
        assert found == wanted
        page = await pages.page(limit=100, after=0, event=event, level=level)
        found = [entry.number for entry in page.entries]
        while page.next is not None:
            page = await pages.page(limit=100, after=page.next, event=event, level=level)
            found += [entry.number for entry in page.entries]
        assert found == wanted
    await pages.verify()
    page = await pages.page(limit=1)
    assert (page.chain_valid, page.verified_through, page.verified_at) == (True, 1234, 1_000_000)
    for place in ({"before": 0}, {"after": 10**14}, {"before": 1}):
        assert (await pages.page(limit=10, **place)).entries == []


async def test_a_filter_that_matches_nothing_looks_only_so_far(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hoosh.gateway.trail_pages.SCAN_MAX", 1000)
    trail = await World().trail()
    for _ in range(5000):
        trail.note("x", "info", "y")
    pages = AuditPages(trail)
    assert (await pages.page(limit=10, event="never")).next == 4001
    assert (await pages.page(limit=10, after=0, event="never")).next == 1000
