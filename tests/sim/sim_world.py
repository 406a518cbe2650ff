"""The world of the simulator: a house with pools and keys of every kind, its upstreams, a wall clock that jumps.

    async with world(config, upstreams) as house:      nothing in it is replaced but the network and the clock

`Witness` notes what can be seen of a request when it is over, without asking the books.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import trio
from msgspec import Struct
from msgspec.structs import replace
from trio._core import _run

from hoosh.admission import Limits, ModelLimits
from hoosh.api.cold import _import_app
from hoosh.config import Audit, Budget, Cache, Config, Discovery, Key, Logging, PriceOverride, Provider
from hoosh.gateway.account import Account
from hoosh.gateway.gateway import Gateway
from hoosh.http.client import Pool
from hoosh.testing.house import GATEWAY, ONE_TRY, MemoryHouse, memory_house
from hoosh.testing.seeds import seed_of_run
from hoosh.testing.upstream import FakeUpstream
from hoosh.values import Secret

_import_app()  # else a house does it in a thread, and how long that takes nobody knows

PROVIDERS = (
    Provider(type="openai-compatible", name="one", base_url="http://one:80", models=("oai-1",)),
    Provider(
        type="openai-compatible",
        name="two",
        base_url="http://two:80",
        models=("oai-2",),
        http2="prior",
        max_concurrent=30,
        rate_limit_rpm=400,
        max_tokens_limit=400,
    ),
    Provider(type="anthropic", name="claude", base_url="http://claude:80", models=("claude-1",), api_key=Secret("k")),
    Provider(type="ollama", name="qwen", base_url="http://qwen:80", models=("qwen-1",)),
)
POOLS = (
    Budget(name="brief", capacity=700, on_exhausted="stop", window="minute"),
    Budget(name="patient", capacity=700, on_exhausted="finish", window="minute"),
    Budget(name="rich", capacity=0.2, unit="usd"),
    Budget(name="thrifty", capacity=0.005, unit="usd", window="minute", on_exhausted="finish"),
    Budget(name="hourly", capacity=9_000, window="hour", on_exhausted="finish"),
)
PRICES = (
    PriceOverride(model="oai-*", input=2.0, output=8.0, request=0.0001),
    PriceOverride(model="claude-*", input=3.0, output=15.0),
)
KEYS = (
    Key(name="free", key=Secret("free-key")),
    Key(name="limited", key=Secret("limited-key"), rpm=90, tpm=20_000, max_concurrent=4),
    *(Key(name=pool.name, key=Secret(f"{pool.name}-key"), pool=pool.name) for pool in POOLS),
)


def everything(scale: float = 1.0) -> Config:
    """A house with all of it turned on.  `scale` is for pools that more requests share."""
    return Config(
        providers=PROVIDERS,
        keys=KEYS,
        budgets=tuple([replace(pool, capacity=pool.capacity * scale) for pool in POOLS]),
        prices=PRICES,
        limits=Limits(models=(ModelLimits(name="qwen-*", max_concurrent=20),)),
        cache=Cache(max_entries=100, ttl_secs=20),
        audit=Audit(enabled=True, signing_key=Secret("a-signing-key-that-is-long-enough"), max_entries=1_000_000),
        discovery=Discovery(local=False, environment=False, echo=False),
        **ONE_TRY,
        logging=Logging(level="error"),
    )


def seeds(count: int, named: str = "HOOSH_SEEDS") -> list[int]:
    """The variable `named` says how many, `HOOSH_SEED=n` which is the first."""
    return [seed_of_run() + number for number in range(int(os.environ.get(named, count)))]


@contextmanager
def dice(seed: int) -> Iterator[None]:
    """Trio's scheduler mixes up whose turn it is; here it throws the dice of `seed`, so that a run can be repeated."""
    was_allowed, _run._ALLOW_DETERMINISTIC_SCHEDULING = _run._ALLOW_DETERMINISTIC_SCHEDULING, True
    state = _run._r.getstate()
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = was_allowed
        _run._r.setstate(state)


