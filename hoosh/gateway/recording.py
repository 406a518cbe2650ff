"""An exchange whose client is a flight: what is sent to it comes to everybody aboard.

It has the request of the flight's first member, whose client may be gone long before it ends; so it holds on to
nothing of the connection, has no nursery, and no body left to read.
"""

from __future__ import annotations

import trio

from hoosh.cache import Flight, Head
from hoosh.gateway.account import Account
from hoosh.http.exchange import Exchange
from hoosh.http.message import Header, HeaderList

__all__ = ["RecordingExchange"]

BELONG_TO_THE_ANSWER = frozenset({b"content-type", b"cache-control", b"x-accel-buffering"})
"""Every other header is about the request, and each member has its own."""


class RecordingExchange:
    """An `Exchange`.  `flight` must be set before anything is sent."""

    flight: Flight[Account]
    nursery: trio.Nursery

    def __init__(self, exchange: Exchange, comment: bytes) -> None:
        """`comment` is what fills a silence: it is passed on, and not part of the answer."""
        self.method = exchange.method
        self.path = exchange.path
        self.query = exchange.query
        self.headers = exchange.headers
        self.version = exchange.version
        self.peer = exchange.peer
        self.scheme = exchange.scheme
        self.arrived_at = exchange.arrived_at
        self.started = False
        self._comment = comment

    def body_without_comments(self) -> bytes:
        """The whole answer; empty where it is not whole, or some of it is gone."""
        comment = self._comment
        return b"".join([block for block in self.flight.kept_blocks() if block != comment])

    async def body(self, max_bytes: int) -> bytes:
        raise RuntimeError("the request has been read")

    async def receive(self) -> bytes:
        raise RuntimeError("the request has been read")

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        self._begin(status, headers, is_stream=False)
        self.flight.finish(body)

    async def start(self, status: int, headers: HeaderList) -> None:
        self._begin(status, headers, is_stream=True)

    async def send(self, chunk: bytes) -> None:
        await self.flight.bring(chunk)

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        if broken:
            raise RuntimeError("a broken answer is told by raising: each member's client gets its own error")
        self.flight.finish(final)

    def _begin(self, status: int, headers: HeaderList, *, is_stream: bool) -> None:
        if self.started:
            raise RuntimeError("the response has begun already")
        self.started = True
        kept: list[Header] = [header for header in headers if header[0] in BELONG_TO_THE_ANSWER]
        self.flight.begin(Head(status, kept, is_stream))
