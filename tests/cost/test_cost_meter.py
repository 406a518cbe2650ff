"""The bill is exact: compared with fractions, at the edges of tiers, and with counts that contradict each other."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.catalogue.prices import FREE, Price, Tier, load_prices
from hoosh.cost import (
    cost_micro_usd,
    is_paid_by_length,
    length_micro_usd,
    sound_cost_micro_usd,
    usd,
    worst_case_micro_usd,
)
from hoosh.cost.meter import MAX_MICRO_USD
from hoosh.values import Usage

rates = st.integers(0, 10**9)
maybe_rates = st.none() | rates
tokens = st.integers(0, 10**7)


def prices_of(tiers: st.SearchStrategy[tuple[Tier, ...]]) -> st.SearchStrategy[Price]:
    return st.builds(
        Price,
        *(rates, rates),
        cached_input=maybe_rates,
        cache_write=maybe_rates,
        audio_input=maybe_rates,
        audio_output=maybe_rates,
        request_micro_usd=st.integers(0, 10**6),
        tiers=tiers,
    )


flat = prices_of(st.just(()))
tiered = prices_of(
    st.lists(st.builds(Tier, st.integers(0, 10**6), flat), max_size=3, unique_by=lambda tier: tier.above_tokens).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above_tokens))
    )
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What an honest upstream says: the parts fit into the whole."""
    prompt, reply = draw(tokens), draw(tokens)
    cached = draw(st.integers(0, prompt))
    write = draw(st.integers(0, prompt - cached))
    sound = draw(st.integers(0, prompt - cached - write))
    return Usage(prompt, reply, cached, draw(st.integers(0, reply)), write, sound, draw(st.integers(0, reply)))


def naive(price: Price, usage: Usage) -> int:
    """The same bill as a sum of fractions of dollars."""
    at = price
    for tier in price.tiers:
        if usage.prompt_tokens > tier.above_tokens:
            at = tier.rates
    plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens - usage.audio_prompt_tokens
    parts = [
        (plain, at.input),
        (usage.cached_tokens, at.cached_input if at.cached_input is not None else at.input),
        (usage.cache_write_tokens, at.cache_write if at.cache_write is not None else at.input),
        (usage.audio_prompt_tokens, at.audio_input if at.audio_input is not None else at.input),
        (usage.completion_tokens - usage.audio_completion_tokens, at.output),
        (usage.audio_completion_tokens, at.audio_output if at.audio_output is not None else at.output),
    ]
    dollars = sum((count * Fraction(rate, 10**12) for count, rate in parts), Fraction(0))
    return int(dollars * 10**6 + Fraction(1, 2)) + price.request_micro_usd


@given(tiered, usages())
def test_a_bill_is_the_sum_of_its_fractions_rounded_once(price, usage):
    assert cost_micro_usd(price, usage) == naive(price, usage)


@given(tiered, usages())
def test_no_bill_is_above_the_worst_case(price, usage):
    assert cost_micro_usd(price, usage) <= worst_case_micro_usd(price, usage.prompt_tokens, usage.completion_tokens)


@given(tiered, st.builds(Usage, *[st.integers(-(2**70), 2**70)] * 7))
def test_a_bill_that_contradicts_itself_is_neither_negative_nor_too_long_for_the_journal(price, usage):
    assert 0 <= cost_micro_usd(price, usage) <= MAX_MICRO_USD


@given(tiered, usages(), st.integers(0, 10**8))
def test_parts_that_pass_the_whole_are_cut_to_it(price, usage, more):
    greedy = Usage(usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + more, 0, more, more, more)
    at_most = Usage(usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens, 0, 0, 0)
    sound = min(more, usage.completion_tokens)
    honest = msgspec.structs.replace(at_most, audio_completion_tokens=sound)
    assert cost_micro_usd(price, greedy) == naive(price, honest)


LONG = Price(1_250_000, 10_000_000, cached_input=310_000, tiers=(Tier(200_000, Price(2_500_000, 15_000_000, 625_000)),))


