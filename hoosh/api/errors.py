"""Errors at the door: the one place where a fact becomes a status code and an error body.

`facts_of` weighs an error; the client's dialect shapes what it found (OpenAI's, where nobody knows the client's):

    whose fault            status                                       type
    the caller's           4xx by `STATUS`                              invalid_request_error
    our refusal            429 or 503, with retry-after                 requests | tokens | server_error
    the upstream's verdict on the request: status, code, message and type as it sent them
    the upstream itself    502, 503 (overloaded), 504 (too slow)        its own, else server_error
    a bug                  500, and not a word of it                    server_error

What an upstream says about *our* credentials or account is our trouble, not the client's: it becomes a 502 without
the upstream's words, because some vendors repeat part of the key in them.

Pure.  Sources: product.md section 4; wire/README.md section 2.1; RFC 9110, sections 10.2.3 and 15.
"""

from __future__ import annotations

import math
import re
from typing import Never

from hoosh.dialects.contract import DownstreamDialect, ErrorFacts
from hoosh.dialects.openai import OpenAIDownstream
from hoosh.dialects.registry import downstream_dialect
from hoosh.errors import (
    BodyTooLarge,
    BudgetExceeded,
    ConfigError,
    Forbidden,
    HooshError,
    InvalidRequest,
    MethodNotAllowed,
    MoneySpent,
    NoRoute,
    NoSuchEntry,
    NoSuchPath,
    NotCached,
    RateLimited,
    Refused,
    RequestTimeout,
    StorageError,
    TransportError,
    TransportTimeout,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    UpstreamError,
    UpstreamTimeout,
    Withdrawn,
)
from hoosh.http.message import Header, Headers
from hoosh.values import new_request_id, plain_code

__all__ = [
    "STATUS",
    "Answer",
    "dialect_at",
    "error_body",
    "error_event",
    "error_headers",
    "error_page",
    "error_response",
    "facts_of",
    "log_words",
    "plain_error",
    "status_of",
    "unwrap",
]

OPENAI = OpenAIDownstream()

Answer = tuple[int, list[Header], bytes]
"""Status, headers, body: ready for `Exchange.respond`."""

STATUS: dict[type[BaseException], int] = {
    InvalidRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NoRoute: 404,
    NoSuchPath: 404,
    NoSuchEntry: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    BodyTooLarge: 413,
    UnsupportedMedia: 415,
    Refused: 429,
    MoneySpent: 402,
    Unavailable: 503,
    Withdrawn: 503,
    NotCached: 504,
    UpstreamError: 502,
    UpstreamTimeout: 504,
    TransportError: 502,
    TransportTimeout: 504,
    StorageError: 503,
    ConfigError: 400,
    HooshError: 500,
    BaseException: 500,
}

ABOUT_US = frozenset({401, 402, 403, 405, 407})
"""Upstream statuses that speak of our key, account or configuration, not of the client's request."""
ABOUT_OUR_KEY = re.compile(
    r"(?:incorrect|invalid|expired|revoked) api[ _-]?key|api[ _-]?key (?:is |was |has )?(?:been )?"
    r"(?:not valid|invalid|incorrect|expired|revoked)",
    re.IGNORECASE,
)
"""In a message of whatever status: xAI says it with 400."""
POLICY_CODES = frozenset({"content_policy_violation", "content_filter", "moderation_flagged"})
"""A verdict on the request whatever its status: some vendors send it as 403."""
UPSTREAM_STATUS = {408: 504, 429: 429, 503: 503, 504: 504, 529: 503}
"""Upstream statuses that are neither relayed as they are nor a plain 502.  529 is Anthropic's "overloaded"."""
PLAIN_CODES = {
    400: "bad_request",
    404: "unknown_url",
    408: "request_timeout",
    413: "request_too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    429: "rate_limit_exceeded",
    431: "headers_too_large",
    503: "service_unavailable",
}
RETRY_AFTER_MAX_S = 24 * 3600.0
RETRIED_WITHIN_S = 60.0
"""A longer `retry-after` is not waited for by the vendors' SDKs."""


def status_of(error: BaseException) -> int:
    """The nearest ancestor listed in STATUS wins; an upstream's verdict on the request keeps its own."""
    if isinstance(error, UpstreamError) and error.status is not None:
        return _upstream_status(error, error.status)
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def facts_of(error: BaseException, request_id: str = "") -> ErrorFacts:
    """What a client may be told of `error`: safe to show."""
    status = status_of(error)
    message, param, code = _words(error)
    return ErrorFacts(status, message, _type_of(error, status), param, code, request_id)


def error_body(error: BaseException, dialect: DownstreamDialect = OPENAI) -> bytes:
    """The JSON error body: one line, and safe to show."""
    return dialect.error_body(facts_of(error))


