"""Another configuration takes the place of the one that runs: as a whole, and nobody who is being served notices."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
import trio.testing
import trustme
from gateway_house import ASK, CHAT, STREAM, FakeUpstream, Key, Secret, config, house_with, text_of
from msgspec.structs import replace

from hoosh import create_app, open_gateway
from hoosh.admission import Limits, ModelLimits
from hoosh.budget import Budget
from hoosh.config import (
    Alias,
    Audit,
    Cache,
    Config,
    Discovery,
    Health,
    Logging,
    Provider,
    Retry,
    Routing,
    Server,
    Storage,
    Webhook,
)
from hoosh.cost import PriceOverride
from hoosh.errors import ConfigError, InvalidRequest, NoRoute, Unavailable, UpstreamError
from hoosh.gateway.fleet import HttpUpstream, Upstream
from hoosh.gateway.gateway import Gateway
from hoosh.gateway.own_whisper import OWN_WHISPER
from hoosh.gateway.wanted import Wanted
from hoosh.speech import Whisper
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import Body, End, Hang, Head, Pause, error_reply, json_reply, sse_chat, with_pauses
from hoosh.values import CallKind, Selection, Target

RELOAD = "/v1/admin/reload"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def answer(words: str) -> Any:
    message = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
    return json_reply({"id": "1", "object": "chat.completion", "choices": [message], "usage": USAGE})


def provider(name: str, host: str = "", **fields: Any) -> Provider:
    return Provider(type="openai-compatible", name=name, base_url=f"http://{host or name}:80", **fields)


def with_providers(*providers: Provider, **changes: Any) -> Config:
    return replace(config(**changes), providers=providers)


@asynccontextmanager
async def house_of(settings: Config | None = None, **upstreams: FakeUpstream) -> AsyncIterator[MemoryHouse]:
    """`mock` answers as itself, and so do those that are given, each at its own name."""
    async with house_with(FakeUpstream(answer("mock")), settings) as house:
        for name, upstream in upstreams.items():
            house.network.listen(f"{name}:80", upstream.serve_wire)
        yield house


async def said(house: MemoryHouse, model: str = "m", **named: Any) -> str:
    status, _, body = await house.post(CHAT, {**ASK, "model": model}, **named)
    assert status == 200, body
    words: str = json.loads(body)["choices"][0]["message"]["content"]
    return words


async def status_of(house: MemoryHouse, model: str = "m", key: str = "") -> int:
    headers = ((b"authorization", f"Bearer {key}".encode()),) if key else ()
    return (await house.post(CHAT, {**ASK, "model": model}, headers=headers))[0]


def living(house: MemoryHouse, name: str) -> HttpUpstream:
    upstream = house.gateway.fleet[name]
    assert isinstance(upstream, HttpUpstream)
    return upstream


async def until(question: Any) -> None:
    with trio.fail_after(60):
        while not question():
            await trio.sleep(0.01)


# -- providers ---------------------------------------------------------------------------------------------------------


async def test_one_that_is_new_is_asked_and_one_that_is_gone_is_not():
    async with house_of(other=FakeUpstream(answer("other"))) as house:
        assert await said(house) == "mock"
        told = await house.gateway.reload(with_providers(provider("other", models=("n",))))
        assert (told.generation, told.added, told.removed, told.replaced) == (2, ("other",), ("mock",), ())
        assert "providers" in told.changed
        assert await said(house, "n") == "other"
        assert await status_of(house, "m") == 404
        assert [each.name for each in house.gateway.providers()] == ["other", "echo"]
        assert await said(house, "echo")


async def test_one_that_stays_keeps_its_connections_its_health_and_what_is_known_of_it():
    async with house_of() as house:
        await said(house)
        before = living(house, "mock")
        settings = config(provider={"models": ("m", "k"), "weight": 3, "priority": 7, "rate_limit_rpm": 100})
        told = await house.gateway.reload(settings)
        assert (told.added, told.removed, told.replaced) == ((), (), ())
        assert living(house, "mock") is before
        assert before.pool.statistics().idle == 1
        assert before.state(house.gateway.board.state("mock", 0.0)).models == ("m", "k")
        assert await said(house, "k") == "mock"
        assert await status_of(house, "x") == 404
        assert before.pool.statistics().open == 1


async def test_one_with_another_key_begins_anew_and_its_other_accounts_stay():
    upstream = FakeUpstream(answer("mine"))
    one, two, three = (Secret(f"sk-{name}-0123456789") for name in ("one", "two", "three"))
    async with house_of(with_providers(provider("mine", keys=(one, two))), mine=upstream) as house:
        first, second = living(house, "mine"), living(house, "mine#2")
        house.gateway.board.ill(target := Target("mine", "m"), refused_key(), 0.0, trio.current_time())
        told = await house.gateway.reload(with_providers(provider("mine", keys=(three, two))))
        assert (told.added, told.removed, told.replaced) == ((), (), ("mine",))
        assert living(house, "mine") is not first
        assert living(house, "mine#2") is second
        assert house.gateway.board.is_well(target), "what was held against the old one is not held against the new one"
        assert await said(house) == "mine"
        assert upstream.requests[-1].headers.get(b"authorization") == b"Bearer sk-three-0123456789"
        await until(lambda: "mine" not in house.gateway.fleet.departed)


def refused_key() -> UpstreamError:
    return UpstreamError("no", provider="mine", status=401)


async def test_one_whose_authorities_file_has_been_replaced_begins_anew(tmp_path):
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    mine = Provider(type="openai", name="mine", api_key=Secret("k"), verify=str(path))
    async with house_of(with_providers(mine)) as house:
        assert (await house.gateway.reload(with_providers(mine))).replaced == ()
        new = tmp_path / "new.pem"
        trustme.CA().cert_pem.write_to_path(new)
        new.replace(path)
        assert (await house.gateway.reload(with_providers(mine))).replaced == ("mine",)


async def test_a_stream_under_way_ends_as_it_began_and_then_its_connection_does():
    slow = FakeUpstream(with_pauses(sse_chat("sa", "lam"), 0.2))
    async with house_of(with_providers(provider("slow"), provider("mock")), slow=slow) as house:
        upstream = living(house, "slow")
        async with house.exchange(CHAT, STREAM) as response:
            assert response.status == 200
            await house.gateway.reload(with_providers(provider("mock")))
            assert "slow" not in house.gateway.fleet.members
            assert house.gateway.fleet.known("slow") is upstream
            body = b""
            while data := await response.receive():
                body += data
        assert text_of(body) == "salam"
        assert b"[DONE]" in body
        await until(lambda: not house.gateway.fleet.departed)
        await until(lambda: upstream.pool.statistics().open == 0)
        assert await said(house) == "mock"


async def test_a_request_that_waits_for_its_turn_is_answered_by_whom_it_has_found():
    slow = FakeUpstream([Pause(0.3), *answer("first")], answer("second"))
    settings = with_providers(provider("slow", models=("m",)), server=Server(max_concurrent=1))
    async with house_of(settings, slow=slow) as house, trio.open_nursery() as nursery:
        heard: list[str] = []

        async def ask() -> None:
            heard.append(await said(house))

        nursery.start_soon(ask)
        await until(lambda: slow.requests)
        nursery.start_soon(ask)
        await until(lambda: house.gateway.queue_state().queued["normal"])
        await house.gateway.reload(with_providers(provider("mock", models=("n",)), server=Server(max_concurrent=1)))
        await until(lambda: len(heard) == 2)
        assert heard == ["first", "second"]
        assert await status_of(house) == 404


async def test_a_broken_attempt_is_repeated_where_it_was_begun():
    """The one who is gone is asked once more: he is the only one that the request has."""

    shaky = FakeUpstream([Pause(0.2), *error_reply(503, "not now")], answer("now"))
    settings = with_providers(provider("shaky", models=("m",)), retry=Retry(base_delay_ms=1))
    async with house_of(settings, shaky=shaky) as house, trio.open_nursery() as nursery:
        heard: list[str] = []

        async def ask() -> None:
            heard.append(await said(house))

        nursery.start_soon(ask)
        await until(lambda: shaky.requests)
        await house.gateway.reload(with_providers(provider("mock"), retry=Retry(base_delay_ms=1)))
        await until(lambda: heard)
        assert heard == ["now"]
        assert house.gateway.board.is_well(Target("shaky", "m")), "nothing is held against a name that nobody has"


async def test_a_flight_keeps_its_upstream_when_whoever_began_it_has_left():
    shared = {**ASK, "temperature": 0}
    busy = [Head(503, [(b"retry-after", b"1.2"), (b"content-length", b"2")]), Body(b"{}"), End()]
    shaky = FakeUpstream(busy, answer("at last"))
    settings = with_providers(provider("one", "shaky"), retry=Retry(base_delay_ms=1))
    async with house_of(settings, shaky=shaky) as house, trio.open_nursery() as nursery:
        heard: list[Any] = []
        first = trio.CancelScope()

        async def begin() -> None:
            with first:
                await house.post(CHAT, shared)

        async def join() -> None:
            status, _, body = await house.post(CHAT, shared)
            heard.append((status, body))

        nursery.start_soon(begin)
        await until(lambda: shaky.requests and house.gateway.caching.flights.statistics().flights)
        await house.gateway.reload(with_providers(provider("one", "mock"), retry=Retry(base_delay_ms=1)))
        nursery.start_soon(join)
        await until(lambda: house.gateway.caching.flights.statistics().members == 2)
        first.cancel()
        await until(lambda: heard)
        assert heard[0][0] == 200, heard
        assert b"at last" in heard[0][1]


async def test_what_an_upstream_lists_is_known_on_where_only_its_key_has_changed():
    listed = {"object": "list", "data": [{"id": "a", "object": "model"}]}
    one = FakeUpstream(lambda request: json_reply(listed) if request.method == "GET" else answer("one"))
    keyed = [provider("one", api_key=Secret(f"sk-{number}-0123456789")) for number in range(2)]
    async with house_of(with_providers(keyed[0], provider("mock", models=("b",))), one=one) as house:
        await house.get("/v1/models")
        assert await said(house, "b") == "mock"
        told = await house.gateway.reload(with_providers(keyed[1], provider("mock", models=("b",))))
        assert told.replaced == ("one",)
        assert await said(house, "b") == "mock", "it does not list that"
        assert await said(house, "a") == "one"


async def test_the_model_of_the_house_that_listens_is_another_at_once():
    def listening(model: str, **fields: Any) -> Config:
        return replace(silent, whisper=Whisper(model=f"/nowhere/ggml-{model}.bin", **fields))

    def listeners(name: str) -> list[Target]:
        return list(gateway.snapshot.routes.candidates(name, CallKind.TRANSCRIPTION))

    silent = with_providers()
    async with open_gateway(listening("one"), environ={}) as gateway:
        await gateway.models()  # its list is known
        told = await gateway.reload(listening("two", slots=2))
        assert (told.changed, told.added, told.replaced) == (("whisper",), (), ())
        assert listeners("two") == [Target(OWN_WHISPER, "two")]
        with pytest.raises(NoRoute):
            listeners("one")
        assert (await gateway.reload(silent)).removed == (OWN_WHISPER,)
        assert (await gateway.reload(listening("one"))).added == (OWN_WHISPER,)
        assert listeners("one") == [Target(OWN_WHISPER, "one")]


async def test_a_list_that_comes_too_late_is_nobodys():
    slow = FakeUpstream([Pause(0.3), *json_reply({"object": "list", "data": [{"id": "old", "object": "model"}]})])
    async with house_of(with_providers(provider("one", "slow")), slow=slow) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.get, "/v1/models")
        await until(lambda: slow.requests)
        await house.gateway.reload(with_providers(provider("one", "mock")))
        await until(lambda: not house.gateway.fleet.departed)
        assert await said(house, "m") == "mock"
        assert house.gateway.lists.known("one") is None


async def test_the_embedded_one_comes_and_goes():
    async with house_of() as house:
        quiet = replace(config(), discovery=Discovery(local=False, environment=False, echo=False))
        assert (await house.gateway.reload(quiet)).removed == ("echo",)
        assert "echo" not in house.gateway.fleet.members
        assert (await house.gateway.reload(config())).added == ("echo",)
        assert await said(house, "echo")


# -- everything else ---------------------------------------------------------------------------------------------------


def keys(*names: str, **fields: Any) -> tuple[Key, ...]:
    return tuple(Key(name=name, key=Secret(f"sk-{name}-0123456789"), **fields) for name in names)


async def test_a_key_that_is_gone_opens_no_door_and_its_stream_goes_on():
    slow = FakeUpstream(with_pauses(sse_chat("sa", "lam"), 0.2))
    bearer = ((b"authorization", b"Bearer sk-ada-0123456789"),)
    providers = (provider("slow"),)
    async with house_of(with_providers(*providers, keys=keys("ada")), slow=slow) as house:
        async with house.exchange(CHAT, STREAM, headers=bearer) as response:
            await house.gateway.reload(with_providers(*providers, keys=keys("bob")))
            body = b""
            while data := await response.receive():
                body += data
        assert text_of(body) == "salam"
        assert await status_of(house, key="sk-ada-0123456789") == 401
    async with house_of(config(keys=keys("ada"))) as house:
        await house.gateway.reload(config(keys=keys("bob")))
        assert await status_of(house, key="sk-bob-0123456789") == 200


async def test_a_limit_counts_what_was_asked_before():
    key = "sk-ada-0123456789"
    async with house_of(config(keys=keys("ada", rpm=3))) as house:
        assert [await status_of(house, key=key) for _ in range(2)] == [200, 200]
        await house.gateway.reload(config(keys=keys("ada", rpm=3), routing=Routing(max_attempts=2)))
        assert [await status_of(house, key=key) for _ in range(2)] == [200, 429]
        await house.gateway.reload(config(keys=keys("ada", rpm=5)))
        assert [await status_of(house, key=key) for _ in range(3)] == [200, 200, 429]
        await house.gateway.reload(config(keys=keys("ada")))
        assert await status_of(house, key=key) == 200


async def test_limits_of_models_and_providers_come_and_go():
    async with house_of() as house:
        await house.gateway.reload(config(limits=Limits(models=(ModelLimits(name="m", rpm=1),))))
        assert [await status_of(house) for _ in range(2)] == [200, 429]
        assert await status_of(house, "k") == 200
        await house.gateway.reload(config(provider={"rate_limit_rpm": 1}))
        assert [await status_of(house) for _ in range(2)] == [200, 429]
        await house.gateway.reload(config())
        assert await status_of(house) == 200


async def test_what_a_pool_has_used_stays_used():
    async with house_of(config(budgets=(Budget(name="default", capacity=100_000),))) as house:
        await said(house)
        ledger, now_ms = house.gateway.books.ledger, house.gateway.books.now_ms
        pools = (Budget(name="default", capacity=50_000), Budget(name="more", capacity=9))
        await house.gateway.reload(config(budgets=pools))
        pool = ledger.pool("default", now_ms())
        assert (pool.used, pool.capacity) == (7, 50_000)
        assert ledger.pool("more", now_ms()).available == 9
        await house.gateway.reload(config(budgets=(Budget(name="default", capacity=7),)))
        assert await status_of(house) in (402, 429)
        replayed, _ = await house.gateway.books.replayed()
        assert replayed.state() == ledger.state(), "the journal knows of each change"


async def test_who_waits_for_a_turn_is_paid_by_the_pool_that_its_key_had():
    slow = FakeUpstream([Pause(0.3), *answer("well")], answer("well"))
    key = ((b"authorization", b"Bearer sk-ada-0123456789"),)

    def of(pool: str) -> Config:
        pools = (Budget(name=pool, capacity=10_000),)
        one_at_once = Server(max_concurrent=1)
        return with_providers(provider("slow"), keys=keys("ada", pool=pool), budgets=pools, server=one_at_once)

    async with house_of(of("x"), slow=slow) as house, trio.open_nursery() as nursery:
        heard: list[str] = []

        async def ask() -> None:
            heard.append(await said(house, headers=key))

        nursery.start_soon(ask)
        await until(lambda: slow.requests)
        nursery.start_soon(ask)
        await until(lambda: house.gateway.queue_state().queued["normal"])
        await house.gateway.reload(of("y"))
        await until(lambda: len(heard) == 2)
        assert await said(house, headers=key) == "well"
        assert house.gateway.books.ledger.pool("y", house.gateway.books.now_ms()).used == 7


async def test_a_price_counts_from_now_on():
    price = PriceOverride(model="*", input=1000.0, output=1000.0)
    async with house_of(config(provider={"base_url": "http://mock.example:80"})) as house:
        house.network.listen("mock.example:80", FakeUpstream(answer("mock")).serve_wire)
        _, _, body = await house.post(CHAT, ASK)
        assert "cost_usd" not in json.loads(body)["usage"]
        await house.gateway.reload(config(provider={"base_url": "http://mock.example:80"}, prices=(price,)))
        _, _, body = await house.post(CHAT, ASK)
        assert json.loads(body)["usage"]["cost_usd"] == pytest.approx(0.007)


async def test_aliases_and_strategies_change_at_once():
    async with house_of(
        with_providers(provider("mock"), provider("other")), other=FakeUpstream(answer("other"))
    ) as house:
        await house.gateway.reload(
            with_providers(provider("mock"), provider("other"), models=(Alias("best", ("other/x",)),))
        )
        assert await said(house, "best") == "other"
        turns = Alias("best", ("other/x", "mock/x"), strategy="round_robin")
        await house.gateway.reload(with_providers(provider("mock"), provider("other"), models=(turns,)))
        assert {await said(house, "best") for _ in range(2)} == {"mock", "other"}


async def test_a_cache_that_is_switched_off_forgets():
    kept = {**ASK, "temperature": 0}
    async with house_of() as house:

        async def hit() -> str | None:
            return (await house.post(CHAT, kept))[1].text(b"x-hoosh-cache")

        assert [await hit(), await hit()] == ["miss", "hit"]
        await house.gateway.reload(config(cache=Cache(enabled=False)))
        assert await hit() == "bypass"
        await house.gateway.reload(config(cache=Cache(max_bytes=4096)))
        assert [await hit(), await hit()] == ["miss", "miss"], "an eighth of 4 kB is too little"
        await house.gateway.reload(config())
        assert [await hit(), await hit()] == ["miss", "hit"]


async def test_an_answer_that_lands_when_the_cache_is_off_is_not_kept():
    slow = FakeUpstream([Pause(0.3), *answer("one")], answer("two"))
    kept, on = {**ASK, "temperature": 0}, with_providers(provider("slow"))
    async with house_of(on, slow=slow) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.post, CHAT, kept)
        await until(lambda: slow.requests)
        await house.gateway.reload(with_providers(provider("slow"), cache=Cache(enabled=False)))
        await until(lambda: not house.gateway.in_flight)
        await house.gateway.reload(on)
        assert (await house.post(CHAT, kept))[1].text(b"x-hoosh-cache") == "miss"


async def test_the_limits_of_the_server_hold_for_what_comes_now():
    async with house_of() as house:
        await house.gateway.reload(config(server=Server(max_body_bytes=50)))
        assert await status_of(house) == 413
        big = {"pool": "default", "tokens": 1, "note": "x" * 100}
        assert (await house.post("/v1/tokens/check", big))[0] == 413
        await house.gateway.reload(config())
        assert await status_of(house) == 200


async def test_how_many_may_run_at_once_changes_and_those_who_wait_get_their_turn():
    upstream = FakeUpstream([Hang()], answer("well"))
    settings = with_providers(provider("one"), server=Server(max_concurrent=1))
    async with house_of(settings, one=upstream) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.post, CHAT, ASK)
        await until(lambda: upstream.requests)
        heard: list[int] = []

        async def ask() -> None:
            heard.append(await status_of(house))

        nursery.start_soon(ask)
        await until(lambda: house.gateway.queue_state().queued["normal"])
        await house.gateway.reload(with_providers(provider("one")))
        await until(lambda: heard)
        assert heard == [200]
        await house.gateway.live.withdraw(Selection(), by="root")


async def test_health_and_log_work_by_what_is_said_now():
    async with house_of() as house:
        await house.gateway.reload(
            replace(config(), health=Health(interval_secs=0, failure_threshold=1), logging=Logging(level="debug"))
        )
        assert house.gateway.log.level == 10
        target = Target("mock", "m")
        house.gateway.board.ill(target, refused_key(), 0.0, trio.current_time())
        assert not house.gateway.board.is_well(target)


async def test_what_only_a_start_can_change_stays_and_is_named():
    late = replace(
        config(server=Server(port=1, bind="127.0.0.9", max_queue=5)),
        storage=Storage(url="sqlite:////nowhere/x.db"),
    )
    async with house_of() as house:
        told = await house.gateway.reload(late)
        assert set(told.needs_restart) == {"server.bind", "server.port", "storage.url"}
        runs = house.gateway.snapshot.config
        assert (runs.server.bind, runs.server.max_queue, runs.storage.url) == ("127.0.0.1", 5, "")
        assert set(told.changed) == {"server"}
        assert (await house.gateway.reload(late)).changed == ()


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_where_one_upstream_cannot_be_built_nothing_has_changed_and_none_of_the_others_runs(tmp_path):
    broken = Provider(
        type="openai", name="b", base_url="https://b", verify=str(tmp_path / "none.pem"), api_key=Secret("k")
    )
    async with house_of(a=FakeUpstream(answer("a"))) as house:
        assert await said(house) == "mock"
        before, members = house.gateway.snapshot, house.gateway.fleet.members
        with pytest.raises(ConfigError):
            await house.gateway.reload(with_providers(provider("a"), broken, keys=keys("ada")))
        assert house.gateway.snapshot is before
        assert house.gateway.fleet.members is members
        assert pools_running() == 1
        assert await said(house) == "mock"
        assert (await house.gateway.reload(with_providers(provider("a")))).generation == 2


async def test_a_door_is_not_opened_to_strangers_by_taking_the_keys_away():
    settings = config(server=Server(bind="0.0.0.0"), keys=keys("ada"))
    async with house_of(settings) as house:
        with pytest.raises(ConfigError, match="can be reached"):
            await house.gateway.reload(config(server=Server(bind="0.0.0.0")))
        assert await status_of(house) == 401


async def test_who_is_cancelled_while_he_builds_has_changed_nothing():
    async with house_of(a=FakeUpstream(answer("a"))) as house:
        assert await said(house) == "mock"
        members = house.gateway.fleet.members
        with trio.CancelScope() as scope:
            scope.cancel()
            await house.gateway.reload(with_providers(provider("a")))
        assert house.gateway.fleet.members is members
        assert pools_running() == 1
        assert (await house.gateway.reload(with_providers(provider("a")))).added == ("a",)


@pytest.mark.parametrize("other", [with_providers(provider("a")), with_providers()], ids=["one more", "one less"])
async def test_a_gateway_that_is_not_open_stays_as_it_is(other):
    gateway = open_gateway(config(), environ={}).gateway
    before, members = gateway.snapshot, gateway.fleet.members
    with pytest.raises(Unavailable):
        await gateway.reload(other)
    assert gateway.snapshot is before
    assert gateway.fleet.members is members


async def test_who_builds_while_the_gateway_closes_has_changed_nothing():
    begun, may_end = threading.Event(), threading.Event()

    async def reload() -> None:
        with pytest.raises(Unavailable):
            await gateway.reload(with_providers(provider("a")))

    async with trio.open_nursery() as nursery:
        async with open_gateway(with_providers(), environ={}) as gateway:
            build = gateway.reloader._build

            def build_slowly(wanted: Wanted) -> Upstream:
                begun.set()
                may_end.wait()
                return build(wanted)

            gateway.reloader._build = build_slowly
            nursery.start_soon(reload)
            await until(begun.is_set)
        may_end.set()
    assert gateway.reloader.generation == 1


def test_a_mounted_app_has_the_limits_of_now():
    app = create_app(config())
    gateway = cast(Gateway, app.gateway)
    for tell in gateway.when_configured:
        tell(config(server=Server(max_body_bytes=5000)))
    assert app.config["MAX_CONTENT_LENGTH"] == 5000


async def test_without_a_file_there_is_nothing_to_read_again():
    async with house_of() as house:
        with pytest.raises(InvalidRequest, match="not come from a file"):
            await house.gateway.reload()


async def test_whoever_reads_the_file_last_applies_it_last():
    go_on = threading.Event()
    texts = [config(server=Server(max_queue=1)), config(server=Server(max_queue=2))]
    reading: list[int] = []

    def source() -> Config:
        reading.append(1)
        if len(reading) == 1:
            go_on.wait()
            return texts[0]
        return texts[1]

    async with house_of() as house, trio.open_nursery() as nursery:
        house.gateway.source = source
        nursery.start_soon(house.gateway.reload)
        await until(lambda: reading)
        nursery.start_soon(house.gateway.reload)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        await until(lambda: house.gateway.reloader.generation == 3)
        assert house.gateway.snapshot.config.server.max_queue == 2


async def test_two_at_once_come_one_after_the_other():
    async with house_of(a=FakeUpstream(answer("a")), b=FakeUpstream(answer("b"))) as house:
        told: list[int] = []

        async def reload(name: str) -> None:
            told.append((await house.gateway.reload(with_providers(provider(name)))).generation)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload, "a")
            nursery.start_soon(reload, "b")
        assert sorted(told) == [2, 3]
        (name,) = [name for name in house.gateway.fleet.members if name != "echo"]
        assert await said(house) == name


# -- the door ----------------------------------------------------------------------------------------------------------


async def test_an_administrator_has_it_read_again():
    everyone = (*keys("root"), *keys("ada", scopes=("inference",)))
    root, ada = (((b"authorization", f"Bearer sk-{name}-0123456789".encode()),) for name in ("root", "ada"))
    async with house_of(config(keys=everyone)) as house:
        sources: list[Any] = [config(keys=everyone, provider={"models": ("n",)})]

        def source() -> Config:
            if isinstance(sources[0], Exception):
                raise sources[0]
            found: Config = sources[0]
            return found

        house.gateway.source = source
        assert (await house.post(RELOAD, None, headers=ada))[0] == 403
        status, _, body = await house.post(RELOAD, None, headers=root)
        assert (status, json.loads(body)) == (
            200,
            {
                "generation": 2,
                "changed": ["providers"],
                "added": [],
                "removed": [],
                "replaced": [],
                "needs_restart": [],
            },
        )
        sources[0] = ConfigError(["hoosh.toml:3: [server] prot: no such key", "hoosh.toml:9: no"])
        status, _, body = await house.post(RELOAD, None, headers=root)
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (400, "invalid_configuration")
        assert error["message"].splitlines() == ["hoosh.toml:3: [server] prot: no such key", "hoosh.toml:9: no"]
        sources[0] = RuntimeError("a bug")
        assert (await house.post(RELOAD, None, headers=root))[0] == 500
        assert (await house.gateway.reload(config())).generation == 3


async def test_listeners_hear_of_it():
    async with house_of() as house:
        with house.gateway.events.subscribe("gateway/reloaded") as listening:
            await house.gateway.reload(config(provider={"models": ("n",)}))
            house.gateway.source = refuse
            with pytest.raises(ConfigError):
                await house.gateway.reload()
            first, second = [await anext(aiter(listening)) for _ in range(2)]
        assert (first.payload.ok, first.payload.changed) == (True, ("providers",))
        assert (second.payload.ok, second.payload.mistakes) == (False, 1)


async def test_a_webhook_of_no_use_leaves_all_as_it_was():
    hook = Webhook(name="bad", url=Secret("ftp://nowhere"), topics=("#",), secret=Secret("whsec_" + "A" * 44))
    async with house_of(a=FakeUpstream(answer("a"))) as house:
        with pytest.raises(ConfigError, match="bad"):
            await house.gateway.reload(with_providers(provider("a"), webhooks=(hook,)))
        await until(lambda: pools_running() == 1)
        assert await said(house) == "mock"


async def test_the_audit_trail_tells_of_it():
    audit = Audit(enabled=True, signing_key=Secret("0123456789abcdef0123456789abcdef"))
    async with house_of(config(audit=audit)) as house:
        await house.gateway.reload(config(audit=audit, provider={"models": ("n",)}), by="root")
        house.gateway.source = refuse
        with pytest.raises(ConfigError):
            await house.gateway.reload(by="SIGHUP")
        _, _, body = await house.get("/v1/audit")
        told = [entry for entry in json.loads(body)["entries"] if entry["event"].startswith("config.")]
    assert [(entry["event"], entry["metadata"]["by"]) for entry in told] == [
        ("config.reloaded", "root"),
        ("config.refused", "SIGHUP"),
    ]
    assert told[0]["metadata"]["changed"] == "providers"


def refuse() -> Config:
    raise ConfigError(["hoosh.toml:1: no"])


# -- under load --------------------------------------------------------------------------------------------------------

RELOADS = int(os.environ.get("HOOSH_RELOADS", "200"))


async def test_reloads_under_load_fail_no_request_and_leave_nothing():
    """A thousand with `HOOSH_RELOADS=1000`.

    Each moves one provider to another address, and takes another away or brings it back.
    """
    upstreams = {name: FakeUpstream(answer(name)) for name in ("a", "b", "c")}
    shapes = [
        with_providers(provider("one", "a"), provider("two", "c")),
        with_providers(provider("one", "b")),
    ]
    async with house_of(shapes[0], **upstreams) as house:
        await said(house)
        heard: list[str] = []
        over = trio.Event()

        async def ask() -> None:
            while not over.is_set():
                heard.append(await said(house))
                await trio.sleep(0.001)  # as if there were a network: else the reload's threads hardly get the GIL

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
            for number in range(RELOADS):
                told = await house.gateway.reload(shapes[(number + 1) % 2])
                assert told.replaced == ("one",)
            over.set()
        assert told.generation == RELOADS + 1
        assert set(heard) == {"a", "b"}
        assert len(heard) > RELOADS / 2, "there was no load"
        await until(lambda: not house.gateway.fleet.departed and pools_running() == 2)
        assert set(house.gateway.fleet.members) == {"one", "two", "echo"}
        assert house.gateway.snapshot.config == shapes[0]
        assert house.gateway.in_flight == set()


def pools_running(task: trio.lowlevel.Task | None = None) -> int:
    """Of all upstreams, those that are gone among them."""
    task = task or trio.lowlevel.current_root_task()
    assert task is not None
    children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return task.name.endswith("HttpUpstream.run") + sum(map(pools_running, children))
