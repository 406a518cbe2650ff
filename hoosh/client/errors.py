"""The gateway's errors, on the client's side: an error body and its status become what the gateway had raised.

    hoosh.errors                 here
    NoRoute        ◀── is a ──   NoRoute(GatewayError)      status, code, type, param, request_id, retry_after_s

Each class is its namesake of `hoosh.errors` and a GatewayError: `except hoosh.errors.Refused` catches what the gateway
itself would have caught.  Of the facts that only the gateway knows (a pool's balance, a limit) the answer tells no more
than its message: they are empty here.  A verdict of the upstream on the request (`context_length_exceeded`) is told as
an InvalidRequest with the upstream's code: the answer does not say who has found the mistake.

An error inside a stream has no status of its own: it gets the one that it would have had before the stream began.
What fails on the way is a TransportError of `hoosh.errors`; a stream without its end is a StreamCut.

Source: `api/errors.py`, which says the same in the other direction; product section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hoosh import errors

__all__ = ["FAMILY", "GatewayError", "StreamCut", "error_from", "error_in_stream"]

MAX_MESSAGE_CHARS = 2_000
MAX_WORD_CHARS = 200
RETRY_AFTER_MAX_S = 24 * 3600.0


class _Facts(msgspec.Struct, frozen=True):
    message: str
    status: int
    code: str | None
    type: str | None
    param: str | None
    request_id: str
    retry_after_s: float | None
    provider: str
    may_retry: bool | None
    allowed: tuple[str, ...]


class GatewayError(errors.HooshError):
    """The gateway has answered with an error.  Alone, without a namesake, it is a failure inside the gateway (500)."""

    status: int
    type: str | None
    param: str | None
    request_id: str
    """As in the gateway's log; "" where none came."""
    retry_after_s: float | None
    may_retry: bool | None
    """What `x-should-retry` said; None where it was not said."""

    def __init__(self, facts: _Facts) -> None:
        Exception.__init__(self, facts.message)
        self.status, self.code, self.type, self.param = facts.status, facts.code, facts.type, facts.param
        self.request_id, self.retry_after_s, self.may_retry = facts.request_id, facts.retry_after_s, facts.may_retry
        self._take(facts)

    def _take(self, facts: _Facts) -> None:
        """What a class has besides."""

    def __str__(self) -> str:
        words = [f"status {self.status}", *([self.code] if self.code else [])]
        words += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.args[0]} ({', '.join(words)})"


class StreamCut(errors.ConnectionBroke):
    """A stream has ended without its terminator: what came of it is not the whole answer."""

    def __init__(self, request_id: str) -> None:
        named = f" (request {request_id})" if request_id else ""
        super().__init__(f"the stream ended before its answer was whole{named}")
        self.request_id = request_id


class InvalidRequest(GatewayError, errors.InvalidRequest):
    pass


class BodyTooLarge(InvalidRequest, errors.BodyTooLarge):
    limit_bytes = 0


class RequestTimeout(InvalidRequest, errors.RequestTimeout):
    pass


class UnsupportedMedia(InvalidRequest, errors.UnsupportedMedia):
    pass


class NoRoute(InvalidRequest, errors.NoRoute):
    pass


class NoSuchPath(InvalidRequest, errors.NoSuchPath):
    pass


class MethodNotAllowed(InvalidRequest, errors.MethodNotAllowed):
    def _take(self, facts: _Facts) -> None:
        self.allowed = facts.allowed


class UnknownPool(InvalidRequest, errors.UnknownPool):
    pool = ""


class NoSuchEntry(InvalidRequest, errors.NoSuchEntry):
    pass


class PriceUnknown(InvalidRequest, errors.PriceUnknown):
    model = pool = ""


class Unauthenticated(InvalidRequest, errors.Unauthenticated):
    pass


class Forbidden(InvalidRequest, errors.Forbidden):
    pass


class ConfigError(GatewayError, errors.ConfigError):
    def _take(self, facts: _Facts) -> None:
        self.mistakes = tuple(facts.message.splitlines())


class Refused(GatewayError, errors.Refused):
    pass


class Unavailable(Refused, errors.Unavailable):
    pass


class QueueFull(Refused, errors.QueueFull):
    pass


class Withdrawn(Refused, errors.Withdrawn):
    pass


class RateLimited(Refused, errors.RateLimited):
    """Also where every upstream wants a pause (`Throttled`): the answer does not tell them apart."""

    scope = name = what = ""


class NotCached(Refused, errors.NotCached):
    pass


