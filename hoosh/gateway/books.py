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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import msgspec
import trio
from msgspec import Struct

from hoosh.admission import Gate, Pass, Rates, Scope, limits_for, model_scope, sooner
from hoosh.budget import (
    Budget,
    BudgetGuard,
    Estimator,
    Expired,
    Hold,
    Ledger,
    ModelKey,
    PoolState,
    reply_limit,
    weigh,
)
from hoosh.config import Config
from hoosh.cost import CostsReset, PriceBook, Totals, cost_micro_usd
from hoosh.errors import BudgetExceeded, MoneySpent, RateLimited, StorageError, Unavailable
from hoosh.gateway.bill import HIT, NO_BILL, ROUGH_BYTES, Bill, Terms
from hoosh.gateway.journal import JournalEntry, decode_row, encode_row
from hoosh.routing import Target
from hoosh.storage import Log, Store
from hoosh.values import ANONYMOUS, Call, ModelFacts, Outcome, Settlement, Usage

if TYPE_CHECKING:
    from hoosh.gateway.account import Account

__all__ = ["Books"]

TERMS_KEPT = 4096
SNAPSHOT_ROWS = 10_000
"""Rows from which on a snapshot is due, those included that a start had to read again."""
SNAPSHOT_AGE_S = 60.0
"""And an older one is replaced, whatever has been written since."""
SNAPSHOT_S = 5.0
"""How often that is looked at."""
MEMORY_ROWS = 100_000
"""Of the journal, that a store in memory keeps: some 40 MB."""
READ_ROWS = 5_000
FULL_S = 30.0
"""When to come back to a house whose books are full."""
SNAPSHOT = "snapshot"
LEARNT_AT_ONCE = 8
"""Of the reports that are flushed together: some 300 a second."""
MODEL_CHARS = 200
"""A client's longer names for models are nobody's, and not remembered."""


class Snapshot(Struct, frozen=True, array_like=True):
    """All that the journal's rows up to `position` come to."""

    position: int
    ledger: bytes
    totals: bytes
    estimator: bytes


