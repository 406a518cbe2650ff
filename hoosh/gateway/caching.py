"""Between what is asked and who is asked: was it answered before, or is it being answered?

    applies? ──no──▶ the rest of the road, as if there were no cache                      x-hoosh-cache: bypass
       │
    fingerprint ──kept──▶ played to the client in one write                               hit
       ├──in the air──▶ a place in the flight that asks already                           hit
       └──else──▶ a flight of its own: the rest of the road, with a recording exchange    miss

A flight asks and pays under the account of its first member (`payer`, a copy with the same request id): who leaves,
the first one too, changes nothing about that.  Hits cost nothing, and say so: `cost_usd` is 0 in them.

An answer is kept when it came to its own end: status 200, whole, not shortened by a budget, not larger than an eighth
of the cache, and without a tool call unless the owner allows those.  Comments that only filled a silence are not part
of it.  What the client is told of *its* request (ids, attempts, limits) is made afresh for each.

Kept apart: callers, unless the owner shares; pools; who may answer; headers that go upstream with the request.
Source: RFC 9111, sections 3 and 5.2.1; product sections 3 and 4; what is cached, and why: docs/caching.md.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from copy import copy

import trio

from hoosh.cache import (
    Answer,
    Cache,
    CacheStatistics,
    Directives,
    ExactCache,
    Flight,
    Flights,
    Member,
    body_of,
    calls_tools,
    digest_of,
    is_cacheable,
    may_call_tools,
    read_directives,
)
from hoosh.errors import NotCached
from hoosh.gateway.account import Account
from hoosh.gateway.answer import answer_headers
from hoosh.gateway.recording import RecordingExchange
from hoosh.gateway.way import NONE, OF_A_LANGUAGE
from hoosh.http.exchange import Exchange
from hoosh.http.message import Headers
from hoosh.values import Call, Outcome, Target

__all__ = ["CacheDesk", "Caching", "Proceed"]

Proceed = Callable[[Exchange, Account], Awaitable[None]]
"""The rest of the road: bill, dispatch, relay.  Raises HooshError."""

KeepHit = Callable[[Account], Awaitable[None]]
"""Raises StorageError."""

AT_ONCE_BYTES = 1024 * 1024
"""A longer body is hashed in a thread."""


class Caching:
    """A service, for its flights: without it running nothing is looked up or kept.

    `leave` gives back the place of whoever has begun a flight, once that is over and its bill settled.  `keep_hit` is
    awaited before the last byte of an answer that costs nothing, where that has to be on the disk first.
    """

    def __init__(self, settings: Cache, leave: Callable[[Account], None], keep_hit: KeepHit | None = None) -> None:
        self.settings = settings
        self._leave = leave
        self._keep_hit = keep_hit
        self.exact = ExactCache(settings)
        self.flights: Flights[Account] = Flights(
            flight_bytes=self.exact.max_answer_bytes, total_bytes=settings.max_bytes
        )

    def configure(self, settings: Cache) -> None:
        """From now on these are the rules.  Where nothing is kept any more, what is kept is forgotten."""
        self.settings = settings
        self.exact.configure(settings)
        self.flights.flight_bytes, self.flights.total_bytes = self.exact.max_answer_bytes, settings.max_bytes
        if not settings.enabled:
            self.exact.clear()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self.flights.run(task_status=task_status)

    def applies(self, call: Call, headers: Headers) -> Directives | None:
        """What the client says of the cache; None where the request has nothing to do with it.

        Raises InvalidRequest for words we do not know, NotCached where only a kept answer would do.
        """
        said = read_directives(headers.raw)
        if (
            self.settings.enabled
            and is_cacheable(call, self.settings)
            and not said.no_store
            and self.flights.is_running
        ):
            return said
        if said.only_if_cached:
            raise NotCached
        return None

    async def answer(
        self,
        exchange: Exchange,
        account: Account,
        call: Call,
        candidates: Sequence[Target],
        directives: Directives,
        proceed: Proceed,
    ) -> None:
        """Answer from what is kept or in the air, else let `proceed` answer, once for all who ask the same.

        Raises HooshError as `proceed` does, and NotCached.  `directives` is what `applies` gave.
        """
        if account.downstream.immediate(call) is not None:  # asked for its effect
            await proceed(exchange, account)
            return
        key = await _key_of(account, call, candidates, is_shared=self.settings.share == "all")
        if not directives.no_cache:
            kept = self.exact.get(key, now_s=trio.current_time())
            if kept is not None:
                await _play(kept, exchange, account, self._keep_hit)
                return
        if directives.only_if_cached:
            raise NotCached
        # Whoever wants a fresh answer wants one that was asked for after him: he joins nobody, and may be joined.
        flight = None if directives.no_cache else self.flights.find(key)
        if flight is None:
            flight = self._launch(key, exchange, account, call, proceed)
        else:
            self.exact.joined()
            account.cache = "hit"
        await _ride(flight, exchange, account, self._keep_hit)

    def _launch(
        self, key: bytes, exchange: Exchange, account: Account, call: Call, proceed: Proceed
    ) -> Flight[Account]:
        account.cache = "miss"
        account.payer = payer = copy(account)
        payer.payer = payer.witness = None
        payer.deadline_at = math.inf  # of one who may leave before the others
        payer.exchange = recording = RecordingExchange(exchange, account.downstream.keep_alive(call))

        async def work(flight: Flight[Account]) -> None:
            recording.flight = flight
            try:
                await proceed(recording, payer)
            finally:
                self._leave(payer)
            self._keep(key, flight, recording, call)

        return self.flights.launch(key, payer, work, joinable=self.settings.single_flight)

    def _keep(self, key: bytes, flight: Flight[Account], recording: RecordingExchange, call: Call) -> None:
        """Keep the answer, if it is one to keep."""
        payer, head = flight.payer, flight.head
        if head is None or head.status != 200 or payer.outcome is not Outcome.OK or not payer.is_keepable:
            return
        body = recording.body_without_comments()
        settings = self.settings  # of now: the cache may have been switched off meanwhile
        if not (settings.enabled and body) or (may_call_tools(call) and not settings.tool_calls and calls_tools(body)):
            return
        answer = Answer(
            headers=tuple(head.headers),
            body=payer.downstream.without_cost(body),
            is_stream=head.is_stream,
            provider=payer.provider or "",
            model=payer.model or "",
            asked_model=call.model,
            caller="" if payer.caller is None else payer.caller.name,
            usage=payer.said_usage,
        )
        self.exact.put(key, answer, now_s=trio.current_time())


class CacheDesk:
    """What is kept, for those who look after it.  That it was cleared is told to `note`."""

    def __init__(self, exact: ExactCache, note: Callable[..., None]) -> None:
        self._exact = exact
        self._note = note

    def statistics(self) -> CacheStatistics:
        return self._exact.statistics()

    def sweep(self, now_s: float) -> int:
        """Forget what is too old.  Returns how many."""
        return self._exact.sweep(now_s)

    def clear(self, *, model: str | None = None, caller: str | None = None) -> int:
        """Forget everything, or what a model has said, or what a caller was told.  Returns how many."""
        cleared = self._exact.clear(model=model, caller=caller)
        self._note("admin.cache_cleared", "warn", "Kept answers were cleared.", answers=cleared)
        return cleared


async def _key_of(account: Account, call: Call, candidates: Sequence[Target], *, is_shared: bool) -> bytes:
    """The request's fingerprint.  Waits only where hashing would make everybody wait."""
    caller = account.caller
    names = OF_A_LANGUAGE.get(call.language, NONE)
    scope = (
        "" if is_shared or caller is None else caller.name,
        account.pool,
        getattr(call, "previous", None),  # of a Responses call: the answer names it
        sorted((target.provider, target.model) for target in candidates),
        [header for header in account.exchange.headers.raw if header[0] in names],
    )
    body = body_of(call)
    if len(body) <= AT_ONCE_BYTES:
        return digest_of(call, scope, body)
    return await trio.to_thread.run_sync(digest_of, call, scope, body, abandon_on_cancel=True)


