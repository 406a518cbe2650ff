"""The upstream pool: connections of one origin, kept alive and shared, and exchanges on them.

    pool = Pool(origin, dialer=SocketDialer())
    await nursery.start(pool.run)
    async with pool.exchange(request, timeouts) as response:
        while piece := await response.receive(): ...

Leaving the block early closes an HTTP/1.1 connection, or resets the HTTP/2 stream and leaves its connection to the
others.  Neither waits.

Who gets a connection, first match wins:
  1. an idle HTTP/1.1 connection, the one used last, unless something is readable on it: then it has ended
  2. a free stream on an HTTP/2 connection, oldest connection first
  3. leave to dial, below `max_connections`; while it is not known whether the origin speaks HTTP/2, and when it does,
     one at a time
  4. otherwise wait, first come, first served, within the connect deadline

An exchange is silently tried once more when its request cannot have been acted on (GOAWAY, REFUSED_STREAM), or when
a connection used before broke without a byte having come back: an upstream closes an idle connection just when we
use it again (RFC 9112, section 9.3.1).  Never on a fresh connection, never after a response byte.
"""

from __future__ import annotations

import logging
import math
import ssl
from collections import OrderedDict, deque
from types import TracebackType
from typing import Literal, NoReturn

import outcome
import trio
from msgspec import Struct

from hoosh.errors import ConnectFailed, ConnectionBroke, HooshError
from hoosh.http.client_h1 import H1Connection
from hoosh.http.client_h2 import H2Connection
from hoosh.http.client_response import OpenResponse, decoded
from hoosh.http.deadlines import Timeouts
from hoosh.http.dial import Dialer
from hoosh.http.message import Headers, HttpRequest, Origin, Response
from hoosh.http.tls import HTTP1_ONLY, HTTP2_ONLY, HTTP2_OR_1, client_context
from hoosh.http.watch import Alarm, Watch

__all__ = ["Pool", "PoolLimits", "PoolStatistics", "Timeouts", "UpstreamExchange"]

log = logging.getLogger("hoosh.http")

Http2 = Literal["off", "alpn", "prior"]
Connection = H1Connection | H2Connection

SWEEPS_PER_KEEPALIVE = 4
"""An idle connection is closed between `keepalive_s` and a quarter more."""


class PoolLimits(Struct, frozen=True):
    """For one origin."""

    max_connections: int = 10_000
    max_streams_per_connection: int = 100
    keepalive_s: float = 60.0
    max_idle: int = 256
    """HTTP/1.1 connections kept without work."""


DEFAULT_LIMITS = PoolLimits()


class PoolStatistics(Struct, frozen=True):
    """Connections: `open` = `idle` + `active`; besides, exchanges waiting for one."""

    open: int
    idle: int
    active: int
    waiting: int
    http2_streams: int


class Dial(Struct, frozen=True):
    """Leave to dial: a place among `max_connections` has been taken for it."""


DIAL = Dial()


