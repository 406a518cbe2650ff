"""Who among the candidates is too dear, and whose context is too short?

Too dear is left out.  Too short goes behind the others: our count of tokens is a guess, and where nobody fits the
upstream's own error says best what is wrong.  Only what is known counts: who has no known price or context stays.

Counting tokens is dear, so nobody counts unless a body is large enough to matter.  Prices may be in any unit, the same
for all; contexts are tokens, of prompt and reply together.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hoosh.errors import InvalidRequest
from hoosh.values import Target

__all__ = ["larger", "within"]

BYTES_A_TOKEN = 2
"""Of a body, at least: no prompt has more tokens than one for so many bytes, for all that we have seen."""
SMALL_TOKENS = 2048
"""Below that nobody is looked at: there are hardly any contexts so small, and their upstreams say so themselves."""


def within(
    candidates: Sequence[Target],
    *,
    prompt_tokens: Callable[[Target], int],
    reply_tokens: int,
    body_bytes: int,
    context_of: Callable[[Target], int | None],
    price_of: Callable[[Target], int | None],
    max_price: int | None,
) -> Sequence[Target]:
    """Those that may be asked, who fits first; the same object where nothing changes.

    Raises InvalidRequest where all are too dear.
    """
    if max_price is not None:
        candidates = _affordable(candidates, price_of, max_price)
    most_tokens = body_bytes // BYTES_A_TOKEN + reply_tokens
    if len(candidates) < 2 or most_tokens <= SMALL_TOKENS:
        return candidates
    fits = [
        context is None or most_tokens <= context or prompt_tokens(target) + reply_tokens <= context
        for target, context in ((target, context_of(target)) for target in candidates)
    ]
    if all(fits) or not any(fits):
        return candidates
    return [target for fit in (True, False) for target, its in zip(candidates, fits, strict=True) if its is fit]


def larger(candidates: Sequence[Target], than: Target, context_of: Callable[[Target], int | None]) -> Sequence[Target]:
    """Those that may take what was too long for `than`: they are known to have a larger context, as far as its is."""
    least = context_of(than) or 0
    return [target for target in candidates if target != than and (context_of(target) or 0) > least]


def _affordable(
    candidates: Sequence[Target], price_of: Callable[[Target], int | None], max_price: int
) -> Sequence[Target]:
    prices = [price_of(target) for target in candidates]
    left = [target for target, price in zip(candidates, prices, strict=True) if price is None or price <= max_price]
    if not left:
        message = "Every provider of this model asks more for its replies than the highest price allowed here."
        raise InvalidRequest(message, param="model", code="price_above_limit")
    return candidates if len(left) == len(candidates) else left
