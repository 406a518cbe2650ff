"""D1: whatever a request was about when its client left, nothing of it stays.

Clients leave at random moments.  Where each request was then is looked up, so that a run shows that it has been
everywhere:

    queue → connect → headers → (race | back-off) → mid-stream → rescue → after the last byte          flight

What must be back at its baseline: places of the turnstile, of provider limits and of keys, holds, connections and
exchanges upstream, tasks, cache flights, trials of breakers, requests in flight of each load.

`HOOSH_ABORTED=10000` aborts so many for each seed; `HOOSH_SEED=n` repeats a run.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random
from typing import Any

import trio
from faults_house import pool_of, records_of
from faults_memory import ask, member, quick_house

from hoosh.admission.turnstile import Ticket
from hoosh.cache.flight import Member
from hoosh.config import Alias, Budget, Health, Limits, Retry, Routing, Server
from hoosh.gateway.account import Account
from hoosh.gateway.attempt import OpenReply
from hoosh.gateway.gateway import Gateway
from hoosh.gateway.hedge import Race
from hoosh.gateway.journey import Pause as BackOff
from hoosh.http.server_h1 import H1Exchange
from hoosh.http.stream_h2 import H2Stream
from hoosh.testing.faults import FAULTS, Asked, FaultyUpstream
from hoosh.testing.house import MemoryHouse
from hoosh.testing.leftovers import Leftovers
from hoosh.testing.seeds import seed_of_run
from hoosh.testing.upstream import Hang, Pause, Script, with_pauses

ABORTED = int(os.environ.get("HOOSH_ABORTED", "350"))
FIRST_SEED = seed_of_run()
WORDS = tuple([f"word{number} " for number in range(6)])
EVERY_S = 0.05
"""Between two clients."""
LONGEST_S = 3.0
"""That a client stays, where it does not stay to the end."""
CALM_S = 300.0
"""Every connection that is kept is closed by then, every breaker closed and forgotten."""

PLACES = {"queue", "connect", "headers", "race", "back-off", "mid-stream", "rescue", "after the last byte", "flight"}


def slowly(upstream: FaultyUpstream, asked: Asked) -> Script:
    return with_pauses(upstream.answer(asked), 0.3)


def dies(upstream: FaultyUpstream, asked: Asked) -> Script:
    return [*with_pauses(upstream.stream(upstream.begun(asked, 3)), 0.1), *FAULTS["s08"](upstream, asked)[-1:]]


def late(upstream: FaultyUpstream, asked: Asked) -> Script:
    return [Pause(2.0), *upstream.answer(asked)]


def says_nothing(upstream: FaultyUpstream, asked: Asked) -> Script:
    return [Hang()]


def every_third(upstream: FaultyUpstream, asked: Asked) -> Script:
    """Answers, that is."""
    return upstream.refuse("overloaded") if asked.number % 3 else upstream.answer(asked)


MODELS: dict[str, tuple[str, ...]] = {
    "quick": ("first/plain", "second/plain"),
    "slow": ("first/slow",),
    "raced": ("first/silent", "second/late"),
    "both late": ("second/late", "first/late"),
    "silent": ("first/silent",),
    "stalls": ("first/s09",),
    "far": ("far/slow",),
    "busy": ("first/s02",),
    "moody": ("second/moody",),
    "moody, too": ("first/moody",),
    "down": ("first/s04", "second/slow"),
    "resets": ("first/s05", "second/plain"),
    "rescued": ("first/dies", "second/slow"),
    "lost": ("first/dies", "second/silent"),
}


def upstream() -> FaultyUpstream:
    one = FaultyUpstream(words=WORDS)
    one.faults |= {"slow": slowly, "late": late, "dies": dies, "silent": says_nothing, "moody": every_third}
    return one


def settings() -> dict[str, Any]:
    return {
        "providers": [member("first", max_concurrent=12), member("second"), member("far")],
        "models": tuple([Alias(name=name, targets=targets) for name, targets in MODELS.items()]),
        "server": Server(max_concurrent=18, max_queue=50),
        "limits": Limits(max_concurrent=60),
        "routing": Routing(hedge_after_ms=200, hedge_max_ratio=1.0),
        "retry": Retry(budget_ratio=1.0, base_delay_ms=1000),
        "health": Health(interval_secs=5.0, failure_threshold=6, open_s=1.0),
        "budgets": (Budget(name="default", capacity=10**9),),
    }


async def visit(house: MemoryHouse, number: int, chance: Random, places: Counter[str]) -> None:
    """Ask for something, and leave at some moment."""
    name = chance.choice(list(MODELS))
    stays_s = 0.0 if chance.random() < 0.05 else chance.uniform(0, LONGEST_S)
    fields: dict[str, Any] = {"temperature": 0} if chance.random() < 0.2 else {}
    headers = [(b"x-number", b"%d" % number)]
    if chance.random() < 0.1:
        headers.append((b"x-hoosh-timeout", b"%.3f" % chance.uniform(0.001, LONGEST_S)))
    with trio.move_on_after(stays_s) as stay:
        await ask(house, name, stream=chance.random() < 0.7, headers=headers, **fields)
        stay.shield = True
    if stay.cancelled_caught:
        places[place_of(house.gateway, number)] += 1
    else:
        places["after the last byte"] += 1


def place_of(gateway: Gateway, number: int) -> str:
    """Where the request of this number is: its client has left in this moment, and the house does not know yet."""
    for account in gateway.in_flight:
        if account.exchange.headers.get(b"x-number") == b"%d" % number:
            return place_in(account)
    return "nowhere"


def place_in(account: Account) -> str:
    match account.attempt:
        case Ticket():
            return "queue"
        case BackOff():
            return "back-off"
        case Member():
            return "flight"
        case Race() as race:
            return "race" if len(race._entries) == 2 else "headers"
        case OpenReply() as opening if opening._attempt is None or opening._attempt._response is None:
            return "connect"
        case OpenReply() if account.has_told and account.tried:
            return "rescue"
        case OpenReply():
            return "mid-stream" if account.first_token_at is not None else "headers"
        case _:
            return "elsewhere"


def left_of(house: MemoryHouse, *upstreams: FaultyUpstream) -> dict[str, object]:
    """What is not as it was before anybody came."""
    gateway = house.gateway
    queue, flights = gateway.turnstile.statistics(), gateway.caching.flights.statistics()
    found: dict[str, object] = {
        "requests": len(gateway.in_flight),
        "places": queue.running,
        "waiting": sum(queue.queued.values()),
        "held": pool_of(gateway).held,
        "flights": flights.flights,
        "streams that are watched": len(gateway.silence.waiting),
        "loads": [load for load in gateway.loads.statistics() if load.in_flight],
        "limits": [
            scope for scope in gateway.books.admission.gate.statistics(trio.current_time()).scopes if scope.running
        ],
        "trials": [target for target, chart in gateway.board._models.items() if chart.breaker._trials],
        "unanswered": [one for each in upstreams for one in each.requests if not (one.answered or one.cancelled_at)],
    }
    for each in gateway.fleet:
        if (pool := each.statistics()) is not None:
            found[each.name] = (pool.active, pool.waiting, pool.http2_streams) if pool.active or pool.waiting else 0
    return {what: left for what, left in found.items() if left}


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def bugs_of(house: MemoryHouse) -> list[object]:
    """Whatever is logged as an error from now on."""
    found: list[object] = []
    house.gateway.log.error = lambda *words, **facts: found.append((words, facts))  # type: ignore[method-assign]
    return found


async def abort_all(seed: int, http2: bool) -> Counter[str]:
    """Returns how many have been left in each place."""
    chance, places = Random(seed), Counter[str]()
    leftovers = Leftovers(Account, H1Exchange, H2Stream)
    upstreams = {name: upstream() for name in ("first", "second", "far")}
    async with quick_house(upstreams, connect_s={"far": 2.0}, http2=http2, chance=chance, **settings()) as house:
        records, bugs = records_of(house.gateway), bugs_of(house)
        await ask(house, "quick")
        await trio.sleep(CALM_S)
        baseline = tasks()
        async with trio.open_nursery() as nursery:
            for number in range(ABORTED):
                nursery.start_soon(visit, house, number, chance, places)
                await trio.sleep(chance.expovariate(1 / EVERY_S))
        await trio.sleep(CALM_S)
        assert left_of(house, *upstreams.values()) == {}
        assert not leftovers.now()
        assert tasks() <= baseline
        assert all(each.open_connections <= 1 for each in upstreams.values()), "more than probes need"
        assert len({record.request_id for record in records}) == len(records)
        assert not bugs
        assert (await ask(house, "quick")).heard.status == 200
    return places


async def test_d1_nothing_is_left_of_requests_wherever_they_were(autojump_clock):
    places = Counter[str]()
    for number, http2 in enumerate((False, True, False)):
        seed = FIRST_SEED + number
        print(f"seed {seed}, http2 {http2}; HOOSH_SEED={FIRST_SEED} repeats all three")
        places += await abort_all(seed, http2)
    print(places)
    assert places.keys() >= PLACES, f"nobody has ever left in {PLACES - places.keys()}"
