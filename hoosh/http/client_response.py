"""What the responses of both HTTP versions share: reading a whole body, and undoing a content coding.

We ask upstreams for `accept-encoding: identity`.  Some compress all the same; then `decoded` wraps the response, and
the path of the others stays free of it.  Decompression is bounded at every step: a small bomb gives at most
PIECE_BYTES at a time, and whoever takes the pieces counts them.

Source: RFC 9110, section 8.4.1 (gzip, deflate); RFC 1950 to 1952.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from hoosh.errors import ConnectionBroke, HooshError, ProtocolViolation, ResponseTooLarge
from hoosh.http.message import Headers, HttpRequest, Response

__all__ = ["MAX_HEADERS", "MAX_HEAD_BYTES", "DecodedResponse", "OpenResponse", "decoded", "read_body"]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200

PIECE_BYTES = 256 * 1024

_GZIP = 16 + zlib.MAX_WBITS
_CODED = (b"content-encoding", b"content-length")
"""Headers that no longer hold once the coding is undone."""


class OpenResponse(Response, Protocol):
    """A response as the pool handles it: opened once, left once."""

    @property
    def stale(self) -> bool:
        """The connection was used before and has brought nothing since our request went out: it may have been dead."""
        ...

    async def open(self, request: HttpRequest) -> None:
        """Send the request and wait for the response head.  Raises TransportError."""
        ...

    def interrupt(self, error: HooshError) -> None:
        """End the exchange on the connection now; whoever waits or will wait for the response gets `error`."""
        ...

    def leave(self) -> None:
        """Give the connection back, or end the exchange on it.  Never waits."""
        ...


async def read_body(response: Response, max_bytes: int) -> bytes:
    """The rest of the body.  Raises ResponseTooLarge once it passes `max_bytes`."""
    body = await response.receive()
    if response.ended and len(body) <= max_bytes:
        return body
    pieces = [body]
    size = len(body)
    while body:
        if size > max_bytes:
            raise ResponseTooLarge(max_bytes)
        body = await response.receive()
        pieces.append(body)
        size += len(body)
    return b"".join(pieces)


def decoded(response: Response) -> Response:
    """`response` itself, or what undoes its content coding.  Raises ProtocolViolation for a coding we cannot undo."""
    coding = response.headers.get(b"content-encoding")
    if coding is None:
        return response
    coding = coding.strip().lower()
    if coding in (b"identity", b""):
        return response
    if coding in (b"gzip", b"x-gzip"):
        return DecodedResponse(response, _GZIP)
    if coding == b"deflate":
        return DecodedResponse(response, 0)
    raise ProtocolViolation("response has a content coding that was not asked for")


class DecodedResponse:
    """A response whose gzip or deflate coding is undone as it comes.  `wbits` as zlib wants them; 0: look and see."""

    def __init__(self, response: Response, wbits: int) -> None:
        self.status = response.status
        self.headers = Headers([header for header in response.headers if header[0] not in _CODED])
        self.ended = False
        self._response = response
        self._wbits = wbits
        self._inflate: zlib._Decompress | None = None  # of the present member; None before the first byte
        self._waiting = b""  # coded bytes not decoded yet
        self._full = False  # the last piece was cut at PIECE_BYTES: zlib may hold more of it

    async def receive(self) -> bytes:
        while not self.ended:
            if not self._waiting and not self._full:
                self._waiting = await self._response.receive()
                if not self._waiting:
                    self._must_be_whole()
                    self.ended = True
                    break
            if piece := self._decode():
                return piece
        return b""

    async def read(self, max_bytes: int) -> bytes:
        return await read_body(self, max_bytes)

    def _decode(self) -> bytes:
        inflate = self._inflate
        if inflate is None or (inflate.eof and self._waiting):
            inflate = self._inflate = self._next_member()
        try:
            piece = inflate.decompress(self._waiting, PIECE_BYTES)
        except zlib.error:
            raise ProtocolViolation("compressed response body cannot be read") from None
        self._full = len(piece) == PIECE_BYTES
        self._waiting = inflate.unconsumed_tail or inflate.unused_data
        return piece

    def _next_member(self) -> zlib._Decompress:
        """A gzip body may hold several members, one after the other (RFC 1952, section 2.2)."""
        if self._inflate is not None and self._wbits != _GZIP:
            raise ProtocolViolation("compressed response body goes on after its end")
        if not self._wbits:
            # "deflate" is zlib by the book and raw by custom; the first byte tells (RFC 1950: CM = 8).
            self._wbits = zlib.MAX_WBITS if self._waiting[0] & 0x0F == 8 else -zlib.MAX_WBITS
        return zlib.decompressobj(self._wbits)

    def _must_be_whole(self) -> None:
        # No coded byte at all is an empty body: some servers label what they do not send.
        if self._inflate is not None and not self._inflate.eof:
            raise ConnectionBroke("compressed response body is cut short")