def error_headers(error: BaseException) -> list[Header]:
    """The headers that belong to this error, beside those that every answer has."""
    headers: list[Header] = []
    wait_s = getattr(error, "retry_after_s", None)
    if wait_s is not None:
        # Rounded up: a client that waits exactly so long must not be too early.
        headers.append((b"retry-after", b"%d" % math.ceil(min(max(wait_s, 0.0), RETRY_AFTER_MAX_S))))
    is_vain = isinstance(error, BudgetExceeded) and (wait_s is None or wait_s > RETRIED_WITHIN_S)
    is_final = isinstance(error, UpstreamError) and error.is_final
    if is_vain or is_final or isinstance(error, NotCached | Withdrawn):
        # OpenAI's and Anthropic's SDKs would ask twice more, and wait in vain between; they know this header.
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode("latin-1", "replace")))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def error_response(error: BaseException, request_id: str, dialect: DownstreamDialect = OPENAI) -> Answer:
    """The whole answer to a request that failed before any part of a reply had gone out."""
    facts = facts_of(error, request_id)
    headers = [*_head(request_id), *error_headers(error)]
    return dialect.error_status(facts), headers, dialect.error_body(facts)


def error_event(error: BaseException, request_id: str = "", dialect: DownstreamDialect = OPENAI) -> bytes:
    """The error as an event of a stream, for a reply that fails on its way.  No terminator follows it."""
    return dialect.error_event(facts_of(error, request_id))


def log_words(error: BaseException) -> tuple[str, str]:
    """Code and message for the log: those the client is told, an upstream's status besides; of a bug its type."""
    if not isinstance(error, HooshError):
        return type(error).__name__, type(error).__name__
    message, _, code = _words(error)
    if type(error) is UpstreamError and code != "upstream_refused":  # others of its kind are worded by us
        message, code = f"Provider `{error.provider}` answered with an error.", plain_code(code)
    if isinstance(error, UpstreamError) and error.status is not None:
        message = f"{message} (upstream status {error.status})"
    return code or type(error).__name__, message


def plain_error(status: int, message: str, request_id: str, dialect: DownstreamDialect = OPENAI) -> Answer:
    """An answer for what never became a request or has no error type: protocol errors, a full house."""
    facts = ErrorFacts(status, message, _default_type(status), None, PLAIN_CODES.get(status), request_id)
    return status, _head(request_id), dialect.error_body(facts)


def error_page(status: int, message: str, path: str = "") -> tuple[list[Header], bytes]:
    """`plain_error` with an id of its own, as the HTTP server asks for it; `path` as far as it is known."""
    _, headers, body = plain_error(status, message, new_request_id(), dialect_at(path))
    if status == 405:  # of a method that no path has (RFC 9110, section 15.5.6)
        headers.append((b"allow", b"DELETE, GET, HEAD, OPTIONS, POST"))
    return headers, body


def dialect_at(path: str, headers: Headers | None = None) -> DownstreamDialect:
    """In which language whoever asks at `path` is told of an error, where no dialect has been chosen yet."""
    if path.startswith("/api/"):
        return downstream_dialect("ollama", _no_responses)
    if path.startswith("/v1/messages") or (headers is not None and headers.get(b"anthropic-version") is not None):
        return downstream_dialect("anthropic", _no_responses)
    return OPENAI


def _no_responses() -> Never:
    raise RuntimeError("errors are told without kept responses")


def unwrap(error: BaseException) -> BaseException:
    """The one error that a group stands for.  A bug comes before what we raise on purpose: it must be loud.

    Give it groups without `Cancelled`.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [unwrap(leaf) for leaf in error.exceptions]
    return next((leaf for leaf in leaves if not isinstance(leaf, HooshError)), leaves[0])


def _upstream_status(error: UpstreamError, status: int) -> int:
    if status in UPSTREAM_STATUS:
        return UPSTREAM_STATUS[status]
    return status if 400 <= status < 500 and not _is_about_us(error) else 502


def _is_about_us(error: UpstreamError) -> bool:
    if error.status in ABOUT_US:
        return error.code not in POLICY_CODES
    return ABOUT_OUR_KEY.search(str(error)) is not None


def _words(error: BaseException) -> tuple[str, str | None, str | None]:
    """Message, param and code as far as they may be shown."""
    match error:
        case UpstreamError() if _is_about_us(error):
            return f"Provider `{error.provider}` did not accept the gateway's request.", None, "upstream_refused"
        case TransportTimeout():
            return "The upstream took too long.", None, "upstream_timeout"
        case TransportError():  # its text may name an address
            return "The connection to the upstream failed.", None, "upstream_error"
        case HooshError():
            return str(error), getattr(error, "param", None), error.code
        case _:
            return "internal error", None, "internal_error"


def _type_of(error: BaseException, status: int) -> str:
    if isinstance(error, UpstreamError) and error.kind and not _is_about_us(error):
        return error.kind
    if isinstance(error, Refused) and error.code == "budget_exceeded":
        return "tokens"
    if isinstance(error, RateLimited) and error.what == "tokens":
        return "tokens"
    return _default_type(status)


def _default_type(status: int) -> str:
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"


def _head(request_id: str) -> list[Header]:
    return [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode("latin-1", "replace"))]
