"""HTTP messages as values: header lists, request heads, limits.  Knows bytes, never tokens.

Header names are lower-case bytes, as HTTP/2 sends them (RFC 9113, section 8.2); HTTP/1.1 does not mind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Protocol

from msgspec import Struct

from hoosh.values import Pieces

__all__ = [
    "REASONS",
    "HeaderList",
    "Headers",
    "HttpRequest",
    "Limits",
    "Origin",
    "RequestHead",
    "Response",
]

Header = tuple[bytes, bytes]
HeaderList = Sequence[Header]

REASONS: dict[int, bytes] = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


_OF_PAGES = (b"origin", b"referer", b"sec-fetch-site")


class Headers:
    """An ordered, case-insensitive view of received headers.  Lookup scans: there are few, and most are never asked."""

    __slots__ = ("raw",)

    def __init__(self, raw: HeaderList = ()) -> None:
        self.raw = raw

    def get(self, name: bytes) -> bytes | None:
        """The first value of `name` (given in lower case), or None."""
        for key, value in self.raw:
            if key == name:
                return value
        return None

    def text(self, name: bytes) -> str | None:
        """The first value as text (latin-1, which never fails), or None."""
        value = self.get(name)
        return None if value is None else value.decode("latin-1")

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.raw if key == name]

    def is_from_page(self) -> bool:
        """Has a browser sent it on behalf of a page?  It then says whose (WHATWG Fetch, sections 3.2 and 3.5)."""
        return any(self.get(name) for name in _OF_PAGES)

    def __iter__(self) -> Iterator[Header]:
        return iter(self.raw)

    def __repr__(self) -> str:
        # Values may hold keys: names only.
        return f"Headers({[name.decode('latin-1') for name, _ in self.raw]})"


class Limits(Struct, frozen=True):
    """What a peer may ask of us.  Bytes, counts and seconds; each has a test in tests/http."""

    request_line_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    header_count: int = 100
    body_bytes: int = 10 * 1024 * 1024
    head_s: float = 10.0
    """From the first byte of a head (or the accept) to its last."""
    body_idle_s: float = 30.0
    """Between two pieces of a request body that the handler is waiting for."""
    send_idle_s: float = 60.0
    """A response write that moves no byte for so long ends the connection."""
    keepalive_s: float = 75.0
    handshake_s: float = 10.0
    pipelined: int = 16
    connections: int = 10_000
    streams: int = 128
    """Concurrent HTTP/2 streams of one connection."""
    flood: int = 200
    """HTTP/2 frames that move no request forward, per connection, before GOAWAY; refilled by useful ones and time."""


class Origin(Struct, frozen=True):
    """Where requests go: one pool of connections each.  `unix_path` wins over host and port."""

    scheme: str
    host: str
    port: int
    unix_path: str | None = None

    @property
    def authority(self) -> bytes:
        """The value of `host` / `:authority` (RFC 9110, section 7.2); the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return (host if self.port == default else f"{host}:{self.port}").encode("ascii")


class RequestHead:
    """Method, target and fixed headers of a kind of request: built once per upstream and path, encoded once.

    `headers` hold neither `host` nor `content-length`: the connection adds them.  May hold a key, so it has no
    telling repr.
    """

    __slots__ = ("_h1", "headers", "method", "origin", "target")

    def __init__(self, origin: Origin, method: str, target: str, headers: HeaderList = ()) -> None:
        self.origin = origin
        self.method = method
        self.target = target
        self.headers = tuple(headers)
        self._h1: bytes | None = None

    @property
    def h1(self) -> bytes:
        """The head as HTTP/1.1 bytes, without `content-length` and the final blank line."""
        if self._h1 is None:
            lines = [
                b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (self.method.encode(), self.target.encode(), self.origin.authority)
            ]
            lines += [b"%b: %b\r\n" % header for header in self.headers]
            self._h1 = b"".join(lines)
        return self._h1

    def __repr__(self) -> str:
        return f"RequestHead({self.method} {self.target})"


class HttpRequest(Struct, frozen=True):
    """One request to send: a prepared head, a few headers of its own, and the body, held or in pieces."""

    head: RequestHead
    body: bytes | Pieces = b""
    extra: HeaderList = ()


class Response(Protocol):
    """An open response from an upstream.  Leaving the exchange that gave it ends it.

    `receive` gives what one wake-up brought, b"" at the proper end of the body; it raises TransportError when
    the body is cut or a deadline fires.
    """

    status: int
    headers: Headers
    ended: bool
    """Nothing more will come: `receive` would give b"" without waiting."""

    async def receive(self) -> bytes: ...

    async def read(self, max_bytes: int) -> bytes: ...