class BudgetExceeded(Refused, errors.BudgetExceeded):
    pool = ""
    asked = free = 0


class MoneySpent(BudgetExceeded, errors.MoneySpent):
    pass


class UpstreamError(GatewayError, errors.UpstreamError):
    """`provider` is "" where the answer does not name it."""

    status: int

    def _take(self, facts: _Facts) -> None:
        self.provider, self.kind = facts.provider, facts.type


class UpstreamTimeout(UpstreamError, errors.UpstreamTimeout):
    phase = ""


class StorageError(GatewayError, errors.StorageError):  # type: ignore[misc]  # there every one has its 30 s
    pass


FAMILY: dict[tuple[int, str | None], type[GatewayError]] = {
    (400, "unknown_pool"): UnknownPool,
    (400, "price_unknown"): PriceUnknown,
    (400, "config_error"): ConfigError,
    (400, None): InvalidRequest,
    (401, None): Unauthenticated,
    (402, None): MoneySpent,
    (403, None): Forbidden,
    (404, "model_not_found"): NoRoute,
    (404, "unknown_url"): NoSuchPath,
    (404, None): NoSuchEntry,
    (405, None): MethodNotAllowed,
    (408, None): RequestTimeout,
    (413, None): BodyTooLarge,
    (415, None): UnsupportedMedia,
    (429, "budget_exceeded"): BudgetExceeded,
    (429, "queue_full"): QueueFull,
    (429, "rate_limit_exceeded"): RateLimited,
    (429, None): Refused,
    (500, None): GatewayError,
    (502, None): UpstreamError,
    (503, "request_cancelled"): Withdrawn,
    (503, "storage_error"): StorageError,
    (503, None): Unavailable,
    (504, "not_cached"): NotCached,
    (504, None): UpstreamTimeout,
}
"""By status and code; None is every other code of that status."""
STATUS_OF_CODE = {code: status for status, code in FAMILY if code is not None} | {
    "internal_error": 500,
    "upstream_error": 502,
    "service_unavailable": 503,
    "upstream_timeout": 504,
    "request_timeout": 408,
}
"""For an error inside a stream."""


def error_from(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """The error that an answer with a bad status stands for, whoever has written it (a proxy, too)."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    return _error(status, headers, _error_object(told))


def error_in_stream(told: Any, headers: Mapping[str, str]) -> GatewayError | None:
    """The error that an event of a stream, decoded, stands for; None where it is none."""
    if not isinstance(told, dict) or told.get("error") is None:
        return None
    said = _error_object(told)
    code, kind = said.get("code"), said.get("type")
    status = STATUS_OF_CODE.get(code) if isinstance(code, str) else None
    if status is None:
        status = 400 if kind == "invalid_request_error" else 429 if kind in ("tokens", "requests") else 502
    return _error(status, {name: value for name, value in headers.items() if name in OF_THE_STREAM}, said)


OF_THE_STREAM = frozenset({"x-request-id", "x-hoosh-provider"})


def _error(status: int, headers: Mapping[str, str], said: Mapping[str, Any]) -> GatewayError:
    code = _word(said.get("code"))
    kind = FAMILY.get((status, code)) or FAMILY.get((status, None)) or _kind_of(status)
    message = str(said.get("message") or f"The gateway answered with status {status}.")
    should_retry = headers.get("x-should-retry", "").strip().lower()
    return kind(
        _Facts(
            message[:MAX_MESSAGE_CHARS],
            status,
            code,
            _word(said.get("type")),
            _word(said.get("param")),
            headers.get("x-request-id", "")[:MAX_WORD_CHARS],
            _seconds(headers.get("retry-after")),
            headers.get("x-hoosh-provider", "")[:MAX_WORD_CHARS],
            {"true": True, "false": False}.get(should_retry),
            tuple(word.strip() for word in headers.get("allow", "")[:MAX_WORD_CHARS].split(",") if word.strip()),
        )
    )


def _kind_of(status: int) -> type[GatewayError]:
    return InvalidRequest if status < 500 else UpstreamError if status in (520, 529) else GatewayError


def _error_object(told: Any) -> Mapping[str, Any]:
    """OpenAI's error object; Ollama's is plain text."""
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else {}


def _word(value: Any) -> str | None:
    return value[:MAX_WORD_CHARS] if isinstance(value, str) else str(value) if isinstance(value, int) else None


def _seconds(text: str | None) -> float | None:
    """Seconds of `retry-after`; the gateway sends no dates, and of a proxy's clock nobody knows whether it is right."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return min(float(text), RETRY_AFTER_MAX_S)