class Pool:
    """The connections of one origin.  `run` must be running; everything else is for the exchanges."""

    def __init__(
        self,
        origin: Origin,
        *,
        dialer: Dialer,
        http2: Http2 = "alpn",
        tls: ssl.SSLContext | None = None,
        limits: PoolLimits = DEFAULT_LIMITS,
    ) -> None:
        self.origin = origin
        self.limits = limits
        self._dialer = dialer
        self._prior_knowledge = http2 == "prior"
        self._tls = _tls(origin, http2, tls)
        self._multiplexes = _multiplexes_at_first(origin, http2)
        self._idle: deque[H1Connection] = deque()  # the one used last is on the right
        self._shared: list[H2Connection] = []
        self._places_taken = 0  # connections, and those being dialled
        self._dialling = 0
        self._waiting: OrderedDict[trio.lowlevel.Task, bool] = OrderedDict()  # -> must be fresh
        self.watch = Watch()
        self._nursery: trio.Nursery | None = None
        self.sweeps = 0
        """Counted, so that a connection notes when it fell idle without asking the clock."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Own the HTTP/2 connections and the deadlines, and close what is idle.  Closes everything when cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self.watch.run)
                task_status.started()
                while True:
                    await trio.sleep(self.limits.keepalive_s / SWEEPS_PER_KEEPALIVE)
                    self.sweeps += 1
                    self._sweep(self.sweeps - SWEEPS_PER_KEEPALIVE)
        finally:
            self._nursery = None
            self._close()
        raise AssertionError("runs until cancelled")

    def exchange(self, request: HttpRequest, timeouts: Timeouts) -> UpstreamExchange:
        """One request and its response, as an async context manager.  Raises TransportError; see `Timeouts`."""
        return UpstreamExchange(self, request, timeouts)

    async def fetch(self, request: HttpRequest, timeouts: Timeouts, *, max_bytes: int) -> tuple[int, Headers, bytes]:
        """A whole response: status, headers, body.  Raises ResponseTooLarge past `max_bytes`."""
        async with self.exchange(request, timeouts) as response:
            return response.status, response.headers, await response.read(max_bytes)

    def statistics(self) -> PoolStatistics:
        open_ = self._places_taken - self._dialling
        idle = len(self._idle) + sum(connection.is_unused() for connection in self._shared)
        streams = sum(len(connection.streams) for connection in self._shared)
        return PoolStatistics(open_, idle, open_ - idle, len(self._waiting), streams)

    # For exchanges.

    def take(self, *, fresh: bool) -> Connection | Dial | None:
        """What the next exchange gets, without waiting; None when others wait or there is nothing.

        `fresh`: no connection that was used before.  Raises ConnectFailed when `run` is not running.
        """
        if self._nursery is None:
            raise ConnectFailed("the connection pool is closed")
        return None if self._waiting else self._next(fresh)

    async def obtain(self, taken: Dial | None, *, fresh: bool) -> Connection:
        """Wait for a turn if need be, and dial if that is what it brings.  Raises ConnectFailed."""
        got = taken or await self._wait_turn(fresh)
        return await self._dial() if isinstance(got, Dial) else got

    # For connections.

    def settle(self, connection: H1Connection, *, reusable: bool) -> None:
        """An exchange on an HTTP/1.1 connection is over."""
        if reusable and self._nursery is not None:
            connection.used = True
            connection.idle_since = self.sweeps
            self._idle.append(connection)
            if len(self._idle) > self.limits.max_idle:
                self._drop(self._idle.popleft())
        else:
            self._drop(connection)
        if self._waiting:
            self.room_made()

    def lost(self, connection: H2Connection) -> None:
        self._shared.remove(connection)
        self._places_taken -= 1
        self.room_made()

    def room_made(self) -> None:
        """Serve those who wait, in order, as far as it goes."""
        while self._waiting:
            task, fresh = next(iter(self._waiting.items()))
            got = self._next(fresh)
            if got is None:
                return
            del self._waiting[task]
            trio.lowlevel.reschedule(task, outcome.Value(got))

    def _next(self, fresh: bool) -> Connection | Dial | None:
        if not fresh:
            while self._idle:
                connection = self._idle.pop()
                if connection.wire.is_quiet():
                    return connection
                self._drop(connection)
            for shared in self._shared:
                if shared.reserve():
                    return shared
        return DIAL if self._may_dial(fresh) else None

    def _may_dial(self, fresh: bool) -> bool:
        """Whether to dial, and if so takes a place."""
        may_share = self._multiplexes is not False and not fresh
        # A dial under way may serve us too; and a peer that takes no streams now would not on another connection.
        if may_share and (self._dialling or any(shared.takes_none() for shared in self._shared)):
            return False
        if self._places_taken >= self.limits.max_connections:
            if not (fresh and self._idle):
                return False
            self._drop(self._idle.popleft())
        self._places_taken += 1
        self._dialling += 1
        return True

    async def _wait_turn(self, fresh: bool) -> Connection | Dial:
        task = trio.lowlevel.current_task()
        self._waiting[task] = fresh

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            del self._waiting[task]
            return trio.lowlevel.Abort.SUCCEEDED

        # Rescheduled with what it gets: from then on no cancellation can lose it before the next checkpoint.
        got: Connection | Dial = await trio.lowlevel.wait_task_rescheduled(abort)
        return got

    async def _dial(self) -> Connection:
        try:
            wire = await self._dialer.dial(self.origin, self._tls)
        except BaseException as error:
            self._dialling -= 1
            self._places_taken -= 1
            if isinstance(error, ConnectFailed):
                log.debug("no connection to %s:%d: %s", self.origin.host, self.origin.port, error)
            if isinstance(error, ConnectFailed) and self._multiplexes is not False and not self._places_taken:
                self._fail_waiting(str(error))  # they were waiting for this very connection
            self.room_made()
            raise
        log.debug("connected to %s:%d", self.origin.host, self.origin.port)
        self._dialling -= 1
        nursery = self._nursery
        if nursery is None:
            wire.close()
            self._places_taken -= 1
            raise ConnectFailed("the connection pool is closed")
        self._multiplexes = self._prior_knowledge or wire.alpn == "h2"
        connection: Connection
        if self._multiplexes:
            connection = H2Connection(wire, self, max_streams=self.limits.max_streams_per_connection)
            connection.reserve()
            self._shared.append(connection)
            nursery.start_soon(connection.run)
        else:
            connection = H1Connection(wire, self)
        self.room_made()
        return connection

    def _drop(self, connection: H1Connection) -> None:
        connection.wire.close()
        self._places_taken -= 1

    def _sweep(self, before: int) -> None:
        """Close what has been idle since sweep number `before`, and what has ended meanwhile."""
        for connection in list(self._idle):
            if connection.idle_since < before or not connection.wire.is_quiet():
                self._idle.remove(connection)
                self._drop(connection)
        for shared in self._shared:
            if shared.is_unused() and (shared.idle_since < before or shared.is_suspect()):
                shared.retire()
        self.room_made()

    def _fail_waiting(self, message: str) -> None:
        while self._waiting:
            task, _ = self._waiting.popitem(last=False)
            trio.lowlevel.reschedule(task, outcome.Error(ConnectFailed(message)))

    def _close(self) -> None:
        self._fail_waiting("the connection pool is closed")
        while self._idle:
            self._drop(self._idle.pop())
        for alarm in list(self.watch.alarms):
            alarm.interrupt(ConnectionBroke("the connection pool was closed"))


class UpstreamExchange:
    """`async with` gives the response; leaving ends the exchange, complete or not, without waiting.

    A deadline, or whoever calls `interrupt`, ends it from outside: the connection is closed (the stream reset) at
    once, and the block's present or next wait for the upstream raises their error.  What else the block waits for is
    its own affair: a slow client is not the upstream's fault, and does not keep the upstream.

    There is no cancel scope around the block: it would cost a fifth of a small exchange, and the only waits to be
    interrupted here are our own.
    """

    __slots__ = ("_alarm", "_connecting", "_error", "_pool", "_request", "_response", "_timeouts", "connected_at")

    def __init__(self, pool: Pool, request: HttpRequest, timeouts: Timeouts) -> None:
        self._pool = pool
        self._request = request
        self._timeouts = timeouts
        self._alarm: Alarm | None = None
        self._response: OpenResponse | None = None
        self._connecting: trio.CancelScope | None = None
        self.connected_at = -math.inf
        """When it had the connection that it uses, on Trio's clock."""
        self._error: HooshError | None = None

    async def __aenter__(self) -> Response:
        try:
            return await self.open()
        except BaseException:
            self.leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def interrupt(self, error: HooshError) -> None:
        """End the exchange from outside, at any time.  The first call counts; a response that is whole stays whole."""
        if self._error is None:
            self._error = error
            if self._response is not None:
                self._response.interrupt(error)
            elif self._connecting is not None:
                self._connecting.cancel(reason=str(error))

    # What the block does, for those whose exchange is none (httpx_transport).

    async def open(self) -> Response:
        """Get a connection, send the request, wait for the response head.  Whatever comes of it, `leave` follows."""
        pool, request = self._pool, self._request
        now_s = trio.current_time()
        alarm = self._alarm = Alarm(pool.watch, self._timeouts, self.interrupt, now_s)
        retried = fresh = False
        while True:
            if self._error is not None:
                raise self._error
            connection = pool.take(fresh=fresh)
            if connection is None or isinstance(connection, Dial):
                alarm.arm("connect", now_s)
                connection = await self._connect(connection, fresh)
                now_s = trio.current_time()
            self.connected_at = now_s
            alarm.arm("first_byte", now_s)
            response: OpenResponse = connection.begin(request, alarm)
            self._response = response
            if (error := self._ended_by()) is not None:  # in the very turn in which the connection came
                response.interrupt(error)
            try:
                await response.open(request)
            except ConnectionBroke as error:
                if retried or not (error.request_lost or response.stale) or self._error is not None:
                    raise
                retried, fresh = True, not error.request_lost
                self._response = None
                response.leave()
                now_s = trio.current_time()
            else:
                alarm.rest()
                return decoded(response)

    def _ended_by(self) -> HooshError | None:
        return self._error

    def leave(self) -> None:
        """End the exchange.  Never waits; a second time does nothing."""
        response, self._response = self._response, None
        if response is not None:
            response.leave()
        if self._alarm is not None:
            self._alarm.cancel()

    async def _connect(self, taken: Dial | None, fresh: bool) -> Connection:
        with trio.CancelScope() as self._connecting:
            return await self._pool.obtain(taken, fresh=fresh)
        assert self._error is not None
        raise self._error


def _tls(origin: Origin, http2: Http2, given: ssl.SSLContext | None) -> ssl.SSLContext | None:
    if origin.scheme != "https":
        return None
    return given or client_context(alpn={"off": HTTP1_ONLY, "alpn": HTTP2_OR_1, "prior": HTTP2_ONLY}[http2])


def _multiplexes_at_first(origin: Origin, http2: Http2) -> bool | None:
    """Whether connections will speak HTTP/2; None: ALPN will tell."""
    if http2 == "alpn":
        return None if origin.scheme == "https" else False
    return http2 == "prior"
