"""The upstream pools as an httpx transport: cold calls and plugins use httpx over the same sockets.

    client = httpx.AsyncClient(transport=PoolTransport(pool_for))

The only module that imports httpx.  A response of httpx lives between two calls, not in a block: the exchange is
opened in one and left in the other.

The request body is collected first; httpx's `read` timeout is both our first-byte and our idle timeout.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from math import inf

import httpx
import trio

from hoosh.errors import ConnectFailed, ConnectionBroke, ProtocolViolation, TransportError, TransportTimeout
from hoosh.http.client import Pool, UpstreamExchange
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HttpRequest, Origin, RequestHead, Response

__all__ = ["PoolTransport"]

_OURS = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding", b"keep-alive", b"upgrade"}
)
"""Headers that belong to the connection, and `accept-encoding`: the pool undoes only the simple codings."""

_IDENTITY = (b"accept-encoding", b"identity")


class PoolTransport(httpx.AsyncBaseTransport):
    """Sends what httpx was asked to through the pool of its origin, as `pool_for` gives it."""

    def __init__(self, pool_for: Callable[[Origin], Pool]) -> None:
        self._pool_for = pool_for

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        origin = _origin(request.url)
        with _as_httpx_errors(request):
            exchange = self._pool_for(origin).exchange(_request(request, origin, body), _timeouts(request))
            try:
                response = await exchange.open()
            except BaseException:
                exchange.leave()
                raise
        return httpx.Response(
            response.status,
            headers=list(response.headers),
            stream=_PoolStream(request, exchange, response),
            request=request,
        )


class _PoolStream(httpx.AsyncByteStream):
    """Its own iterator: a generator left halfway would be closed by the garbage collector, some time."""

    def __init__(self, request: httpx.Request, exchange: UpstreamExchange, response: Response) -> None:
        self._request = request
        self._exchange = exchange
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _as_httpx_errors(self._request):
            piece = await self._response.receive()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._exchange.leave()
        await trio.lowlevel.checkpoint_if_cancelled()


def _origin(url: httpx.URL) -> Origin:
    return Origin(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))


def _request(request: httpx.Request, origin: Origin, body: bytes) -> HttpRequest:
    headers = [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in _OURS]
    head = RequestHead(origin, request.method, request.url.raw_path.decode("ascii"))
    return HttpRequest(head, body, [_IDENTITY, *headers])


def _timeouts(request: httpx.Request) -> Timeouts:
    given: dict[str, float | None] = request.extensions.get("timeout", {})

    def limit_s(name: str) -> float:
        value = given.get(name)
        return inf if value is None else value

    connect_s = min(limit_s("connect"), limit_s("pool"))
    return Timeouts(connect_s=connect_s, first_byte_s=limit_s("read"), idle_s=limit_s("read"), total_s=None)


@contextmanager
def _as_httpx_errors(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except TransportError as error:
        raise _httpx_error(error)(str(error), request=request) from error


def _httpx_error(error: TransportError) -> type[httpx.TransportError]:
    match error:
        case TransportTimeout(phase="connect"):
            return httpx.ConnectTimeout
        case TransportTimeout():
            return httpx.ReadTimeout
        case ConnectFailed():
            return httpx.ConnectError
        case ConnectionBroke():
            return httpx.ReadError
        case ProtocolViolation():
            return httpx.RemoteProtocolError
    return httpx.TransportError
