"""What did these tokens cost?  Exact: whole pico-USD are added up, and rounded once, half up, to micro-USD.

    prompt ─┬─ read from a cache ─── cached_input          all at the rates of the tier that the prompt has passed
            ├─ written to a cache ── cache_write
            ├─ sound ─────────────── audio_input
            └─ the rest ──────────── input
    reply ──┬─ sound ─────────────── audio_output
            └─ the rest ──────────── output                reasoning is among it
    a recording's length ─────────── audio_hour            where a model is paid so: `sound_cost_micro_usd`
    characters that are spoken ───── character

Counts that contradict each other (more cached tokens than prompt) are cut to what fits, in that order: a bill is never
negative, and never above what the journal's 64 bits hold.
"""

from __future__ import annotations

from hoosh.catalogue.prices import Price
from hoosh.values.usage import Usage

__all__ = [
    "MAX_MICRO_USD",
    "cost_micro_usd",
    "is_paid_by_length",
    "length_micro_usd",
    "sound_cost_micro_usd",
    "usd",
    "worst_case_micro_usd",
]

MICRO = 1_000_000
"""Pico-USD in a micro-USD."""
HALF = MICRO // 2
HOUR_MS = 3_600_000
MAX_MICRO_USD = 2**63 - 1


def cost_micro_usd(price: Price, usage: Usage) -> int:
    """The bill for `usage`, with the price of one request."""
    if price.free:
        return 0
    prompt, reply = usage.prompt_tokens, usage.completion_tokens
    rates = _rates(price, prompt) if price.tiers else price
    if prompt < 0 or reply < 0:
        pico = max(prompt, 0) * rates.input + max(reply, 0) * rates.output
    elif usage.cached_tokens or usage.cache_write_tokens or usage.audio_prompt_tokens or usage.audio_completion_tokens:
        pico = _mixed(rates, usage)
    else:
        pico = prompt * rates.input + reply * rates.output
    micro = (pico + HALF) // MICRO + price.request_micro_usd
    return micro if micro < MAX_MICRO_USD else MAX_MICRO_USD


def worst_case_micro_usd(price: Price, prompt_tokens: int, reply_tokens: int, *, audio: bool = True) -> int:
    """At least what a request of so many tokens can cost, however they are made up: what a hold takes.  Rounded up.

    `audio=False` where neither prompt nor reply has sound: its tokens may be ten times as dear.
    """
    if price.free:
        return 0
    pico = _dearest(price, prompt_tokens, reply_tokens, audio)
    for tier in price.tiers:
        if prompt_tokens > tier.above_tokens:
            pico = max(pico, _dearest(tier.rates, prompt_tokens, reply_tokens, audio))
    return min(max(-(-pico // MICRO), 0) + price.request_micro_usd, MAX_MICRO_USD)


def is_paid_by_length(price: Price) -> bool:
    """Tokens are not all that its bill is made of."""
    return bool(price.audio_hour_micro_usd or price.character)


def length_micro_usd(price: Price, audio_ms: int, characters: int) -> int:
    """What a recording of such a length, or a text of so many characters, costs beside its tokens."""
    if audio_ms > 0:
        audio_ms = max(audio_ms, price.min_audio_ms)
    parts = max(audio_ms, 0) * price.audio_hour_micro_usd * MICRO + max(characters, 0) * price.character * HOUR_MS
    return min((parts + HALF * HOUR_MS) // (MICRO * HOUR_MS), MAX_MICRO_USD)


def sound_cost_micro_usd(price: Price, usage: Usage) -> int:
    """`cost_micro_usd` of a model that is paid by length, alone or beside its tokens."""
    cost = cost_micro_usd(price, usage) + length_micro_usd(price, usage.audio_ms, usage.characters)
    return min(cost, MAX_MICRO_USD)


def usd(micro_usd: int) -> str:
    """As humans read it: dollars with six decimals."""
    sign = "-" if micro_usd < 0 else ""
    whole, rest = divmod(abs(micro_usd), MICRO)
    return f"{sign}{whole}.{rest:06}"


def _rates(price: Price, prompt_tokens: int) -> Price:
    rates = price
    for tier in price.tiers:
        if prompt_tokens <= tier.above_tokens:
            break
        rates = tier.rates
    return rates


def _mixed(rates: Price, usage: Usage) -> int:
    """The bill in pico-USD where tokens differ in price.  Written out, not looped: every cached answer comes here."""
    rate, plain = rates.input, usage.prompt_tokens
    pico = 0
    if (tokens := usage.cached_tokens) > 0:
        tokens = min(tokens, plain)
        plain -= tokens
        pico = tokens * (rate if rates.cached_input is None else rates.cached_input)
    if (tokens := usage.cache_write_tokens) > 0:
        tokens = min(tokens, plain)
        plain -= tokens
        pico += tokens * (rate if rates.cache_write is None else rates.cache_write)
    if (tokens := usage.audio_prompt_tokens) > 0:
        tokens = min(tokens, plain)
        plain -= tokens
        pico += tokens * (rate if rates.audio_input is None else rates.audio_input)
    pico += plain * rate
    rate, plain = rates.output, usage.completion_tokens
    if (tokens := usage.audio_completion_tokens) > 0:
        tokens = min(tokens, plain)
        plain -= tokens
        pico += tokens * (rate if rates.audio_output is None else rates.audio_output)
    return pico + plain * rate


def _dearest(rates: Price, prompt_tokens: int, reply_tokens: int, audio: bool) -> int:
    prompt = max(rates.input, rates.cached_input or 0, rates.cache_write or 0, (audio and rates.audio_input) or 0)
    reply = max(rates.output, (audio and rates.audio_output) or 0)
    return prompt_tokens * prompt + reply_tokens * reply
