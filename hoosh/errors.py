"""What can go wrong, as facts.  Nothing here knows HTTP status codes or wire shapes: `api/errors.py` does.

    HooshError
    ├── InvalidRequest          the caller's fault: changing the request would help
    │   ├── BodyTooLarge  RequestTimeout  UnsupportedMedia  NoRoute  NoSuchPath  MethodNotAllowed
    │   ├── UnknownPool  NoSuchEntry  PriceUnknown
    │   └── Unauthenticated  Forbidden
    ├── Refused                 ours: the request is fine, but not now
    │   ├── Unavailable         nobody healthy to ask, or the house is closing
    │   ├── RateLimited         too many requests or tokens a minute, or too many at once
    │   ├── QueueFull           too many wait for their turn, or it has not come in time
    │   ├── Withdrawn           the owner has cancelled the request
    │   ├── Throttled           every upstream has been asked too often
    │   ├── NotCached           only a kept answer was wanted, and there is none
    │   └── BudgetExceeded      the pool cannot pay; MoneySpent where it holds money
    ├── UpstreamError           the upstream's fault, or its verdict on the request
    │   └── UpstreamBroke  UpstreamTimeout
    ├── TransportError          a connection failed; the gateway turns it into an UpstreamError
    │   └── ConnectFailed  ConnectionBroke  TransportTimeout  ResponseTooLarge  ProtocolViolation
    ├── StorageError            the store cannot be opened, read or written; says what to do
    └── ConfigError             the configuration cannot be used; lists every mistake

`str(error)` is safe to show to a client: it holds no upstream URL, no key and no stack.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BodyTooLarge",
    "BudgetExceeded",
    "ConfigError",
    "ConnectFailed",
    "ConnectionBroke",
    "Forbidden",
    "HooshError",
    "InvalidRequest",
    "MethodNotAllowed",
    "MoneySpent",
    "NoRoute",
    "NoSuchEntry",
    "NoSuchPath",
    "NotCached",
    "PriceUnknown",
    "ProtocolViolation",
    "QueueFull",
    "RateLimited",
    "Refused",
    "RequestTimeout",
    "ResponseTooLarge",
    "StorageError",
    "Throttled",
    "TransportError",
    "TransportTimeout",
    "Unauthenticated",
    "Unavailable",
    "UnknownPool",
    "UnsupportedMedia",
    "UpstreamBroke",
    "UpstreamError",
    "UpstreamTimeout",
    "Withdrawn",
]


class HooshError(Exception):
    """Base of everything hoosh raises on purpose.  `code` is a stable word for logs and error bodies."""

    code: str | None = "internal_error"


class InvalidRequest(HooshError):
    """The request cannot be served as it is.  `param` names the field at fault, in the client's dialect."""

    code = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        if code is not None:
            self.code = code


class BodyTooLarge(InvalidRequest):
    """The request body passes `limit_bytes`."""

    code = "request_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request body is larger than the {limit_bytes} bytes allowed here.")
        self.limit_bytes = limit_bytes


class RequestTimeout(InvalidRequest):
    """The client was too slow to send its request, or its own deadline has passed."""

    code = "request_timeout"


class UnsupportedMedia(InvalidRequest):
    """The body is not of a type this route reads."""

    code = "unsupported_media_type"


class NoRoute(InvalidRequest):
    """No configured provider serves `model`."""

    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"The model `{model}` does not exist or no configured provider serves it.", param="model")
        self.model = model


class NoSuchPath(InvalidRequest):
    """The gateway has nothing at this path."""

    code = "unknown_url"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"Unknown request URL: {method} {path}.")


class MethodNotAllowed(InvalidRequest):
    """The path exists, but not for this method; `allowed` are those it has."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"Method {method} is not allowed here; use {', '.join(allowed)}.")
        self.allowed = tuple(allowed)


class UnknownPool(InvalidRequest):
    """No pool of this name is configured."""

    code = "unknown_pool"

    def __init__(self, pool: str) -> None:
        super().__init__(f"There is no budget pool `{pool[:200]}`.", param="pool")
        self.pool = pool


class NoSuchEntry(InvalidRequest):
    """What the request names by an id is not there, or is somebody else's."""

    code = "not_found"


class PriceUnknown(InvalidRequest):
    """A pool of money cannot pay for a model whose price nobody knows."""

    code = "price_unknown"

    def __init__(self, model: str, pool: str) -> None:
        super().__init__(
            f"The price of the model `{model[:200]}` is not known, so the budget `{pool}` cannot pay for it; "
            "the owner of this gateway can add it to [[prices]].",
            param="model",
        )
        self.model, self.pool = model, pool


class Unauthenticated(InvalidRequest):
    """No key, or one we do not know."""

    code = "invalid_api_key"


class Forbidden(InvalidRequest):
    """A known key that may not do this."""

    code = "forbidden"


class Refused(HooshError):
    """The house says: not now.  `retry_after_s` is an honest guess, or None when waiting will not help."""

    code: str | None = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: float | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code


class Unavailable(Refused):
    """Nobody can serve this now: every upstream is down, or the gateway is shutting down."""

    code = "service_unavailable"


