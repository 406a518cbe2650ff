"""Candidates → one open reply.

    async with Dispatch(candidates, way, fleet, account) as reply: ...

One attempt, at the first candidate; failing over to the next before the first content byte is a loop around
`_open` (routing and health come with their own rooms).  What went wrong with a connection becomes the upstream's
error here, with its name, so that no one above has to know sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from hoosh.dialects.contract import Outgoing, Passage
from hoosh.errors import TransportError, TransportTimeout, UpstreamBroke, UpstreamError, UpstreamTimeout
from hoosh.gateway.account import Account
from hoosh.gateway.fleet import Attempt, Fleet, Upstream
from hoosh.http.message import Response
from hoosh.values import Target

__all__ = ["Dispatch", "Reply"]


class Travels(Protocol):
    """How what is asked gets to an upstream and back; see `way.py`."""

    async def to(self, upstream: Upstream, model: str) -> tuple[Passage, Outgoing]: ...

    def has_another(self, upstream: Upstream, passage: Passage, error: UpstreamError) -> bool:
        """Can the same upstream be asked again, in other words, after it answered `error`?"""
        ...


ERROR_BODY_BYTES = 256 * 1024
ABOUT_THE_REQUEST = frozenset({400, 404, 405, 408, 409, 410, 411, 413, 414, 415, 422, 424, 429})
"""Upstream statuses that say nothing about the upstream's health."""


class Reply:
    """An open reply: whose it is, how to read it, and its bytes."""

    __slots__ = ("passage", "provider", "response")

    def __init__(self, provider: str, passage: Passage, response: Response) -> None:
        self.provider = provider
        self.passage = passage
        self.response = response


class Dispatch:
    """Opens a reply, and ends the exchange behind it when the block is left.

    `way` says how the call travels to an upstream.
    """

    __slots__ = ("_account", "_attempt", "_candidates", "_fleet", "_upstream", "_way")

    def __init__(self, candidates: Sequence[Target], way: Travels, fleet: Fleet, account: Account) -> None:
        self._candidates = candidates
        self._way = way
        self._fleet = fleet
        self._account = account
        self._upstream: Upstream
        self._attempt: Attempt

    async def __aenter__(self) -> Reply:
        """Raises UpstreamError when no candidate gave a reply, whatever the reason."""
        target = self._candidates[0]
        return await self._open(target, self._fleet[target.provider])

    async def _open(self, target: Target, upstream: Upstream) -> Reply:
        account = self._account
        self._upstream = upstream
        account.provider, account.model = target.provider, target.model
        account.attempts += 1
        passage, outgoing = await self._way.to(upstream, target.model)
        account.attempt = self._attempt = attempt = upstream.attempt(outgoing)
        try:
            response = await attempt.__aenter__()
        except TransportError as error:
            raise self._blame(error) from error
        if response.status < 400:
            return Reply(target.provider, passage, response)
        refusal = await self._refusal(response)
        if not self._way.has_another(upstream, passage, refusal):
            raise refusal
        return await self._open(target, upstream)  # which may have left the fleet by now

    async def _refusal(self, response: Response) -> UpstreamError:
        """The upstream answered with an error: what it says.  The exchange is over then."""
        upstream = self._upstream
        retry_after = response.headers.text(b"retry-after")
        try:
            body = await response.read(ERROR_BODY_BYTES)
            error = upstream.dialect.decode_error(response.status, retry_after, body, provider=upstream.name)
        except BaseException as broken:
            await self.__aexit__(type(broken), broken, broken.__traceback__)
            raise
        await self.__aexit__(type(error), error, None)
        return error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._account.attempt = None
        try:
            await self._attempt.__aexit__(kind, error, traceback)
        except TransportError as broken:
            raise self._blame(broken) from broken
        if isinstance(error, TransportError):
            raise self._blame(error) from error
        if error is None:
            self._upstream.pulse.well()
        elif isinstance(error, UpstreamError):
            self._note(error)
        return None

    def _note(self, error: UpstreamError) -> None:
        if error.status in ABOUT_THE_REQUEST:
            self._upstream.pulse.well()
        else:
            self._upstream.pulse.ill(str(error))

    def _blame(self, error: TransportError) -> UpstreamError:
        """The upstream's name on what happened to its connection."""
        name = self._upstream.name
        self._upstream.pulse.ill(str(error))
        if isinstance(error, TransportTimeout):
            message = f"Provider `{name}` was too slow: {error}."
            return UpstreamTimeout(message, provider=name, phase=error.phase)
        return UpstreamBroke(f"Provider `{name}` failed: {error}.", provider=name)
