"""One request's way through its candidates, one attempt after another; whom it may ask says `choice.py`.

    journey = dispatcher.journey(account, call, candidates)       somebody may be asked: else RateLimited, Unavailable
    await journey.run(relay, way, bill)
        ┌──▶ attempt ──▶ relay ──▶ the answer has gone out
        │       └─ UpstreamError ─▶ judge ─┬─ the request is at fault, or part of the answer has gone out ─▶ raised
        └── wait, and the same again ◀─────┤
        └── the next candidate       ◀─────┘

Before the first content has gone out a failover is invisible; what is done after it says `rescue.py`.  Every attempt
beyond the first takes from a budget that all requests share, so that retries cannot add to an outage.  With nobody left
the first error is told: it is about whom the request was for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from hoosh.admission import Pass
from hoosh.errors import (
    BudgetExceeded,
    HooshError,
    InvalidRequest,
    PriceUnknown,
    RateLimited,
    Throttled,
    Unavailable,
    UpstreamBroke,
    UpstreamError,
    UpstreamTimeout,
)
from hoosh.gateway.account import Account
from hoosh.gateway.attempt import CONNECT_FAILED, OpenReply, Reply, Travels
from hoosh.gateway.bill import Bill
from hoosh.gateway.choice import Choice
from hoosh.gateway.fleet import Upstream
from hoosh.gateway.hedge import Entry, Race, can_be_hedged
from hoosh.gateway.no_bill import NO_BILL, NoBill
from hoosh.gateway.relay import StreamRelay
from hoosh.gateway.rescue import can_be_rescued
from hoosh.routing import Verdict, judge, larger, wait_for
from hoosh.values import AttemptRecord, Call, Target, Usage

if TYPE_CHECKING:
    from hoosh.gateway.dispatch import Dispatcher

__all__ = ["Journey", "Pause", "Relay", "reason_of"]

Relay = Callable[[Reply], Awaitable[None]]
"""Passes one reply on.  Called again, with another, where that has failed before anything of it has gone out."""


class Journey:
    """One request's.  `target` is whom it asks now, or next; its place there is taken.

    Raises RateLimited, Throttled or Unavailable where nobody may be asked now.
    """

    __slots__ = (
        "_account",
        "_call",
        "_choice",
        "_dispatcher",
        "_failures",
        "_first_error",
        "_is_broken",
        "target",
    )

    def __init__(self, dispatcher: Dispatcher, account: Account, call: Call, candidates: Sequence[Target]) -> None:
        self._dispatcher = dispatcher
        self._account = account
        self._call = call
        self._choice = Choice(dispatcher.board, dispatcher.admission, account, call, candidates)
        self._failures: dict[Target, int] = {}
        self._first_error: HooshError | None = None
        account.most_attempts = dispatcher.routing.max_attempts
        self._is_broken = False
        """The client's stream has broken off."""
        self.target = self._choice.first()

    def cancel(self) -> None:
        """Nobody will be asked."""
        self._choice.give_back()

    # -- asking ----------------------------------------------------------------------------------------------------

    async def run(self, relay: Relay, way: Travels, bill: Bill | NoBill) -> None:
        """Have the request answered.  Raises the HooshError that its client is to be told."""
        hedges = self._dispatcher.hedges is not None and can_be_hedged(self._call)
        try:
            while True:
                try:
                    hedge_s = self._hedge_after_s() if hedges else None
                    if hedge_s is None:
                        await self._attempt(relay, way, bill)
                    else:
                        await self._race(relay, way, bill, hedge_s)
                    return
                except (UpstreamError, InvalidRequest) as error:
                    wait_s = self._after(error, relay, way, bill)
                if wait_s is not None:
                    await self._pause(wait_s)
                self._turn(bill, asks_again=wait_s is not None)
        finally:
            self._choice.give_back()

    def _turn(self, bill: Bill | NoBill, *, asks_again: bool) -> None:
        """To whoever is asked next, and can be paid.  Raises the first error where nobody is left."""
        while True:
            try:
                target = self._choice.next(again=self.target if asks_again else None)
            except (RateLimited, Throttled, Unavailable):
                raise self._first_error or Unavailable("Nobody is left to ask.") from None
            try:
                bill.turn_to(target)
            except (PriceUnknown, BudgetExceeded):
                self._choice.give_up(target)
            else:
                self.target = target
                return

    async def _attempt(self, relay: Relay, way: Travels, bill: Bill | NoBill) -> None:
        dispatcher, account, target = self._dispatcher, self._account, self.target
        account.turn_to(target)
        begun_s = trio.current_time()
        account.begins(begun_s)
        dispatcher.begin(target, begun_s)
        failure: BaseException | None = None
        opening: OpenReply | None = None
        try:
            upstream = self._upstream(target)
            until_s = self._until_s() if account.attempts or account.waited_s else None
            opening = account.attempt = OpenReply(target, upstream, way, account, until_s)
            is_spare = False
            if self._call.stream and len(self._choice.candidates) > 1:
                is_spare = self._can_be_rescued()
                if way.rescue is None and self._choice.has_another(self.target):
                    opening.content_by = begun_s + upstream.first_token_s
            async with opening as reply:
                reply.is_spare = is_spare
                await relay(reply)
        except BaseException as error:
            failure = error
            raise
        finally:
            account.attempt = None
            self._ended(target, opening, failure, begun_s, self._choice.take_place(), bill)

    def _ended(
        self,
        target: Target,
        opening: OpenReply | None,
        failure: BaseException | None,
        begun_s: float,
        place: Pass | None,
        bill: Bill | NoBill,
    ) -> None:
        """The attempt is over."""
        account, now_s = self._account, trio.current_time()
        account.over_at = now_s
        self._dispatcher.end(target, failure, begun_s, now_s, account.first_token_at, account.upstreams)
        if isinstance(failure, UpstreamError | InvalidRequest):
            self._note(target, now_s - begun_s, reason_of(failure))
        if place is not None:
            place.leave(bill.tokens(), now_s)
        if opening is not None and opening.tried is not None:
            opening.tried.over(word_for(failure), now_s)

    def _note(self, target: Target, duration_s: float, reason: str) -> None:
        account = self._account
        account.tried = (*account.tried, AttemptRecord(target.provider, target.model, duration_s, reason))

    # -- two at once -----------------------------------------------------------------------------------------------

    def _hedge_after_s(self) -> float | None:
        """None: the next attempt runs alone."""
        if self._is_broken or not self._choice.has_another(self.target):
            return None
        after = self._dispatcher.routing.hedge_after_ms
        return self._dispatcher.loads.p95_s(self.target.model) if after == "p95" else (after or 0) / 1000

    async def _race(self, relay: Relay, way: Travels, bill: Bill | NoBill, after_s: float) -> None:
        """An attempt, and where it is slow to begin another beside it.  Raises as `_attempt` does."""
        account, first = self._account, self.target
        account.turn_to(first)

        def second() -> Entry | None:
            return self._second(way, entry, bill)

        def over(entry: Entry, failure: BaseException | None) -> None:
            self._lost(entry, failure, bill, is_beaten=race.winner is not None)

        on_silence = relay.comment if isinstance(relay, StreamRelay) else None
        race = Race(self._call, account, over, on_silence)
        entry = self._entry(first, way)
        account.begins(entry.begun_s)
        account.attempt = race
        failure: BaseException | None = None
        try:
            winner = await race.run(entry, after_s, second)
            self.target = winner.target
            account.begun_at, account.connected_at = winner.begun_s, winner.opening.connected_at
            async with winner as reply:
                bill.turn_to(winner.target)
                account.turn_to(winner.target)
                reply.is_spare = self._call.stream and self._can_be_rescued()
                await relay(reply)
        except BaseException as error:
            failure = error
            raise
        finally:
            account.attempt = None
            if (won := race.winner) is not None:
                self._ended(won.target, won.opening, failure, won.begun_s, won.place, bill)

    def _entry(self, target: Target, way: Travels) -> Entry:
        dispatcher, now_s = self._dispatcher, trio.current_time()
        opening = OpenReply(target, self._upstream(target), way, self._account, self._until_s())
        dispatcher.begin(target, now_s)
        return Entry(target, opening, self._choice.take_place(), now_s)

    def _second(self, way: Travels, first: Entry, bill: Bill | NoBill) -> Entry | None:
        """The one to be asked beside `first`; None where there is none, or requests have been hedged enough.

        Then `first` is under the same limit as who is asked alone.
        """
        dispatcher = self._dispatcher
        hedges = dispatcher.hedges
        if hedges is None or self._account.attempts >= dispatcher.routing.max_attempts:
            return None
        try:
            target = self._choice.next(besides=first.target)
            if bill.can_hedge(target) and hedges.try_spend():
                entry = self._entry(target, way)
                entry.opening.is_hedge = True
                return entry
            if self._call.stream:
                first.limit.deadline = first.begun_s + self._upstream(first.target).first_token_s
        except (RateLimited, Throttled, Unavailable, UpstreamError):
            pass
        self._choice.give_back()
        return None

    def _lost(self, entry: Entry, failure: BaseException | None, bill: Bill | NoBill, *, is_beaten: bool) -> None:
        """Somebody else has begun first (`is_beaten`), or it has ended before anybody had."""
        target, now_s = entry.target, trio.current_time()
        if isinstance(failure, Exception) and target != self.target:
            self._choice.give_up(target)
        if isinstance(failure, Exception) or not is_beaten:
            self._ended(target, entry.opening, failure, entry.begun_s, entry.place, NO_BILL)
            return
        if entry.opening.tried is not None:
            entry.opening.tried.over("hedged", now_s)
        if entry.opening.is_sent:  # what it has made of that nobody will say
            bill.add(Usage(bill.prompt_tokens()), is_estimated=True, target=target)
        self._dispatcher.lost(target, entry.begun_s, now_s, self._account.upstreams)
        self._note(target, now_s - entry.begun_s, "hedged")
        if entry.place is not None:
            entry.place.leave(None, now_s)

    async def _pause(self, seconds: float) -> None:
        account = self._account
        account.phase = "waiting"
        pause = account.attempt = Pause()
        try:
            await pause.sleep(seconds)
        finally:
            account.attempt = None
        account.go_on()

    def _upstream(self, target: Target) -> Upstream:
        """Of those that were there when the request came.  Raises UpstreamBroke where it was not among them."""
        try:
            return self._account.upstreams[target.provider]
        except KeyError:
            message = f"Provider `{target.provider}` is gone."
            raise UpstreamBroke(message, provider=target.provider, code=CONNECT_FAILED) from None

    def _until_s(self) -> float:
        """When any attempt has to be over.

        A client's own deadline is around all that is done for its request; see `deadline.py`.
        """
        return self._account.started_at + self._dispatcher.total_s

    def _left_s(self) -> float:
        """Of the time that the request has."""
        return min(self._until_s(), self._account.deadline_at) - trio.current_time()

    # -- after a failure -------------------------------------------------------------------------------------------

    def _after(
        self, error: UpstreamError | InvalidRequest, relay: Relay, way: Travels, bill: Bill | NoBill
    ) -> float | None:
        """How long to wait before the same upstream is asked again; None: somebody else is.

        Raises what the client is to be told where nobody is.
        """
        account, dispatcher = self._account, self._dispatcher
        account.go_on()
        verdict = judge(error) if isinstance(error, UpstreamError) else Verdict.ELSEWHERE
        if verdict is Verdict.NOBODY:
            raise self._first_error if self._is_broken and self._first_error else error
        if account.has_told:
            told = self._broken(error, relay, way, bill)
        else:
            told = self._first_error = self._first_error or error
        left_s = self._left_s()
        if account.attempts >= dispatcher.routing.max_attempts or left_s <= 0:
            raise told
        wait_s = None
        # Who has broken off is not trusted with the rest.
        if not (self._is_broken and self._choice.has_another(self.target)):
            wait_s = self._wait_s(verdict, error, left_s)
        now_s = trio.current_time()
        if wait_s is not None and dispatcher.budget.try_spend(now_s):
            return wait_s
        self._give_up(verdict)
        if not self._choice.has_another(self.target):
            raise told
        # What could not be asked there has not been an attempt.
        if isinstance(error, UpstreamError):
            is_well = self._choice.has_a_healthy_one()
            if not dispatcher.budget.try_spend(now_s, elsewhere=True, is_well=is_well):
                raise told
        return None

    def _broken(self, error: HooshError, relay: Relay, way: Travels, bill: Bill | NoBill) -> HooshError:
        """Part of the answer has gone out: another is to go on with it.  Returns what is told where nobody can.

        What was used for that part is paid.  Raises it where nobody ever could.
        """
        if not self._is_broken:
            self._is_broken, self._first_error = True, error
        told = self._first_error or error
        if not isinstance(relay, StreamRelay):
            raise told
        usage, is_estimated = bill.usage(is_over=True)
        bill.add(usage, is_estimated=is_estimated)
        rescue = relay.rescue()
        if rescue is None:
            raise told
        way.rescue = rescue
        return told

    def _can_be_rescued(self) -> bool:
        return self._dispatcher.routing.continuation == "auto" and can_be_rescued(self._call)

    def _wait_s(self, verdict: Verdict, error: UpstreamError | InvalidRequest, left_s: float) -> float | None:
        if not isinstance(error, UpstreamError):
            return None
        dispatcher, failures = self._dispatcher, self._failures.get(self.target, 0) + 1
        self._failures[self.target] = failures
        return wait_for(
            dispatcher.retry,
            verdict,
            error,
            failures,
            dispatcher.chance,
            another=self._choice.has_another(self.target),
            left_s=left_s,
        )

    def _give_up(self, verdict: Verdict) -> None:
        """This one is not asked again, nor are those that would say the same."""
        choice = self._choice
        choice.give_up(self.target)
        if verdict is Verdict.LARGER:
            facts_of, asked = self._dispatcher.facts_of, self._call.model
            left = larger(choice.candidates, self.target, lambda target: facts_of(asked, target).context_tokens)
            choice.give_up(*set(choice.candidates).difference(left))


class Pause:
    """A wait that others can end."""

    __slots__ = ("_scope",)

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    async def sleep(self, seconds: float) -> None:
        self._scope.deadline = trio.current_time() + seconds
        with self._scope:
            await trio.sleep_forever()

    def interrupt(self, error: HooshError) -> None:
        self._scope.cancel(reason=str(error))


def word_for(failure: BaseException | None) -> str:
    """One word for a trace: why an attempt did not answer; "" where it did."""
    if failure is None:
        return ""
    if isinstance(failure, UpstreamError | InvalidRequest):
        return reason_of(failure)
    return type(failure).__name__ if isinstance(failure, Exception) else "cancelled"


def reason_of(error: HooshError) -> str:
    """One word for the record: why an attempt was not the last."""
    if isinstance(error, UpstreamTimeout):
        return error.phase
    if isinstance(error, UpstreamError):
        if error.status is not None:
            return str(error.status)
        return "connect" if error.code == CONNECT_FAILED else "broke"
    return "unsupported"
