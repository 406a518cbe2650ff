"""Media by URL, for upstreams that take only bytes: the gateway fetches what the client named.

    request = await fetch_media(request, fetcher)        every UrlSource in it is a DataSource now

Whoever may send a request may make us open connections, so this is strict about everything:

    where    http or https, no credentials in the URL, port 80, 443 or from 1024 on; the dialler goes to public
             addresses only, and is asked again for each redirect
    what     an image, a PDF or plain text, by its own first bytes; a label alone counts for nothing
    how much one file and one request each have a limit of bytes, files and seconds
    names    looked up in threads of their own, of which one asker and one domain have a share: `http/lookups.py`
    words    whatever goes wrong with a connection, the client is told the same: no map of our network

Nothing of the client's request goes along: no key, no cookie, no header.  A URL that a request names several times is
fetched once.
"""

from __future__ import annotations

import binascii
import re
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote, urljoin, urlsplit

import trio
from msgspec import Struct
from msgspec.structs import replace

from hoosh.errors import HooshError, InvalidRequest, TransportError
from hoosh.http.addresses import is_public_address
from hoosh.http.client import Pool
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import Dialer, GuardedDialer
from hoosh.http.lookups import Lookups
from hoosh.http.message import HttpRequest, Origin, RequestHead, Response
from hoosh.http.tls import HTTP1_ONLY, client_context
from hoosh.values import (
    ChatRequest,
    DataSource,
    FilePart,
    ImagePart,
    Message,
    Part,
    ToolResultPart,
    UrlSource,
)

__all__ = ["MediaFetcher", "MediaLimits", "fetch_media", "has_urls"]

URL_CHARS_MAX = 8192
PLAIN_TEXT = ("text/plain", "text/markdown", "text/csv")
HEADERS = [(b"accept", b"image/*, application/pdf, text/plain"), (b"accept-encoding", b"identity")]
HEADERS.append((b"user-agent", b"hoosh"))
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAFE_IN_TARGET = "/?#[]@!$&'()*+,;=%:~-._"

_host = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?|[0-9a-f:.]+")
_unprintable = re.compile(r"[\x00-\x20\x7f\\]")


class MediaLimits(Struct, frozen=True):
    file_bytes: int = 20 * 1024 * 1024
    request_bytes: int = 50 * 1024 * 1024
    files: int = 16
    at_once: int = 4
    redirects: int = 3
    file_s: float = 10.0
    request_s: float = 30.0


class MediaFetcher:
    """Fetches files from the public Internet.

    `allows` is asked about each address that is dialled: see `public_or_in` for an intranet.  `dialer` replaces the
    network altogether (tests).
    """

    def __init__(
        self,
        *,
        allows: Callable[[str], bool] = is_public_address,
        limits: MediaLimits | None = None,
        dialer: Dialer | None = None,
    ) -> None:
        self.limits = limits or MediaLimits()
        self._allows = allows
        self._network = dialer
        self._lookups = Lookups()
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, url: str, max_bytes: int, *, asker: str = "") -> tuple[str, bytes]:
        """The media type and the bytes behind `url`.  Raises InvalidRequest."""
        try:
            with trio.fail_after(self.limits.file_s):
                return await self._follow(url, max_bytes, self._dialer_for(asker))
        except (TransportError, trio.TooSlowError):
            raise _unreachable() from None

    def _dialer_for(self, asker: str) -> Dialer:
        return self._network or GuardedDialer(self._allows, resolve=partial(self._lookups.resolve, asker=asker))

    async def _follow(self, url: str, max_bytes: int, dialer: Dialer) -> tuple[str, bytes]:
        for _ in range(self.limits.redirects + 1):
            origin, target = _address(url)
            location, media_type, data = await self._get(origin, target, max_bytes, dialer)
            if location is None:
                return _media_type(data, media_type), data
            url = _joined(url, location)
        raise _unreachable()

    async def _get(self, origin: Origin, target: str, max_bytes: int, dialer: Dialer) -> tuple[str | None, str, bytes]:
        """One answer: where it redirects to, or its media type and body."""
        tls = self._context() if origin.scheme == "https" else None
        pool = Pool(origin, dialer=dialer, http2="off", tls=tls)
        limit_s = self.limits.file_s
        timeouts = Timeouts(connect_s=limit_s, first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s)
        request = HttpRequest(RequestHead(origin, "GET", target, HEADERS))
        failure: HooshError | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            try:
                async with pool.exchange(request, timeouts) as response:
                    found = await _read(response, max_bytes)
            except HooshError as error:  # carried out by hand: the nursery would make a group of it
                failure = error
            nursery.cancel_scope.cancel(reason="one request, one connection")
        if failure is not None:
            raise failure
        return found

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # reading the authorities takes tens of milliseconds: once, and only where it is needed
            self._tls = client_context(alpn=HTTP1_ONLY)
        return self._tls


# -- a request's media -------------------------------------------------------------------------------------------


def has_urls(request: ChatRequest) -> bool:
    return next(_urls(request), None) is not None


async def fetch_media(request: ChatRequest, fetcher: MediaFetcher, *, asker: str = "") -> ChatRequest:
    """`request` with the bytes in place of every URL.  Raises InvalidRequest; fetches nothing more then.

    `asker` is whose share of the look-ups of names it takes.
    """
    urls = list(dict.fromkeys(_urls(request)))
    if not urls:
        return request
    if len(urls) > fetcher.limits.files:
        raise _refused(f"A request may name at most {fetcher.limits.files} images and files by URL.", "too_many_images")
    found = await _Batch(fetcher, asker).fetch(urls)
    messages = tuple(replace(m, parts=tuple(_with_data(part, found) for part in m.parts)) for m in request.messages)
    return replace(request, messages=messages)


