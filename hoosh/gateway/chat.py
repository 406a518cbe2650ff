"""The path of one inference request, top to bottom: chat, completions and embeddings are the same road, in every
language.

    who is asking → what is asked → who may answer → one open reply → the relay

Each step either hands on or raises a HooshError; `api/inference.py` turns that into an answer.  Cancellation (the
client left) unwinds the same blocks: leaving `Dispatch` is what stops the upstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hoosh.access import may_use, require_scope
from hoosh.dialects.contract import DownstreamDialect
from hoosh.errors import UnsupportedMedia
from hoosh.gateway.account import Account
from hoosh.gateway.dispatch import Dispatch
from hoosh.gateway.relay import relay_stream, relay_whole
from hoosh.gateway.way import Way
from hoosh.http.exchange import Exchange
from hoosh.http.message import Header
from hoosh.routing import Target
from hoosh.values import Call

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["answer_headers", "check_media_type", "infer", "take_call"]


async def infer(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer one inference request.  Raises HooshError; cancelled when the client leaves."""
    call, candidates = await take_call(gateway, exchange, account)
    at_once = account.downstream.immediate(call)
    if at_once is not None and gateway.fleet[candidates[0].provider].dialect.passage(call) is None:
        headers = [*answer_headers(account), (b"content-type", b"application/json")]
        await exchange.respond(200, headers, at_once)
        account.answered(200)
        return
    async with Dispatch(
        candidates, Way(call, account, gateway.facts, gateway.fetch_media), gateway.fleet, account
    ) as reply:
        headers = answer_headers(account)
        if call.stream:
            await relay_stream(exchange, reply, call, account, headers, gateway.silence)
        else:
            await relay_whole(exchange, reply, call, account, headers)


async def take_call(gateway: Gateway, exchange: Exchange, account: Account) -> tuple[Call, Sequence[Target]]:
    """What is asked, and who may answer.  Raises HooshError."""
    caller = gateway.authenticate(exchange.headers)
    account.caller = caller.name
    require_scope(caller, "inference")
    check_media_type(exchange, account.downstream)
    body = await exchange.body(gateway.snapshot.config.server.max_body_bytes)
    downstream = account.downstream = account.downstream.for_caller(caller.name)
    call = account.call = downstream.read(account.kind, body)
    may_use(caller, call.model)
    provider = call.provider or exchange.headers.text(b"x-hoosh-provider")
    return call, gateway.facts.able(call, await gateway.candidates(call, provider))


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
    is_of_curl = not any(headers.get(name) for name in (b"origin", b"referer", b"sec-fetch-site"))
    if dialect.name == "ollama" and is_of_curl and kind in (b"", b"application/x-www-form-urlencoded"):
        return
    raise UnsupportedMedia("The request body must be JSON, with `content-type: application/json`.")


def answer_headers(account: Account) -> list[Header]:
    request_id = account.request_id.encode()
    headers = [
        (b"x-request-id", request_id),
        (b"x-hoosh-provider", (account.provider or "").encode()),
        (b"x-hoosh-model", _header_text(account.model or "")),
        (b"x-hoosh-cache", account.cache.encode()),
        (b"x-hoosh-attempts", b"%d" % account.attempts),
    ]
    if account.downstream.id_headers:
        headers += [(name, request_id) for name in account.downstream.id_headers]
    return headers


def _header_text(text: str) -> bytes:
    """`text` as a header value: visible ASCII, the rest as `?` (RFC 9110, section 5.5)."""
    return text.encode("ascii", "replace") if text.isprintable() else b"?"
