"""Whose price counts: the owner's machines, the owner's word, the list, nobody's guess."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import msgspec
import pytest

from hoosh.catalogue.prices import FREE, Price
from hoosh.cost import PriceBook, PriceOverride
from hoosh.cost.pricing import REMEMBERED, price_of


def override(model: str, usd: float, provider: str | None = None) -> PriceOverride:
    return PriceOverride(model=model, provider=provider, input=usd)


def inputs(book: PriceBook, *asked: tuple[str, str, str]) -> list[int | None]:
    prices = [book.of(*each, local=False) for each in asked]
    return [price and price.input for price in prices]


def test_what_is_served_at_home_is_free_even_under_a_hosted_name_and_against_the_owners_globs():
    book = PriceBook([override("*", 5)])
    assert book.of("ollama", "ollama", "gpt-4o", local=True) is FREE
    assert book.of("lan", "openai-compatible", "claude-opus-4-1", local=True) is FREE
    assert book.of("echo", "echo", "echo", local=False) is FREE
    assert inputs(book, ("lan", "openai-compatible", "gpt-4o")) == [5_000_000]


def test_an_entry_that_names_a_local_provider_prices_it_and_no_other_does():
    book = PriceBook([PriceOverride(model="*", input=9.0), PriceOverride(provider="gpu", model="q*", input=1.0)])
    assert book.of("gpu", "vllm", "qwen", local=True) == price_of(PriceOverride(model="q*", input=1.0))
    assert book.of("gpu", "vllm", "llama", local=True) is FREE
    assert book.of("other", "vllm", "qwen", local=True) is FREE


def test_the_owners_word_comes_before_the_list_and_the_first_entry_before_the_next():
    book = PriceBook([override("gpt-4o", 1, "mine"), override("gpt-4*", 2), override("gpt-4o", 3)])
    asked = [("mine", "openai", "gpt-4o"), ("yours", "openai", "gpt-4o"), ("mine", "openai", "gpt-4.1")]
    assert inputs(book, *asked, ("mine", "openai", "o1")) == [1_000_000, 2_000_000, 2_000_000, 15_000_000]


def test_an_owner_can_price_what_no_list_knows():
    book = PriceBook([PriceOverride(model="house/*", input=0.1, output=0.3, cached_input=0.0, request=0.005)])
    assert book.of("p", "openai-compatible", "house/7b", local=False) == Price(
        100_000, 300_000, cached_input=0, request_micro_usd=5_000
    )


@pytest.mark.parametrize("kind", ["openai-compatible", "vllm", "nobody"])
def test_a_provider_of_no_known_vendor_has_no_prices_whatever_its_models_are_called(kind):
    assert PriceBook().of("anywhere", kind, "gpt-4o", local=False) is None


def test_globs_are_of_names_as_the_provider_has_them():
    book = PriceBook([override("GPT-*", 9)])
    assert inputs(book, ("p", "openai", "GPT-4o"), ("p", "openai", "gpt-4o")) == [9_000_000, 2_500_000]


def test_a_price_is_read_from_its_digits():
    assert price_of(PriceOverride(model="m", input=0.1, output=1e-7, request=0.0000015)) == Price(
        100_000, 0, request_micro_usd=2
    )
    assert price_of(PriceOverride(model="m", input=0.0)) is FREE
    sound = price_of(PriceOverride(model="m", input=0.0, audio_minute=0.0061, min_audio_secs=10, characters=15))
    assert sound == Price(audio_hour_micro_usd=366_000, min_audio_ms=10_000, character=15_000_000)
    assert price_of(PriceOverride(model="m", input=0.0, min_audio_secs=10)) is FREE
    assert price_of(PriceOverride(model="m", input=0.0, cached_input=1)).cached_input == 1_000_000


@pytest.mark.parametrize("wrong", ["inf", "nan", "-0.1", "1e7", "true", '"1"'])
def test_what_is_no_price_is_refused_where_it_is_read(wrong):
    with pytest.raises(msgspec.ValidationError, match=r"\$\.input"):
        msgspec.toml.decode(f'model = "m"\ninput = {wrong}', type=PriceOverride)


def test_names_that_clients_invent_are_not_kept_for_ever():
    book = PriceBook()
    for number in range(REMEMBERED + 10):
        assert book.of("p", "openai", f"gpt-4o-{number}-x", local=False) is None
    assert len(book._remembered) == REMEMBERED
    assert inputs(book, ("p", "openai", "gpt-4o"), ("p", "openai", "gpt-4o")) == [2_500_000] * 2


def test_the_example_of_the_documentation_is_what_the_configuration_reads():
    text = (Path(__file__).parents[2] / "docs" / "costs.md").read_text()
    example = textwrap.dedent(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    (entry,) = msgspec.toml.decode(example, type=dict[str, list[PriceOverride]])["prices"]
    price = PriceBook([entry]).of("my-proxy", "openai-compatible", "house/7b", local=False)
    assert price == Price(100_000, 300_000, cached_input=50_000, request_micro_usd=1_000)