class WallClock:
    """Unix time, which runs with the simulated time until it is moved."""

    def __init__(self, now_s: float = 1_790_000_000.0) -> None:
        self.ahead_s = now_s

    def __call__(self) -> float:
        return self.ahead_s + trio.current_time()

    def jump(self, by_s: float) -> None:
        self.ahead_s += by_s


class Seen(Struct, frozen=True):
    """One request that is over, as its account told it then."""

    request_id: str
    kind: str
    outcome: str
    status: int
    code: str | None
    cache: str
    attempts: int
    caller: str | None
    provider: str | None
    flight: Account | None
    """Who asked for it, where it was aboard: may still be asking."""
    ask: int
    """The number of its script."""

    @property
    def was_let_in(self) -> bool:
        """An upstream was asked in its name, or it was answered by what another has asked."""
        if self.cache == "hit":
            return self.provider is not None
        return (self.attempts if self.flight is None else self.flight.attempts) > 0


class Witness:
    """Notes every request that is dismissed from now on."""

    def __init__(self, gateway: Gateway) -> None:
        self.seen: list[Seen] = []
        self.bugs: list[str] = []
        recorder = gateway.recorder
        self._put = recorder.put
        recorder.put = self._note  # type: ignore[method-assign]
        gateway.log.error = self._note_bug  # type: ignore[method-assign]
        # Its thread comes back when it likes: no run would be like another.
        gateway.log.write = lambda record: None  # type: ignore[method-assign]

    def _note(self, account: Account) -> None:
        self.seen.append(
            Seen(
                account.request_id,
                account.kind.value,
                account.outcome.value,
                account.status,
                account.error_code,
                account.cache,
                account.attempts,
                None if account.caller is None else account.caller.name,
                account.provider,
                account.payer,
                int(account.exchange.headers.text(b"x-sim-ask") or -1),
            )
        )
        self._put(account)

    def _note_bug(self, message: str, **fields: object) -> None:
        self.bugs.append(f"{message}: {fields}")


class World:
    """An open house, and what a test holds of it."""

    def __init__(self, house: MemoryHouse, clock: WallClock, witness: Witness, h2: Pool) -> None:
        self.house = house
        self.gateway = house.gateway
        self.clock = clock
        self.witness = witness
        self.h1, self.h2 = house.client, h2

    async def wait_quiet(self) -> None:
        """Until nothing runs and everything is written."""
        while self.gateway.in_flight or self.gateway.caching.flights.statistics().flights:
            await trio.sleep(0.01)
        await trio.sleep(1)
        self.gateway.flush()


@asynccontextmanager
async def world(
    config: Config, upstreams: Mapping[str, FakeUpstream], *, begins_at_s: float | None = None, seed: int = 0
) -> AsyncIterator[World]:
    """`upstreams` by `host:port`; one that its provider speaks HTTP/2 with answers so.

    Where it `begins_at_s`, all that takes real time has been done before, and nothing else depends on real time.
    """
    clock = WallClock()
    speaks_h2 = {f"{provider.name}:80" for provider in config.providers if provider.http2 == "prior"}
    async with memory_house(config, wall_s=clock) as house, trio.open_nursery() as nursery:
        for name, upstream in upstreams.items():
            house.network.listen(name, upstream.serve_wire_h2 if name in speaks_h2 else upstream.serve_wire)
        if begins_at_s is not None:
            await house.get("/livez")  # the app behind the hot routes is up then
            await trio.sleep_until(begins_at_s)
            _run._r.seed(seed)  # the warming up has thrown a number of dice that nobody knows
        h2 = Pool(GATEWAY, dialer=house.network.dialer(), http2="prior")
        await nursery.start(h2.run)
        yield World(house, clock, Witness(house.gateway), h2)
        nursery.cancel_scope.cancel()
