"""The account of one request: facts gathered on its way, one `Record` written last, however it ends.

    opened ──(caller, call, target, attempt, first token, usage …)──▶ closed, exactly once

It is also the handle by which others reach a request that is running: `interrupt` ends its upstream exchange with a
given error, which the request then tells its client.  That is how a draining house says goodbye.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import trio

from hoosh.admission import Pass
from hoosh.dialects.contract import DownstreamDialect, Stamp, StreamTap
from hoosh.errors import HooshError
from hoosh.gateway.bill import Bill
from hoosh.gateway.no_bill import NO_BILL, NoBill
from hoosh.gateway.wishes import NO_WISHES
from hoosh.gateway.witness import Witness
from hoosh.http.exchange import Exchange
from hoosh.http.message import Header
from hoosh.observe.traces import Trace
from hoosh.values import (
    DEFAULT_POOL,
    AttemptRecord,
    Call,
    Caller,
    CallKind,
    Outcome,
    Priority,
    Record,
    Target,
    Usage,
    new_request_id,
)

if TYPE_CHECKING:
    from hoosh.gateway.fleet import Upstream

__all__ = ["Account", "Interruptible", "Phase"]

NEVER = -math.inf
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left; only in logs and metrics, nobody is there to read it."""
NO_UPSTREAMS: Mapping[str, Upstream] = {}


Phase = Literal["reading", "queued", "asking", "waiting", "streaming"]
"""What a request is about: its own body, its turn, an upstream, the time to ask again, the answer."""


class Interruptible(Protocol):
    """Something a request is waiting for, which can be made to fail with a given error."""

    def interrupt(self, error: HooshError) -> None: ...


