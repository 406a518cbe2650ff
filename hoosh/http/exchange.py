"""The contract between whoever answers a request and whoever carries it: HTTP/1.1, HTTP/2 or somebody's ASGI server.

The carrier runs the handler inside the request's own nursery and cancels that nursery when the client leaves
(FIN, RST, RST_STREAM, GOAWAY, a dead connection), also before the first byte of the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from hoosh.http.message import HeaderList, Headers

__all__ = ["Exchange", "Handler"]


class Exchange(Protocol):
    """One HTTP request being answered.

    Either `respond` once; or `start`, any number of `send`, and `end`.  `start` only notes the head: it travels with
    the first `send` or with `end`, so that a stream costs one system call a chunk from the first one on.
    """

    method: str
    path: str
    query: str
    headers: Headers
    version: str
    """"1.0", "1.1" or "2"."""
    peer: str
    scheme: str
    arrived_at: float
    """trio.current_time() when the request's first byte (on a fresh connection: the accept) was seen."""
    started: bool
    """A response head has been given: too late for another status."""
    nursery: trio.Nursery
    """The request's own.  Cancelled when the client leaves."""

    async def body(self, max_bytes: int) -> bytes:
        """The whole request body.  Raises BodyTooLarge; waits for the client."""
        ...

    async def receive(self) -> bytes:
        """What has come of the request body since the last call, b"" at its end.  Waits for the client.

        The client may not send far ahead of who receives: an HTTP/2 window opens by what is taken.  Whoever receives
        counts, and asks for nothing after `body`.
        """
        ...

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        """Send a whole response; adds `content-length` and `date`.  Waits for the client."""
        ...

    async def start(self, status: int, headers: HeaderList) -> None:
        """Note the head of a streamed response; adds `date`."""
        ...

    async def send(self, chunk: bytes) -> None:
        """Send part of the body.  Waits for the client: this is the back-pressure."""
        ...

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        """Send `final`, if any, and end the response, in one system call where the carrier can.

        `broken` tells the client that the body is not whole: no last chunk, or RST_STREAM.
        """
        ...


Handler = Callable[[Exchange], Awaitable[None]]