class _Batch:
    """The files of one request, a few at once, and what they add up to."""

    def __init__(self, fetcher: MediaFetcher, asker: str) -> None:
        self._fetcher = fetcher
        self._asker = asker
        self._left_bytes = fetcher.limits.request_bytes
        self._turns = trio.Semaphore(fetcher.limits.at_once)
        self._found: dict[str, DataSource] = {}
        self._failure: HooshError | None = None

    async def fetch(self, urls: list[str]) -> dict[str, DataSource]:
        with trio.move_on_after(self._fetcher.limits.request_s) as scope:
            async with trio.open_nursery() as nursery:
                for url in urls:
                    nursery.start_soon(self._one, url, nursery.cancel_scope)
        if self._failure is not None:
            raise self._failure
        if scope.cancelled_caught:
            raise _unreachable()
        return self._found

    async def _one(self, url: str, others: trio.CancelScope) -> None:
        async with self._turns:
            try:
                most = min(self._fetcher.limits.file_bytes, self._left_bytes)
                media_type, data = await self._fetcher.fetch(url, most, asker=self._asker)
                self._left_bytes -= len(data)
                if self._left_bytes < 0:
                    raise _too_large()
                base64 = binascii.b2a_base64(data, newline=False).decode("ascii")
                self._found[url] = DataSource(media_type, base64)
            except HooshError as error:
                self._failure = self._failure or error
                others.cancel(reason="another file of the request failed")


def _urls(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        yield from _urls_in(message)


def _urls_in(holder: Message | ToolResultPart) -> Iterator[str]:
    for part in holder.parts:
        if isinstance(part, ImagePart | FilePart) and isinstance(part.source, UrlSource):
            yield part.source.url
        elif isinstance(part, ToolResultPart):
            yield from _urls_in(part)


def _with_data(part: Part, found: dict[str, DataSource]) -> Part:
    if isinstance(part, ImagePart | FilePart) and isinstance(part.source, UrlSource):
        source = found[part.source.url]
        if isinstance(part, ImagePart) and not source.media_type.startswith("image/"):
            raise _not_media()
        return replace(part, source=source)
    if isinstance(part, ToolResultPart):
        return replace(part, parts=tuple(_with_data(inner, found) for inner in part.parts))
    return part


# -- deciding ----------------------------------------------------------------------------------------------------


def _address(url: str) -> tuple[Origin, str]:
    """Where a URL leads and what to ask for there.  Raises InvalidRequest."""
    if len(url) > URL_CHARS_MAX or _unprintable.search(url):
        raise _bad_url("An image or file URL is too long or holds characters that no URL has.")
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
        target = quote(split.path or "/", safe=SAFE_IN_TARGET)
        if split.query:
            target += "?" + quote(split.query, safe=SAFE_IN_TARGET)
    except ValueError:  # brackets that do not match, a port that is no number, a lone surrogate
        raise _bad_url("An image or file URL cannot be read.") from None
    if split.scheme not in ("http", "https") or not host:
        raise _bad_url("An image or file URL must begin with https://, http:// or data:.")
    if split.username is not None or split.password is not None:
        raise _bad_url("An image or file URL must not hold a user name or password.")
    if port is None:
        port = 443 if split.scheme == "https" else 80
    if port < 1024 and port not in (80, 443):
        raise _bad_url("An image or file URL must name a usual port.")
    return Origin(split.scheme, _ascii_host(host), port), target


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _unreachable() from None


def _ascii_host(host: str) -> str:
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if len(name) > 253 or not _host.fullmatch(name):
        raise _bad_url("An image or file URL names no host.")
    return name


def _media_type(data: bytes, declared: str) -> str:
    """By the first bytes; text has none, so there the label says which, and the bytes that it is one."""
    for magic, media_type in MAGIC:
        if data.startswith(magic):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:2] == b"BM" and data[6:10] == bytes(4):
        return "image/bmp"
    if data[4:8] == b"ftyp" and (brand := BRANDS.get(data[8:12])):
        return brand
    label = declared.partition(";")[0].strip().lower()
    if label in PLAIN_TEXT and _is_text(data):
        return "text/plain"
    raise _not_media()


MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
BRANDS = {b"avif": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif"}


def _is_text(data: bytes) -> bool:
    try:
        return b"\x00" not in data and bool(data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


async def _read(response: Response, max_bytes: int) -> tuple[str | None, str, bytes]:
    """Where an answer redirects to, or its media type and body.  Raises InvalidRequest, too large a body at once."""
    if response.status in REDIRECTS and (location := response.headers.text(b"location")):
        return location, "", b""
    if response.status != 200:
        raise _unreachable()
    announced = response.headers.get(b"content-length") or b""
    if announced.isdigit() and int(announced[:20]) > max_bytes:
        raise _too_large()
    pieces: list[bytes] = []
    while piece := await response.receive():
        max_bytes -= len(piece)
        if max_bytes < 0:
            raise _too_large()
        pieces.append(piece)
    return None, response.headers.text(b"content-type") or "", b"".join(pieces)


def _refused(message: str, code: str) -> InvalidRequest:
    return InvalidRequest(message, param="messages", code=code)


def _bad_url(message: str) -> InvalidRequest:
    return _refused(message, "invalid_image_url")


def _unreachable() -> InvalidRequest:
    # One text for a private address, a name that does not resolve, a closed port, a silent one and a 404: whoever
    # asks must not learn from it what there is in our network.
    return _bad_url("An image or file could not be fetched: its URL must be reachable at a public address.")


def _too_large() -> InvalidRequest:
    return _refused("The images and files that a request names by URL are too large.", "image_too_large")


def _not_media() -> InvalidRequest:
    return _refused("A URL must lead to an image that its first bytes show to be one, or to a PDF.", "invalid_image")
