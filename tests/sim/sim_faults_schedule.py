"""One simulated hour of faults, all of it decided beforehand by one seed.

    seed ──▶ Schedule ─┬─▶ house     who may answer which model, and how the gateway is set up
                       ├─▶ spells    the weather: from when to when which upstream has which trouble
                       ├─▶ asks      scripts of clients: what, when, how patiently they read, when they leave
                       └─▶ jumps     of the wall clock

The weather is fair from FAIR_AT_S on: from then on the house has to find back to where it was.

Plain values, printable.  Whoever adds a fault adds a word to `FAULTS`, and what it does to `sim_faults_upstream.py`.
The catalogue of faults is docs/reliability.md's: S01 to S16.
"""

from __future__ import annotations

from random import Random
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["ALIAS", "FAIR_AT_S", "FAULTS", "HOUR_S", "MODELS", "ROLL_CALL_AT_S"]
__all__ += ["Ask", "Fault", "Host", "House", "Jump", "Schedule", "Spell", "schedule"]

HOUR_S = 3600.0
FAIR_AT_S = 3240.0
"""No spell lasts longer."""
ROLL_CALL_AT_S = 3480.0
"""From here on every upstream is asked by its name, once for each model."""

Fault = Literal[
    "busy",  # S01, S02: 429, with a Retry-After of `wait_s`, or without where that is 0
    "broken",  # S03: 500
    "overloaded",  # S04, S15, S16: 503
    "denied",  # 401: our key
    "reset",  # S05: before the head
    "refused",  # no connection
    "mute",  # S06: accepts, and never answers
    "slow start",  # S07: head and noise at once, content after `wait_s`
    "silent",  # S09: `tokens`, then nothing on an open connection; 0: the head alone
    "dies",  # S08: `tokens`, then FIN
    "dies hard",  # S08: the same with RST
    "ends early",  # S08: `tokens`, and the framing's own end without a terminator
    "error event",  # `tokens`, then the vendor's error in the stream
    "garbage",  # S10: an event that is no JSON, all the tokens around it
    "no done",  # S11: complete but for the terminator, then the framing's end
    "no done, open",  # S11: the same, and the connection stays open
    "too long",  # S12
    "policy",  # S13
    "slow body",  # each token after `wait_s`
    "page",  # 200, and a page of HTML
    "nonsense",  # bytes that are no HTTP
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
WHILE_IT_LASTS: tuple[Fault, ...] = ("overloaded", "busy", "refused", "mute", "dies", "silent", "denied", "slow start")
"""What real outages are made of: these come more often than the others."""
MODELS = ("m-a", "m-b")
ALIAS = "any"
LANGUAGES = ("chat", "chat", "messages", "ollama", "responses")
PRIORITIES = ("critical", "high", "normal", "low", "background")
STRATEGIES = ("priority", "round_robin", "lowest_latency", "least_loaded", "cheapest", "sticky")
JUMPS_S = (-86_400.0, -61.0, 61.0, 3_600.0, 86_400.0)


class Host(Struct, frozen=True):
    """An upstream."""

    name: str
    language: str
    """As it speaks: see `hoosh.testing.voices`."""
    accounts: int
    priority: int
    takes_prefill: bool
    """Goes on with what the assistant has said; others refuse a conversation that ends so."""
    initial: str
    """Of its words: not all say the same."""
    pause_s: float
    """Between the blocks of a stream."""
    block: int
    max_concurrent: int | None

    @property
    def members(self) -> list[str]:
        """Its accounts, by the names that they have in the house."""
        return [f"{self.name}#{number}" if number > 1 else self.name for number in range(1, self.accounts + 1)]


class House(Struct, frozen=True):
    """How the gateway is set up."""

    hosts: tuple[Host, ...]
    strategy: str
    alias_targets: tuple[str, ...]
    prefill: bool
    """The owner says that whoever stands behind the alias takes a prefill."""
    hedge_after_ms: int | None
    hedge_max_ratio: float
    continuation: str
    max_attempts: int
    max_retries: int
    base_delay_ms: int
    budget_ratio: float
    wait_out_s: float
    failure_threshold: int
    open_s: float
    probe_every_s: float
    max_concurrent: int | None
    max_queue: int
    queue_timeout_s: float
    request_timeout_s: float


class Spell(Struct, frozen=True):
    """Bad weather at one upstream, for one of its models or all, one of its accounts or all."""

    number: int
    host: str
    model: str | None
    account: int | None
    at_s: float
    until_s: float
    fault: Fault
    tokens: int
    """That come before it."""
    wait_s: float
    times: int | None
    """So many requests get it, at most."""

    def covers(self, account: int, model: str, at_s: float) -> bool:
        return (
            self.at_s <= at_s < self.until_s
            and self.model in (None, model)
            and self.account in (None, account)
        )  # fmt: skip


class Ask(Struct, frozen=True):
    """One client's script."""

    number: int
    at_s: float
    language: str
    stream: bool
    model: str
    words: int
    """That a whole answer has."""
    provider: str | None = None
    priority: str | None = None
    timeout_s: int | None = None
    """What it says in x-hoosh-timeout."""
    max_tokens: int | None = None
    reads_every_s: float = 0.0
    """A slow reader."""
    leaves_after_s: float | None = None
    leaves_after_receives: int | None = None


class Jump(Struct, frozen=True):
    at_s: float
    by_s: float


class Schedule(Struct, frozen=True):
    seed: int
    house: House
    spells: tuple[Spell, ...]
    asks: tuple[Ask, ...]
    jumps: tuple[Jump, ...]


def schedule(seed: int) -> Schedule:
    """Everything that happens in this hour."""
    chance = Random(seed)
    house = _house(chance)
    spells = tuple(_spells(chance, house))
    asks = [*_visits(chance, house, spells), *_calm(chance), *_roll_call(house)]
    jumps = tuple([Jump(chance.uniform(0, HOUR_S), chance.choice(JUMPS_S)) for _ in range(chance.choice([0, 0, 2]))])
    return Schedule(seed, house, spells, tuple([replace(ask, number=number) for number, ask in enumerate(asks)]), jumps)


# -- the house -------------------------------------------------------------------------------------------------------


def _house(chance: Random) -> House:
    hosts = tuple([_host(chance, number) for number in range(chance.choice([2, 2, 3, 3, 4, 5]))])
    targets = [f"{host.name}/{model}" for host in hosts for model in MODELS]
    chance.shuffle(targets)
    is_queueing = chance.random() < 0.3
    return House(
        hosts,
        strategy=chance.choice(STRATEGIES),
        alias_targets=tuple(targets[: chance.randint(2, len(targets))]),
        prefill=all(host.takes_prefill for host in hosts) or chance.random() < 0.3,
        hedge_after_ms=chance.choice([None, None, None, 300, 2_000]),
        hedge_max_ratio=chance.choice([0.05, 0.5]),
        continuation=chance.choice(["auto"] * 5 + ["off"]),
        max_attempts=chance.choice([2, 3, 6, 6]),
        max_retries=chance.choice([0, 1, 2, 2, 4]),
        base_delay_ms=chance.choice([0, 100, 500]),
        budget_ratio=chance.choice([0.0, 0.2, 0.2, 0.5, 1.0]),
        wait_out_s=chance.choice([0.0, 3.0, 3.0]),
        failure_threshold=chance.choice([1, 3, 3]),
        open_s=chance.choice([5.0, 10.0, 10.0]),
        probe_every_s=chance.choice([0.0, 0.0, 0.0, 300.0]),
        max_concurrent=chance.choice([2, 3]) if is_queueing else None,
        max_queue=chance.choice([1, 4, 100]) if is_queueing else 1_000,
        queue_timeout_s=chance.choice([1.0, 10.0, 30.0]),
        request_timeout_s=chance.choice([60.0, 600.0]),
    )


def _host(chance: Random, number: int) -> Host:
    return Host(
        f"u{number}",
        language=chance.choice(["openai", "openai", "anthropic", "ollama"]),
        accounts=chance.choice([1, 1, 2]),
        priority=chance.choice([10, 10, 10 + number]),
        takes_prefill=chance.random() < 0.6,
        initial=chance.choice("wwwwv"),
        pause_s=chance.choice([0.0, 0.05, 0.4]),
        block=chance.choice([1, 4, 100]),
        max_concurrent=chance.choice([None, None, None, None, 2]),
    )


# -- the weather -----------------------------------------------------------------------------------------------------


def _spells(chance: Random, house: House) -> list[Spell]:
    spells: list[Spell] = []
    for host in house.hosts:
        for _ in range(chance.choice([1, 2, 4, 7])):
            spells.append(_spell(chance, len(spells), host))
    return spells


def _spell(chance: Random, number: int, host: Host) -> Spell:
    at_s = chance.uniform(0, FAIR_AT_S - 60)
    lasts_s = chance.choice([chance.uniform(1, 10), chance.uniform(10, 90), chance.uniform(60, 500)])
    fault = chance.choice(FAULTS if chance.random() < 0.6 else WHILE_IT_LASTS)
    model, account = chance.choice([None, None, *MODELS]), chance.choice([None, chance.randrange(host.accounts)])
    if fault == "refused":  # a door is shut for all
        model = account = None
    return Spell(
        number,
        host.name,
        model=model,
        account=account,
        at_s=at_s,
        until_s=min(at_s + lasts_s, FAIR_AT_S),
        fault=fault,
        tokens=chance.choice([0, 1, 2, chance.randrange(12), chance.randrange(12)]),
        wait_s=_wait_s(chance, fault),
        times=chance.choice([None, None, 1, 2]),
    )


def _wait_s(chance: Random, fault: Fault) -> float:
    if fault == "busy":
        return chance.choice([0.0, 0.0, 1.0, 2.0, 7.0, 30.0])
    if fault == "slow body":
        return chance.choice([0.5, 3.0, 20.0])
    return chance.choice([1.0, 5.0, 20.0, 25.0])


# -- the clients -----------------------------------------------------------------------------------------------------


def _visits(chance: Random, house: House, spells: tuple[Spell, ...]) -> list[Ask]:
    """Some at any time, most together, and in bad weather."""
    asks = [_ask(chance, house, chance.uniform(0, FAIR_AT_S)) for _ in range(10)]
    while len(asks) < 45:
        spell = chance.choice(spells)
        at_s = max(0.0, chance.uniform(spell.at_s - 2, spell.until_s))
        apart_s = chance.choice([0.0, 0.02, 1.0, 4.0])
        for _ in range(chance.choice([1, 2, 4, 8])):
            asks.append(_ask(chance, house, at_s))
            at_s += chance.uniform(0, 2 * apart_s)
    return asks


def _ask(chance: Random, house: House, at_s: float) -> Ask:
    leaves = chance.random()
    model, provider = chance.choice([*MODELS, ALIAS, ALIAS]), None
    if chance.random() < 0.1:  # somebody by name, in one way or the other
        host, model = chance.choice(house.hosts).name, chance.choice(MODELS)
        model, provider = chance.choice([(f"{host}/{model}", None), (model, host)])
    return Ask(
        0,
        at_s,
        language=chance.choice(LANGUAGES),
        stream=chance.random() < 0.7,
        model=model,
        provider=provider,
        words=chance.choice([1, 3, 10, 20, 20]),
        priority=chance.choice([None, None, *PRIORITIES]),
        timeout_s=chance.choice([None] * 6 + [2, 10, 45]),
        max_tokens=chance.choice([None, None, None, 2, 8]),
        reads_every_s=chance.choice([0.0] * 19 + [0.5]),
        leaves_after_s=chance.choice([0.0, 0.01, chance.uniform(0, 3), 13.0, 31.0]) if leaves < 0.12 else None,
        leaves_after_receives=chance.randrange(4) if leaves > 0.93 else None,
    )


def _calm(chance: Random) -> list[Ask]:
    """After the storms: now and then somebody asks for each model, and gets his answer."""
    every = [*MODELS, ALIAS]
    return [
        Ask(0, at_s + number * 5.0, "chat", chance.random() < 0.5, model, words=5)
        for at_s in (FAIR_AT_S + 5, FAIR_AT_S + 100, FAIR_AT_S + 170)
        for number, model in enumerate(every)
    ]


def _roll_call(house: House) -> list[Ask]:
    places = [(name, model) for host in house.hosts for name in host.members for model in MODELS]
    return [
        Ask(0, ROLL_CALL_AT_S + number * 4.0, "chat", True, model, words=3, provider=name)
        for number, (name, model) in enumerate(places)
    ]
