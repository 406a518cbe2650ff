"""An Exchange in memory: hand it to a handler, and read off what the client would have got."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from hoosh.errors import BodyTooLarge
from hoosh.http.exchange import Handler
from hoosh.http.message import HeaderList, Headers

__all__ = ["MemoryExchange"]

PIECE_BYTES = 16 * 1024
"""Of a body that is received: as much as a socket gives at once."""


class MemoryExchange:
    """One request, and the response to it as it grows.

    Stricter than a carrier: answering twice, or out of order, raises.
    """

    nursery: trio.Nursery

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        query: str = "",
        headers: HeaderList = (),
        body: bytes = b"",
        version: str = "1.1",
        peer: str = "127.0.0.1",
        scheme: str = "http",
    ) -> None:
        self.method, self.path, self.query, self.version = method, path, query, version
        self.headers = Headers(headers)
        self.peer, self.scheme = peer, scheme
        self.arrived_at = trio.current_time()
        self.started = False
        self.status: int | None = None
        self.response_headers: HeaderList = ()
        self.pieces: list[bytes] = []
        self.is_whole = False
        self.is_broken = False
        self.client_left = False
        self._body = body

    async def run(self, handler: Handler) -> None:
        """Let `handler` answer, as a carrier does: in a nursery that `leave` cancels."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await handler(self)
            nursery.cancel_scope.cancel(reason="request answered")

    def leave(self) -> None:
        """The client goes away."""
        self.client_left = True
        self.nursery.cancel_scope.cancel(reason="client left")

    # -- what the client got -----------------------------------------------------------------------------------------

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)

    def json(self) -> Any:
        return msgspec.json.decode(self.content)

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.response_headers if key.lower() == name.encode()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0].decode("latin-1") if values else None

    # -- Exchange ----------------------------------------------------------------------------------------------------

    async def body(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if len(self._body) > max_bytes:
            raise BodyTooLarge(max_bytes)
        return self._body

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        piece, self._body = self._body[:PIECE_BYTES], self._body[PIECE_BYTES:]
        return piece

    async def respond(self, status: int, headers: HeaderList, body: bytes) -> None:
        assert not any(name == b"content-length" for name, _ in headers), "the carrier adds content-length"
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(b"" if self.method == "HEAD" else body)

    async def start(self, status: int, headers: HeaderList) -> None:
        assert not self.started, "a second response"
        self.started, self.status, self.response_headers = True, status, tuple(headers)

    async def send(self, chunk: bytes) -> None:
        assert self.started, "a body without a head"
        assert not self.is_whole, "a body after the end"
        assert not self.is_broken, "a body after the end"
        await trio.lowlevel.checkpoint()
        self.pieces.append(chunk)

    async def end(self, final: bytes = b"", *, broken: bool = False) -> None:
        await self.send(final)
        self.is_whole, self.is_broken = not broken, broken
