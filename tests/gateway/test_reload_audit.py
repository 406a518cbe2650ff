"""Another `[audit]` while the gateway runs: the chain goes on, and nothing that has happened is missing from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from gateway_house import ASK, CHAT, STREAM, FakeUpstream, Secret, house_with
from gateway_house import config as plain_config

from hoosh.audit import Audit, AuditEntry, SigningKey
from hoosh.cli import main
from hoosh.config import Config, Routing, Storage
from hoosh.errors import ConfigError, StorageError
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import json_reply, sse_chat, with_pauses

KEYS = {name: Secret(f"the key {name} of this house") for name in "abcd"}
OFF = Audit()


def on(key: str, before: str = "", **fields: Any) -> Audit:
    return Audit(enabled=True, signing_key=KEYS[key], previous_key=KEYS.get(before), **fields)


def config(audit: Audit, storage: Storage | None = None, **changes: Any) -> Config:
    return plain_config(audit=audit, storage=storage or Storage(), **changes)


def upstream() -> FakeUpstream:
    message = {"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}
    return FakeUpstream(json_reply({"id": "1", "object": "chat.completion", "choices": [message], "usage": {}}))


async def ask(house: MemoryHouse) -> str:
    """Returns the request's id."""
    status, headers, body = await house.post(CHAT, ASK)
    assert status == 200, body
    found = headers.text(b"x-request-id")
    assert found
    return found


async def entries_of(house: MemoryHouse) -> list[AuditEntry]:
    house.gateway.flush()
    assert house.gateway.trail is not None
    return await house.gateway.trail.read(0, 100_000)


async def verdict_of(house: MemoryHouse) -> dict[str, Any]:
    status, _, body = await house.get("/v1/audit/verify")
    assert status == 200
    verdict: dict[str, Any] = json.loads(body)
    return verdict


def facts(entry: AuditEntry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(entry.metadata) or b"{}")
    return found


def told_of(entries: Sequence[AuditEntry]) -> list[str]:
    """Ids of the requests."""
    return [facts(entry)["request_id"] for entry in entries if entry.event.startswith("inference.")]


def ids(keys: str) -> list[str]:
    return [SigningKey(KEYS[key]).id for key in keys]


