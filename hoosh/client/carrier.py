"""The two ways of a question: one that waits (Trio or asyncio, through anyio), one that blocks.  Both only move bytes.

    send ──▶ head ──good──▶ body, piece by piece ──▶ left, or read to its end
              └──bad──▶ its error ──Attempts──▶ wait, and again; or raised

What goes wrong on the way becomes a TransportError of `hoosh.errors`, without httpx's own error behind it: that one
holds the request, with the key.  Leaving a body before its end closes its connection, and so the gateway stops the
work.  Bodies are bounded, and asked for uncompressed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random

import anyio
import httpx
from msgspec import Struct

from hoosh import __version__
from hoosh.client.address import CONNECT_S, Address
from hoosh.client.errors import error_from
from hoosh.client.question import Answer, Question, T
from hoosh.client.retry import Attempts, Retries
from hoosh.errors import (
    ConnectFailed,
    ConnectionBroke,
    HooshError,
    ProtocolViolation,
    ResponseTooLarge,
    TransportError,
    TransportTimeout,
)

__all__ = ["AsyncBody", "AsyncCarrier", "Manner", "SyncBody", "SyncCarrier"]

BODY_BYTES = 256 * 1024 * 1024
ERROR_BYTES = 256 * 1024
CLOSE_S = 1.0
"""For a connection to be closed, even when the one who leaves is cancelled."""
LINGER_S = 0.2
"""For the end of a body behind a stream's terminator, so that the connection can be used again."""


class Manner(Struct, frozen=True):
    """How a client asks, whatever it asks."""

    address: Address
    retries: Retries
    timeout_s: float | None
    silence_s: float
    chance: Random


class _Carrier:
    def __init__(self, manner: Manner) -> None:
        self.manner = manner

    def _attempts(self, question: Question[T], now_s: float) -> Attempts:
        manner = self.manner
        timeout_s = manner.timeout_s if question.timeout_s is None else question.timeout_s
        return Attempts(question.repeat, manner.retries, timeout_s, now_s=now_s, chance=manner.chance)

    def _headers(self, question: Question[T], attempts: Attempts, now_s: float) -> dict[str, str]:
        headers = {"user-agent": f"hoosh-client/{__version__}", "accept-encoding": "identity"}
        if question.body is not None:
            headers["content-type"] = "application/json"
        key = self.manner.address.key
        if key is not None:
            headers["authorization"] = f"Bearer {key.reveal()}"
        return {**headers, **question.headers, **attempts.headers(now_s)}

    def _timeout(self, attempts: Attempts, now_s: float) -> httpx.Timeout:
        left_s = attempts.left_s(now_s)
        least_s = self.manner.silence_s if left_s is None else min(left_s, self.manner.silence_s)
        return httpx.Timeout(least_s, connect=min(least_s, CONNECT_S))

    def _url(self, question: Question[T]) -> str:
        return self.manner.address.url + question.path

    def _failure(self, error: httpx.HTTPError | httpx.StreamError) -> TransportError:
        match error:
            case httpx.ConnectTimeout() | httpx.PoolTimeout():
                return TransportTimeout("connect", CONNECT_S)
            case httpx.TimeoutException():
                return TransportTimeout("idle", self.manner.silence_s)
            case httpx.ConnectError() | httpx.ProxyError():
                return ConnectFailed(f"no gateway answers at {self.manner.address.shown}: {error}")
            case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.DecodingError():
                return ProtocolViolation(f"{self.manner.address.shown} cannot be talked to in HTTP")
            case _:
                return ConnectionBroke(f"the connection to {self.manner.address.shown} broke: {_reason(error)}")