class Books:
    """Ledger, limits, prices, totals and their journal.  `open` reads them back."""

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        type_of: Callable[[str], tuple[str, bool]],
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
        self.gate = Gate()
        self.gate.configure(_rates(config))
        self.guard = BudgetGuard(self.ledger, now_ms=self.now_ms, on_low=on_low, on_expired=self._note_expired)
        self._limits = config.limits
        self._type_of = type_of
        self._facts_of = facts_of
        self._wall_s = wall_s
        self._log: Log = store.log("ledger")
        self._table = store.table("books")
        self._terms: dict[Target, Terms] = {}
        self._scopes: dict[tuple[str, str], tuple[Scope, ...]] = {}
        self._waiting: list[tuple[JournalEntry, Bill | None]] = []
        self.on_news: Callable[[], object] = self.flush
        """Told that something waits: whoever is told has it flushed soon."""
        self._unsaved_rows = 0
        self._cannot_write = False
        """Nothing more can be kept, not even beside the store, as of the last rows."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return int(self._wall_s() * 1000)

    # -- what bills ask --------------------------------------------------------------------------------------------

    def terms(self, target: Target) -> Terms:
        terms = self._terms.get(target)
        if terms is None:
            kind, local = self._type_of(target.provider)
            price = self.prices.of(target.provider, kind, target.model, local=local)
            cost_of = None if price is None else partial(cost_micro_usd, price)
            terms = Terms(ModelKey(kind, target.model), local, price, cost_of)
            if len(self._terms) >= TERMS_KEPT:
                del self._terms[next(iter(self._terms))]
            self._terms[target] = terms
        return terms

    def reply_limit(self, call: Call, target: Target) -> int:
        """The most tokens that the reply may have."""
        return reply_limit(call, self._facts_of(call.model, target))

    def exhausted(self, hold: Hold) -> BudgetExceeded:
        """The pool of `hold` has nothing left for a stream that is running."""
        state = self.ledger.pool(hold.pool, self.now_ms())
        ends_ms = state.window_ends_ms
        retry_after_s = None if ends_ms is None else max(0.0, ends_ms / 1000 - self._wall_s())
        kind = MoneySpent if hold.unit == "usd" else BudgetExceeded
        return kind(hold.pool, asked=1, free=0, retry_after_s=retry_after_s)

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

    # -- limits ----------------------------------------------------------------------------------------------------

    def scopes(self, caller: str, model: str) -> tuple[Scope, ...]:
        """The limits that a request for `model`, as the client says it, has to go through: of its key and its model."""
        found = self._scopes.get((caller, model))
        if found is None:
            wanted = (("key", caller), model_scope(self._limits, model))
            found = tuple(scope for scope in wanted if scope is not None and self.gate.is_limited(scope))
            if len(model) <= MODEL_CHARS:
                if len(self._scopes) >= TERMS_KEPT:
                    del self._scopes[next(iter(self._scopes))]
                self._scopes[caller, model] = found
        return found

    def admit(self, account: Account, call: Call, target: Target, scopes: tuple[Scope, ...]) -> None:
        """A request begins: count it.  Raises RateLimited, and then it has cost nothing."""
        now_s = trio.current_time()
        try:
            account.entry = self._enter(account, call, target, scopes, now_s)
        finally:
            if scopes[0][0] == "key":
                wall_s, language = self._wall_s(), account.downstream.name
                account.rate_headers = self.gate.headers(scopes[0], now_s, wall_s=wall_s, language=language)

    def _enter(self, account: Account, call: Call, target: Target, scopes: tuple[Scope, ...], now_s: float) -> Pass:
        """A rough guess does as long as it fits; it is corrected in the end, as any is."""
        asked = call.max_tokens or 0
        if account.prompt_tokens is None:
            try:
                return self.gate.enter(scopes, account.body_bytes // ROUGH_BYTES + asked, now_s)
            except RateLimited as refused:
                if refused.what != "tokens":
                    raise
            account.prompt_tokens = self.prompt_tokens(call, target)
        return self.gate.enter(scopes, account.prompt_tokens + asked, now_s)

    def close(self, account: Account) -> None:
        """A request is over, however: its place is free, and an answer out of the cache has its row.

        Who has joined a flight that was refused before anybody was asked has been refused: there is no row.  The place
        of the one who has begun a flight is the flight's, which may go on without him.
        """
        if account.cache == "hit" and account.bill is NO_BILL and account.provider is not None:
            self.put(self._of_cache(account, account.outcome))
        if account.payer is None:
            self.leave(account)

    def leave(self, account: Account) -> None:
        """Give back its place among the requests of its key and its model."""
        if account.entry is not None:
            settled = account.bill.settlement
            account.entry.leave(0 if settled is None else settled.usage.total_tokens, trio.current_time())

    async def keep_hit(self, account: Account) -> None:
        """The last byte of an answer out of the cache is about to go: first its row is on the disk.

        Raises StorageError when it cannot be written.
        """
        position = self.put(self._of_cache(account, Outcome.OK))
        account.bill = HIT
        await self.wait_kept(position)

    def _of_cache(self, account: Account, outcome: Outcome) -> Settlement:
        caller, tap = account.caller or ANONYMOUS, account.tap
        usage = account.usage if tap is None else tap.usage or account.usage
        terms = self.terms(Target(account.provider or "", account.model or ""))
        return Settlement(
            account.request_id,
            self.now_ms(),
            caller.name,
            account.pool,
            kind=account.kind.value,
            provider=account.provider or "",
            model=account.model or "",
            usage=usage or Usage(),
            cost_micro_usd=0,
            local=terms.local,
            cached=True,
            outcome=outcome.value,
        )

    def with_room(
        self, account: Account, candidates: Sequence[Target], call: Call
    ) -> tuple[Sequence[Target], Pass | None]:
        """The candidates from the first on whose provider takes one more request, which is counted against it.

        Raises RateLimited where none does.
        """
        refused: RateLimited | None = None
        for number, target in enumerate(candidates):
            scope = ("provider", target.provider)
            if not self.gate.is_limited(scope):
                return candidates[number:] if number else candidates, None
            try:
                entered = self._enter(account, call, target, (scope,), trio.current_time())
            except RateLimited as full:
                refused = full if refused is None else sooner(refused, full)
            else:
                return candidates[number:], entered
        assert refused is not None, "there is a candidate"
        raise refused

    def prompt_tokens(self, call: Call, target: Target) -> int:
        """A guess."""
        return self.estimator.prompt_tokens(self.terms(target).key, weigh(call))

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
        await self._log.wait_kept(position)

    def flush(self) -> int:
        """Hand over all that waits, now.  Returns the position of the last row."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return self._log.position
        position = self._log.append([encode_row(entry) for entry, _ in waiting])
        for entry, _ in waiting:
            if isinstance(entry, Settlement | CostsReset):
                self.totals.apply(entry)
        self._learn([bill for _, bill in waiting if bill is not None])
        self._unsaved_rows += len(waiting)
        self._look_for_room()
        return position

    def _learn(self, bills: list[Bill]) -> None:
        """From every report, until they come so fast that it would cost more than it teaches."""
        for bill in bills[:LEARNT_AT_ONCE]:
            if bill.settlement is not None:
                self.estimator.learn(bill.terms.key, weigh(bill.call), bill.settlement.usage, bill.chunks)

    def require_room(self) -> None:
        """Raises Unavailable while nothing more can be kept: no new work then."""
        if self._cannot_write:
            self._look_for_room()
            if self._cannot_write:
                raise Unavailable("The gateway cannot write its books.", retry_after_s=FULL_S)

    def _look_for_room(self) -> None:
        self._cannot_write = self.store.statistics().status == "full"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """A service: a snapshot now and then.  A start without one has more to read, and forgets what was learnt."""
        saved_at = trio.current_time()
        task_status.started()
        while True:
            await trio.sleep(SNAPSHOT_S)
            is_old = self._unsaved_rows > 0 and trio.current_time() - saved_at >= SNAPSHOT_AGE_S
            if is_old or self._unsaved_rows >= SNAPSHOT_ROWS:
                saved_at = trio.current_time()
                try:
                    await self._forget_oldest(await self.save())
                except StorageError:
                    pass

    async def _forget_oldest(self, position: int) -> None:
        """A journal that ends with the process is not to fill its memory; the snapshot knows what it came to."""
        if self.store.statistics().kind == "memory":
            await self._log.trim(position + 1 - MEMORY_ROWS)

    async def save(self) -> int:
        """Write a snapshot; returns the position of the last row in it.  Raises StorageError."""
        position = self.flush()
        states = (self.ledger.state(), self.totals.state(), self.estimator.state())
        self._unsaved_rows = 0
        await self._table.put(SNAPSHOT, msgspec.msgpack.encode(Snapshot(position, *states)))
        return position

    def _note_expired(self, expired: Iterable[Expired]) -> None:
        for entry in expired:
            self._waiting.append((entry, None))
        self.on_news()

    # -- reading back ----------------------------------------------------------------------------------------------

    async def open(self, budgets: Iterable[Budget]) -> None:
        """Take over what the store has kept, then the owner's `budgets` of today.  Raises StorageError."""
        kept = await self._table.get(SNAPSHOT)
        position = 0
        if kept is not None:
            snapshot = _decode_snapshot(kept)
            self.ledger.restore(snapshot.ledger)
            self.totals.restore(snapshot.totals)
            self.estimator.restore(snapshot.estimator)
            position = snapshot.position
        self._unsaved_rows = await self._replay(position, self.ledger, self.totals)
        now_ms = self.now_ms()
        configured = self.ledger.configure(budgets, now_ms)
        for entry in (configured, *self.ledger.expire(now_ms)):
            if entry is not None:
                self.write(entry)

    async def _replay(self, position: int, ledger: Ledger, totals: Totals) -> int:
        """Fold the rows behind `position`.  Returns how many there were.  Raises StorageError."""
        before = position
        while rows := await self._log.read(position, READ_ROWS):
            for row in rows:
                entry = decode_row(row.body, row.position)
                if isinstance(entry, Settlement | CostsReset):
                    totals.apply(entry)
                if not isinstance(entry, CostsReset):
                    ledger.apply(entry)
            position = rows[-1].position
        return position - before

    async def replayed(self) -> tuple[Ledger, Totals]:
        """What the journal comes to, read from its first row: equal to what is kept here, or something is wrong."""
        self.flush()
        ledger, totals = Ledger(), Totals()
        await self._replay(0, ledger, totals)
        return ledger, totals


def _rates(config: Config) -> Mapping[Scope, Rates]:
    return limits_for(
        {key.name: Rates(key.rpm, key.tpm, key.max_concurrent) for key in config.all_keys()},
        config.limits,
        {each.name: Rates(each.rate_limit_rpm, each.tpm, each.max_concurrent) for each in config.providers},
    )


def _decode_snapshot(kept: bytes) -> Snapshot:
    try:
        return msgspec.msgpack.decode(kept, type=Snapshot)
    except msgspec.DecodeError as error:
        raise StorageError(
            "The snapshot of the books cannot be read. Was it written by a newer hoosh? "
            "Then start that one; else restore the store from a backup."
        ) from error
