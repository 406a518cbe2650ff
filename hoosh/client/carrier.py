"""What the two ways of a question have in common: `waiting.py` (Trio or asyncio, through anyio) and `blocking.py`.

    send ──▶ head ──good──▶ body, piece by piece ──▶ left, or read to its end
              └──bad──▶ its error ──Attempts──▶ wait, and again; or raised

What goes wrong on the way becomes a TransportError of `hoosh.errors`, without httpx's own error behind it: that one
holds the request, with the key.  Leaving a body before its end closes its connection, and so the gateway stops the
work.  Bodies are bounded, and asked for uncompressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import httpx
from msgspec import Struct

from hoosh import __version__
from hoosh.client.address import CONNECT_S, Address
from hoosh.client.errors import error_from
from hoosh.client.question import Answer, Question, T
from hoosh.client.retry import Attempts, Retries
from hoosh.codec.form_upload import FormUpload
from hoosh.errors import (
    ConnectFailed,
    ConnectionBroke,
    HooshError,
    ProtocolViolation,
    TransportError,
    TransportTimeout,
)

__all__ = ["BODY_BYTES", "ERROR_BYTES", "Body", "Carrier", "Manner", "bad_answer"]

BODY_BYTES = 256 * 1024 * 1024
ERROR_BYTES = 256 * 1024


class Manner(Struct, frozen=True):
    """How a client asks, whatever it asks."""

    address: Address
    retries: Retries
    timeout_s: float | None
    silence_s: float
    chance: Random


class Carrier:
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
        if isinstance(question.body, FormUpload) and question.body.length is not None:
            headers["content-length"] = str(question.body.length)
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

    def failure(self, error: httpx.HTTPError | httpx.StreamError, attempts: Attempts, now_s: float) -> TransportError:
        """What has happened, in our words.  A silence until the deadline is the deadline's."""
        match error:
            case httpx.TimeoutException() if attempts.is_over(now_s):
                return TransportTimeout("total", attempts.timeout_s or 0.0)
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


def bad_answer(body: Body, said: bytes) -> HooshError:
    if body.status >= 400:
        return error_from(body.status, body.headers, said)
    return ProtocolViolation(f"status {body.status} is no answer of a hoosh gateway; is the address right?")


class Body:
    """Of an answer whose head has come."""

    def __init__(self, response: httpx.Response, attempts: Attempts, asked_s: float) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.attempts = attempts
        self.asked_s = asked_s
        self._response = response

    def answer(self, body: bytes, now_s: float) -> Answer:
        return Answer(self.status, self.headers, body, now_s - self.asked_s)
