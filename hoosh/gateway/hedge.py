"""Hedging: where the first upstream is slow to begin, the next is asked as well, and the first content wins.

    first  ──open──▶ head ─▶ ……………………… ✗ left at once, what it has used is paid
                 │ after hedge_after_ms
    second       └──open──▶ head ─▶ content ──▶ the relay

Each attempt reads its reply up to the first content, and no further; what it has read is played to the relay again.
An error never wins while another attempt lives.  A budget of its own bounds how many requests are hedged.

Source: Dean and Barroso, "The Tail at Scale" (2013), hedged requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType

import trio

from hoosh.admission import Pass
from hoosh.dialects.contract import Ending
from hoosh.errors import HooshError, InvalidRequest, UpstreamError
from hoosh.gateway.account import Account
from hoosh.gateway.attempt import OpenReply, Reply, ended_early, too_late
from hoosh.gateway.relay import COMMENT_S, REPLY_BYTES
from hoosh.http.client_response import read_body
from hoosh.http.message import Headers, Response
from hoosh.routing import Verdict, judge
from hoosh.values import Call, CallKind, Target

__all__ = ["HEDGED", "Entry", "PrimedResponse", "Race", "can_be_hedged"]

HEDGED = frozenset({CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING})


def can_be_hedged(call: Call) -> bool:
    """Asking two does no harm but cost."""
    return call.kind in HEDGED


class PrimedResponse:
    """A response whose beginning has been read already: a `Response`."""

    __slots__ = ("_read", "_response", "ended", "headers", "status")

    def __init__(self, response: Response, read: list[bytes]) -> None:
        self._response = response
        self._read = read[::-1]
        self.status = response.status
        self.headers: Headers = response.headers
        self.ended = False

    async def receive(self) -> bytes:
        data = self._read.pop() if self._read else await self._response.receive()
        self.ended = not self._read and self._response.ended
        return data

    async def read(self, max_bytes: int) -> bytes:
        return await read_body(self, max_bytes)


class Entry:
    """One attempt in a race.  The winner's is handed over, still open: a context manager that gives its reply."""

    __slots__ = ("begun_s", "limit", "opening", "place", "reply", "target")

    def __init__(self, target: Target, opening: OpenReply, place: Pass | None, begun_s: float) -> None:
        self.target = target
        self.opening = opening
        self.place = place
        self.begun_s = begun_s
        self.limit = trio.CancelScope()
        """Around the wait for its first content."""
        self.reply: Reply

    async def __aenter__(self) -> Reply:
        return self.reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self.opening.__aexit__(kind, error, traceback)

    async def prime(self, call: Call, account: Account) -> None:
        """Open, and read up to the first content.  Raises UpstreamError, InvalidRequest; it is closed then."""
        with self.limit:
            await self._prime(call, account)
        if self.limit.cancelled_caught:
            raise too_late(self.target.provider)

    async def _prime(self, call: Call, account: Account) -> None:
        reply = self.reply = await self.opening.__aenter__()
        try:
            if call.stream and not reply.is_whole:
                read = await self._first_events(reply, call, account)
            else:
                read = [await reply.response.read(REPLY_BYTES)]
                if not call.stream:
                    reply.passage.read_reply(call, read[0], account.stamp(), provider=reply.provider)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        reply.response = PrimedResponse(reply.response, read)

    async def _first_events(self, reply: Reply, call: Call, account: Account) -> list[bytes]:
        tap, read = reply.passage.tap(call, account.stamp(), provider=reply.provider), list[bytes]()
        while not (tap.has_content or tap.terminated):
            data = await reply.response.receive()
            read.append(data)
            if data:
                tap.feed(data)
            elif tap.close()[1] is not Ending.COMPLETE:
                raise tap.error or ended_early(reply.provider)
            else:
                break
            if tap.error is not None:
                raise tap.error
        return read


class Race:
    """`run` gives the winner.  What became of the others is told to `over`, exactly once each."""

    __slots__ = ("_account", "_call", "_decided", "_entries", "_failures", "_on_silence", "_over", "winner")

    def __init__(
        self,
        call: Call,
        account: Account,
        over: Callable[[Entry, BaseException | None], None],
        on_silence: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`over` hears of an entry that has failed, or was left (cancelled, or None).

        `on_silence` is awaited while nobody has begun.
        """
        self._call = call
        self._account = account
        self._over = over
        self._on_silence = on_silence
        self._entries: dict[Entry, None] = {}
        """That still run."""
        self._failures: dict[Entry, Exception] = {}
        self._decided = trio.Event()
        self.winner: Entry | None = None

    async def run(self, first: Entry, after_s: float, second: Callable[[], Entry | None]) -> Entry:
        """`second` is asked for after so long.  The winner is the caller's to leave.

        Where nobody has won it raises the error of `first`, unless the other has said that the request is at fault;
        and at once what is no error of an upstream.  No error leaves it in a group.
        """
        try:
            async with trio.open_nursery() as nursery:
                await self._watch(nursery, first, after_s, second)
                nursery.cancel_scope.cancel(reason="the race is decided")  # before anything of the winner goes out
            if self.winner is None or not all(map(is_of_an_attempt, self._failures.values())):
                raise self._worst(first)
        except BaseException as error:
            if self.winner is not None:
                await self.winner.__aexit__(type(error), error, error.__traceback__)
            raise
        return self.winner

    async def _watch(
        self, nursery: trio.Nursery, first: Entry, after_s: float, second: Callable[[], Entry | None]
    ) -> None:
        """Until it is decided."""
        self._start(nursery, first)
        with trio.move_on_after(after_s):
            await self._decided.wait()
        if not self._decided.is_set() and (other := second()) is not None:
            self._start(nursery, other)
        while not self._decided.is_set():
            with trio.move_on_after(COMMENT_S):
                await self._decided.wait()
            if not self._decided.is_set() and self._on_silence is not None:
                await self._on_silence()

    def _worst(self, first: Entry) -> Exception:
        """A bug or somebody's wish that it ends, else a verdict on the request, else the first's."""
        failures = self._failures.values()
        for error in failures:
            if not is_of_an_attempt(error):
                return error
        for error in failures:
            if isinstance(error, UpstreamError) and judge(error) is Verdict.NOBODY:
                return error
        return self._failures[first]

    def interrupt(self, error: HooshError) -> None:
        """Make every attempt fail with `error`."""
        for entry in list(self._entries):
            entry.opening.interrupt(error)
        if self.winner is not None:
            self.winner.opening.interrupt(error)

    def _start(self, nursery: trio.Nursery, entry: Entry) -> None:
        self._entries[entry] = None
        nursery.start_soon(self._enter, entry)

    async def _enter(self, entry: Entry) -> None:
        failure: BaseException | None = None
        try:
            await entry.prime(self._call, self._account)
            if self.winner is None:
                self.winner = entry
                self._decided.set()
                return
            await entry.__aexit__(None, None, None)
        except Exception as error:  # for `run` to raise: a nursery would put it into a group
            failure = self._failures[entry] = error
        except BaseException as error:
            failure = error
            raise
        finally:
            del self._entries[entry]
            if self.winner is not entry:
                self._over(entry, failure)
                if not (self._entries and is_of_an_attempt(failure)):
                    self._decided.set()


def is_of_an_attempt(failure: BaseException | None) -> bool:
    """Another attempt may do better."""
    return failure is None or isinstance(failure, UpstreamError | InvalidRequest)
