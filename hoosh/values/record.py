"""The one account of a finished request: log line, metrics and audit read this."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from hoosh.values.attempt import AttemptRecord
from hoosh.values.usage import Usage

__all__ = ["PHASES", "Outcome", "Record"]

PHASES = ("route", "retry", "connect", "ttft", "relay", "settle")
"""Where the time of a request goes that asks an upstream, once it has had its turn: until the first attempt, until the
last one, until that has its connection, its first content, its end, and until everything is settled."""


class Outcome(StrEnum):
    """How a request ended; each request has exactly one."""

    OK = "ok"
    """Answered in full."""
    ERROR = "error"
    """Answered with an error, before any part of a reply."""
    CUT = "cut"
    """Failed after part of the reply had gone out; the client was told."""
    CLIENT_LEFT = "client_left"
    """The client closed or reset first (status 499 in logs and metrics)."""


class Record(Struct, frozen=True, gc=False):
    """Facts about one request.  Durations in seconds; `started_at` is Unix time."""

    request_id: str
    method: str
    path: str
    http_version: str
    outcome: Outcome
    status: int
    started_at: float
    duration_s: float
    queue_s: float = 0.0
    """From the accept (or the first byte, on a kept connection) to the handler's start, and the wait for a turn."""
    phases: tuple[float, ...] = ()
    """Seconds, in the order of PHASES; empty where no upstream was asked.  With the turn waited for they add up to
    `duration_s`."""
    first_token_s: float | None = None
    kind: str | None = None
    caller: str | None = None
    model: str | None = None
    """As the client asked."""
    served_model: str | None = None
    """As the upstream was asked."""
    provider: str | None = None
    stream: bool = False
    attempts: int = 0
    tried: tuple[AttemptRecord, ...] = ()
    """The attempts that did not answer, and why, in their order."""
    rescued: bool = False
    """The answer broke off within, and another attempt went on with it."""
    usage: Usage | None = None
    pool: str | None = None
    charge: int = 0
    """What the pool has paid, in its unit."""
    cost_micro_usd: int | None = None
    cache: str = "bypass"
    """As the header `x-hoosh-cache` said."""
    chunks: int = 0
    sent_bytes: int = 0
    error_code: str | None = None
    error_message: str | None = None
