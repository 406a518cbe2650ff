"""The path of one inference request, top to bottom: chat, completions and embeddings are the same road, in every
language.

    who is asking → what is asked → who may answer → may it start now → was it answered before
                                              → can it be paid → one attempt after another → what it has come to

Each step either hands on or raises a HooshError; `api/inference.py` turns that into an answer.  Cancellation (the
client left) unwinds the same blocks: leaving the attempt is what stops the upstream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from hoosh.access import may_use, require_scope
from hoosh.dialects.contract import DownstreamDialect
from hoosh.errors import Refused, Unavailable, UnsupportedMedia
from hoosh.gateway.account import Account
from hoosh.gateway.answer import answer_headers
from hoosh.gateway.journey import Relay
from hoosh.gateway.relay import StreamRelay, relay_whole
from hoosh.gateway.terms import paying_pool
from hoosh.gateway.way import Way
from hoosh.gateway.wishes import NO_WISHES, priority_for
from hoosh.http.exchange import Exchange
from hoosh.values import ANONYMOUS, Call, Caller, Target

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["ask", "authenticate", "check_media_type", "find_candidates", "in_turn", "infer", "take_call"]


async def infer(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer one inference request.  Raises HooshError; cancelled when the client leaves."""
    call, candidates = await take_call(gateway, exchange, account)
    at_once = account.downstream.immediate(call)
    if at_once is not None and gateway.fleet[candidates[0].provider].dialect.passage(call) is None:
        headers = [*answer_headers(account), (b"content-type", b"application/json")]
        account.sending(at_once)
        await exchange.respond(200, headers, at_once)
        account.answered(200)
        return
    directives = gateway.caching.applies(call, exchange.headers)
    if directives is None:
        await ask(gateway, call, candidates, exchange, account)
    else:
        account.go_on()
        proceed = partial(ask, gateway, call, candidates)
        await gateway.caching.answer(exchange, account, call, candidates, directives, proceed)


def ask(
    gateway: Gateway, call: Call, candidates: Sequence[Target], exchange: Exchange, account: Account
) -> Awaitable[None]:
    """Have the call answered by an upstream, in its turn, and paid for.  Raises HooshError when it is awaited."""
    if gateway.has_room:
        return _ask(gateway, call, candidates, exchange, account)
    return in_turn(gateway, account, partial(_ask, gateway, call, candidates, exchange, account))


async def in_turn(gateway: Gateway, account: Account, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` when there is room for it.  Raises QueueFull, Unavailable, and then it has cost no limit anything."""
    try:
        gateway.require_breath(account.priority)
    except Unavailable:
        account.turn_away()
        raise
    if gateway.turnstile.is_open:
        await work()
        return
    ticket = gateway.turnstile.ticket((account.caller or ANONYMOUS).name, account.priority)
    account.go_on()
    account.attempt, account.phase = ticket, "queued"
    came_s = trio.current_time()
    try:
        try:
            await ticket.enter()
        except Refused:
            account.turn_away()
            raise
        finally:
            account.attempt, account.waited_s = None, trio.current_time() - came_s
        account.go_on()
        await work()
    finally:
        account.attempt = None
        ticket.leave()


async def _ask(
    gateway: Gateway, call: Call, candidates: Sequence[Target], exchange: Exchange, account: Account
) -> None:
    journey = gateway.dispatcher.journey(account, call, candidates)
    with gateway.bill(account, call, journey) as bill:
        call = bill.call
        way = Way(call, account, gateway.facts, gateway.fetch_media)
        relay: Relay
        if call.stream:
            relay = StreamRelay(exchange, call, account, gateway.silence)
        else:
            relay = partial(relay_whole, exchange, call, account)
        await journey.run(relay, way, bill)


async def take_call(gateway: Gateway, exchange: Exchange, account: Account) -> tuple[Call, Sequence[Target]]:
    """What is asked, and who may answer; it has been let in then.  Raises HooshError."""
    caller = authenticate(gateway, exchange, account)
    check_media_type(exchange, account.downstream)
    body = await exchange.body(gateway.snapshot.config.server.max_body_bytes)
    account.received(body)
    downstream = account.downstream = account.downstream.for_caller(caller.name)
    call = account.call = downstream.read(account.kind, body)
    may_use(caller, call.model)
    for model in call.models:
        may_use(caller, model)
    candidates = gateway.facts.able(call, await find_candidates(gateway, exchange, account, call))
    if len(candidates) == 1 and account.wishes is NO_WISHES:
        return call, candidates
    return call, gateway.ordered(call, candidates, account)


def authenticate(gateway: Gateway, exchange: Exchange, account: Account) -> Caller:
    """Who is asking for inference.  Raises Unauthenticated, Forbidden."""
    caller = account.caller = gateway.authenticate(exchange.headers)
    require_scope(caller, "inference")
    account.priority = priority_for(caller, account.wishes.priority)
    return caller


async def find_candidates(gateway: Gateway, exchange: Exchange, account: Account, call: Call) -> Sequence[Target]:
    """Who may answer; the request is counted against its limits.  Raises NoRoute, Forbidden, RateLimited."""
    headers = exchange.headers
    caller = account.caller or ANONYMOUS
    account.named_provider = call.provider or headers.text(b"x-hoosh-provider")
    candidates: Sequence[Target] = await gateway.candidates(call, account.named_provider)
    account.upstreams = gateway.fleet.members
    if caller.local_only or headers.get(b"x-hoosh-privacy") is not None:
        candidates = await gateway.local_only(candidates, headers.text(b"x-hoosh-privacy"), caller)
    account.pool = paying_pool(caller, call.pool or headers.text(b"x-hoosh-pool"))
    gateway.books.admission.enter(account, call, candidates[0])
    return candidates


def check_media_type(exchange: Exchange, dialect: DownstreamDialect) -> None:
    """JSON must call itself JSON.

    Browsers send cross-site requests of other types without asking first: a page must not be able to spend the keys
    of a gateway on its reader's loopback.  Ollama's own documentation leaves the type to curl, which says
    `x-www-form-urlencoded`: there it is enough that no browser has sent it.
    """
    headers = exchange.headers
    kind = (headers.get(b"content-type") or b"").lower()
    if kind.startswith(b"application/json"):
        return
    is_of_curl = kind in (b"", b"application/x-www-form-urlencoded") and not headers.is_from_page()
    if dialect.name == "ollama" and is_of_curl:
        return
    raise UnsupportedMedia("The request body must be JSON, with `content-type: application/json`.")
