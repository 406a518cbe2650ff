"""The headers of an answer: whose request it is, who has answered, and what its key still may ask for."""

from __future__ import annotations

from hoosh.dialects.contract import DownstreamDialect
from hoosh.gateway.account import Account
from hoosh.gateway.wishes import DETAIL_HEADER, attempts_header
from hoosh.http.message import Header
from hoosh.values import AttemptRecord

__all__ = ["answer_headers", "attempts_header_of", "stream_headers"]


def answer_headers(account: Account) -> list[Header]:
    request_id = account.request_id.encode()
    headers = [
        (b"x-request-id", request_id),
        (b"x-hoosh-provider", (account.provider or "").encode()),
        (b"x-hoosh-model", _header_text(account.model or "")),
        (b"x-hoosh-cache", account.cache.encode()),
        (b"x-hoosh-attempts", b"%d" % account.attempts),
    ]
    if account.wishes.wants_attempts:
        headers.append(attempts_header_of(account))
    if account.rate_headers:
        headers += account.rate_headers
    if account.downstream.id_headers:
        headers += [(name, request_id) for name in account.downstream.id_headers]
    return headers


def attempts_header_of(account: Account) -> Header:
    """Each attempt up to now, for whoever has asked for it."""
    tried = account.tried
    if account.has_told and account.provider is not None:
        tried = (*tried, AttemptRecord(account.provider, account.model or "", 0.0))
    return DETAIL_HEADER, attempts_header(tried)


def stream_headers(dialect: DownstreamDialect) -> list[Header]:
    return [(b"content-type", dialect.stream_type), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


def _header_text(text: str) -> bytes:
    """`text` as a header value: visible ASCII, the rest as `?` (RFC 9110, section 5.5)."""
    return text.encode("ascii", "replace") if text.isprintable() else b"?"
