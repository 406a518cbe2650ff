"""One upstream of three fails every other request, and one is slow: no client notices, and hardly one waits longer.

    flaky   0.1 s to the first content, where it does not fail
    quick   0.1 s
    slow    0.4 s

The house in memory on a mock clock, health and retries as they are by default, requests at a steady rate.  The same
run with flaky left out says what the two others are worth alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest
import trio
from faults_memory import Came, ask, quick_house

from hoosh.config import Alias, Routing
from hoosh.routing import Strategy
from hoosh.testing.faults import WORDS as FULL
from hoosh.testing.faults import Asked, Fault, FaultyUpstream, refuses
from hoosh.testing.seeds import seed_of_run
from hoosh.testing.upstream import Cut, End, Hang, Pause, Reset, Script

FIRST_SEED = seed_of_run()
WORDS = FULL[:4]
FIRST_S = {"flaky": 0.1, "quick": 0.1, "slow": 0.4}
SPREAD = 0.2
"""Of these times, by chance, up and down."""
RATE = 50.0
"""Requests a second."""
REQUESTS = 700
AT_MOST = 1.5

AT_ONCE: list[Fault] = [
    refuses("overloaded"),
    refuses("broken"),
    lambda upstream, asked: [Reset()],
    lambda upstream, asked: upstream.stream(upstream.begun(asked, 2), Cut()),
]
LATE: list[Fault] = [lambda upstream, asked: [Pause(FIRST_S["flaky"]), *refuses("overloaded")(upstream, asked)]]
KINDS = {"at once": AT_ONCE, "late": LATE, "any": [*AT_ONCE, *LATE]}


def upstream_of(name: str, failure: str, random: Random) -> FaultyUpstream:
    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        if name == "flaky" and random.random() < 0.5:
            return random.choice(KINDS[failure])(upstream, asked)
        head, *events = upstream.stream(upstream.events(asked), End())
        return [head, Pause(FIRST_S[name] * random.uniform(1 - SPREAD, 1 + SPREAD)), *events]

    upstream = FaultyUpstream(words=WORDS)
    upstream.faults["m"] = script
    return upstream


async def steadily(names: Sequence[str], strategy: Strategy, failure: str, seed: int) -> list[Came]:
    """What `REQUESTS` clients have heard.  `names` are tried in this order where the strategy has none of its own."""
    random, heard = Random(seed), list[Came]()
    upstreams = {name: upstream_of(name, failure, random) for name in names}
    model = Alias(name="m", targets=tuple([f"{name}/m" for name in names]), strategy=strategy)

    async def one() -> None:
        heard.append(await ask(house, "m"))

    async with (
        quick_house(upstreams, chance=random, models=(model,), routing=Routing(strategy=strategy)) as house,
        trio.open_nursery() as nursery,
    ):
        for _ in range(REQUESTS):
            nursery.start_soon(one)
            await trio.sleep(1 / RATE)
    return heard


def p99(times: Iterable[float]) -> float:
    ranked = sorted(times)
    return ranked[int(len(ranked) * 0.99)]


@pytest.mark.parametrize(
    ("strategy", "failures"),
    [
        ("priority", "at once"),
        ("priority", "any"),
        ("round_robin", "any"),
        ("least_loaded", "any"),
        ("lowest_latency", "any"),
    ],
)
async def test_one_that_fails_every_other_request_and_one_that_is_slow_do_not_harm(strategy, failures, autojump_clock):
    seed = FIRST_SEED
    print(f"HOOSH_SEED={seed}")
    alone = await steadily(("quick", "slow"), strategy, failures, seed)
    heard = await steadily(("flaky", "quick", "slow"), strategy, failures, seed)
    for came in (*alone, *heard):
        came.heard.must_be_whole("".join(WORDS))
    for what in ("first_s", "whole_s"):
        took_s, alone_s = [p99(getattr(came, what) for came in those) for those in (heard, alone)]
        print(f"p99 of {what}: {took_s:.3f}, alone {alone_s:.3f}")
        assert took_s <= AT_MOST * alone_s


async def test_no_request_fails_while_another_upstream_is_well_however_many_wait_for_a_silent_one(autojump_clock):
    """All of them fail over in one moment.  The second upstream is asked no more than it would be alone."""
    silent, well = FaultyUpstream(words=WORDS), FaultyUpstream(words=WORDS)
    silent.faults["m"] = lambda upstream, asked: [Hang()]
    heard: list[Came] = []

    async def one() -> None:
        heard.append(await ask(house, "m"))

    model = Alias("m", ("silent/m", "well/m"))
    async with (
        quick_house({"silent": silent, "well": well}, models=(model,)) as house,
        trio.open_nursery() as nursery,
    ):
        for _ in range(300):
            nursery.start_soon(one)
    failed = [came.heard.body for came in heard if not came.heard.is_done]
    assert not failed, f"{len(failed)} of {len(heard)} have failed: {failed[0]!r}"