class Account:
    """Mutable while the request runs; only its own task writes to it.

    What most requests leave as it is stands in the class, so that it need not be set for each.
    """

    caller: Caller | None = None
    call: Call | None = None
    provider: str | None = None
    model: str | None = None
    """As the upstream is asked."""
    upstreams: Mapping[str, Upstream] = NO_UPSTREAMS
    """Those that were there when it was decided who may answer: by their names, and the request's to the end."""
    attempt: Interruptible | None = None
    """What it waits for now, that others can end."""
    attempts = 0
    """That an upstream has heard of."""
    most_attempts = sys.maxsize
    tried: Sequence[AttemptRecord] = ()
    """Those that did not answer."""
    wishes = NO_WISHES
    named_provider: str | None = None
    """That alone is to be asked."""
    phase: Phase = "reading"
    priority: Priority = "normal"
    deadline_at = math.inf
    """Its own, or the house's, on Trio's clock."""
    waited_s = 0.0
    """For its turn."""
    is_rescued = False
    """Another upstream has gone on with its stream."""
    stopped: HooshError | None = None
    """It is to end with this; no further attempt is begun."""
    asked_at: float | None = None
    """When its first attempt began, on Trio's clock as all of these."""
    begun_at = NEVER
    """When its last one did."""
    connected_at = NEVER
    """When that had its connection."""
    over_at = NEVER
    """When that was over."""
    first_token_at: float | None = None
    has_told = False
    """Part of an answer has gone out: from here on another cannot take its place."""
    pool = DEFAULT_POOL
    """The budget that pays."""
    body_bytes = 0
    """Of the request."""
    prompt_tokens: int | None = None
    """Our guess, once somebody has needed it."""
    sound_ms = 0
    """Of a recording that is to be written down: as its header says, else a guess by its size."""
    characters = 0
    """Of a text that is to be spoken."""
    bill: Bill | NoBill = NO_BILL
    entry: Pass | None = None
    """Its place among the requests of its key and model, where these are limited."""
    rate_headers: Sequence[Header] = ()
    """What its key still may ask for."""
    usage: Usage | None = None
    is_estimated = False
    """`usage` is ours: the upstream has not counted."""
    tap: StreamTap | None = None
    """Of a streamed reply: it knows what has gone by, also when nobody comes to say so."""
    witness: Witness | None = None
    """Where there is an audit trail."""
    trace: Trace | None = None
    """Where requests are traced."""
    sent_bytes = 0
    cache = "bypass"
    """What the header `x-hoosh-cache` says."""
    payer: Account | None = None
    """Who asks the upstream, and pays for it, where the answer comes from a flight (`caching.py`)."""
    is_keepable = True
    """False: the answer is not what the upstream would have given, so that nobody else may get it."""
    status = CLIENT_CLOSED_REQUEST
    outcome = Outcome.CLIENT_LEFT
    """Until something better is known: whoever is cancelled has no time to say so."""
    error_code: str | None = None
    error_message: str | None = None
    ended_at = 0.0

    def __init__(self, exchange: Exchange, kind: CallKind, downstream: DownstreamDialect) -> None:
        self.exchange = exchange
        self.kind = kind
        self.downstream = downstream
        """The client's language."""
        self.request_id = new_request_id()
        self.started_at = trio.current_time()
        self.started_wall = time.time()

    def stamp(self) -> Stamp:
        """What the answer will say of itself."""
        model = self.model or ""
        cost_of = self.bill.cost_of(self.provider or "", model)
        return Stamp(self.request_id.removeprefix("req_"), model, int(self.started_wall), cost_of)

    @property
    def said_usage(self) -> Usage | None:
        """As the upstream has counted, as far as it has."""
        return self.usage if self.tap is None else self.tap.usage or self.usage

    def interrupt(self, error: HooshError) -> None:
        """Make it end with `error`, which the client is told: whatever it waits for now, and before anything else."""
        self.stopped = error
        if self.attempt is not None:
            self.attempt.interrupt(error)

    def go_on(self) -> None:
        """Raises what it is to end with, where somebody has said so while it waited for nothing they could end."""
        if self.stopped is not None:
            raise self.stopped

    def turn_away(self) -> None:
        """Nobody is asked: that must not use up the limits of its key and its model."""
        if self.entry is not None:
            self.entry.undo(trio.current_time())

    def turn_to(self, target: Target) -> None:
        """That one is asked now; what another has said counts no more."""
        self.provider, self.model = target.provider, target.model
        self.phase = "asking"
        if self.attempts:
            self.usage, self.tap, self.is_estimated = None, None, False

    def received(self, body: bytes) -> None:
        """The whole request is there."""
        self.body_bytes = len(body)
        if self.witness is not None:
            self.witness.asked = body

    def received_in_pieces(self, size: int, sha256: str | None) -> None:
        """The whole request is there, and is not held."""
        self.body_bytes = size
        if self.witness is not None:
            self.witness.asked_sha256 = sha256

    def sending(self, block: bytes) -> None:
        """Part of the answer is about to go."""
        self.sent_bytes += len(block)
        if self.witness is not None:
            self.witness.told(block)

    def answered(self, status: int) -> None:
        """The whole answer has been handed over: what comes after that, from the upstream, is no part of it."""
        self.status = status
        self.outcome = Outcome.OK if status < 400 else Outcome.ERROR
        self.bill.settle(self.outcome)

    def failed(self, status: int, code: str, message: str, *, cut: bool) -> None:
        """The request ends with an error; `cut` says that part of a reply had gone out before.

        `code` and `message` will be in the log: an error's own text is not fit for it, since an upstream's may
        repeat the key it was sent.
        """
        self.status = status
        self.outcome = Outcome.CUT if cut else Outcome.ERROR
        self.error_code, self.error_message = code, message

    def record(self) -> Record:
        """What there is to say about the request, which has ended."""
        exchange, call, caller = self.exchange, self.call, self.caller
        first, tap, settled = self.first_token_at, self.tap, self.bill.settlement
        return Record(
            request_id=self.request_id,
            method=exchange.method,
            path=exchange.path,
            http_version=exchange.version,
            outcome=self.outcome,
            status=self.status,
            started_at=self.started_wall,
            duration_s=self.ended_at - self.started_at,
            queue_s=max(0.0, self.started_at - exchange.arrived_at) + self.waited_s,
            phases=() if self.asked_at is None else self._phases(self.asked_at),
            first_token_s=None if first is None else first - self.started_at,
            kind=self.kind.value,
            caller=None if caller is None else caller.name,
            model=None if call is None else call.model,
            served_model=self.model,
            provider=self.provider,
            stream=call is not None and call.stream,
            attempts=self.attempts,
            tried=tuple(self.tried),
            rescued=self.is_rescued,
            usage=self._usage(),
            pool=self.pool if settled is not None or self.error_code == "budget_exceeded" else None,
            charge=0 if settled is None else settled.charge,
            cost_micro_usd=None if settled is None else settled.cost_micro_usd,
            chunks=0 if tap is None else tap.chunks,
            cache=self.cache,
            sent_bytes=self.sent_bytes,
            error_code=self.error_code,
            error_message=self.error_message,
        )

    def begins(self, now_s: float) -> None:
        """An attempt does."""
        self.begun_at = now_s
        if self.asked_at is None:
            self.asked_at = now_s

    def _phases(self, asked: float) -> tuple[float, ...]:
        """See PHASES.  A rescued stream has had its content before its last attempt began."""
        begun, ended, first = self.begun_at, self.ended_at, self.first_token_at
        over = self.over_at if self.over_at >= begun else ended
        connected = self.connected_at
        if connected < begun:  # it never had one, or needs none
            connected = over if first is None else begun
        content = over if first is None else connected if first < connected else first
        return (
            asked - self.started_at - self.waited_s,
            begun - asked,
            connected - begun,
            content - connected,
            over - content,
            ended - over,
        )

    def _usage(self) -> Usage | None:
        settled = self.bill.settlement
        if settled is not None:
            return settled.usage if self.provider is not None else None
        return self.said_usage