async def _play(kept: Answer, exchange: Exchange, account: Account, keep_hit: KeepHit | None) -> None:
    """A kept answer, in one write."""
    account.cache = "hit"
    account.provider, account.model, account.usage = kept.provider, kept.model, kept.usage
    account.first_token_at = trio.current_time()
    account.sending(kept.body)
    headers = [*answer_headers(account), *kept.headers]
    if keep_hit is not None:
        await keep_hit(account)
    if kept.is_stream:
        await exchange.start(kept.status, headers)
        await exchange.end(kept.body)
    else:
        await exchange.respond(kept.status, headers, kept.body)
    account.answered(kept.status)


async def _ride(flight: Flight[Account], exchange: Exchange, account: Account, keep_hit: KeepHit | None) -> None:
    """The answer of a flight, as it comes."""
    payer = flight.payer
    account.downstream = payer.downstream  # it may know the stream that it is telling
    with flight.board() as member:
        account.attempt = member
        try:
            await _pass_on(member, flight, exchange, account, keep_hit)
        finally:
            account.attempt = None
            _note(account, payer)


async def _pass_on(
    member: Member, flight: Flight[Account], exchange: Exchange, account: Account, keep_hit: KeepHit | None
) -> None:
    payer, free = flight.payer, account.downstream.without_cost
    pays = account.payer is payer
    piece = await member.take()
    head = flight.head
    assert head is not None, "a block without a head"
    _note(account, payer)
    headers = [*answer_headers(account), *head.headers]
    if head.is_stream:
        await exchange.start(head.status, headers)
    while not member.is_done:
        if account.first_token_at is None and payer.first_token_at is not None:
            account.first_token_at = trio.current_time()
        block = piece if pays else free(piece)
        account.sending(block)
        await exchange.send(block)
        piece = await member.take()
    if account.first_token_at is None:
        account.first_token_at = trio.current_time()
    last = piece if pays else free(piece)
    account.sending(last)
    if keep_hit is not None and not pays:
        await keep_hit(account)
    if head.is_stream:
        await exchange.end(last)
    else:
        await exchange.respond(head.status, headers, last)
    account.answered(head.status)


def _note(account: Account, payer: Account) -> None:
    """What a member's account knows from the one that asks."""
    account.provider, account.model, account.phase = payer.provider, payer.model, payer.phase
    account.usage, account.tap = payer.usage, payer.tap
    if account.payer is payer:
        account.attempts, account.tried, account.is_rescued = payer.attempts, payer.tried, payer.is_rescued
        account.bill, account.waited_s = payer.bill, payer.waited_s
        account.asked_at, account.begun_at = payer.asked_at, payer.begun_at
        account.connected_at, account.over_at = payer.connected_at, payer.over_at
