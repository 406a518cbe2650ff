"""The reply on its way to the client: counted, and never passed off as whole when it is not.

One `await` chain from the client's socket to the upstream's: a slow client stops our reading, and so the upstream.
Same language on both sides: event bytes go through as they came, a tap looks at them in passing.  Else the tap is a
decoder and an encoder; nothing here knows the difference.

What comes before the first content (a role, an empty block) is held back for it: until then another upstream may take
over, and nobody has seen the first.

While the upstream is silent the client gets a comment now and then (WHATWG HTML, section 9.2.7), so that nothing on
the way takes the connection for dead.  An upstream that has said all but its terminator, and is silent then, is waited
for no longer: the stream ends as if it had closed.  A timer a chunk would cost as much as the chunk: `Silence` is
watched by one task for all streams.
"""

from __future__ import annotations

import math

import trio
from msgspec.structs import replace

from hoosh.dialects.contract import Ending, StreamTap
from hoosh.errors import BudgetExceeded, HooshError, TransportError, UpstreamError
from hoosh.gateway.account import Account
from hoosh.gateway.answer import answer_headers, stream_headers
from hoosh.gateway.attempt import Reply, ended_early, too_late
from hoosh.gateway.bill import PIECE_BYTES, Bill
from hoosh.gateway.rescue import Rescue
from hoosh.gateway.said import Said
from hoosh.http.exchange import Exchange
from hoosh.http.message import Response
from hoosh.values import Call

__all__ = ["COMMENT_S", "REPLY_BYTES", "Silence", "SilenceWatch", "StreamRelay", "relay_whole"]

REPLY_BYTES = 64 * 1024 * 1024
"""A reply that is not streamed is held whole; this is the most."""
COMMENT_S = 15.0
"""So long an upstream may be silent before the client gets a comment."""
HOLD_S = 5.0
"""With nobody else to ask, what comes before the first content is held back no longer than this."""
LEFTOVER_S = 0.25
"""After the terminator: how long to wait for the upstream's last bytes, so that its connection can be kept."""

ROUND_S = 0.25
"""How often the watch looks at all streams."""
LAST_WORDS_ROUNDS = 2
"""Of silence after all has been said, usage and all: 0.5 s, or a round longer.  Then the stream is over."""
USAGE_ROUNDS = 8
"""The same while usage may come: 2 s, because without it the request is billed by a guess."""
ASKED_IN = (LAST_WORDS_ROUNDS + 1, USAGE_ROUNDS + 1)


class Silence:
    """One stream's wait for its upstream.  `scope` may be cancelled only while `is_waiting`.

    The relay looks at `is_called` after each receive, so that a call that comes together with data costs neither: the
    data is kept, the scope left.
    """

    __slots__ = ("_tap", "is_called", "is_waiting", "rounds", "scope")

    def __init__(self, tap: StreamTap) -> None:
        self._tap = tap
        self.scope = trio.CancelScope()
        self.is_waiting = False
        self.is_called = False
        self.rounds = 0
        """Of the watch, in which it waited and nothing came; the relay sets it back."""

    def is_the_end(self) -> bool:
        """All has been said, and what may still come is not worth a longer wait."""
        try:
            return self._tap.has_finished and (self.rounds > USAGE_ROUNDS or self._tap.usage is not None)
        except Exception:  # a plugin's bug: the relay asks as well, and there it fails its own request and no other
            return True

    def call(self) -> None:
        self.is_called = True
        self.scope.cancel(reason="silence")

    def renew(self) -> trio.CancelScope:
        """After a call: a fresh scope to wait in."""
        self.is_called = self.is_waiting = False
        self.rounds = 0
        self.scope = trio.CancelScope()
        return self.scope


class SilenceWatch:
    """A service: calls each relay whose upstream has been silent for `every_s`, or a round longer; for a moment only,
    where all has been said.

    It counts rounds, so that a chunk costs its stream no look at the clock.  A tap is asked in two of them at most.
    5 000 silent streams cost 0.7 ms a round, and 2.5 ms where all are asked: 0.3 % of a core.
    """

    def __init__(self, every_s: float) -> None:
        self.waiting: set[Silence] = set()
        self._round_s = ROUND_S
        self._rounds = math.ceil(every_s / self._round_s)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await trio.sleep(self._round_s)
            for silence in list(self.waiting):
                if silence.is_waiting:
                    silence.rounds += 1
                    if silence.rounds > self._rounds or (silence.rounds in ASKED_IN and silence.is_the_end()):
                        silence.call()


async def relay_whole(exchange: Exchange, call: Call, account: Account, reply: Reply) -> None:
    """Pass on a reply that is one body.  Raises UpstreamBroke when it is not a reply."""
    received = await reply.response.read(REPLY_BYTES)
    whole = reply.passage.read_reply(call, received, account.stamp(), provider=reply.provider)
    body, account.usage = whole.body, whole.usage
    if whole.usage is None:
        body = _counted(body, call, account)
    account.first_token_at, account.has_told = trio.current_time(), True
    account.sending(body)
    headers = answer_headers(account)
    headers.append((b"content-type", b"application/json"))
    await account.bill.keep()
    await exchange.respond(200, headers, body)
    account.answered(200)


