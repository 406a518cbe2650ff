"""HTTP/1.1 as a server reads and writes it, sans-IO, over httptools (llhttp in its strict mode).

    bytes ──RequestReader.feed──▶ IncomingRequest …      one per head, filled with its body as that arrives
    status, headers ──encode_head──▶ bytes

llhttp refuses Content-Length with Transfer-Encoding, differing lengths, obs-fold, bare CR and LF, and bad chunk
sizes.  What it lets pass and RFC 9112 does not is refused here: a missing or second Host (section 3.2), a
transfer coding other than `chunked`, any on HTTP/1.0 (6.1), other versions (2.3), and heads past our limits.
A message that breaks the rules sets `failure`: nothing after it is read, since where it ends is anyone's guess.
"""

from __future__ import annotations

import time
from collections import deque
from email.utils import formatdate

import httptools
from msgspec import Struct

from hoosh.http.message import REASONS, HeaderList, Headers, Limits

__all__ = ["IncomingRequest", "MalformedRequest", "RequestReader", "encode_chunk", "encode_head", "http_date"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class MalformedRequest(Struct, frozen=True):
    """Why a connection must be answered with `status` and closed."""

    status: int
    message: str


class IncomingRequest:
    """A request whose head is complete; its body may still be on the way."""

    __slots__ = (
        "body_bytes",
        "complete",
        "content_length",
        "expects_continue",
        "headers",
        "keep_alive",
        "method",
        "path",
        "pieces",
        "query",
        "version",
        "wanted_bytes",
    )

    def __init__(self, method: str, path: str, query: str, version: str, headers: Headers, keep_alive: bool) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.content_length: int | None = None
        self.expects_continue = False
        self.pieces: list[bytes] = []
        self.body_bytes = 0
        self.complete = False
        self.wanted_bytes = -1
        """How much of the body the handler has asked for; -1 before it asks."""


class RequestReader:
    """Bytes of one connection in, requests out, wherever the bytes are cut.

    `requests` holds those whose head is complete, oldest first; whoever serves them takes them from the left.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests: deque[IncomingRequest] = deque()
        self.failure: MalformedRequest | None = None
        self.receiving: IncomingRequest | None = None
        """The request whose body is being read."""
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._fed_bytes = 0

    @property
    def in_head(self) -> bool:
        """Part of a head has come, and not all of it."""
        return self.receiving is None and self._fed_bytes > 0

    def feed(self, data: bytes) -> None:
        """Take what one receive brought.  Never raises: what is wrong with it is in `failure`."""
        if self.failure is not None:
            return
        if self.receiving is None:
            self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.fail(400, f"Malformed HTTP request: {_reason(error)}.")
        if self.receiving is None and self._fed_bytes > self.limits.head_bytes:
            self.fail(431, "The request head is too large.")

    def fail(self, status: int, message: str) -> None:
        """Note the first thing that is wrong; later ones do not count."""
        if self.failure is None:
            self.failure = MalformedRequest(status, message)

    def _decline_upgrade(self, rest: bytes) -> None:
        # RFC 9110, section 7.8: a server may ignore Upgrade and go on in the protocol it has.
        self._parser = httptools.HttpRequestParser(self)
        if rest:
            self.feed(rest)

    # -- called by httptools ------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self.limits.request_line_bytes:
            self.fail(431, "The request line is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._header_bytes += len(name) + len(value) + 4
        if len(self._headers) > self.limits.header_count:
            self.fail(431, "The request has too many headers.")
        elif self._header_bytes > self.limits.head_bytes:
            self.fail(431, "The request head is too large.")

    def on_headers_complete(self) -> None:
        if self.failure is None:
            request = self._check_head()
            if self.failure is None:
                self.receiving = request
                self.requests.append(request)
        self._url, self._headers, self._header_bytes, self._fed_bytes = b"", [], 0, 0

    def on_body(self, body: bytes) -> None:
        request = self.receiving
        if request is not None:
            request.pieces.append(body)
            request.body_bytes += len(body)

    def on_message_complete(self) -> None:
        if self.receiving is not None:
            self.receiving.complete = True
            self.receiving = None

    # -- what llhttp does not check -----------------------------------------------------------------------------

    def _check_head(self) -> IncomingRequest:
        parser = self._parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        path, query = self._split_target(self._url)
        request = IncomingRequest(method, path, query, version, Headers(self._headers), parser.should_keep_alive())
        if version not in ("1.1", "1.0"):
            self.fail(505, "Only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here.")
        if method == "CONNECT":
            self.fail(405, "This is not a forward proxy: CONNECT is not allowed.")
        hosts = 0
        for name, value in self._headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                request.content_length = self._length(value)
            elif name == b"transfer-encoding" and (version == "1.0" or value.strip().lower() != b"chunked"):
                self.fail(400, "The only transfer coding understood here is `chunked`, on HTTP/1.1.")
            elif name == b"expect" and value.lower() == b"100-continue":
                request.expects_continue = True
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self.fail(400, "A request must have exactly one Host header.")
        return request

    def _length(self, value: bytes) -> int | None:
        if not value.isdigit():
            self.fail(400, "Content-Length is not a number.")
            return None
        return int(value)

    def _split_target(self, url: bytes) -> tuple[str, str]:
        """The path and query of an origin-form, absolute-form or asterisk-form target (RFC 9112, section 3.2)."""
        try:
            target = url.decode("ascii")
        except UnicodeDecodeError:
            self.fail(400, "The request target is not ASCII.")
            return "/", ""
        if not target.startswith(("/", "*")):
            _, _, rest = target.partition("://")
            slash = rest.find("/")
            target = rest[slash:] if slash >= 0 else "/"
        path, _, query = target.partition("#")[0].partition("?")
        return path, query


def _reason(error: httptools.HttpParserError) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return "".join(c for c in text if c.isprintable())[:100].rstrip(".")


# -- writing ----------------------------------------------------------------------------------------------------

_status_lines = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in REASONS.items()}
_date: tuple[int, bytes] = (0, b"")


def http_date() -> bytes:
    """Now as an IMF-fixdate (RFC 9110, section 5.6.7), made once a second."""
    global _date
    second = int(time.time())
    if second != _date[0]:
        _date = (second, formatdate(second, usegmt=True).encode("ascii"))
    return _date[1]


def encode_head(status: int, headers: HeaderList, framing: bytes) -> bytes:
    """A response head.  `framing` is whole header lines: how the body ends and whether the connection does."""
    line = _status_lines.get(status) or b"HTTP/1.1 %d \r\n" % status
    fields = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%bdate: %b\r\n%b\r\n" % (line, fields, http_date(), framing)


def encode_chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112, section 7.1).  `data` must not be empty: that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
