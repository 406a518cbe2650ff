"""Do the books balance?  Worked out again from the journal's rows and from what was seen, with plain sums.

    rows of the journal ─┬─ one for each request that was let in, none for others
                         ├─ their charges are what pools have used, their costs are the total
                         └─ read again from the first row, they give the ledger and the totals that there are
    nothing runs         ── nothing is held, no slot is taken, no stream is watched, no flight is in the air

Raises AssertionError with a sentence.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import msgspec
from sim_world import Seen, World

from hoosh.budget.entries import Reported
from hoosh.gateway.gateway import Gateway
from hoosh.gateway.journal import JournalEntry, decode_row
from hoosh.values import Settlement


class HasGateway(Protocol):
    gateway: Gateway


async def journal_of(world: HasGateway) -> list[JournalEntry]:
    world.gateway.flush()
    log, rows, position = world.gateway.store.log("ledger"), [], 0
    while page := await log.read(position, 5_000):
        rows += [decode_row(row.body, row.position) for row in page]
        position = page[-1].position
    return rows


async def settlements_of(world: HasGateway) -> dict[str, Settlement]:
    """By request id.  Raises AssertionError where a request has two."""
    found = [entry for entry in await journal_of(world) if isinstance(entry, Settlement)]
    twice = [request for request, count in Counter(row.request_id for row in found).items() if count > 1]
    assert not twice, f"settled more than once: {twice}"
    return {row.request_id: row for row in found}


async def check_books(world: World, *, reserved: int = 0) -> dict[str, Settlement]:
    """All of it, in a house where nothing runs any more.  `reserved` is what outsiders hold."""
    rows = await settlements_of(world)
    assert not world.witness.bugs, world.witness.bugs[0]
    check_rows(rows, world.witness.seen)
    await check_pools(world, reserved)
    check_costs(world, rows)
    await check_replay(world)
    check_nothing_runs(world)
    await check_audit(world, rows)
    return rows


def check_rows(rows: dict[str, Settlement], seen: list[Seen]) -> None:
    let_in = {each.request_id for each in seen if each.was_let_in}
    by_id = {each.request_id: each for each in seen}
    missing = [by_id[request] for request in let_in - rows.keys()]
    assert not missing, f"let in and not in the ledger: {missing[:3]} (of {len(missing)})"
    extra = [(by_id.get(request), rows[request]) for request in rows.keys() - let_in]
    assert not extra, f"in the ledger and never let in: {extra[:3]} (of {len(extra)})"
    for row in rows.values():
        assert row.charge >= 0
        assert not (row.cached and (row.charge or row.cost_micro_usd)), f"a cached answer was paid: {row}"


async def check_pools(world: HasGateway, reserved: int) -> None:
    ledger, now_ms = world.gateway.books.ledger, world.gateway.books.now_ms()
    states = ledger.pools(now_ms)
    entries = await journal_of(world)
    assert sum(state.reserved for state in states) == reserved, [(s.name, s.reserved) for s in states]
    for state in states:
        assert state.held == 0, f"{state.name} still holds {state.held}"
        since_ms = ledger._pools[state.name].starts_ms
        used = 0
        for entry in entries:
            if isinstance(entry, Settlement | Reported) and entry.pool == state.name and entry.at_ms >= since_ms:
                used += entry.charge if isinstance(entry, Settlement) else entry.actual
        assert state.used == used, f"{state.name} has used {state.used}, its rows come to {used}"


def check_costs(world: HasGateway, rows: dict[str, Settlement]) -> None:
    total = world.gateway.books.totals.total()
    assert total.cost_micro_usd == sum(row.cost_micro_usd or 0 for row in rows.values())
    assert total.requests == len(rows)


async def check_replay(world: HasGateway) -> None:
    """The journal, read from its first row, gives what is there."""
    books = world.gateway.books
    ledger, totals = await books.replayed()
    ledger.roll(books.now_ms())
    books.ledger.roll(books.now_ms())
    assert msgspec.json.decode(ledger.state()) == msgspec.json.decode(books.ledger.state())
    assert totals.total() == books.totals.total()
    assert sorted(map(str, msgspec.json.decode(totals.state())["days"])) == sorted(
        map(str, msgspec.json.decode(books.totals.state())["days"])
    )


def check_nothing_runs(world: HasGateway) -> None:
    gateway = world.gateway
    busy = [scope for scope in gateway.books.admission.gate.statistics(0.0).scopes if scope.running]
    assert not busy, f"slots are still taken: {busy}"
    assert not gateway.books.guard._streams
    flights = gateway.caching.flights.statistics()
    assert (flights.flights, flights.members, flights.buffered_bytes) == (0, 0, 0)
    for upstream in gateway.fleet:
        pool = upstream.statistics()
        assert pool is not None
        assert (pool.active, pool.waiting) == (0, 0), f"{upstream.name}: {pool}"
    assert gateway.silence.waiting == set()


async def check_audit(world: World, rows: dict[str, Settlement]) -> None:
    """The chain verifies; every request that is over has one entry, but those refused, which may be counted together.

    An entry says what its row says, but where a flight went on after the request that began it.
    """
    trail = world.gateway.trail
    if trail is None:
        return
    verdict = await trail.verify()
    assert verdict.valid, verdict
    told: dict[str, int] = {}
    after = 0
    while entries := await trail.read(after, 5_000):
        for entry in entries:
            facts = msgspec.json.decode(entry.metadata)
            request = facts.get("request_id")
            assert request not in told, f"twice in the audit log: {request}"
            if request is not None:
                told[request] = facts.get("charge", 0)
        after += len(entries)
    for each in world.witness.seen:
        may_be_counted = each.outcome == "error" and each.attempts == 0
        assert each.request_id in told or may_be_counted, f"not in the audit log: {each}"
        row = rows.get(each.request_id)
        if row is not None and each.flight is None and each.request_id in told:
            assert told[each.request_id] == row.charge, f"{told[each.request_id]} in the audit log: {each} {row}"