def _counted(body: bytes, call: Call, account: Account) -> bytes:
    """A reply whose upstream has not counted: the books and the client get our count."""
    guess = account.bill.guess(len(body))
    if guess is None:
        return body
    account.usage, account.is_estimated = guess, True
    cost_of = account.bill.cost_of(account.provider or "", account.model or "")
    return account.downstream.add_usage(call, body, guess, None if cost_of is None else cost_of(guess))


class StreamRelay:
    """Passes a stream of events on, to its end or to its failure.

    Called once for each attempt.  Raises UpstreamError when the stream failed: nothing of an in-band error has been
    passed on then, and nothing at all while `account.has_told` is False.
    """

    __slots__ = (
        "_account",
        "_call",
        "_exchange",
        "_has_begun",
        "_held",
        "_hold_until",
        "_limit",
        "_reply",
        "_said",
        "_tap",
        "_watch",
    )

    def __init__(self, exchange: Exchange, call: Call, account: Account, watch: SilenceWatch) -> None:
        self._exchange = exchange
        self._call = call
        self._account = account
        self._watch = watch
        self._held = b""
        """Comes before the first content."""
        self._hold_until = math.inf
        self._has_begun = False
        """This attempt's first content is here."""
        self._limit: trio.CancelScope | None = None
        """Around the wait for the first content, where that is limited."""
        self._said: Said | None = None
        """What the client has been told, where somebody could go on with it."""
        self._reply: Reply
        self._tap: StreamTap

    async def __call__(self, reply: Reply) -> None:
        self._reply, self._held, self._limit, self._has_begun = reply, b"", None, False
        if reply.is_whole:
            await self._tell_whole(reply)
            return
        account = self._account
        self._tap = account.tap = reply.passage.tap(self._call, account.stamp(), provider=reply.provider)
        is_limited = reply.content_by < math.inf
        self._hold_until = math.inf if is_limited else trio.current_time() + HOLD_S
        watch, silence = self._watch, Silence(self._tap)
        try:
            watch.waiting.add(silence)
            while await (self._until_late(silence, reply) if is_limited else self.until_silent(silence)):
                if self._tap.has_finished:
                    await self._conclude(b"")
                    break
                await self.comment()
        except BudgetExceeded as dry:
            await self.run_dry(dry)
        except TransportError as broken:
            await self._finish_broken(broken)
        finally:
            watch.waiting.discard(silence)

    def rescue(self) -> Rescue | None:
        """The stream has broken off, with part of it gone out: how another goes on with it.  None: nobody can."""
        if self._said is None:
            return None
        account = self._account
        return Rescue.of(self._call, account.downstream, self._said, earlier=account.bill.usage_of_others())

    async def _finish_broken(self, broken: TransportError) -> None:
        """The connection has failed, perhaps behind the last word.  Raises `broken` where something was missing."""
        tap = self._tap
        if tap.terminated or tap.error is not None:
            raise broken
        rest, ending = tap.close()
        if ending is not Ending.COMPLETE:
            raise broken
        self._begin()
        await self._end(rest)

    async def _until_late(self, silence: Silence, reply: Reply) -> bool:
        """As `until_silent`; raises UpstreamTimeout where the first content does not come in time."""
        if self._has_begun:
            return await self.until_silent(silence)
        with trio.CancelScope(deadline=reply.content_by) as limit:
            self._limit = limit
            return await self.until_silent(silence)
        raise too_late(reply.provider)

    async def _tell_whole(self, reply: Reply) -> None:
        """A stream that is there at once."""
        account = self._account
        body = await self._whole_body(reply)
        whole = reply.passage.as_stream(self._call, body, account.stamp(), provider=reply.provider)
        if whole.usage is None:
            whole = replace(whole, usage=account.bill.guess(len(body)))
            account.is_estimated = whole.usage is not None
        account.usage = whole.usage
        self._begin()
        await self._end(whole.body)

    async def _whole_body(self, reply: Reply) -> bytes:
        with trio.CancelScope(deadline=reply.content_by):
            return await reply.response.read(REPLY_BYTES)
        raise too_late(reply.provider)

    async def until_silent(self, silence: Silence) -> bool:
        """Relay until the end (False) or until the watch says that it has been silent for long (True)."""
        receive, scope = self._reply.response.receive, silence.scope
        while True:
            with scope:
                while True:
                    silence.is_waiting = True
                    data = await receive()
                    silence.is_waiting = False
                    silence.rounds = 0
                    if silence.is_called:
                        break  # just as data came: out of the scope first, sending must not be cancelled
                    if await self._pass_on(data):
                        return False
            if scope.cancelled_caught:
                silence.renew()
                return True
            scope = silence.renew()
            if await self._pass_on(data):
                return False

    async def _pass_on(self, data: bytes) -> bool:
        """What one receive brought, b"" for the end.  True: the stream is over."""
        tap, bill = self._tap, self._account.bill
        most = tap.chunks + len(data) // PIECE_BYTES
        if most > bill.chunks_allowed and not bill.has_room(most):
            return await self._pass_on_by_line(data)
        events = tap.feed(data)
        if tap.terminated or tap.error is not None or not data:
            await self.finish(events)
            return True
        if events:
            await self._send(events)
        return False

    async def _pass_on_by_line(self, data: bytes) -> bool:
        """As `_pass_on`, near the end of what the budget allows.  Raises BudgetExceeded when it is passed.

        The upstream's lines are given to the tap one by one, so that not one piece is passed on too many.
        """
        tap, bill = self._tap, self._account.bill
        assert isinstance(bill, Bill), "what nobody pays for has no end"
        passed = []
        for line in data.splitlines(keepends=True) if data else (b"",):
            passed.append(tap.feed(line))
            if tap.terminated or tap.error is not None or not line:
                await self.finish(b"".join(passed))
                return True
            if tap.chunks > bill.chunks_allowed and not bill.has_room(tap.chunks):
                if events := b"".join(passed):
                    await self._send(events)
                raise bill.exhausted()
        if events := b"".join(passed):
            await self._send(events)
        return False

    async def run_dry(self, dry: BudgetExceeded) -> None:
        """The budget has nothing left: a proper end of the client's stream where the owner wants one.  Raises `dry`."""
        bill, tap = self._account.bill, self._tap
        rest = None
        if isinstance(bill, Bill) and bill.hold.on_exhausted == "finish":
            rest = tap.finish_early(bill.usage()[0])
        if rest is None:
            raise dry
        self._account.is_keepable = False
        await self._end(rest, is_whole=False)

    async def _send(self, events: bytes) -> None:
        account = self._account
        if not self._has_begun:
            if self._tap.has_content:
                self._begin()
            elif trio.current_time() < self._hold_until:
                self._held += events
                return
            events, self._held = self._held + events, b""
            account.has_told = True
        if not self._exchange.started:
            await self._start()
        if self._said is not None:
            self._said.keep(events)
        account.sending(events)
        await self._exchange.send(events)

    def _begin(self) -> None:
        """The first content is here.  Raises UpstreamTimeout where it is too late: nothing of it has gone out."""
        account, limit = self._account, self._limit
        if limit is not None:
            if limit.cancel_called:
                raise too_late(self._reply.provider)
            limit.deadline, self._limit = math.inf, None
        if self._has_begun:
            return
        self._has_begun = True
        if self._said is not None:
            account.is_rescued, account.is_keepable = True, False
        elif self._reply.is_spare and not account.has_told:
            self._said = Said(self._call.language)
        if account.first_token_at is None:
            account.first_token_at, account.phase = trio.current_time(), "streaming"

    async def _start(self) -> None:
        account = self._account
        await self._exchange.start(200, answer_headers(account) + stream_headers(account.downstream))

    async def comment(self) -> None:
        """Break the silence.  What was held back goes out with it, unless another may still take over."""
        account = self._account
        if not self._exchange.started:
            await self._start()
        words = account.downstream.keep_alive(self._call)
        if self._hold_until < math.inf and self._held:
            words, self._held = self._held + words, b""
            account.has_told = True
        account.sending(words)
        await self._exchange.send(words)

    async def finish(self, events: bytes) -> None:
        """The upstream's body is over, or has said that it is."""
        await self._conclude(events)
        await _leftover(self._reply.response)

    async def _conclude(self, events: bytes) -> None:
        """Nothing more is waited for.  Raises UpstreamError where the reply is not whole."""
        tap, account = self._tap, self._account
        rest, ending = tap.close()
        events += rest
        if ending is not Ending.COMPLETE:
            if events and account.has_told:
                await self._send(events)
            raise self._failure(ending)
        self._begin()
        await self._end(events)

    async def _end(self, events: bytes, *, is_whole: bool = True) -> None:
        account = self._account
        if not self._exchange.started:
            await self._start()
        last, self._held = self._held + events + account.downstream.terminator, b""
        account.has_told = True
        account.sending(last)
        await account.bill.keep(is_whole=is_whole)
        await self._exchange.end(last)
        account.answered(200)

    def _failure(self, ending: Ending) -> UpstreamError:
        if ending is Ending.FAILED and self._tap.error is not None:
            return self._tap.error
        return ended_early(self._reply.provider)


async def _leftover(response: Response) -> None:
    """Let the upstream finish its body, which is over but for the framing: then its connection can be kept.

    The client has its whole answer: what becomes of the upstream's connection now is no failure of the request.
    """
    if not response.ended:
        try:
            with trio.move_on_after(LEFTOVER_S):
                while await response.receive():
                    pass
        except HooshError:
            pass
