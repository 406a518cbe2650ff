"""The price list: names find their price, what is not listed has none, and the file hangs together."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest

from hoosh.catalogue import PROVIDER_TYPES
from hoosh.catalogue.prices import FREE, PRICES_FILE, Price, PricedModel, PriceFile, PriceList, load_prices

MILLION = 1_000_000


def usd(price: Price | None) -> tuple[float, float] | None:
    """Input and output, USD for a million tokens, as the vendors write them."""
    return None if price is None else (price.input / MILLION, price.output / MILLION)


@pytest.mark.parametrize(
    ("kind", "model", "prices"),
    [
        ("openai", "gpt-4o", (2.5, 10)),
        ("openai", "GPT-4o-2024-11-20", (2.5, 10)),
        ("openai", "gpt-4o-2024-05-13", (5, 15)),
        ("openai", "gpt-4o-mini", (0.15, 0.6)),
        ("openai", "gpt-4.1-mini-2025-04-14", (0.4, 1.6)),
        ("openai", "o1", (15, 60)),
        ("openai", "text-embedding-3-small", (0.02, 0)),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", (0.3, 1.2)),
        ("anthropic", "claude-sonnet-4-20250514", (3, 15)),
        ("anthropic", "claude-sonnet-4-5-20250929", (3, 15)),
        ("anthropic", "claude-3-5-haiku-latest", (0.8, 4)),
        ("google", "models/gemini-2.5-flash", (0.3, 2.5)),
        ("google", "gemini-2.5-pro-preview-05-06", (1.25, 10)),
        ("google", "gemini-2.5-flash-preview-tts", (0.5, 10)),
        ("google", "gemma-3-27b-it", (0, 0)),
        ("groq", "openai/gpt-oss-120b", (0.15, 0.6)),
        ("groq", "llama-3.1-8b-instant", (0.05, 0.08)),
        ("grok", "grok-3-mini", (0.3, 0.5)),
        ("mistral", "mistral-large-latest", (2, 6)),
        ("openrouter", "anthropic/claude-sonnet-4.5", (3, 15)),
        ("openrouter", "openai/gpt-4o-2031-01-01", (2.5, 10)),
        ("openrouter", "anybody/anything:free", (0, 0)),
    ],
)
def test_a_model_costs_what_its_vendor_says_under_every_name_it_has(kind, model, prices):
    assert usd(load_prices().find(kind, model)) == prices


@pytest.mark.parametrize(
    ("kind", "model", "hour", "million_characters"),
    [
        ("openai", "whisper-1", 360_000, 0),  # 0.006 USD a minute
        ("openai", "tts-1", 0, 15),
        ("openai", "tts-1-hd-1106", 0, 30),
        ("groq", "whisper-large-v3-turbo", 40_000, 0),
        ("mistral", "voxtral-mini-2602", 180_000, 0),
        ("groq", "canopylabs/orpheus-v1-english", 0, 22),
    ],
)
def test_what_is_made_for_sound_is_paid_by_its_length(kind, model, hour, million_characters):
    price = load_prices().find(kind, model)
    least_ms = 10_000 if kind == "groq" and hour else 0
    assert price == Price(audio_hour_micro_usd=hour, min_audio_ms=least_ms, character=million_characters * MILLION)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("openai", "o1-foo"),
        ("openai", "gpt-4o-4o"),
        ("openai", "gpt"),
        ("openai", "gpt-4o-audio-preview"),  # sound costs more, and the library does not say how much
        ("openai", "gpt-4o-20241120-mine"),
        ("openai", "ft:gpt-4.1-2025-04-14:org::id"),  # tuned models are dearer than what they come from
        ("openai", "gpt-realtime-whisper"),  # by the hour of a live session
        (
            "mistral",
            "voxtral-mini-latest",
        ),  # what a chat with it costs is not told
        ("openai", "llama-3.1-8b-instant"),
        ("anthropic", "claude-opus-4-10"),
        ("google", "gemini-2.5-flash-image"),  # pictures cost more than words
        ("google", "gemini-2.5-flash-preview-native"),
        ("openrouter", "openai/gpt-4o:nitro"),
        ("openrouter", "gpt-4o"),
        ("openai-compatible", "gpt-4o"),
        ("ollama", "gpt-4o"),
        ("nobody", "gpt-4o"),
        ("openai", ""),
        ("openai", "gpt-4o" + "-latest" * 100),
        ("openai", "gpt-4o\n"),
        ("openai", "gpt-4o-२०२४"),
    ],
)
def test_what_is_not_listed_has_no_price(kind, model):
    assert load_prices().find(kind, model) is None


def test_a_long_prompt_is_charged_at_its_tier_with_every_rate_of_it():
    price = load_prices().find("anthropic", "claude-sonnet-4-5")
    assert price is not None
    (tier,) = price.tiers
    assert (price.cached_input, price.cache_write) == (300_000, 3_750_000)
    assert tier.above_tokens == 200_000
    assert tier.rates == Price(6 * MILLION, 22_500_000, cached_input=600_000, cache_write=7_500_000)


def test_of_prices_by_the_hour_of_the_day_the_dearest_counts():
    assert usd(load_prices().find("deepseek", "deepseek-chat")) == (0.27, 1.1)


def test_the_file_says_where_it_is_from_and_hangs_together():
    prices = load_prices()
    assert "genai-prices" in prices.source
    assert date(2026, 1, 1) < date.fromisoformat(prices.as_of)
    assert prices.models > 900
    text = PRICES_FILE.read_text()
    assert "Permission is hereby granted" in text
    file = json.loads(text)
    assert file["providers"].keys() <= PROVIDER_TYPES.keys()
    for kind, models in file["providers"].items():
        names = [name for model in models for name in model["names"]]
        assert len(names) == len(set(names)), kind
        assert all(name == name.casefold() and re.fullmatch(r"[!-~]+", name) for name in names)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google", "deepseek", "mistral", "groq", "grok", "openrouter"])
def test_every_price_is_a_whole_number_that_somebody_could_pay(kind):
    for model in json.loads(PRICES_FILE.read_bytes())["providers"][kind]:
        for rates in (model, *model.get("tiers", ())):
            numbers = [value for key, value in rates.items() if key not in ("names", "tiers", "above")]
            assert all(type(number) is int and 0 <= number <= 1000 * MILLION for number in numbers), model["names"]
        thresholds = [tier["above"] for tier in model.get("tiers", ())]
        assert thresholds == sorted(set(thresholds))


def test_a_name_of_the_file_finds_its_own_line():
    lines = {"openai": [PricedModel(["a"], 1), PricedModel(["a-b*"], 2), PricedModel(["a-bc*"], 3), PricedModel(["f"])]}
    prices = PriceList(PriceFile("", "", "2026-01-01", "", [], lines))
    found = {name: prices.find("openai", name) for name in ("a", "a-latest", "a-bx", "a-bcx", "a-c", "f")}
    inputs = [price and price.input for price in found.values()]
    assert inputs == [1, 1, 2, 3, None, 0]
    assert found["f"] is FREE
