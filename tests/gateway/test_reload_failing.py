"""A bug in any room, when it is told of another configuration: then all rooms work by the one before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import trio
from gateway_house import ASK, CHAT, FakeUpstream, Secret, config, house_with
from msgspec.structs import replace

from hoosh.budget import Budget
from hoosh.config import Alias, Audit, Cache, Config, Events, Health, Logging, Provider, Retry, Routing, Server, Webhook
from hoosh.gateway import reload
from hoosh.gateway.steps import RoomFailed, Step, take_all
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import json_reply
from hoosh.values import ModelCard

ROOMS = (
    "routes as before", "telemetry", "webhooks", "facts", "health", "probes", "hardware", "speech", "routing",
    "fitting", "dispatch", "events", "log", "books", "queue", "shedding", "uploads", "admission",
    "cache", "fleet", "snapshot", "partings", "routes", "doors", "doors", "audit",
)  # fmt: skip
FAILURES = [
    pytest.param(place, behind, id=f"{'behind' if behind else 'before'} {place} {room}")
    for place, room in enumerate(ROOMS)
    for behind in (False, True)
    if room != "audit" or not behind  # what a chain says stays said: that is the last thing which is done
]
KEY, NEW_KEY = Secret("the key of this house"), Secret("another key of this house")
HOOK = Webhook(name="mine", url=Secret("http://mock/hook"), topics=("#",), secret=Secret("whsec_" + "A" * 44))


def answer(words: str) -> Any:
    message = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
    return json_reply({"id": "1", "object": "chat.completion", "choices": [message], "usage": {}})


BEFORE = config(audit=Audit(enabled=True, signing_key=KEY), budgets=(Budget(name="default", capacity=100_000),))
AFTER = replace(
    config(
        server=Server(max_concurrent=3, max_lag_ms=60_000, max_body_bytes=5000),
        audit=Audit(enabled=True, signing_key=NEW_KEY, previous_key=KEY),
        budgets=(Budget(name="default", capacity=50_000), Budget(name="more", capacity=9)),
        cache=Cache(max_entries=3),
        events=Events(buffer=16),
        health=Health(interval_secs=7),
        models=(Alias("best", ("new/m",)),),
        retry=Retry(max_retries=9),
        routing=Routing(max_attempts=2),
        webhooks=(HOOK,),
    ),
    logging=Logging(level="debug"),
    providers=(Provider(type="openai-compatible", name="new", base_url="http://new:80"),),
)


def shape_of(house: MemoryHouse) -> dict[str, object]:
    """What another configuration changes in the rooms."""
    gateway = house.gateway
    return {
        "snapshot": (gateway.snapshot.config, gateway.snapshot.keys),
        "fleet": (list(gateway.fleet.members.values()), dict(gateway.fleet.departed)),
        "lists": gateway.lists.known("mock"),
        "routes": [target.provider for target in gateway.snapshot.routes.candidates("listed")],
        "dispatch": (gateway.dispatcher.routing, gateway.dispatcher.retry),
        "log": gateway.log.level,
        "pools": [(pool.name, pool.capacity, pool.used) for pool in gateway.books.ledger.pools(gateway.books.now_ms())],
        "queue": (gateway.turnstile.is_open, gateway.turnstile.timeout_s, gateway.has_room),
        "cache": gateway.caching.settings,
        "limits": house.server.limits,
        "trail": (gateway.trail, gateway.trail and gateway.trail.statistics().key_id),
        "generation": gateway.reloader.generation,
    }


def know_list(house: MemoryHouse) -> None:
    house.gateway.lists.learn("mock", [ModelCard("m", "x"), ModelCard("listed", "x")])
    house.gateway.reroute()


class Bug(Exception):
    """Words that nobody outside may read."""


class Injection:
    """Makes one step fail, before or behind its work; afterwards none."""

    def __init__(self, place: int, *, behind: bool) -> None:
        self.place, self.behind = place, behind
        self.rooms: list[str] = []

    def take_all(self, steps: Iterable[Step], on_stuck: Callable[[str, Exception], object]) -> None:
        steps = list(steps)
        if not self.rooms:
            self.rooms = [step.room for step in steps]
            steps[self.place] = replace(steps[self.place], take=self._failing(steps[self.place].take))
        take_all(steps, on_stuck)

    def _failing(self, take: Callable[[], object]) -> Callable[[], object]:
        def fail() -> None:
            if self.behind:
                take()
            raise Bug("sk-hidden")

        return fail


async def said(house: MemoryHouse, model: str = "m") -> str:
    status, _, body = await house.post(CHAT, {**ASK, "model": model, "max_tokens": 1})
    assert status == 200, body
    words: str = json.loads(body)["choices"][0]["message"]["content"]
    return words


async def until(question: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not question():
            await trio.sleep(0.01)


def pools_running(task: trio.lowlevel.Task | None = None) -> int:
    """Of all upstreams, those that are gone among them."""
    task = task or trio.lowlevel.current_root_task()
    assert task is not None
    children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return task.name.endswith("HttpUpstream.run") + sum(map(pools_running, children))


async def refused(house: MemoryHouse) -> Any:
    """The error of a reload that an administrator asks for."""
    status, _, body = await house.post("/v1/admin/reload", None)
    assert status == 500, body
    assert b"hidden" not in body
    return json.loads(body)["error"]


def log_of(house: MemoryHouse) -> list[tuple[str, dict[str, Any]]]:
    """Errors, as they are logged from now on."""
    lines: list[tuple[str, dict[str, Any]]] = []
    house.gateway.log.error = lambda message, **facts: lines.append((message, facts))  # type: ignore[method-assign]
    return lines


@pytest.mark.parametrize(("place", "behind"), FAILURES)
async def test_a_room_that_fails_leaves_all_as_it_was(place: int, behind: bool, monkeypatch: pytest.MonkeyPatch):
    injection = Injection(place, behind=behind)
    monkeypatch.setattr(reload, "take_all", injection.take_all)
    async with house_with(FakeUpstream(answer("mock")), BEFORE) as house:
        house.network.listen("new:80", FakeUpstream(answer("new")).serve_wire)
        gateway, log = house.gateway, log_of(house)
        gateway.source = lambda: AFTER
        assert await said(house) == "mock"
        know_list(house)
        before = shape_of(house)
        assert (await refused(house))["code"] == "internal_error"
        assert injection.rooms == list(ROOMS), "a step that is new is to be named here"
        assert shape_of(house) == before
        ((message, facts),) = log
        assert (message, facts["failed"], facts["error"]) == ("configuration not reloaded", ROOMS[place], "Bug")
        assert "test_reload_failing" in facts["stack"]
        await until(lambda: pools_running() == 1)
        assert await said(house) == "mock"

        told = await gateway.reload(AFTER)
        assert (told.generation, told.added, told.removed) == (2, ("new",), ("mock",))
        assert await said(house, "best") == "new"
        verdict = json.loads((await house.get("/v1/audit/verify"))[2])
        assert (verdict["valid"], len(verdict["keys_used"])) == (True, 2)


async def test_a_room_that_cannot_be_told_of_anything_does_not_keep_the_others_from_going_back():
    async with house_with(FakeUpstream(answer("mock")), BEFORE) as house:
        gateway, log = house.gateway, log_of(house)

        def fail(settings: object) -> None:
            raise Bug("sk-hidden")

        gateway.caching.configure = fail  # type: ignore[method-assign]
        know_list(house)
        before = shape_of(house)
        with pytest.raises(RoomFailed):
            await gateway.reload(AFTER)
        assert shape_of(house) == before
        assert [(message, facts["failed"]) for message, facts in log] == [
            ("configuration not undone", "cache"),
            ("configuration not reloaded", "cache"),
        ]
        assert await said(house) == "mock"


async def test_what_was_read_from_files_is_undone_too():
    done: list[str] = []
    step = Step("tls", lambda: done.append("take"), lambda: done.append("undo"))

    def fail(config: Config) -> None:
        raise Bug

    async with house_with(FakeUpstream(answer("mock")), BEFORE) as house:
        house.gateway.preparations.append(lambda config: step)
        house.gateway.when_configured.append(fail)
        with pytest.raises(RoomFailed):
            await house.gateway.reload(AFTER)
        assert done == ["take", "undo"]


async def test_a_log_that_was_to_begin_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch):
    injection = Injection(ROOMS.index("books"), behind=True)
    monkeypatch.setattr(reload, "take_all", injection.take_all)
    async with house_with(FakeUpstream(answer("mock")), replace(BEFORE, audit=Audit())) as house:
        gateway = house.gateway
        with pytest.raises(RoomFailed):
            await gateway.reload(BEFORE)
        assert gateway.trail is None
        assert gateway.audit is None
        assert await gateway.store.table("audit").items() == []
        assert gateway.store.log("audit").position == 0
        await gateway.reload(replace(BEFORE, audit=Audit(enabled=True, signing_key=NEW_KEY)))
        assert (await gateway.audit.verify()).valid  # type: ignore[attr-defined]


async def test_listeners_hear_of_it_without_a_word_of_the_bug(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reload, "take_all", Injection(0, behind=False).take_all)
    async with house_with(FakeUpstream(answer("mock")), BEFORE) as house:
        with house.gateway.events.subscribe("gateway/reloaded") as listening:
            with pytest.raises(RoomFailed):
                await house.gateway.reload(AFTER)
            event = await anext(aiter(listening))
        assert (event.payload.ok, event.payload.mistakes) == (False, 0)
        entries = json.loads((await house.get("/v1/audit"))[2])["entries"]
        assert (entries[-1]["event"], entries[-1]["metadata"]) == ("config.refused", {"by": "", "mistakes": 0})
