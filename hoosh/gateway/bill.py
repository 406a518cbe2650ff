"""One request's dealings with the books: opened before anybody is asked, settled once, however it ends.

    with Bill(books, account, call, journey) as bill:  # what the request may cost is held: BudgetExceeded if not
        await journey.run(relay, way, bill)            # the relay asks the bill at every block of a stream
                                                       # the last byte, or leaving before it:
                                                       # usage → charge → Settlement, in one step

One request has one bill, however many attempts it takes.  Those that failed before anything had gone out cost nothing;
what has been used by others than the one who answered in the end is added to it (`add`).

What is charged: the upstream's count of a whole reply; of a reply that broke off, or whose upstream does not count,
our count of what has gone by; nothing where no reply has begun.

The hard stop.  A stream may pass on `chunks_allowed` pieces, an integer that the relay compares once a block.  Coming
near it, the bill extends its hold by a slice; where the pool has nothing left, the relay goes on line by line and
stops at the piece: no stream passes its pool by more than one.  A pool without a ceiling allows everything.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import trio

from hoosh.budget import Hold, Pool, Unit, choices
from hoosh.cost import worst_case_micro_usd
from hoosh.dialects.contract import StreamTap
from hoosh.errors import BudgetExceeded, HooshError, PriceUnknown
from hoosh.gateway.admission import ROUGH_BYTES
from hoosh.gateway.consumption import GENERATING, NOTHING, consumed, text_bytes
from hoosh.gateway.terms import UNBOUNDED, Terms
from hoosh.values import Call, CallKind, Outcome, Settlement, Target, Usage

if TYPE_CHECKING:
    from hoosh.gateway.account import Account
    from hoosh.gateway.books import Books
    from hoosh.gateway.journey import Journey

__all__ = ["Bill"]

SLICE_TOKENS = 256
"""What an open-ended stream holds beyond its prompt, and takes more at a time."""
PIECE_BYTES = 32
"""No piece of a stream is shorter, with its framing."""
MILLION = 10**6
PLENTY = 64
"""A pool with so many times what a request may take need not be asked precisely."""


class Bill:
    """A context manager; entering and leaving never waits."""

    teaches = True
    """What it comes to tells how many tokens other requests will have."""

    __slots__ = (
        "_books",
        "_counted",
        "_is_limited",
        "_is_of_sound",
        "_is_whole",
        "_journey",
        "_others",
        "_prompt",
        "_spent",
        "account",
        "call",
        "chunks_allowed",
        "hold",
        "pool",
        "position",
        "settlement",
        "target",
        "terms",
    )

    def __init__(
        self,
        books: Books,
        account: Account,
        call: Call,
        journey: Journey,
    ) -> None:
        self._books = books
        self._journey = journey
        self.account = account
        self.call = call
        """May come out of entering with a lower limit of tokens than it went in."""
        self.pool = account.pool
        self.chunks_allowed = UNBOUNDED
        self.settlement: Settlement | None = None
        self.position = 0
        """In the journal, once settled."""
        self._is_whole = False
        self._prompt = 0
        """The tokens of the prompt, as they are held."""
        self._is_of_sound = False
        """Among its tokens may be some of sound; only known where its pool is one of money."""
        self._is_limited = False
        """Its pool may have nothing left one day."""
        self._others: list[tuple[Terms, Usage, bool]] = []
        """Used by those whose answer was not, or not to the end, the one that the client has."""
        self._spent = 0
        """Of the hold, by these."""
        self._counted: StreamTap | None = None
        """The stream whose usage is among theirs."""
        self.target: Target
        """Who is asked now, and on what terms."""
        self.terms: Terms
        self.hold: Hold

    # -- before ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Bill:
        """Hold what the request may cost.

        Raises UnknownPool, BudgetExceeded, MoneySpent, PriceUnknown; then nothing is held.
        """
        books = self._books
        self.target = target = self._journey.target
        self.terms = books.terms(target)
        try:
            self._place_hold(books)
        except BaseException:
            self._undo_places()
            raise
        self.account.bill = self
        return self

    def _undo_places(self) -> None:
        """Nobody will be asked: that must not use up the limits of others."""
        self._journey.cancel()
        self.account.turn_away()

    def _place_hold(self, books: Books) -> None:
        at_ms = books.now_ms()
        pool = books.ledger.find(self.pool, at_ms, or_closed=self._was_vouched_for)
        free = pool.free()
        if free is None:
            self._hold(0, at_ms)
        else:
            self._is_limited = True
            self._hold_what_it_may_take(pool, free, at_ms)

    def _hold(self, amount: int, at_ms: int) -> None:
        self.hold = self._books.ledger.hold(self.pool, amount, at_ms, or_closed=self._was_vouched_for)

    @property
    def _was_vouched_for(self) -> bool:
        """It is the pool of its key, which was open when the request came: it may have been closed since."""
        caller = self.account.caller
        return caller is not None and caller.pool == self.pool

    def _hold_what_it_may_take(self, pool: Pool, free: int, at_ms: int) -> None:
        call, unit = self.call, pool.unit
        reply = self._reply_to_hold(self.target)
        if unit == "usd":
            if self.terms.price is None:
                raise PriceUnknown(self.target.model, self.pool)
            self._is_of_sound = _has_sound(call)
        self._prompt = self.account.body_bytes // ROUGH_BYTES
        amount = self._amount(unit, self._prompt, reply)
        if amount * PLENTY > free:
            self._prompt = self.prompt_tokens()
            amount = self._amount(unit, self._prompt, reply)
        try:
            self._hold(amount, at_ms)
        except BudgetExceeded as refused:
            self._hold_what_is_left(pool, refused, at_ms)
        if call.stream:
            self._allow()
            self._books.guard.watch(self)

    def _hold_what_is_left(self, pool: Pool, refused: BudgetExceeded, at_ms: int) -> None:
        """A stream without a limit of its own begins with what there is; others only where the owner prefers short
        answers to none, and are then asked to be so short."""
        call = self.call
        is_open_ended = self._is_open_ended
        finishes = pool.on_exhausted == "finish"
        affordable = self._reply_tokens_for(pool.unit, refused.free) // choices(call)
        if affordable < 1 or not (is_open_ended or finishes) or call.kind not in GENERATING:
            raise refused
        if not is_open_ended:
            self.call = self.account.downstream.limit_tokens(call, affordable)
            self.account.is_keepable = False
        self._hold(refused.free, at_ms)

    # -- while it runs ---------------------------------------------------------------------------------------------

    def cost_of(self, provider: str, model: str) -> Callable[[Usage], int] | None:
        """What a reply of this upstream costs, in micro-USD."""
        return self._terms_with(provider, model).cost_of

    def _terms_with(self, provider: str, model: str) -> Terms:
        target = self.target
        if provider == target.provider and model == target.model:  # who was to be asked has answered
            return self.terms
        return self._books.terms(Target(provider, model))

    def has_room(self, chunks: int) -> bool:
        """May the stream go on to `chunks` pieces?  Takes more from the pool where that is needed and there."""
        while self.chunks_allowed < chunks:
            if not self._extend(max(SLICE_TOKENS, chunks - self.chunks_allowed)):
                return False
        return True

    def _extend(self, tokens: int) -> bool:
        books = self._books
        amount = self._amount(self.hold.unit, 0, tokens)
        if books.ledger.extend(self.hold, max(1, amount), books.now_ms()) == 0:
            return False
        before = self.chunks_allowed
        self._allow()
        return self.chunks_allowed > before

    def exhausted(self) -> BudgetExceeded:
        """What the client is told when the pool is dry."""
        books = self._books
        return books.ledger.exhausted(self.hold, books.now_ms())

    def wants(self) -> int:
        """For the guard: what the stream should be given before it comes to its edge, in the pool's unit."""
        if self.chunks_allowed - self.chunks > SLICE_TOKENS // 2:
            return 0
        return max(1, self._amount(self.hold.unit, 0, SLICE_TOKENS))

    def granted(self, amount: int) -> None:
        """From the guard: the hold has grown."""
        self._allow()

    def starved(self) -> None:
        """From the guard: the pool is dry.  A stream that has used up what it held ends, also between two blocks."""
        if self.chunks > self.chunks_allowed:
            self.account.interrupt(self.exhausted())

    def turn_to(self, target: Target) -> None:
        """Another is asked from here on, or the same once more.

        Where that takes more than is held, more is.  Raises PriceUnknown, BudgetExceeded where the pool cannot pay for
        it; then it is still the one before.
        """
        if target == self.target and not self._others:
            return
        before = self.target, self.terms
        self.target, self.terms = target, self._books.terms(target)
        if not self._is_limited:
            return
        try:
            self._hold_what_it_takes_now()
        except HooshError:
            self.target, self.terms = before
            raise
        if self.call.stream:
            self._allow()

    def _hold_what_it_takes_now(self) -> None:
        books, unit = self._books, self.hold.unit
        if unit == "usd" and self.terms.price is None:
            raise PriceUnknown(self.target.model, self.pool)
        amount = self._amount(unit, self._prompt, self._reply_to_hold(self.target))
        lacking = amount + self._spent - self.hold.amount
        if lacking <= 0 or books.ledger.extend(self.hold, lacking, books.now_ms()) == lacking:
            return
        if not self._is_open_ended or self._reply_tokens_for(unit, self.hold.amount - self._spent) < 1:
            raise self.exhausted()

    def can_hedge(self, target: Target) -> bool:
        """Hold what another takes that is asked at the same time.  False: the pool cannot pay for both."""
        if not self._is_limited:
            return True
        books, unit, price = self._books, self.hold.unit, self._books.terms(target).price
        reply = self._reply_to_hold(target)
        if unit == "tokens":
            amount = self._prompt + reply
        elif price is None:
            return False
        else:
            amount = worst_case_micro_usd(price, self._prompt, reply, audio=self._is_of_sound)
        return books.ledger.extend(self.hold, amount, books.now_ms()) == amount

    @property
    def _is_open_ended(self) -> bool:
        """A stream without a limit of its own."""
        return self.call.stream and self.call.max_tokens is None

    def _reply_to_hold(self, target: Target) -> int:
        reply = self._books.reply_limit(self.call, target)
        return min(reply, SLICE_TOKENS) if self._is_open_ended else reply

    def add(self, usage: Usage, *, is_estimated: bool, target: Target | None = None) -> None:
        """What one attempt has used whose answer is not the one that counts, or only the beginning of it.

        Without a `target` it is the one that has been asked last, and `usage` said of it up to now.
        """
        if target is None:
            self._counted = self.account.tap
        terms = self.terms if target is None else self._books.terms(target)
        self._others.append((terms, usage, is_estimated))
        self._spent += self._charge(terms, usage)
        if self._is_limited and self.call.stream:
            self._allow()

    def usage_of_others(self) -> Usage:
        """All that has been added."""
        total = NOTHING
        for _, usage, _ in self._others:
            total = total + usage
        return total

    def _charge(self, terms: Terms, usage: Usage) -> int:
        """What so much takes of the pool."""
        if self.hold.unit == "tokens":
            return usage.total_tokens
        return 0 if terms.cost_of is None else terms.cost_of(usage)

    def _allow(self) -> None:
        """Work out how many pieces may go by, from what is held."""
        tokens = self._reply_tokens_for(self.hold.unit, self.hold.amount - self._spent)
        self.chunks_allowed = self._books.estimator.chunks_within(self.terms.key, tokens)

    @property
    def chunks(self) -> int:
        """Pieces of a stream that have gone by."""
        tap = self.account.tap
        return 0 if tap is None else tap.chunks

    # -- tokens and money ------------------------------------------------------------------------------------------

    def prompt_tokens(self) -> int:
        """Our guess, made once."""
        tokens = self.account.prompt_tokens
        if tokens is None:
            tokens = self.account.prompt_tokens = self._books.prompt_tokens(self.call, self.target)
        return tokens

    def _amount(self, unit: Unit, prompt: int, reply: int) -> int:
        """What so many tokens take of a pool."""
        if unit == "tokens":
            return prompt + reply
        price = self.terms.price
        return 0 if price is None else worst_case_micro_usd(price, prompt, reply, audio=self._is_of_sound)

    def _reply_tokens_for(self, unit: Unit, amount: int) -> int:
        """How long a reply may be for `amount`, the prompt paid."""
        prompt = self._amount(unit, self._prompt, 0)
        left = amount - prompt
        if left < 0:
            return 0
        if unit == "tokens":
            return left
        # Micro-USD for a million tokens: as they are held, so at the rate of the tier that the prompt has come to.
        rate = self._amount(unit, self._prompt, MILLION) - prompt
        return left * MILLION // rate if rate else UNBOUNDED

    # -- after -----------------------------------------------------------------------------------------------------

    def guess(self, reply_bytes: int) -> Usage | None:
        """The usage of a whole reply whose upstream has not counted; `reply_bytes` is as long as it is."""
        size = text_bytes(self.account.kind, reply_bytes)
        return Usage(self.prompt_tokens(), self._books.estimator.text_tokens(self.terms.key, size))

    async def keep(self, *, is_whole: bool = True) -> None:
        """The last byte is about to go; of a reply that is whole what the upstream has counted counts from here on.

        Where the owner has asked for it, settles now and waits until that is on the disk.  Raises StorageError when it
        cannot be written.
        """
        self._is_whole = is_whole
        if self._books.waits_for_disk:
            self.settle(Outcome.OK)
            await self._books.wait_kept(self.position)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            outcome = Outcome.OK
        elif not isinstance(error, Exception) and trio.current_time() < self.account.deadline_at:
            outcome = Outcome.CLIENT_LEFT
        else:
            outcome = Outcome.CUT if self.account.exchange.started else Outcome.ERROR
        self.settle(outcome)

    def settle(self, outcome: Outcome) -> None:
        """Charge what the request came to; only the first time."""
        if self.settlement is not None:
            return
        account, books = self.account, self._books
        usage, is_estimated = self.usage(is_over=True)
        provider, model = account.provider, account.model
        terms = self.terms if provider is None else self._terms_with(provider, model or "")
        cost = 0 if usage is NOTHING else None if terms.cost_of is None else terms.cost_of(usage)
        if self._others:
            usage, cost, is_estimated = self._with_others(usage, cost, is_estimated)
        caller = account.caller
        self.settlement = settlement = Settlement(
            account.request_id,
            books.now_ms(),
            "" if caller is None else caller.name,
            self.pool,
            usage.prompt_tokens + usage.completion_tokens if self.hold.unit == "tokens" else cost or 0,
            account.kind.value,
            provider or "",
            model or "",
            usage,
            cost,
            is_estimated,
            terms.local,
            outcome=outcome.value,
        )
        if self._is_limited and self.call.stream:
            books.guard.unwatch(self)
        entry = books.ledger.settle(self.hold, settlement)
        self.position = books.put(entry, None if is_estimated or usage is NOTHING or self._others else self)

    def _with_others(self, usage: Usage, cost: int | None, is_estimated: bool) -> tuple[Usage, int | None, bool]:
        for terms, others, estimated in self._others:
            usage = usage + others
            of_others = None if terms.cost_of is None else terms.cost_of(others)
            cost = None if cost is None or of_others is None else cost + of_others
            is_estimated = is_estimated or estimated
        return usage, cost, is_estimated

    def tokens(self) -> int:
        """Used by the attempt that is over."""
        settled = self.settlement
        return (self.usage(is_over=True)[0] if settled is None or self._others else settled.usage).total_tokens

    def usage(self, *, is_over: bool = False) -> tuple[Usage, bool]:
        """What has been used up to now, and whether that is our own count.  `is_over`: nothing more will come."""
        if self._counted is not None and self._counted is self.account.tap:
            return NOTHING, False
        is_whole = self._is_whole
        return consumed(self.account, self.prompt_tokens, self._reply_tokens, is_whole=is_whole, is_over=is_over)

    def _reply_tokens(self, chunks: int) -> int:
        return self._books.estimator.reply_tokens(self.terms.key, chunks)


def _has_sound(call: Call) -> bool:
    """May tokens of sound be among its tokens?  They are dearer."""
    if call.kind in GENERATING:
        messages = call.fields.get("messages")
        return "audio" in call.fields or (messages is not None and b'"input_audio"' in bytes(messages))
    return call.kind is not CallKind.EMBEDDING