def _reason(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _headers_of(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _bad(response: httpx.Response, body: bytes) -> HooshError:
    if response.status_code >= 400:
        return error_from(response.status_code, _headers_of(response), body)
    return ProtocolViolation(f"status {response.status_code} is no answer of a hoosh gateway; is the address right?")


class _Body:
    """Of an answer whose head has come."""

    def __init__(self, response: httpx.Response, carrier: _Carrier, attempts: Attempts, asked_s: float) -> None:
        self.headers = _headers_of(response)
        self.attempts = attempts
        self.asked_s = asked_s
        self._response = response
        self._carrier = carrier

    def answer(self, body: bytes, now_s: float) -> Answer:
        return Answer(self._response.status_code, self.headers, body, now_s - self.asked_s)


# -- who waits ---------------------------------------------------------------------------------------------------


class AsyncCarrier(_Carrier):
    def __init__(self, manner: Manner, http: httpx.AsyncClient) -> None:
        super().__init__(manner)
        self.http = http

    def now_s(self) -> float:
        return anyio.current_time()

    async def ask(self, question: Question[T]) -> T:
        """The whole answer, read.  Raises HooshError."""
        asked_s = self.now_s()
        attempts = self._attempts(question, asked_s)
        while True:
            try:
                with self.in_time(attempts):
                    body = await self._attempt(question, attempts, asked_s)
                    whole = await body.read(BODY_BYTES)
                return question.read(body.answer(whole, self.now_s()))
            except HooshError as error:
                wait_s = attempts.wait_s(error, self.now_s())
            await anyio.sleep(wait_s)

    async def open(self, question: Question[T]) -> AsyncBody:
        """The answer from its first byte on; to be closed by whoever has asked.  Raises HooshError."""
        asked_s = self.now_s()
        attempts = self._attempts(question, asked_s)
        while True:
            try:
                with self.in_time(attempts):
                    return await self._attempt(question, attempts, asked_s)
            except HooshError as error:
                wait_s = attempts.wait_s(error, self.now_s())
            await anyio.sleep(wait_s)

    @contextmanager
    def in_time(self, attempts: Attempts) -> Iterator[None]:
        """Raises TransportTimeout when the deadline comes before the block is left."""
        left_s = attempts.left_s(self.now_s())
        if left_s is None or attempts.timeout_s is None:
            yield
            return
        with anyio.move_on_after(left_s) as scope:
            yield
        if scope.cancelled_caught:
            raise TransportTimeout("total", attempts.timeout_s)

    async def _attempt(self, question: Question[T], attempts: Attempts, asked_s: float) -> AsyncBody:
        request = self.http.build_request(
            question.method,
            self._url(question),
            content=question.body,
            headers=self._headers(question, attempts, self.now_s()),
        )
        try:
            response = await self.http.send(request, stream=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._failure(error) from None
        body = AsyncBody(response, self, attempts, asked_s)
        if response.status_code < 300:
            return body
        raise _bad(response, await body.read_some(ERROR_BYTES))


class AsyncBody(_Body):
    def __init__(self, response: httpx.Response, carrier: AsyncCarrier, attempts: Attempts, asked_s: float) -> None:
        super().__init__(response, carrier, attempts, asked_s)
        self._chunks = response.aiter_raw()
        self._is_closed = False

    async def next(self) -> bytes:
        """The next bytes; b"" at the end."""
        try:
            return await anext(self._chunks, b"")
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._carrier._failure(error) from None

    async def read(self, most: int) -> bytes:
        """All of it, and closed.  Raises ResponseTooLarge."""
        whole = bytearray()
        try:
            while data := await self.next():
                whole += data
                if len(whole) > most:
                    raise ResponseTooLarge(most)
        finally:
            await self.close()
        return bytes(whole)

    async def read_some(self, most: int) -> bytes:
        """As much as comes, up to `most`: the body of an error, which counts without its words, too."""
        try:
            return await self.read(most)
        except TransportError:
            return b""

    async def linger(self) -> None:
        """The answer is whole: see the end of the body, so that the connection can be used again."""
        with anyio.move_on_after(LINGER_S):
            try:
                while await self.next():
                    pass
            except TransportError:
                pass

    async def close(self) -> None:
        """Leave it.  A body that is not at its end takes its connection with it."""
        if self._is_closed:
            return
        self._is_closed = True
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await self._response.aclose()
                # httpx and httpcore wrap generators into generators, and only the outermost could be closed; the others
                # would be left to the garbage collector.  The connection is closed: one more step ends all of them.
                while await anext(self._chunks, None) is not None:
                    pass
            except (httpx.HTTPError, httpx.StreamError):
                pass


# -- who blocks --------------------------------------------------------------------------------------------------


class SyncCarrier(_Carrier):
    """Its deadline is looked at before each wait, and no wait is longer than what was left when it was asked."""

    def __init__(self, manner: Manner, http: httpx.Client) -> None:
        super().__init__(manner)
        self.http = http

    def now_s(self) -> float:
        return time.monotonic()

    def ask(self, question: Question[T]) -> T:
        """The whole answer, read.  Raises HooshError."""
        asked_s = self.now_s()
        attempts = self._attempts(question, asked_s)
        while True:
            try:
                body = self._attempt(question, attempts, asked_s)
                whole = body.read(BODY_BYTES)
                return question.read(body.answer(whole, self.now_s()))
            except HooshError as error:
                wait_s = attempts.wait_s(error, self.now_s())
            time.sleep(wait_s)

    def open(self, question: Question[T]) -> SyncBody:
        """The answer from its first byte on; to be closed by whoever has asked.  Raises HooshError."""
        asked_s = self.now_s()
        attempts = self._attempts(question, asked_s)
        while True:
            try:
                return self._attempt(question, attempts, asked_s)
            except HooshError as error:
                wait_s = attempts.wait_s(error, self.now_s())
            time.sleep(wait_s)

    def _attempt(self, question: Question[T], attempts: Attempts, asked_s: float) -> SyncBody:
        now_s = self.now_s()
        request = self.http.build_request(
            question.method,
            self._url(question),
            content=question.body,
            headers=self._headers(question, attempts, now_s),
            timeout=self._timeout(attempts, now_s),
        )
        try:
            response = self.http.send(request, stream=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self.failure(error, attempts) from None
        body = SyncBody(response, self, attempts, asked_s)
        if response.status_code < 300:
            return body
        raise _bad(response, body.read_some(ERROR_BYTES))

    def failure(self, error: httpx.HTTPError | httpx.StreamError, attempts: Attempts) -> TransportError:
        """A silence until the deadline is the deadline's."""
        if isinstance(error, httpx.TimeoutException):
            try:
                attempts.left_s(self.now_s())
            except TransportTimeout as over:
                return over
        return self._failure(error)


class SyncBody(_Body):
    def __init__(self, response: httpx.Response, carrier: SyncCarrier, attempts: Attempts, asked_s: float) -> None:
        super().__init__(response, carrier, attempts, asked_s)
        self._way = carrier
        self._chunks = response.iter_raw()

    def next(self) -> bytes:
        """The next bytes; b"" at the end."""
        self.attempts.left_s(self._way.now_s())
        try:
            return next(self._chunks, b"")
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._way.failure(error, self.attempts) from None

    def read(self, most: int) -> bytes:
        """All of it, and closed.  Raises ResponseTooLarge."""
        whole = bytearray()
        try:
            while data := self.next():
                whole += data
                if len(whole) > most:
                    raise ResponseTooLarge(most)
        finally:
            self.close()
        return bytes(whole)

    def read_some(self, most: int) -> bytes:
        try:
            return self.read(most)
        except TransportError:
            return b""

    def close(self) -> None:
        self._response.close()
