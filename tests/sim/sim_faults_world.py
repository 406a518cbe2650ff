"""A house in the weather of a schedule, for one simulated hour.

    async with fault_house(plan) as house:      nothing in it is replaced but the network, the clocks and the dice
        await play(house, plan)

What the gateway does now and then in the background it does more rarely here: an hour has 36 000 tenths of a second, in
which nearly nothing happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import inf
from random import Random
from typing import NoReturn

import trio
from sim_faults_client import Heard, ask
from sim_faults_schedule import ALIAS, HOUR_S, MODELS, Ask, Host, House, Jump, Schedule, Spell
from sim_faults_upstream import Log, Upstream, key_of
from sim_world import WallClock, Witness, dice

import hoosh.gateway.books
import hoosh.health.supervisor
import hoosh.http.client
import hoosh.http.server
import hoosh.observe.lag
from hoosh.api.serve import build_server
from hoosh.config import (
    Alias,
    Budget,
    Cache,
    Config,
    Discovery,
    Hardware,
    Health,
    Logging,
    Provider,
    Retry,
    Routing,
    Server,
)
from hoosh.config.schema import Timeouts
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.gateway import Gateway
from hoosh.gateway.relay import Silence, SilenceWatch
from hoosh.http.client import Pool
from hoosh.testing.house import GATEWAY
from hoosh.testing.network import MemoryNetwork
from hoosh.values import Capability, Record, Secret

__all__ = ["FaultHouse", "JumpingClock", "config_of", "fault_house", "play"]

TYPES = {"openai": "openai-compatible", "anthropic": "anthropic", "ollama": "ollama"}


def config_of(house: House) -> Config:
    return Config(
        providers=tuple(
            Provider(
                type=TYPES[host.language],
                name=host.name,
                base_url=f"http://{host.name}:80",
                keys=tuple([Secret(key_of(account)) for account in range(host.accounts)]),
                priority=host.priority,
                models=MODELS,
                max_concurrent=host.max_concurrent,
            )
            for host in house.hosts
        ),
        models=(
            Alias(
                name=ALIAS,
                targets=house.alias_targets,
                capabilities=(Capability.PREFILL,) if house.prefill else None,
            ),
        ),
        routing=Routing(
            strategy=house.strategy,
            hedge_after_ms=house.hedge_after_ms,
            hedge_max_ratio=house.hedge_max_ratio,
            continuation=house.continuation,
            max_attempts=house.max_attempts,
        ),
        hardware=Hardware(enabled=False),
        retry=Retry(
            max_retries=house.max_retries,
            base_delay_ms=house.base_delay_ms,
            budget_ratio=house.budget_ratio,
            wait_out_s=house.wait_out_s,
        ),
        health=Health(
            interval_secs=house.probe_every_s, failure_threshold=house.failure_threshold, open_s=house.open_s
        ),
        server=Server(
            max_concurrent=house.max_concurrent,
            max_queue=house.max_queue,
            queue_timeout_s=house.queue_timeout_s,
            request_timeout_s=house.request_timeout_s,
        ),
        budgets=(Budget(name="default", capacity=10_000_000),),
        cache=Cache(enabled=False),
        discovery=Discovery(local=False, environment=False, echo=False),
        logging=Logging(level="error"),
    )


TIMEOUTS = Timeouts()
"""Of every provider: the defaults."""


class FaultHouse:
    """An open house, and what was noted in it."""

    def __init__(self, gateway: Gateway, network: MemoryNetwork, clock: WallClock, plan: Schedule, log: Log) -> None:
        self.gateway = gateway
        self.network = network
        self.clock = clock
        self.plan = plan
        self.log = log
        self.upstreams = {f"{host.name}:80": Upstream(host, _spells_at(host, plan), log) for host in plan.house.hosts}
        """By their addresses."""
        self.client = Pool(GATEWAY, dialer=network.dialer(), http2="off")
        self.witness = Witness(gateway)
        self.heard: dict[int, Heard] = {}
        self.records: dict[int, Record] = {}
        """By the number of their ask."""
        self._written: list[Record] = []
        gateway.log.write = self._written.append  # type: ignore[method-assign]
        gateway.books.guard._every_s = 30.0
        gateway.silence.waiting = LoudSet()
        gateway.silence.run = partial(_watch_silence, gateway.silence)  # type: ignore[method-assign]

    async def wait_quiet(self) -> None:
        """Until nothing runs and everything is written.  Raises AssertionError where something runs for ever."""
        with trio.move_on_after(2 * self.plan.house.request_timeout_s) as patience:
            while self.gateway.in_flight:
                await trio.sleep(0.1)
        assert not patience.cancelled_caught, f"in flight for ever: {self.gateway.in_flight}"
        await trio.sleep(1)
        self.gateway.flush()

    def sort_records(self) -> None:
        """To whom each belongs.  Raises AssertionError where somebody has two."""
        asks = {seen.request_id: seen.ask for seen in self.witness.seen}
        for record in self._written:
            number = asks[record.request_id]
            assert number not in self.records, f"ask {number} ended twice: {self.records[number]} {record}"
            self.records[number] = record


def _spells_at(host: Host, plan: Schedule) -> list[Spell]:
    return [spell for spell in plan.spells if spell.host == host.name]


@asynccontextmanager
async def fault_house(plan: Schedule) -> AsyncIterator[FaultHouse]:
    """Only the hot routes of it: behind them is a thread, which comes back when it likes."""
    log, clock = Log(trio.current_time()), WallClock()
    with dice(plan.seed), seldom():
        async with trio.open_nursery() as nursery:
            network = MemoryNetwork(nursery)
            opening = open_gateway(
                config_of(plan.house),
                dialer=network.dialer(),
                environ={},
                wall_s=clock,
                chance=Random(plan.seed),
            )
            house = FaultHouse(opening.gateway, network, clock, plan, log)
            async with opening as gateway:
                server, _ = build_server(gateway)
                nursery.start_soon(server.sweep)
                network.listen(GATEWAY, server.serve_wire)
                for name, upstream in house.upstreams.items():
                    network.listen(name, upstream.serve_wire)
                await nursery.start(house.client.run)
                yield house
            nursery.cancel_scope.cancel(reason="the hour is over")


class LoudSet(set[Silence]):
    """Tells when somebody joins."""

    def __init__(self) -> None:
        super().__init__()
        self.has_some = trio.Event()

    def add(self, silence: Silence) -> None:
        super().add(silence)
        self.has_some.set()


async def _watch_silence(
    watch: SilenceWatch, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """As the watch does it, but for the rounds in which nobody is silent."""
    waiting = watch.waiting
    assert isinstance(waiting, LoudSet)
    task_status.started()
    while True:
        await waiting.has_some.wait()
        with trio.CancelScope() as rounds:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(SilenceWatch.run, watch)
                while waiting:
                    await trio.sleep(5.0)
                rounds.cancel()
        if not waiting:  # else somebody has joined while the rounds came to their end
            waiting.has_some = trio.Event()


class JumpingClock(trio.abc.Clock):
    """Simulated time: wherever nobody can run it is the next deadline at once.

    As Trio's MockClock with `autojump_threshold=0`, but for threads and sockets, of which there are none here; it takes
    half as many rounds of the scheduler.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Asked by the scheduler when it has nothing to do."""
        if deadline == inf:
            return 1.0
        self._now_s = max(self._now_s, deadline)
        return 0.0


@contextmanager
def seldom() -> Iterator[None]:
    """Background rounds at longer intervals."""
    before = [(module, name, getattr(module, name)) for module, name, _ in ROUNDS]
    for module, name, value in ROUNDS:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


ROUNDS = (
    (hoosh.observe.lag, "EVERY_S", 60.0),
    (hoosh.http.server, "SWEEP_S", 30.0),
    (hoosh.http.client, "SWEEPS_PER_KEEPALIVE", 1),
    (hoosh.gateway.books, "SNAPSHOT_S", 60.0),
    (hoosh.health.supervisor, "LOOK_S", 30.0),
)


async def play(house: FaultHouse, plan: Schedule) -> None:
    """The whole hour, and until nobody waits any more."""
    refusals: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:
        for script in plan.asks:
            nursery.start_soon(_client, house, script)
        for spell in plan.spells:
            if spell.fault == "refused":
                nursery.start_soon(_refuse, house, spell, refusals)
        for moved in plan.jumps:
            nursery.start_soon(_jump, house, moved)
        await trio.sleep(HOUR_S)
    await house.wait_quiet()
    house.sort_records()


async def _client(house: FaultHouse, script: Ask) -> None:
    await trio.sleep(script.at_s)
    house.log.tell(script.number, f"ask {script.number} sets out")
    heard = house.heard[script.number] = Heard(script, house.log.now_s())
    await ask(house.client, heard)
    heard.ended_s = house.log.now_s()
    house.log.tell(script.number, f"ask {script.number} {heard.brief()}")


async def _refuse(house: FaultHouse, spell: Spell, refusals: Counter[str]) -> None:
    """Nobody listens there for a while."""
    name = f"{spell.host}:80"
    await trio.sleep(spell.at_s)
    house.network.stop(name)
    refusals[name] += 1
    house.log.tell(-1, f"{spell.host} refuses connections")
    await trio.sleep(spell.until_s - spell.at_s)
    refusals[name] -= 1
    if not refusals[name]:
        house.network.listen(name, house.upstreams[name].serve_wire)
        house.log.tell(-1, f"{spell.host} takes connections again")


async def _jump(house: FaultHouse, moved: Jump) -> None:
    await trio.sleep(moved.at_s)
    house.clock.jump(moved.by_s)
    house.log.tell(-1, f"the wall clock jumps by {moved.by_s:+g} s")
