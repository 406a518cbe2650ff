"""The books of the house: who may still spend how much, what it has come to, and where that is written.

    Bill ──put──▶ ledger (at once) ──▶ waiting ──flush, every 25 ms──▶ journal ─▶ Log "ledger"
                                                                    ├▶ totals of costs
                                                                    └▶ estimator learns
    start:  snapshot ─▶ rows behind it, in order ─▶ the same fold

Deciding and counting is synchronous.  Writing is not on a request's way, unless `durability = "sync"`: then the row is
handed over at once and the last byte of the answer waits for the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NoReturn

import trio

from hoosh.budget import (
    Budget,
    BudgetGuard,
    Estimator,
    Expired,
    Ledger,
    ModelKey,
    PoolState,
    reply_limit,
    weigh,
)
from hoosh.config import Config
from hoosh.cost import (
    CostsReset,
    Price,
    PriceBook,
    Totals,
    cost_micro_usd,
    is_paid_by_length,
    sound_cost_micro_usd,
)
from hoosh.errors import StorageError, Unavailable
from hoosh.gateway.admission import Admission
from hoosh.gateway.bill import Bill
from hoosh.gateway.journal import Journal, JournalEntry, Snapshot
from hoosh.gateway.no_bill import HIT, NO_BILL
from hoosh.gateway.terms import Terms
from hoosh.storage import Store
from hoosh.values import ANONYMOUS, Call, ModelFacts, Outcome, Settlement, Target, Usage

if TYPE_CHECKING:
    from hoosh.gateway.account import Account

__all__ = ["Books"]

NO_FACTS = ModelFacts()
TERMS_KEPT = 4096
USAGES_KEPT = 64
SNAPSHOT_ROWS = 10_000
"""Rows from which on a snapshot is due, those included that a start had to read again."""
SNAPSHOT_AGE_S = 60.0
"""And an older one is replaced, whatever has been written since."""
SNAPSHOT_S = 5.0
"""How often that is looked at."""
FULL_S = 30.0
"""When to come back to a house whose books are full."""
LEARNT_AT_ONCE = 8
"""Of the reports that are flushed together: some 300 a second."""


class Books:
    """Ledger, limits, prices, totals and their journal.  `open` reads them back, `run` is a service."""

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        type_of: Callable[[str], str],
        is_local: Callable[[Target], bool],
        facts_of: Callable[[str, Target], ModelFacts],
        wall_s: Callable[[], float] = time.time,
        on_low: Callable[[PoolState], None] | None = None,
    ) -> None:
        self.store = store
        self.waits_for_disk = store.durability == "sync"
        self.ledger = Ledger()
        self.totals = Totals()
        self.estimator = Estimator()
        self.prices = PriceBook(config.prices)
        self.admission = Admission(config, guess=self.prompt_tokens, wall_s=wall_s)
        self.guard = BudgetGuard(self.ledger, now_ms=self.now_ms, on_low=on_low, on_expired=self._note_expired)
        self._type_of = type_of
        self._is_local = is_local
        self._facts_of = facts_of
        self._wall_s = wall_s
        self._journal = Journal(store)
        self._terms: dict[Target, Terms] = {}
        self._waiting: list[tuple[JournalEntry, Bill | None]] = []
        self.on_news: Callable[[], object] = self.flush
        """Told that something waits: whoever is told has it flushed soon."""
        self._cannot_write = False
        """Nothing more can be kept, not even beside the store, as of the last rows."""

    def configure(self, config: Config) -> None:
        """Other limits, prices and pools.  What is used, held and reserved stays so.  Never waits."""
        self.prices.configure(config.prices)
        self._terms.clear()
        self.admission.configure(config)
        configured = self.ledger.configure(config.budgets, self.now_ms())
        if configured is not None:
            self.write(configured)

    def forget_terms(self) -> None:
        """It may be known by now that a model runs elsewhere than was thought.  Running bills keep theirs."""
        self._terms.clear()

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return int(self._wall_s() * 1000)

    # -- what bills ask --------------------------------------------------------------------------------------------

    def terms(self, target: Target) -> Terms:
        terms = self._terms.get(target)
        if terms is None:
            kind, local = self._type_of(target.provider), self._is_local(target)
            price = self.prices.of(target.provider, kind, target.model, local=local)
            # Asked twice of every reply: for the client, and for the books.
            cost_of = None if price is None else lru_cache(USAGES_KEPT)(partial(_meter(price), price))
            terms = Terms(ModelKey(kind, target.model), local, price, cost_of)
            if len(self._terms) >= TERMS_KEPT:
                del self._terms[next(iter(self._terms))]
            self._terms[target] = terms
        return terms

    def reply_price(self, target: Target) -> int | None:
        """Of a million tokens of reply, in micro-USD; None where nobody knows it."""
        price = self.terms(target).price
        return None if price is None else 0 if price.free else price.output

    def prompt_tokens(self, call: Call, target: Target) -> int:
        """A guess at what the prompt has."""
        return self.estimator.prompt_tokens(self.terms(target).key, weigh(call))

    def reply_limit(self, call: Call, target: Target) -> int:
        """The most tokens that the reply may have."""
        facts = NO_FACTS if call.max_tokens is not None else self._facts_of(call.model, target)
        return reply_limit(call, facts)

    def pool_readings(self) -> list[tuple[str, str, str, int]]:
        """For the metrics: (pool, unit, state, amount)."""
        return [
            (pool.name, pool.unit, state, amount)
            for pool in self.ledger.pools(self.now_ms())
            for state, amount in (
                ("used", pool.used),
                ("held", pool.held),
                ("reserved", pool.reserved),
                ("available", pool.available),
            )
            if amount is not None
        ]

    # -- answers out of the cache -----------------------------------------------------------------------------------

    def close(self, account: Account) -> None:
        """A request is over, however: its place is free, and an answer out of the cache has its row.

        Who has joined a flight that was refused before anybody was asked has been refused: there is no row.  The place
        of the one who has begun a flight is the flight's, which may go on without him.
        """
        if account.cache == "hit" and account.bill is NO_BILL and account.provider is not None:
            self.put(self._of_cache(account, account.outcome))
        if account.payer is None:
            self.admission.leave(account)

    async def keep_hit(self, account: Account) -> None:
        """The last byte of an answer out of the cache is about to go: first its row is on the disk.

        Raises StorageError when it cannot be written.
        """
        position = self.put(self._of_cache(account, Outcome.OK))
        account.bill = HIT
        await self.wait_kept(position)

    def _of_cache(self, account: Account, outcome: Outcome) -> Settlement:
        caller = account.caller or ANONYMOUS
        terms = self.terms(Target(account.provider or "", account.model or ""))
        return Settlement(
            account.request_id,
            self.now_ms(),
            caller.name,
            account.pool,
            kind=account.kind.value,
            provider=account.provider or "",
            model=account.model or "",
            usage=account.said_usage or Usage(),
            cost_micro_usd=0,
            local=terms.local,
            cached=True,
            outcome=outcome.value,
        )

    # -- writing ---------------------------------------------------------------------------------------------------

    def put(self, settlement: Settlement, bill: Bill | None = None) -> int:
        """A settlement that the ledger has taken: to be written down.  `bill` is learnt from.  Never waits.

        Returns its position in the journal, which is known at once only where answers wait for the disk.
        """
        self._waiting.append((settlement, bill))
        if self.waits_for_disk:
            return self.flush()
        if len(self._waiting) == 1:
            self.on_news()
        return 0

    def write(self, entry: JournalEntry) -> int:
        """Another entry, which has been applied.  Returns its position."""
        self._waiting.append((entry, None))
        return self.flush()

    async def wait_kept(self, position: int) -> None:
        """Until the journal is on the disk up to `position`.  Raises StorageError."""
        await self._journal.wait_kept(position)

    def flush(self) -> int:
        """Hand over all that waits, now.  Returns the position of the last row."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return self._journal.position
        position = self._journal.append([entry for entry, _ in waiting])
        for entry, _ in waiting:
            if isinstance(entry, Settlement | CostsReset):
                self.totals.apply(entry)
        self._learn([bill for _, bill in waiting if bill is not None])
        self._look_for_room()
        return position

    def _learn(self, bills: list[Bill]) -> None:
        """From every report, until they come so fast that it would cost more than it teaches."""
        for bill in bills[:LEARNT_AT_ONCE]:
            if bill.settlement is not None and bill.teaches:
                self.estimator.learn(bill.terms.key, weigh(bill.call), bill.settlement.usage, bill.chunks)

    def require_room(self) -> None:
        """Raises Unavailable while nothing more can be kept: no new work then."""
        if self._cannot_write:
            self._look_for_room()
            if self._cannot_write:
                raise Unavailable("The gateway cannot write its books.", retry_after_s=FULL_S)

    def _look_for_room(self) -> None:
        self._cannot_write = self.store.statistics().status == "full"

    def _note_expired(self, expired: Iterable[Expired]) -> None:
        for entry in expired:
            self._waiting.append((entry, None))
        self.on_news()

    # -- keeping, and reading back ---------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """A service: a snapshot now and then.  A start without one has more to read, and forgets what was learnt."""
        saved_at = trio.current_time()
        task_status.started()
        while True:
            await trio.sleep(SNAPSHOT_S)
            unsaved = self._journal.unsaved_rows
            is_old = unsaved > 0 and trio.current_time() - saved_at >= SNAPSHOT_AGE_S
            if is_old or unsaved >= SNAPSHOT_ROWS:
                saved_at = trio.current_time()
                try:
                    await self.save()
                except StorageError:
                    pass

    async def save(self) -> None:
        """Write a snapshot.  Raises StorageError."""
        position = self.flush()
        snapshot = Snapshot(position, self.ledger.state(), self.totals.state(), self.estimator.state())
        await self._journal.save(snapshot)

    async def open(self, budgets: Iterable[Budget]) -> None:
        """Take over what the store has kept, then the owner's `budgets` of today.  Raises StorageError."""
        snapshot = await self._journal.snapshot()
        if snapshot is not None:
            self.ledger.restore(snapshot.ledger)
            self.totals.restore(snapshot.totals)
            self.estimator.restore(snapshot.estimator)
        after = 0 if snapshot is None else snapshot.position
        self._journal.unsaved_rows = await self._journal.replay(after, partial(_fold, self.ledger, self.totals))
        now_ms = self.now_ms()
        configured = self.ledger.configure(budgets, now_ms)
        for entry in (configured, *self.ledger.expire(now_ms)):
            if entry is not None:
                self.write(entry)

    async def replayed(self) -> tuple[Ledger, Totals]:
        """What the journal comes to, read from its first row: equal to what is kept here, or something is wrong."""
        self.flush()
        ledger, totals = Ledger(), Totals()
        await self._journal.replay(0, partial(_fold, ledger, totals))
        return ledger, totals


def _meter(price: Price) -> Callable[[Price, Usage], int]:
    return sound_cost_micro_usd if is_paid_by_length(price) else cost_micro_usd


def _fold(ledger: Ledger, totals: Totals, entry: JournalEntry) -> None:
    if isinstance(entry, Settlement | CostsReset):
        totals.apply(entry)
    if not isinstance(entry, CostsReset):
        ledger.apply(entry)
