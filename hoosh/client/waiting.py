"""The way of a question that waits, on Trio or asyncio.  Deadlines are cancel scopes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import anyio
import anyio.to_thread
import httpx

from hoosh.client.carrier import BODY_BYTES, ERROR_BYTES, Body, Carrier, Manner, bad_answer
from hoosh.client.question import Question, T
from hoosh.client.retry import Attempts
from hoosh.codec.form_upload import FormUpload
from hoosh.errors import HooshError, ResponseTooLarge, TransportError, TransportTimeout

__all__ = ["AsyncBody", "AsyncCarrier"]

CLOSE_S = 1.0
"""For a connection to be closed, even when the one who leaves is cancelled."""
LINGER_S = 0.2
"""For the end of a body behind a stream's terminator, so that the connection can be used again."""


class AsyncCarrier(Carrier):
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
            content=_InThread(question.body) if isinstance(question.body, FormUpload) else question.body,
            headers=self._headers(question, attempts, self.now_s()),
        )
        try:
            response = await self.http.send(request, stream=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            failed = self.failure(error, attempts, self.now_s())
        else:
            return await self._judge(AsyncBody(response, self, attempts, asked_s))
        raise failed  # here, where httpx's error is not kept as its context

    async def _judge(self, body: AsyncBody) -> AsyncBody:
        """The body of a good answer.  Raises GatewayError, and ProtocolViolation for a redirect."""
        if body.status < 300:
            return body
        raise bad_answer(body, await body.read_some(ERROR_BYTES))


class _InThread:
    """A form whose file is read in a thread, block by block."""

    def __init__(self, form: FormUpload) -> None:
        self._blocks = iter(form)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        block = await anyio.to_thread.run_sync(next, self._blocks, b"")
        if not block:
            raise StopAsyncIteration
        return block


class AsyncBody(Body):
    def __init__(self, response: httpx.Response, carrier: AsyncCarrier, attempts: Attempts, asked_s: float) -> None:
        super().__init__(response, attempts, asked_s)
        self._way = carrier
        self._chunks = response.aiter_raw()
        self._is_closed = False

    async def next(self) -> bytes:
        """The next bytes; b"" at the end."""
        try:
            return await anext(self._chunks, b"")
        except (httpx.HTTPError, httpx.StreamError) as error:
            failed = self._way.failure(error, self.attempts, self._way.now_s())
        raise failed

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
