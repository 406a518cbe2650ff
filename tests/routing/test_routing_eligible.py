from __future__ import annotations

import pytest

from hoosh.errors import InvalidRequest
from hoosh.routing import larger, within
from hoosh.values import Target

A, B, C = ALL = tuple(Target(name, "m") for name in "abc")


def ask(*, tokens=None, reply=100, body=100_000, contexts=(None, None, None), prices=(None, None, None), most=None):
    """The candidates that are left; `tokens` None: nobody may count them."""
    counted = []

    def prompt_tokens(target):
        assert tokens is not None, "counted"
        counted.append(target)
        return tokens

    return within(
        ALL,
        prompt_tokens=prompt_tokens,
        reply_tokens=reply,
        body_bytes=body,
        context_of=dict(zip(ALL, contexts, strict=True)).get,
        price_of=dict(zip(ALL, prices, strict=True)).get,
        max_price=most,
    )


def test_nothing_changes_where_nothing_is_known_and_nobody_counts():
    assert ask() is ALL
    assert ask(contexts=(None, 128_000, None), body=1000) is ALL
    assert ask(contexts=(8000, 8000, 8000), body=15_000) is ALL  # it cannot be near it


def test_whose_context_is_too_short_comes_last():
    assert ask(tokens=9000, contexts=(8000, 128_000, None)) == [B, C, A]
    assert ask(tokens=7900, contexts=(8000, 8000, 8000)) is ALL  # it fits with its reply
    assert ask(tokens=7901, contexts=(8000, 8000, 9000)) == [C, A, B]


def test_where_nobody_fits_the_first_ones_own_error_is_told():
    assert ask(tokens=9000, contexts=(8000, 4000, 2000)) is ALL


def test_dearer_candidates_are_left_out_and_an_unknown_price_is_not_dear():
    assert ask(prices=(5, 4, None), most=4) == [B, C]
    assert ask(prices=(4, 0, None), most=4) is ALL
    assert ask(prices=(4, 0, 1), most=0) == [B]
    assert ask(prices=(4, 9, 9), most=None) is ALL


def test_all_too_dear_is_told():
    with pytest.raises(InvalidRequest) as caught:
        ask(prices=(5, 6, 7), most=4)
    assert (caught.value.param, caught.value.code) == ("model", "price_above_limit")


def test_only_a_larger_context_takes_what_was_too_long():
    context_of = {A: 8000, B: 8000, C: 32_000}.get
    assert larger(ALL, A, context_of) == [C]
    assert larger(ALL, C, context_of) == []
    assert larger(ALL, A, {C: 100}.get) == [C]  # who has failed says nothing of its context
    assert larger(ALL, A, {}.get) == []
