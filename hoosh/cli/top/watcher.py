"""Asks the gateway: all sources at once, each with its own deadline, so that a slow one holds up no other."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import trio

from hoosh.cli.failure import Failure
from hoosh.cli.place import Place, gateway_path
from hoosh.cli.talk import NO_GATEWAY, message_of
from hoosh.cli.top.answers import SOURCES, Health, Reading, understand
from hoosh.errors import TransportError
from hoosh.http.client import Pool, PoolLimits
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import Dialer, SocketDialer
from hoosh.http.message import HttpRequest, RequestHead

__all__ = ["NotReachable", "RefusedKey", "Watcher"]

WITHIN_S = 3.0
MAX_BYTES = 16 * 1024 * 1024
TIMEOUTS = Timeouts(connect_s=WITHIN_S, first_byte_s=WITHIN_S, idle_s=WITHIN_S, total_s=WITHIN_S)
ADVICE = {401: "pass --key or set HOOSH_API_KEY", 403: "needs a key that may see it"}


class NotReachable(Exception):
    """Nobody answers, or not in time.  It may come back."""


class RefusedKey(Failure):
    """The gateway does not know this key."""


class Watcher:
    """One gateway, watched.  `run` must be running."""

    def __init__(self, place: Place, *, dialer: Dialer | None = None) -> None:
        self.place = place
        limits = PoolLimits(max_connections=len(SOURCES) + 2)
        self._pool = Pool(place.origin, dialer=dialer or SocketDialer(), http2="off", limits=limits)
        self.run = self._pool.run
        """The service that owns the connections."""

    async def read(self) -> Reading:
        """Ask for everything.  Raises NotReachable, RefusedKey, and Failure where this is no gateway."""
        answers: dict[str, Any] = {}
        missing: dict[str, str] = {}
        failures: list[Exception] = []

        async def ask(source: str) -> None:
            try:
                answers[source] = understand(source, await self._get(SOURCES[source][0]))
            except TransportError as error:
                missing[source] = str(error)
                failures.append(NotReachable(str(error)))
            except _Refused as refused:
                missing[source] = refused.words
                if source == "health":
                    failures.insert(0, self._told(refused))
            except ValueError:
                missing[source] = "it cannot be understood"
                if source == "health":
                    failures.insert(0, Failure(NO_GATEWAY.format(self.place.shown)))

        async with trio.open_nursery() as nursery:
            for source in SOURCES:
                nursery.start_soon(ask, source)
        health = answers.pop("health", None)
        if not isinstance(health, Health):
            raise failures[0]
        clock = time.strftime("%H:%M:%S")
        return Reading(at_s=trio.current_time(), clock=clock, health=health, missing=missing, **answers)

    async def cancel(self, identity: str) -> str:
        """End a request.  Returns what to say of it; never raises."""
        try:
            await self._get(f"/v1/admin/requests/{quote(identity, safe='')}", method="DELETE")
        except _Refused as refused:
            return f"{identity} had ended already" if refused.status == 404 else f"{identity}: {refused.words}"
        except TransportError as error:
            return f"{identity}: {error}"
        return f"{identity} is cancelled"

    async def _get(self, path: str, *, method: str = "GET") -> bytes:
        head = RequestHead(self.place.origin, method, gateway_path(self.place) + path, self.place.headers)
        status, _, body = await self._pool.fetch(HttpRequest(head), TIMEOUTS, max_bytes=MAX_BYTES)
        if status != 200:
            raise _Refused(status, body)
        return body

    def _told(self, refused: _Refused) -> Exception:
        text = f"the gateway at {self.place.shown} answered {refused.status}: {refused.words}"
        if refused.status == 401:
            return RefusedKey(text)
        # A proxy in front of a gateway that is being started anew says 502 or 503.
        return NotReachable(text) if refused.status >= 500 else Failure(text)


class _Refused(Exception):
    """An answer with a bad status."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        try:
            said = message_of(json.loads(body)).rstrip(".")
        except ValueError:
            said = ""
        self.words = "; ".join(part for part in (said or f"status {status}", ADVICE.get(status, "")) if part)
