"""What the books cost, and whether they are right: the same hoosh with and without them, by turns, on one core.

    for each round:
        start all three: without books, with all of them, with answers that wait for the disk
        four times, forwards and backwards by turns:   chat, chat, chat;  once:  streams, streams
        look into the books, stop

A machine changes its speed from one second to the next, so those who are compared run within the same few: what counts
is the ratio of each pair, and of all pairs the median.  Whoever is not asked sleeps.

Without: books in memory; no limits, budget, prices, audit trail or cache.  With: all of that, in SQLite, in a fresh
folder.  CPU is that of the whole process, so the thread that writes the file is in it.

The check: every request that the load client has sent has one row, but for those that were in the air when it left,
which may have been lost on their way.  Nothing is held any more, nothing waits for the disk, the audit trail verifies,
what has been used was priced, and no answer came out of the cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.contenders import Contender
from bench.figures import SYNC, WITH_BOOKS, WITHOUT_BOOKS
from bench.load import LoadResult, get
from bench.machine import Running
from bench.scenarios import CLIENTS, Bench, chat_of, streams

__all__ = ["Ledger", "Look", "check_books", "measure_pairs", "mistakes", "readings", "turns"]

PAIRS = 4
QUIET_WITHIN_S = 5.0
VERIFY_WITHIN_S = 60.0


def turns(number: int) -> tuple[str, ...]:
    """Who comes after whom in this round."""
    pair = (WITHOUT_BOOKS, WITH_BOOKS)
    return (*(pair[::-1] if number % 2 else pair), SYNC)


class Ledger:
    """One house in the comparison: what it has been asked, and what its books said before."""

    def __init__(self, contender: Contender, running: Running) -> None:
        self.contender = contender
        self.running = running
        self.before = look(contender.port)
        self.loads: list[LoadResult] = []


def measure_pairs(bench: Bench, houses: Mapping[str, Ledger]) -> None:
    """Ask them by turns."""
    for number in range(PAIRS):
        chats: dict[str, float] = {}
        for name in turns(number):
            one = houses[name]
            load = chat_of(bench, one.contender, one.running, CLIENTS)
            one.loads.append(load)
            chats[name] = load.cpu_us_per(load.requests) or 0.0
        for name in (WITH_BOOKS, SYNC):
            if chats[WITHOUT_BOOKS]:
                bench.samples.note(name, "chat32_times", chats[name] / chats[WITHOUT_BOOKS])
    for name in turns(0)[:2]:
        one = houses[name]
        one.loads.append(streams(bench, one.contender, one.running))


def check_books(bench: Bench, house: Ledger) -> None:
    """Are they right?"""
    contender = house.contender
    before, after = house.before, look_when_quiet(contender.port)
    for mistake in mistakes(before, after, house.loads):
        bench.problem(contender, f"the books are wrong: {mistake}")
    if contender.name == WITHOUT_BOOKS:
        return
    if after.cost_micro_usd == before.cost_micro_usd:
        bench.problem(contender, "the books are wrong: nothing was priced")
    if not _is_proven(contender.port):
        bench.problem(contender, "the audit trail does not verify")


# --- What the house says of its books ---


@dataclass(frozen=True)
class Look:
    """At one moment."""

    rows: int
    """Requests in the books."""
    cached: int = 0
    """Of them, answered out of the cache."""
    in_flight: int = 0
    waiting_rows: int = 0
    """Not on the disk yet."""
    held: int = 0
    """Tokens, in all pools."""
    cost_micro_usd: int = 0

    @property
    def is_quiet(self) -> bool:
        return not (self.in_flight or self.waiting_rows or self.held)


def look(port: int) -> Look:
    """Raises RuntimeError where hoosh does not say."""
    costs = json.loads(_get(port, "/v1/costs"))
    metrics = readings(_get(port, "/metrics").decode())
    held = [value for name, value in metrics.items() if name.startswith("hoosh_pool{") and 'state="held"' in name]
    return Look(
        rows=costs["total_requests"],
        cached=costs["requests_cached"],
        in_flight=int(metrics["hoosh_in_flight_requests"]),
        waiting_rows=int(metrics["hoosh_store_waiting_rows"]),
        held=int(sum(held)),
        cost_micro_usd=costs["total_cost_micro_usd"],
    )


def look_when_quiet(port: int) -> Look:
    """Once what the leaving client has left behind is settled and written; or after `QUIET_WITHIN_S`, as it is then."""
    deadline_s = time.monotonic() + QUIET_WITHIN_S
    while not (found := look(port)).is_quiet and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return found


def _is_proven(port: int) -> bool:
    status, body = get(port, "/v1/audit/verify", timeout_s=VERIFY_WITHIN_S)
    return status == 200 and json.loads(body)["valid"] is True


def _get(port: int, path: str) -> bytes:
    status, body = get(port, path)
    if status != 200:
        raise RuntimeError(f"{path} answers {status}")
    return body


def readings(text: str) -> dict[str, float]:
    """Prometheus' text format: name and labels as they stand → value."""
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def mistakes(before: Look, after: Look, loads: Sequence[LoadResult]) -> list[str]:
    """What is wrong with the books after `loads`, each of CLIENTS clients.  Nothing, if all goes well."""
    rows, begun = after.rows - before.rows, sum(load.begun for load in loads)
    found = []
    if not begun - CLIENTS * len(loads) <= rows <= begun:
        found.append(f"{rows} rows for {begun} requests")
    if not after.is_quiet:
        found.append(f"nobody is there, and yet {after}")
    if after.cached > before.cached:
        found.append(f"{after.cached - before.cached} answers came out of the cache: nothing was measured")
    return found