class QueueFull(Refused):
    """Too many wait already, or this one has waited for too long."""

    code = "queue_full"


class Withdrawn(Refused):
    """The owner has cancelled the request."""

    code = "request_cancelled"

    def __init__(self) -> None:
        super().__init__("The owner of this gateway has cancelled the request.")


class Throttled(Refused):
    """Every upstream of `model` has been asked too often, and has said when it may be asked again."""

    def __init__(self, model: str, retry_after_s: float) -> None:
        message = f"Every upstream of the model `{model[:200]}` has asked for a pause."
        super().__init__(message, retry_after_s=retry_after_s)


class RateLimited(Refused):
    """A limit a minute, or of requests at once, is reached.

    `scope` is what the limit belongs to (`key`, `provider`, `model`), `name` whose it is, `what` one of `requests`,
    `tokens`, `concurrent`.
    """

    def __init__(self, message: str, *, scope: str, name: str, what: str, retry_after_s: float | None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.scope, self.name, self.what = scope, name, what


class NotCached(Refused):
    """The client wants a kept answer or none (`only-if-cached`), and there is none."""

    code = "not_cached"

    def __init__(self) -> None:
        super().__init__("There is no kept answer to this request, and `only-if-cached` asks for no other.")


class BudgetExceeded(Refused):
    """The pool has less left than is asked for: `asked` and `free` are in its unit.

    `asked` is 0 where an answer was on its way already.
    """

    code = "budget_exceeded"

    def __init__(self, pool: str, *, asked: int, free: int, retry_after_s: float | None = None) -> None:
        dry = f"The budget `{pool}` has run dry: the answer ends here."
        super().__init__(self._words(pool, asked, free) if asked else dry, retry_after_s=retry_after_s)
        self.pool, self.asked, self.free = pool, asked, free

    def _words(self, pool: str, asked: int, free: int) -> str:
        return f"The budget `{pool}` has {free} tokens left; this request may need {asked}."


class MoneySpent(BudgetExceeded):
    """The same of a pool of money (micro-USD)."""

    def _words(self, pool: str, asked: int, free: int) -> str:
        return f"The budget `{pool}` has {free / 1e6:.6f} USD left; this request may cost {asked / 1e6:.6f} USD."


class UpstreamError(HooshError):
    """`provider` answered with an error, or could not answer.

    `status`, `code`, `kind` (the vendor's error type), `param` and the message are the upstream's own where it sent
    any.  `status` is None when it sent no answer at all.
    """

    code: str | None = "upstream_error"
    is_final = False
    """It has said that asking it again will not help (`x-should-retry: false`)."""

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str | None = None,
        kind: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        if code is not None or status is not None:  # what the upstream did not say stays unsaid
            self.code = code
        self.kind = kind
        self.param = param
        self.retry_after_s = retry_after_s


class UpstreamBroke(UpstreamError):
    """The upstream could not be reached, or its answer was cut, stalled or unreadable."""


class UpstreamTimeout(UpstreamError):
    """The upstream was too slow.  `phase` says which deadline fired: see `http/deadlines.py`."""

    def __init__(self, message: str, *, provider: str, phase: str) -> None:
        super().__init__(message, provider=provider, code="upstream_timeout")
        self.phase = phase


class TransportError(HooshError):
    """A connection failed.  `request_lost` says that the peer cannot have acted on the request, so that
    asking again is safe.
    """

    code: str | None = "transport_error"

    def __init__(self, message: str, *, request_lost: bool = False) -> None:
        super().__init__(message)
        self.request_lost = request_lost


class ConnectFailed(TransportError):
    """No connection could be made: refused, unreachable, unresolvable, or TLS did not verify."""

    def __init__(self, message: str) -> None:
        super().__init__(message, request_lost=True)


class ConnectionBroke(TransportError):
    """An established connection was closed or reset before the exchange was over."""


class TransportTimeout(TransportError):
    """A deadline fired.  `phase` is one of connect, first_byte, idle, total."""

    def __init__(self, phase: str, after_s: float) -> None:
        super().__init__(f"{phase} deadline of {after_s:g} s passed", request_lost=phase == "connect")
        self.phase = phase
        self.after_s = after_s


class ResponseTooLarge(TransportError):
    """A buffered response passes `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"response is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class ProtocolViolation(TransportError):
    """The peer sent bytes that are not the protocol it speaks."""


class StorageError(HooshError):
    """The store cannot be opened, read or written.  The text says what is wrong and what to do about it."""

    code = "storage_error"
    retry_after_s = 30.0

    @classmethod
    def unreadable(cls, what: str, error: Exception | None = None) -> StorageError:
        """`what` is there, and this version makes no sense of it; `error` says where."""
        reason = "" if error is None else f" ({error})"
        return cls(
            f"{what} cannot be read{reason}. Was it written by a newer hoosh? "
            "Then start that one; else restore the store from a backup."
        )


class ConfigError(HooshError):
    """The configuration cannot be used.  `mistakes` are whole sentences, each with file, line and key."""

    code = "config_error"

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)