@pytest.fixture(params=["memory", "batched", "sync"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return Storage()
    return Storage(url=f"sqlite:///{tmp_path}/hoosh.db", durability=request.param)


# -- another key -------------------------------------------------------------------------------------------------------


async def test_a_new_key_goes_on_behind_the_word_of_the_old_one():
    async with house_with(upstream(), config(on("a"))) as house:
        trail, pages = house.gateway.trail, house.gateway.audit
        first = await ask(house)
        told = await house.gateway.reload(config(on("b", "a")), by="boss")
        assert (told.changed, told.needs_restart) == (("audit",), ())
        assert (house.gateway.trail, house.gateway.audit) == (trail, pages)
        second = await ask(house)
        entries = await entries_of(house)
        assert [entry.event for entry in entries] == [
            "gateway.started", "inference.response", "audit.key_handover", "config.reloaded", "inference.response",
        ]  # fmt: skip
        assert told_of(entries) == [first, second]
        assert [entry.integrity.key_id for entry in entries] == [*ids("aa"), *ids("bbb")]
        verdict = await verdict_of(house)
        assert (verdict["valid"], verdict["keys_used"], verdict["keys_unknown"]) == (True, ids("ab"), [])
        await house.gateway.reload(config(on("b")))
        verdict = await verdict_of(house)
        assert (verdict["valid"], verdict["keys_unknown"]) == (True, ids("a")), "held by the links of later ones"


@pytest.mark.parametrize(
    "wrong", [on("b"), on("b", "c"), Audit(enabled=True, signing_key=Secret("short"))], ids=["none", "another", "short"]
)
async def test_a_key_that_the_chain_cannot_go_on_with_changes_nothing_and_is_reported(wrong: Audit):
    async with house_with(upstream(), config(on("a"))) as house:
        house.gateway.source = lambda: config(wrong, routing=Routing(max_attempts=2))
        before = house.gateway.snapshot.config
        told: list[Config] = []
        house.gateway.when_configured.append(told.append)
        status, _, body = await house.post("/v1/admin/reload", None)
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (400, "invalid_configuration")
        assert "key" in error["message"]
        assert not any(secret.reveal() in error["message"] for secret in KEYS.values())
        assert (house.gateway.snapshot.config, told) == (before, []), "it is refused before anybody is told of it"
        await ask(house)
        entries = await entries_of(house)
        assert [entry.event for entry in entries][-2:] == ["config.refused", "inference.response"]
        assert (await verdict_of(house))["keys_used"] == ids("a")


async def test_other_settings_hold_from_now_on(autojump_clock: trio.abc.Clock):
    async with house_with(upstream(), config(on("a", checkpoint_every=100))) as house:
        trail = house.gateway.trail
        assert trail is not None
        await house.gateway.reload(config(on("a", checkpoint_every=5, max_entries=10, content=True)))
        for _ in range(20):
            await ask(house)
        await trio.sleep(1)
        entries = await entries_of(house)
        assert "audit.checkpoint" in [entry.event for entry in entries]
        assert 10 <= len(entries) <= 12
        assert facts(entries[-1])["request"] == json.dumps(ASK, separators=(",", ":"))
        assert house.gateway.audit._trail.keeps_words  # type: ignore[union-attr]
        assert (await verdict_of(house))["valid"]


async def test_a_key_that_takes_over_an_empty_log_just_begins(autojump_clock: trio.abc.Clock):
    async with house_with(upstream(), config(OFF)) as house:
        await house.gateway.reload(config(on("a")))
        await house.gateway.reload(config(on("a", "b")))
        assert (await verdict_of(house))["keys_used"] == ids("a")


# -- off and on --------------------------------------------------------------------------------------------------------


async def test_it_ends_when_it_is_switched_off_and_goes_on_when_it_is_switched_on(storage: Storage):
    async with house_with(upstream(), config(on("a"), storage)) as house:
        first = await ask(house)
        await house.gateway.reload(config(OFF, storage), by="boss")
        assert house.gateway.trail is None
        await ask(house)
        status, _, body = await house.get("/v1/audit")
        assert (status, json.loads(body)["error"]["code"]) == (404, "audit_disabled")
        await house.gateway.reload(config(on("b", "a"), storage), by="boss")
        last = await ask(house)
        entries = await entries_of(house)
        assert [entry.event for entry in entries] == [
            "gateway.started", "inference.response", "audit.disabled",
            "audit.key_handover", "audit.enabled", "config.reloaded", "inference.response",
        ]  # fmt: skip
        assert [facts(entries[place])["by"] for place in (2, 4, 5)] == ["boss"] * 3
        assert told_of(entries) == [first, last]
        verdict = await verdict_of(house)
        assert (verdict["valid"], verdict["keys_used"]) == (True, ids("ab"))
    rows = await house.gateway.store.log("audit").read() if not storage.url else []
    assert not rows or json.loads(rows[-1].body)["event"] == "gateway.stopped"


async def test_its_service_comes_and_goes_with_it(autojump_clock: trio.abc.Clock):
    async with house_with(upstream(), config(on("a"))) as house:
        for audit, running in ((OFF, 0), (on("a"), 1), (on("b", "a"), 1), (OFF, 0), (on("b"), 1)):
            await house.gateway.reload(config(audit))
            await trio.sleep(1)
            assert services_running() == running
        await ask(house)
        await trio.sleep(1)
        (stored,) = dict(await house.gateway.store.table("audit").items()).values()
        assert json.loads(stored)["checkpoint"] == house.gateway.store.log("audit").position


def services_running(task: trio.lowlevel.Task | None = None) -> int:
    """Of all trails."""
    task = task or trio.lowlevel.current_root_task()
    assert task is not None
    children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return task.name.endswith("AuditTrail.run") + sum(map(services_running, children))


async def test_a_stream_that_runs_meanwhile_is_told_of_by_the_trail_that_is_there_at_its_end():
    slow = FakeUpstream(with_pauses(sse_chat("sa", "lam"), 0.1))
    async with house_with(slow, config(OFF)) as house:
        async with house.exchange(CHAT, STREAM) as response:
            await house.gateway.reload(config(on("a")))
            await house.gateway.reload(config(on("b", "a")))
            while await response.receive():
                pass
        with trio.fail_after(60):
            while house.gateway.in_flight:
                await trio.sleep(0.01)
        (entry,) = [entry for entry in await entries_of(house) if entry.event.startswith("inference")]
        assert entry.event == "inference.response"
        assert "request_sha256" not in facts(entry), "nobody has listened to its beginning"


async def test_a_log_that_does_not_end_as_it_should_is_not_gone_on_with():
    async with house_with(upstream(), config(on("a"))) as house:
        await house.gateway.reload(config(OFF))
        table = house.gateway.store.table("audit")
        stored = dict(await table.items())
        with pytest.raises(ConfigError, match="previous_key"):
            await house.gateway.reload(config(on("b")))
        assert house.gateway.trail is None
        assert dict(await table.items()) == stored
        house.gateway.store.log("audit").append([b"{}"])
        with pytest.raises(ConfigError, match="broken"):
            await house.gateway.reload(config(on("a")))
        assert house.gateway.trail is None
        await ask(house)


async def test_where_the_disk_fails_it_is_switched_all_the_same(autojump_clock: trio.abc.Clock):
    async with house_with(upstream(), config(on("a"))) as house:
        trail = house.gateway.trail
        assert trail is not None
        put = trail._table.put

        async def fail(*_: object, **__: object) -> None:
            raise StorageError("The disk is full.")

        trail._table.put = fail  # type: ignore[method-assign]
        assert (await house.gateway.reload(config(on("b", "a")))).generation == 2
        assert trail.statistics().last_error == "The disk is full."
        trail._table.put = put  # type: ignore[method-assign]
        await trio.sleep(3)
        assert trail.statistics().last_error is None
        assert json.loads(dict(await trail._table.items())["checkpoint"])["key_id"] == ids("b")[0]


async def test_whoever_leaves_while_it_is_switched_off_leaves_it_closed():
    async with house_with(upstream(), config(on("a"))) as house:
        await ask(house)
        with trio.CancelScope() as scope:
            house.gateway.when_configured.append(lambda config: scope.cancel())
            await house.gateway.reload(config(OFF))
        assert house.gateway.trail is None
        house.gateway.when_configured.pop()
        (stored,) = dict(await house.gateway.store.table("audit").items()).values()
        assert json.loads(stored)["checkpoint"] == house.gateway.store.log("audit").position
        await house.gateway.reload(config(on("a")))
        assert (await verdict_of(house))["valid"]


# -- under load --------------------------------------------------------------------------------------------------------

TURNS = [on("b", "a"), on("c", "b"), on("c", checkpoint_every=7), on("a", "c"), on("d", "a"), on("a", "d")]


async def test_no_entry_is_lost_while_keys_change_under_load(storage: Storage, capsys: pytest.CaptureFixture[str]):
    async with house_with(upstream(), config(on("a"), storage)) as house:
        heard = await _under_load(house, [config(audit, storage) for audit in TURNS * 3])
        entries = await entries_of(house)
        assert sorted(told_of(entries)) == sorted(heard)
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.event for entry in entries].count("audit.key_handover") == 15
        verdict = await verdict_of(house)
        assert (verdict["valid"], verdict["entries"]) == (True, len(entries))
        if storage.url:
            await _verify_file(storage, capsys)


async def test_no_entry_is_lost_while_it_is_switched_off_and_on_under_load(
    storage: Storage, capsys: pytest.CaptureFixture[str]
):
    turns = [OFF, on("a"), on("b", "a"), OFF, on("b", "a"), OFF, on("a", "b")]
    async with house_with(upstream(), config(on("a"), storage)) as house:
        heard = await _under_load(house, [config(audit, storage) for audit in turns * 3])
        for _ in range(3):
            heard.append(await ask(house))
        entries = await entries_of(house)
        told = told_of(entries)
        assert len(set(told)) == len(told)
        assert set(told) < set(heard)
        assert told[-3:] == heard[-3:]
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        events = [entry.event for entry in entries]
        assert events.count("audit.disabled") == events.count("audit.enabled") == 9
        for place, event in enumerate(events):
            if event == "audit.disabled":
                assert "audit.enabled" in events[place + 1 : place + 3], "nothing is told of in between"
        assert (await verdict_of(house))["valid"]
        if storage.url:
            await _verify_file(storage, capsys)


async def _under_load(house: MemoryHouse, settings: Sequence[Config]) -> list[str]:
    """Ids of the requests that were answered while one configuration after another was taken over."""
    heard: list[str] = []
    over = trio.Event()

    async def go_on_asking() -> None:
        while not over.is_set():
            heard.append(await ask(house))
            await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(go_on_asking)
        for each in settings:
            count = len(heard)
            while len(heard) < count + 3:
                await trio.sleep(0.001)
            await house.gateway.reload(each)
        over.set()
    assert len(heard) >= 3 * len(settings)
    return heard


async def _verify_file(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    """As a stranger who has the keys, while the gateway is open; and with the key of today alone."""
    path = storage.url.removeprefix("sqlite:///")
    for keys in ("abcd", "a"):
        files = []
        for key in keys:
            file = Path(path).with_name(f"{key}.key")
            file.write_text(KEYS[key].reveal())
            files += ["--key-file", str(file)]
        code = await trio.to_thread.run_sync(main, ["audit", "verify", path, *files])
        assert (code, capsys.readouterr().out[:6]) == (0, "valid:")
