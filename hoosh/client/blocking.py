"""The way of a question that blocks its thread.  Deadlines are looked at between two waits."""

from __future__ import annotations

import time

import httpx

from hoosh.client.carrier import BODY_BYTES, ERROR_BYTES, Body, Carrier, Manner, bad_answer
from hoosh.client.question import Question, T
from hoosh.client.retry import Attempts
from hoosh.errors import HooshError, ResponseTooLarge, TransportError

__all__ = ["SyncBody", "SyncCarrier"]


class SyncCarrier(Carrier):
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
            failed = self.failure(error, attempts, self.now_s())
        else:
            return self._judge(SyncBody(response, self, attempts, asked_s))
        raise failed  # here, where httpx's error is not kept as its context

    def _judge(self, body: SyncBody) -> SyncBody:
        """The body of a good answer.  Raises GatewayError, and ProtocolViolation for a redirect."""
        if body.status < 300:
            return body
        raise bad_answer(body, body.read_some(ERROR_BYTES))


class SyncBody(Body):
    def __init__(self, response: httpx.Response, carrier: SyncCarrier, attempts: Attempts, asked_s: float) -> None:
        super().__init__(response, attempts, asked_s)
        self._way = carrier
        self._chunks = response.iter_raw()

    def next(self) -> bytes:
        """The next bytes; b"" at the end."""
        self.attempts.left_s(self._way.now_s())
        try:
            return next(self._chunks, b"")
        except (httpx.HTTPError, httpx.StreamError) as error:
            failed = self._way.failure(error, self.attempts, self._way.now_s())
        raise failed

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
