"""The path of one inference request, top to bottom: chat, completions and embeddings are the same road.

    who is asking → what is asked → who may answer → one open reply → the relay

Each step either hands on or raises a HooshError; `api/inference.py` turns that into an answer.  Cancellation (the
client left) unwinds the same blocks: leaving `Dispatch` is what stops the upstream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoosh.access import may_use, require_scope
from hoosh.dialects.openai import read_chat, read_completion, read_embedding
from hoosh.errors import UnsupportedMedia
from hoosh.gateway.account import Account
from hoosh.gateway.dispatch import Dispatch
from hoosh.gateway.relay import relay_stream, relay_whole
from hoosh.http.exchange import Exchange
from hoosh.http.message import Header
from hoosh.values import CallKind

if TYPE_CHECKING:
    from hoosh.gateway.gateway import Gateway

__all__ = ["infer"]

READERS = {
    CallKind.CHAT: read_chat,
    CallKind.COMPLETION: read_completion,
    CallKind.EMBEDDING: read_embedding,
}
RELAYED = frozenset({b"traceparent", b"tracestate", b"openai-beta"})
"""Client headers that go on to the upstream; nothing else does."""


async def infer(gateway: Gateway, exchange: Exchange, account: Account) -> None:
    """Answer one inference request.  Raises HooshError; cancelled when the client leaves."""
    caller = gateway.authenticate(exchange.headers)
    account.caller = caller.name
    require_scope(caller, "inference")
    _check_media_type(exchange)
    body = await exchange.body(gateway.snapshot.config.server.max_body_bytes)
    call = READERS[account.kind](body)
    account.call = call
    may_use(caller, call.model)
    provider = call.provider or exchange.headers.text(b"x-hoosh-provider")
    candidates = await gateway.candidates(call.model, provider)
    async with Dispatch(candidates, call, gateway.fleet, account, _relayed_headers(exchange, account)) as reply:
        headers = _answer_headers(account)
        if call.stream:
            await relay_stream(exchange, reply, call, account, headers, gateway.silence)
        else:
            await relay_whole(exchange, reply, account, headers)


def _check_media_type(exchange: Exchange) -> None:
    """JSON must call itself JSON.

    Browsers send cross-site requests of other types without asking first: a page must not be able to spend the keys
    of a gateway on its reader's loopback.
    """
    kind = exchange.headers.get(b"content-type") or b""
    if not kind.lower().startswith(b"application/json"):
        raise UnsupportedMedia("The request body must be JSON, with `content-type: application/json`.")


def _relayed_headers(exchange: Exchange, account: Account) -> list[Header]:
    relayed = [header for header in exchange.headers.raw if header[0] in RELAYED]
    relayed.append((b"x-request-id", account.request_id.encode()))
    return relayed


def _answer_headers(account: Account) -> list[Header]:
    return [
        (b"x-request-id", account.request_id.encode()),
        (b"x-hoosh-provider", (account.provider or "").encode()),
        (b"x-hoosh-model", _header_text(account.model or "")),
        (b"x-hoosh-cache", b"bypass"),
        (b"x-hoosh-attempts", b"%d" % account.attempts),
    ]


def _header_text(text: str) -> bytes:
    """`text` as a header value: visible ASCII, the rest as `?` (RFC 9110, section 5.5)."""
    return text.encode("ascii", "replace") if text.isprintable() else b"?"
