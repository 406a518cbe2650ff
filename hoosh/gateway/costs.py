"""The desk where costs are asked about: reports, a new beginning, estimates and advice.

It joins what the cost room knows (totals, prices) with what the gateway knows (who serves which model).  A report of a
full book adds up tens of thousands of sums: it lets others run between two days.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase

import trio
from msgspec import Raw

from hoosh.access import may_use
from hoosh.cost import CostsReset, Offer, PriceBook, Totals, cheapest, cost_micro_usd, is_paid_by_length
from hoosh.cost.tally import Tally
from hoosh.errors import InvalidRequest, NoRoute, NoSuchEntry
from hoosh.values import Caller, ModelCard, Usage
from hoosh.values.costs import Advice, CostQuery, CostReport, CostRow, Estimate, Need

__all__ = ["MAX_ROWS", "Candidate", "CostDesk"]

MAX_ROWS = 1000

Candidate = tuple[str, str, str, bool]
"""Provider name, provider type, the model as that provider is asked for it, local."""


class CostDesk:
    """See `hoosh.api.costs` for what each of these answers.

    `write` puts an entry into the journal and applies it to `totals`; `flush` applies what still waits, so that whoever
    has had an answer finds it in the next report.  `resolve` gives those who would be asked for a model, best first,
    and raises NoRoute.  `count_tokens` estimates `messages` as a client wrote them: (model, JSON) → tokens.
    """

    def __init__(
        self,
        totals: Totals,
        prices: PriceBook,
        *,
        write: Callable[[CostsReset], int],
        flush: Callable[[], object],
        resolve: Callable[[str], Sequence[Candidate]],
        models: Callable[[], Awaitable[Sequence[ModelCard]]],
        count_tokens: Callable[[str, Raw], int],
        now_ms: Callable[[], int],
        wait_kept: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._totals = totals
        self._prices = prices
        self._write = write
        self._flush = flush
        self._resolve = resolve
        self._models = models
        self._count_tokens = count_tokens
        self._now_ms = now_ms
        self._wait_kept = wait_kept

    async def report(self, query: CostQuery) -> CostReport:
        """What has been spent, told apart as asked."""
        self._flush()
        since_ms = self._totals.since_ms
        tally = Tally(query)
        for part in self._totals.parts(query):
            tally.add(*part)
            await trio.lowlevel.checkpoint()
        return tally.report(max_rows=MAX_ROWS, since_ms=since_ms)

    async def reset(self, caller: Caller, reason: str) -> CostRow:
        """Begin anew; gives what there was until now.  The journal keeps every settlement."""
        self._flush()
        cleared = self._totals.total()
        position = self._write(CostsReset(self._now_ms(), caller.name, reason))
        if self._wait_kept is not None:
            await self._wait_kept(position)
        return cleared

    async def estimate(
        self, caller: Caller, model: str, input_tokens: int | None, output_tokens: int, messages: Raw | None
    ) -> Estimate:
        """The price of such a request where it would be sent first.

        Raises NoRoute, Forbidden, and InvalidRequest (`price_unknown`).
        """
        may_use(caller, model)
        provider, kind, upstream_model, local = self._first(caller, model)
        price = self._prices.of(provider, kind, upstream_model, local=local)
        if price is None or is_paid_by_length(price):  # how long the sound is nobody has said
            raise _unknown(upstream_model, provider)
        if input_tokens is None:
            input_tokens = 0 if messages is None else self._count_tokens(model, messages)
        cost = cost_micro_usd(price, Usage(input_tokens, output_tokens))
        return Estimate(model, provider, upstream_model, input_tokens, output_tokens, cost, local)

    async def recommend(self, caller: Caller, need: Need) -> Advice:
        """The cheapest model that this caller may use and that is known to be able.  Raises NoSuchEntry."""
        offers = [
            offer
            for card in await self._models()
            if not caller.models or any(fnmatchcase(card.id, glob) for glob in caller.models)
            if (offer := self._offer(caller, card)) is not None
        ]
        advice = cheapest(offers, need)
        if advice is None:
            message = "No model that can be asked for here is known to be able to do this, at a known price."
            raise NoSuchEntry(message, code="no_capable_model")
        return advice

    def _offer(self, caller: Caller, card: ModelCard) -> Offer | None:
        try:
            provider, kind, model, local = self._first(caller, card.id)
        except InvalidRequest:  # nobody serves it now, or not for chats
            return None
        if kind == "echo":  # it is free, and no help
            return None
        return Offer(card.id, provider, self._prices.of(provider, kind, model, local=local), card.facts, local)

    def _first(self, caller: Caller, model: str) -> Candidate:
        """Who would be asked first.  Raises NoRoute."""
        for candidate in self._resolve(model):
            if candidate[3] or not caller.local_only:
                return candidate
        raise NoRoute(model)


def _unknown(model: str, provider: str) -> InvalidRequest:
    message = (
        f"The price of the model `{model[:200]}` at the provider `{provider}` is not known; "
        "the owner of this gateway can add it to [[prices]]."
    )
    return InvalidRequest(message, param="model", code="price_unknown")
