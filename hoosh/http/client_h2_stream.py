"""One HTTP/2 stream as its request sees it: a response that fills as the connection's reader tells it.

Waits only here, on a parking lot of its own; everything that goes out is asked of the connection (client_h2).
"""

from __future__ import annotations

from typing import Protocol

import trio

from hoosh.errors import HooshError, TransportError
from hoosh.http.client_response import read_body
from hoosh.http.message import Headers, HttpRequest
from hoosh.http.pieces import PieceReader
from hoosh.http.watch import Alarm
from hoosh.values import Pieces

__all__ = ["H2Response"]

WIDE_WINDOW_BYTES = 1024 * 1024
"""How far the upstream may send ahead of a buffered `read`."""

_NONE = Headers()


class H2Carrier(Protocol):
    """The connection, as a stream needs it.  Nothing here waits."""

    reads: int
    begun: int

    def credit(self, response: H2Response) -> None: ...

    def widen(self, response: H2Response, window_bytes: int) -> None: ...

    def push(self, response: H2Response, piece: bytes, *, is_last: bool) -> None: ...

    def abandon(self, response: H2Response, *, silent_s: float) -> None: ...


class H2Response:
    """One stream: a request on its way out and a response on its way in."""

    __slots__ = (
        "_alarm",
        "_arrived",
        "_connection",
        "_opened_at",
        "_parts",
        "_wide",
        "ended",
        "error",
        "headers",
        "reads_before",
        "reused",
        "status",
        "stream_id",
        "unsent",
        "untaken_bytes",
        "withheld",
    )

    def __init__(self, connection: H2Carrier, alarm: Alarm) -> None:
        self.status = 0
        self.headers = _NONE
        self.ended = False
        self.error: HooshError | None = None
        self.stream_id = 0
        self.unsent = memoryview(b"")
        self.withheld = False
        """Behind `unsent` more of the body will come."""
        self.untaken_bytes = 0
        """Received, and not yet credited to the peer; padding included."""
        self.reused = connection.begun > 0
        self.reads_before = connection.reads
        self._connection = connection
        self._alarm = alarm
        self._opened_at = trio.current_time()
        self._parts: list[bytes] = []
        self._wide = False
        self._arrived = trio.lowlevel.ParkingLot()

    @property
    def stale(self) -> bool:
        return self.reused and self._connection.reads == self.reads_before

    async def open(self, request: HttpRequest) -> None:
        if self.withheld:
            await self._upload(request.body)  # type: ignore[arg-type]
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._arrived.park()

    async def _upload(self, body: Pieces) -> None:
        """Send the body as the peer's window allows, until it is gone or the peer wants no more of it."""
        reader = PieceReader(body)
        while self.status < 300 and not self.ended and self.error is None and (piece := await reader.next()):
            self._connection.push(self, piece, is_last=not reader.left)
            while self.unsent and self.status < 300 and not self.ended and self.error is None:
                await self._arrived.park()
            self._alarm.arm("first_byte")  # whoever takes it is there; and the phase begins when it is gone

    async def receive(self) -> bytes:
        parts = self._parts
        if not parts:
            if self.ended:
                return b""
            alarm = self._alarm
            if alarm.due == alarm.total_at:  # else it runs since an earlier wait, which was given up: one silence
                alarm.arm("idle")
            while not parts and not self.ended:
                if self.error is not None:
                    raise self.error
                await self._arrived.park()
            alarm.rest()
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self.untaken_bytes:
            self._connection.credit(self)
        return body

    async def read(self, max_bytes: int) -> bytes:
        if not self.ended and not self._wide:
            self._wide = True
            self._connection.widen(self, min(max_bytes, WIDE_WINDOW_BYTES))
        return await read_body(self, max_bytes)

    def interrupt(self, error: HooshError) -> None:
        if not self.ended:
            self.leave()
            self._parts.clear()
            self.error = error
            self._arrived.unpark_all()

    def leave(self) -> None:
        self._connection.abandon(self, silent_s=trio.current_time() - self._opened_at)

    # What the connection tells.

    def wants_more(self) -> None:
        """The piece of the body that it had is gone."""
        self._arrived.unpark_all()

    def head_arrived(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers
        self._arrived.unpark_all()

    def body_arrived(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._arrived.unpark_all()

    def end_arrived(self) -> None:
        self.ended = True
        self._arrived.unpark_all()

    def fail(self, error: TransportError) -> None:
        """Before the end: what has arrived can still be received, then `error` is raised.  After it: nothing."""
        if not self.ended and self.error is None:
            self.error = error
            self._arrived.unpark_all()