@pytest.mark.parametrize(
    ("usage", "micro_usd"),
    [
        (Usage(199_999, 1000), 249_999 + 10_000),  # 249 998.75 + 10 000
        (Usage(200_000, 1000), 250_000 + 10_000),
        (Usage(200_001, 1000), 500_003 + 15_000),  # 500 002.5: every token at the dearer rate, the reply's too
        (Usage(200_001, 0, cached_tokens=200_001), 125_001),  # 125 000.625
        (Usage(1, 0), 1),  # 1.25
        (Usage(0, 0), 0),
    ],
)
def test_a_tier_begins_behind_its_threshold_and_holds_for_all_tokens(usage, micro_usd):
    assert cost_micro_usd(LONG, usage) == micro_usd


@pytest.mark.parametrize(("pico", "micro"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_half_a_micro_dollar_is_rounded_up_once_and_a_hold_always(pico, micro):
    assert cost_micro_usd(Price(input=pico), Usage(1)) == micro
    assert worst_case_micro_usd(Price(input=pico), 1, 0) == -(-pico // 1_000_000)


def test_the_price_of_a_request_is_paid_beside_its_tokens():
    price = Price(1_000_000, 1_000_000, request_micro_usd=5_000)
    assert cost_micro_usd(price, Usage(10, 10)) == 5_020
    assert worst_case_micro_usd(price, 10, 10) == 5_020


@given(
    st.integers(0, 10**10),
    st.integers(0, 20_000),
    st.integers(0, 10**6),
    st.integers(0, 10**10),
    st.integers(0, 10**10),
)
def test_a_length_is_paid_exactly_and_rounded_once(audio_ms, least_ms, characters, hour, character):
    price = Price(audio_hour_micro_usd=hour, min_audio_ms=least_ms, character=character)
    paid_ms = audio_ms and max(audio_ms, least_ms)
    exact = Fraction(paid_ms * hour, 3_600_000) + Fraction(characters * character, 10**6)
    assert length_micro_usd(price, audio_ms, characters) == min(int(exact + Fraction(1, 2)), MAX_MICRO_USD)


def test_sound_is_paid_by_its_length_beside_its_tokens():
    price = Price(input=1_000_000, audio_hour_micro_usd=360_000, character=15_000_000)
    usage = Usage(10, 5, audio_ms=60_000, characters=100)
    assert sound_cost_micro_usd(price, usage) == 10 + 6_000 + 1_500
    assert cost_micro_usd(price, usage) == 10
    assert [is_paid_by_length(each) for each in (price, Price(input=1), FREE, Price(character=1))] == [1, 0, 0, 1]
    assert usage + usage == Usage(20, 10, audio_ms=120_000, characters=200)
    assert sound_cost_micro_usd(price, Usage(audio_ms=-5, characters=-5)) == 0


def test_a_short_recording_is_paid_as_the_shortest_that_is_paid_for():
    price = Price(audio_hour_micro_usd=3_600_000, min_audio_ms=10_000)
    costs = [length_micro_usd(price, audio_ms, 0) for audio_ms in (0, 1, 10_000, 10_001)]
    assert costs == [0, 10_000, 10_000, 10_001]


def test_what_is_free_costs_nothing_whatever_was_used():
    assert cost_micro_usd(FREE, Usage(10**9, 10**9, 5, 5, 5, 5, 5)) == 0
    assert worst_case_micro_usd(FREE, 10**9, 10**9) == 0


def test_a_hold_of_a_request_without_sound_need_not_fear_the_price_of_sound():
    price = load_prices().find("openai", "gpt-audio")
    assert price is not None
    assert worst_case_micro_usd(price, 1000, 1000, audio=False) == 2_500 + 10_000
    assert worst_case_micro_usd(price, 1000, 1000) == 32_000 + 64_000


def test_a_known_bill_comes_out_to_the_cent():
    price = load_prices().find("openai", "gpt-4o")
    assert price is not None
    assert cost_micro_usd(price, Usage(1_000_000, 100_000, cached_tokens=400_000)) == 1_500_000 + 500_000 + 1_000_000


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "0.000000"), (1, "0.000001"), (1_234_567, "1.234567"), (-5, "-0.000005")]
)
def test_dollars_have_six_decimals(micro, text):
    assert usd(micro) == text
