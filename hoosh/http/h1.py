"""HTTP/1.1 as a server reads and writes it, sans-IO, over httptools (llhttp in its strict mode).

    bytes ──RequestReader.feed──▶ IncomingRequest …      one per head, filled with its body as that arrives
    status, headers ──encode_head──▶ bytes

llhttp refuses Content-Length with Transfer-Encoding, differing lengths, obs-fold, bare CR and LF, and bad chunk
sizes.  What it lets pass and RFC 9112 does not is refused here: a missing or second Host (section 3.2), a
transfer coding other than `chunked`, any on HTTP/1.0 (6.1), other versions (2.3), and heads past our limits.
A message that breaks the rules sets `failure`: nothing after it is read, since where it ends is anyone's guess.

Upgrades are declined: the request is served as what it is (RFC 9110, section 7.8).  llhttp stops at the head of
such a request and calls whatever follows, its body included, another protocol; taking that for the next request
would let a body pass for one.  So a fresh parser is told how the body is framed, and goes on from there.
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
BAD_VERSION = "Only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here."
BODILESS = frozenset({204, 304})
"""Statuses whose responses have no body (RFC 9110, section 6.4.1)."""


class MalformedRequest(Struct, frozen=True):
    """Why a connection must be answered with `status` and closed."""

    status: int
    message: str
    path: str = ""
    """The target, as far as it has come."""


class IncomingRequest:
    """A request whose head is complete; its body may still be on the way."""

    __slots__ = (
        "body",
        "complete",
        "content_length",
        "expects_continue",
        "headers",
        "keep_alive",
        "method",
        "path",
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
        self.body: bytes | bytearray = b""
        """What has come of it: one piece as it came, more of them joined, so that tiny chunks cost what they weigh."""
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
        self.in_head = False
        """Part of a head has come, and not all of it."""
        self._parser = httptools.HttpRequestParser(self)
        self._declined: IncomingRequest | None = None
        """A request whose upgrade llhttp would take, and we do not."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._overhead_bytes = 0
        """Fed since the last piece of a body: part of a head, of trailers, or of a chunk's extensions."""

    def feed(self, data: bytes) -> None:
        """Take what one receive brought.  Never raises: what is wrong with it is in `failure`."""
        rest = data
        self._overhead_bytes += len(data)
        while rest and self.failure is None:
            try:
                self._parser.feed_data(rest)
                break
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                self._resume_declined()
            except httptools.HttpParserError as error:
                self._fail_parsing(_reason(error))
        if self._overhead_bytes > self.limits.head_bytes:
            self.fail(431, "The request head is too large.")

    def fail(self, status: int, message: str) -> None:
        """Note the first thing that is wrong; later ones do not count."""
        if self.failure is None:
            self.failure = MalformedRequest(status, message, self._url.decode("latin-1"))

    def _fail_parsing(self, reason: str) -> None:
        if "HTTP version" in reason:
            self.fail(505, BAD_VERSION)
        else:
            self.fail(400, f"Malformed HTTP request: {reason}.")

    def _resume_declined(self) -> None:
        """Go on with the body of a request whose upgrade we declined, in a fresh parser that knows its framing."""
        request = self._declined
        if request is None or self.failure is not None:
            return
        headers = request.headers
        framing = b"content-length: %d\r\n" % (request.content_length or 0)
        if headers.get(b"transfer-encoding") is not None:
            framing = b"transfer-encoding: chunked\r\n"
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)

    # -- called by httptools ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_head = True
        self._start_head()  # what there is now are the last message's trailers, which are ignored

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self.limits.request_line_bytes:
            self.fail(431, "The request line is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip(b" \t")))
        self._header_bytes += len(name) + len(value) + 4
        if len(self._headers) > self.limits.header_count:
            self.fail(431, "The request has too many headers.")
        elif self._header_bytes > self.limits.head_bytes:
            self.fail(431, "The request head is too large.")

    def on_headers_complete(self) -> None:
        self.in_head = False
        self._overhead_bytes = 0
        if self._declined is not None:  # that was only the framing: see `_resume_declined`
            self._declined = None
            return
        if self.failure is None:
            request = self._check_head()
            if self.failure is None:
                self.receiving = request
                self.requests.append(request)
                if self._parser.should_upgrade():
                    self._declined = request
        self._start_head()

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes = 0
        request = self.receiving
        if request is None:
            return
        if not request.body:
            request.body = body
        elif type(request.body) is bytearray:
            request.body += body
        else:
            request.body = bytearray(request.body) + body

    def on_message_complete(self) -> None:
        self._overhead_bytes = 0
        if self.receiving is not None and self._declined is None:
            self.receiving.complete = True
            self.receiving = None

    def _start_head(self) -> None:
        self._url, self._headers, self._header_bytes = b"", [], 0

    # -- what llhttp does not check -----------------------------------------------------------------------------

    def _check_head(self) -> IncomingRequest:
        parser = self._parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        path, query = self._split_target(self._url)
        request = IncomingRequest(method, path, query, version, Headers(self._headers), parser.should_keep_alive())
        if version not in ("1.1", "1.0"):
            self.fail(505, BAD_VERSION)
        if method == "CONNECT":
            self.fail(405, "This is not a forward proxy: CONNECT is not allowed.")
        hosts = 0
        for name, value in self._headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                request.content_length = self._length(value)
            elif name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
                self.fail(400, "The only transfer coding understood here is `chunked`, on HTTP/1.1.")
            elif name == b"expect" and version == "1.1" and value.lower() == b"100-continue":
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
        if target[:1] not in ("/", "*"):
            target = _origin_form(target)
        path, _, query = target.partition("#")[0].partition("?")
        return path, query


def _origin_form(target: str) -> str:
    """The path and query of an absolute-form target: what follows scheme and authority."""
    rest = target.partition("://")[2]
    end = next((at for at, sign in enumerate(rest) if sign in "/?#"), len(rest))
    return rest[end:] if rest[end : end + 1] == "/" else "/" + rest[end:]


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
