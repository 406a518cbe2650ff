"""One attempt at one upstream: an open reply, and the end of the exchange behind it when the block is left.

    async with OpenReply(target, upstream, way, account) as reply: ...

What went wrong with a connection becomes the upstream's error here, with its name, so that no one above has to know
sockets.  Whom to ask, and whether to ask again, is `journey.py`'s business.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Protocol

import trio
from msgspec.structs import replace

from hoosh.dialects.contract import Outgoing, Passage, UpstreamDialect
from hoosh.errors import (
    ConnectFailed,
    HooshError,
    TransportError,
    TransportTimeout,
    UpstreamBroke,
    UpstreamError,
    UpstreamTimeout,
)
from hoosh.gateway.account import Account
from hoosh.gateway.fleet import Attempt, Upstream
from hoosh.gateway.rescue import Rescue
from hoosh.http.message import Response
from hoosh.observe.context import TRACEPARENT, TRACESTATE
from hoosh.observe.traces import Trace, Tried
from hoosh.values import Target

__all__ = ["CONNECT_FAILED", "TRACING", "OpenReply", "Reply", "Travels", "ended_early", "too_late"]

TRACING = frozenset({TRACEPARENT, TRACESTATE})
"""Client headers that go on to every upstream; where requests are traced, the attempt's own take their place."""
ERROR_BODY_BYTES = 256 * 1024
CONNECT_FAILED = "connect_failed"
"""The `code` of an upstream that could not be reached at all."""


class Travels(Protocol):
    """How what is asked gets to an upstream and back; see `way.py`."""

    async def to(self, upstream: Upstream, model: str) -> tuple[Passage, Outgoing]:
        """Raises InvalidRequest for what cannot be asked there."""
        ...

    rescue: Rescue | None

    def has_another(self, upstream: Upstream, passage: Passage, error: UpstreamError) -> bool:
        """Can the same upstream be asked again, in other words, after it answered `error`?"""
        ...


class Reply:
    """An open reply: whose it is, how to read it, and its bytes."""

    __slots__ = ("content_by", "dialect", "is_spare", "passage", "provider", "response")

    def __init__(self, provider: str, dialect: UpstreamDialect, passage: Passage, response: Response) -> None:
        self.provider = provider
        self.dialect = dialect
        self.passage = passage
        self.response = response
        self.content_by = math.inf
        """When the first content must be there; see `OpenReply.content_by`."""
        self.is_spare = False
        """Where it breaks off, somebody may be asked to go on with it."""

    @property
    def is_whole(self) -> bool:
        """One body, though a stream may have been asked for."""
        return (self.response.headers.get(b"content-type") or b"").startswith(b"application/json")


def too_late(provider: str) -> UpstreamTimeout:
    message = f"Provider `{provider}` was too slow: nothing of its answer came in time."
    return UpstreamTimeout(message, provider=provider, phase="first_token")


def ended_early(provider: str) -> UpstreamBroke:
    return UpstreamBroke(f"Provider `{provider}` ended the stream before the reply was whole.", provider=provider)


class OpenReply:
    """A context manager, and a handle by which others end the attempt."""

    __slots__ = (
        *("_account", "_attempt", "_target", "_until_s", "_upstream", "_way"),
        *("content_by", "is_hedge", "is_sent", "tried"),
    )

    def __init__(
        self, target: Target, upstream: Upstream, way: Travels, account: Account, until_s: float | None = None
    ) -> None:
        """`until_s`: when the request's time is over; None where it has all of it."""
        self._target = target
        self._upstream = upstream
        self._way = way
        self._account = account
        self._until_s = until_s
        self._attempt: Attempt | None = None
        self.content_by = math.inf
        """When the first content must be there, on Trio's clock.  Set where somebody else could be asked."""
        self.is_sent = False
        """The upstream may be at work."""
        self.is_hedge = False
        """Another attempt runs beside it."""
        self.tried: Tried | None = None
        """Where the request is traced, and somebody was asked."""

    async def __aenter__(self) -> Reply:
        """Raises UpstreamError when there is no reply, and InvalidRequest where it cannot be asked at all."""
        upstream, account, until_s = self._upstream, self._account, self._until_s
        passage, outgoing = await self._way.to(upstream, self._target.model)
        account.go_on()
        account.attempts += 1
        if account.trace is not None:
            outgoing = self._traced(account.trace, outgoing)
        left_s = None if until_s is None else until_s - trio.current_time()
        attempt = self._attempt = upstream.attempt(outgoing, left_s)
        self.is_sent = True
        try:
            response = await (attempt.__aenter__() if self.content_by == math.inf else self._in_time(attempt))
        except TransportError as error:
            raise self._blame(error) from error
        finally:
            account.connected_at = attempt.connected_at
        if self.tried is not None:
            self.tried.status = response.status
        if response.status < 400:
            reply = Reply(upstream.name, upstream.dialect, passage, response)
            reply.content_by = self.content_by
            return reply
        refusal = await self._refusal(response)
        if account.attempts >= account.most_attempts or not self._way.has_another(upstream, passage, refusal):
            raise refusal
        if self.tried is not None:
            self.tried.over(str(response.status), trio.current_time())
        return await self.__aenter__()

    def _traced(self, trace: Trace, outgoing: Outgoing) -> Outgoing:
        """The upstream's spans are children of this attempt's, whatever the client has said."""
        tried = self.tried = trace.begin(self._upstream.name, self._target.model, trio.current_time())
        tried.is_hedge, tried.is_rescue = self.is_hedge, self._way.rescue is not None
        headers = [header for header in outgoing.headers if header[0] not in TRACING]
        return replace(outgoing, headers=[*headers, *trace.headers(tried)])

    @property
    def connected_at(self) -> float:
        """When it had its connection; minus infinity before, and where it needs none."""
        return -math.inf if self._attempt is None else self._attempt.connected_at

    async def _in_time(self, attempt: Attempt) -> Response:
        """Without a head there will be no content."""
        with trio.CancelScope(deadline=self.content_by):
            return await attempt.__aenter__()
        raise too_late(self._upstream.name)

    def interrupt(self, error: HooshError) -> None:
        """Make the attempt fail with `error`; one that has not begun looks at `account.stopped`."""
        if self._attempt is not None:
            self._attempt.interrupt(error)

    async def _refusal(self, response: Response) -> UpstreamError:
        """The upstream answered with an error: what it says.  The exchange is over then."""
        upstream = self._upstream
        retry_after = response.headers.text(b"retry-after")
        try:
            body = await response.read(ERROR_BODY_BYTES)
            error = upstream.dialect.decode_error(response.status, retry_after, body, provider=upstream.name)
            error.is_final = response.headers.text(b"x-should-retry") == "false"
        except BaseException as broken:
            await self.__aexit__(type(broken), broken, broken.__traceback__)
            raise
        await self.__aexit__(type(error), error, None)
        return error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        attempt, self._attempt = self._attempt, None
        try:
            if attempt is not None:
                await attempt.__aexit__(kind, error, traceback)
        except TransportError as broken:
            raise self._blame(broken) from broken
        if isinstance(error, TransportError):
            raise self._blame(error) from error
        return None

    def _blame(self, error: TransportError) -> UpstreamError:
        """The upstream's name on what happened to its connection."""
        name = self._upstream.name
        if isinstance(error, TransportTimeout):
            message = f"Provider `{name}` was too slow: {error}."
            return UpstreamTimeout(message, provider=name, phase=error.phase)
        code = CONNECT_FAILED if isinstance(error, ConnectFailed) else None
        return UpstreamBroke(f"Provider `{name}` failed: {error}.", provider=name, code=code)
