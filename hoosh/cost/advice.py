"""Which is the cheapest model that can do this?

A model can where it is *known* to be able: what nobody has said counts as no.  It must chat, use tools and see where
that is needed, and take the prompt and the longest reply within its context.  Every chat model takes a system prompt:
the dialects say it in some way.  A model without a known price is not offered, for it may be the dearest.

The cheapest wins; of equals one on the owner's own machines, then the first.
Source: reference sections 7.3 and 7.4; its price tiers are left out: what a model can do is asked for by name here.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from hoosh.catalogue.prices import Price
from hoosh.cost.meter import worst_case_micro_usd
from hoosh.values.costs import Advice, Need
from hoosh.values.upstream import Capability, ModelFacts

__all__ = ["Offer", "can_serve", "cheapest"]


class Offer(Struct, frozen=True):
    """A model that can be asked for."""

    model: str
    """As a client would ask for it."""
    provider: str
    price: Price | None
    facts: ModelFacts
    local: bool = False


def cheapest(offers: Iterable[Offer], need: Need) -> Advice | None:
    """The best offer, or None where no model is known to be able."""
    best: tuple[tuple[int, bool], Offer] | None = None
    for offer in offers:
        if offer.price is None or not can_serve(offer.facts, need):
            continue
        cost = worst_case_micro_usd(offer.price, need.input_tokens, need.max_output_tokens, audio=False)
        rank = (cost, not offer.local)
        if best is None or rank < best[0]:
            best = (rank, offer)
    if best is None:
        return None
    (cost, _), offer = best
    return Advice(offer.model, offer.provider, cost, offer.local, _reason(offer, need, cost))


def can_serve(facts: ModelFacts, need: Need) -> bool:
    """Is a model known to be able to do this?"""
    wanted = {Capability.CHAT}
    if need.uses_tools:
        wanted.add(Capability.TOOLS)
    if need.has_vision:
        wanted.add(Capability.VISION)
    if not wanted <= facts.can:
        return False
    if facts.max_output_tokens is not None and need.max_output_tokens > facts.max_output_tokens:
        return False
    return facts.context_tokens is not None and need.input_tokens + need.max_output_tokens <= facts.context_tokens


def _reason(offer: Offer, need: Need, cost: int) -> str:
    senses = [word for word, is_needed in (("tools", need.uses_tools), ("vision", need.has_vision)) if is_needed]
    what = f"with {' and '.join(senses)} " if senses else ""
    price = "free" if cost == 0 else "the cheapest"
    where = "runs on your own machines" if offer.local else "is offered by a remote provider"
    return f"{price} of the models {what}that take {need.input_tokens + need.max_output_tokens} tokens; {where}"
