"""What will happen, all of it decided beforehand by one seed: who asks when, what upstreams are like, how clocks jump.

    seed ──▶ Schedule ─┬─▶ asks      scripts of clients: what, when, in whose name, when they leave
                       ├─▶ moods     scripts of upstreams: a prompt names the mood that it is answered in
                       ├─▶ visits    outsiders who reserve, and report, release or forget
                       └─▶ jumps     of the wall clock

Plain values: a schedule can be printed, and a failed run be told step by step.  Whoever adds a fault adds a word to
`FAULTS` and its bytes to `sim_upstream.py`.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct
from msgspec.structs import replace

FAULTS = ("500", "429", "reset", "cut", "error", "malformed", "hang", "cut after finish")
COUNTS = ("at the end", "on every chunk", "never")
LANGUAGES = (
    "chat",
    "completions",
    "embeddings",
    "messages",
    "responses",
    "ollama",
    "speech",
    "transcription",
)
MODELS = ("oai-1", "oai-2", "claude-1", "qwen-1")
"""Each is served by one provider: see `sim_world.py`."""
ONLY_OPENAI = ("completions", "embeddings", "speech", "transcription")
KEYS_OF_POOLS = ("brief", "patient", "rich", "thrifty", "hourly")
"""Keys that have a pool of their own name; `free` and `limited` have none."""
CALLERS = ("free", "free", "limited", *KEYS_OF_POOLS)
RUN_S = 300.0
"""How long the asking goes on, in simulated time."""


class Mood(Struct, frozen=True):
    """How an upstream answers a prompt."""

    number: int
    head_after_s: float
    pieces: int
    """Of its reply; each is one token."""
    block: int
    """Events that come at once."""
    pause_s: float
    """Between blocks."""
    counts: str
    fault: str | None
    fails_after: int
    """Pieces that come before the fault."""


class Ask(Struct, frozen=True):
    """One client's script."""

    number: int
    at_s: float
    language: str
    model: str
    caller: str
    mood: int
    stream: bool
    http2: bool
    pool: str | None = None
    max_tokens: int | None = None
    is_cacheable: bool = False
    mistake: str | None = None
    """What is wrong with it: `key`, `pool`, `model`, `body`."""
    leaves_after_s: float | None = None
    leaves_after_receives: int | None = None


class Visit(Struct, frozen=True):
    """An outsider: reserves, and after a while reports, releases or forgets it."""

    at_s: float
    pool: str
    amount: int
    ttl_s: float
    comes_back_s: float
    then: str
    """One of `report`, `release`, `forget`."""


class Jump(Struct, frozen=True):
    at_s: float
    by_s: float


class Schedule(Struct, frozen=True):
    seed: int
    moods: tuple[Mood, ...]
    asks: tuple[Ask, ...]
    visits: tuple[Visit, ...]
    jumps: tuple[Jump, ...]


def schedule(seed: int, requests: int) -> Schedule:
    """Everything that a run does."""
    chance = Random(seed)
    moods = tuple([_mood(chance, number) for number in range(max(20, requests // 20))])
    asks: list[Ask] = []
    while len(asks) < requests:
        asks += _chorus(chance, len(asks), len(moods))
    visits = tuple([_visit(chance) for _ in range(requests // 50)])
    jumps = tuple([Jump(chance.uniform(0, RUN_S), chance.choice(JUMPS_S)) for _ in range(8)])
    return Schedule(seed, moods, tuple(asks), visits, jumps)


JUMPS_S = (-86_400.0, -3_600.0, -61.0, -0.5, 0.5, 61.0, 3_600.0, 40 * 86_400.0)


def _mood(chance: Random, number: int) -> Mood:
    pieces = chance.choice([0, 1, 2, 3, 5, 8, 13, 40, 300])
    return Mood(
        number,
        head_after_s=chance.choice([0.0, 0.0, chance.uniform(0, 1)]),
        pieces=pieces,
        block=chance.choice([1, 2, 7, 64]),
        pause_s=chance.choice([0.0, chance.uniform(0, 0.5)]),
        counts=chance.choice(COUNTS),
        fault=chance.choice(FAULTS) if chance.random() < 0.35 else None,
        fails_after=chance.randrange(pieces + 1),
    )


def _chorus(chance: Random, number: int, moods: int) -> list[Ask]:
    """One ask, or several equal ones in a moment: those who may share an upstream call."""
    first = _ask(chance, number, moods)
    if chance.random() > 0.1:
        return [first]
    others = []
    for voice in range(1, chance.randint(2, 7)):
        stays = chance.random() < 0.5
        leaves_after_s = None if stays else chance.choice([0.0, chance.uniform(0, 3)])
        at_s = first.at_s + chance.choice([0.0, chance.uniform(0, 3), chance.uniform(0, 20)])
        others.append(
            replace(first, number=number + voice, at_s=at_s, leaves_after_s=leaves_after_s, leaves_after_receives=None)
        )
    return [replace(first, is_cacheable=True), *(replace(each, is_cacheable=True) for each in others)]


def _ask(chance: Random, number: int, moods: int) -> Ask:
    caller = chance.choice(CALLERS)
    leaves = chance.random()
    has_own_pool = caller in KEYS_OF_POOLS
    language = chance.choice(LANGUAGES + ("chat", "messages") * 2)
    return Ask(
        number,
        at_s=chance.uniform(0, RUN_S),
        language=language,
        model=chance.choice(MODELS if language not in ONLY_OPENAI or chance.random() < 0.05 else MODELS[:2]),
        caller=caller,
        mood=chance.randrange(moods if chance.random() < 0.7 else 10),
        stream=chance.random() < 0.6,
        http2=chance.random() < 0.5,
        pool=None if has_own_pool or chance.random() < 0.8 else chance.choice(KEYS_OF_POOLS),
        max_tokens=chance.choice([None, None, 5, 50]),
        is_cacheable=chance.random() < 0.4,
        mistake=chance.choice(["key", "pool", "model", "body"]) if chance.random() < 0.03 else None,
        leaves_after_s=chance.choice([0.0, chance.uniform(0, 0.3), chance.uniform(0, 4)]) if leaves < 0.25 else None,
        leaves_after_receives=chance.randrange(6) if leaves > 0.85 else None,
    )


def _visit(chance: Random) -> Visit:
    return Visit(
        chance.uniform(0, RUN_S),
        chance.choice(KEYS_OF_POOLS),
        chance.choice([1, 10, 100, 5_000]),
        ttl_s=chance.uniform(1, 30),
        comes_back_s=chance.uniform(0, 30),
        then=chance.choice(["report", "release", "forget"]),
    )
