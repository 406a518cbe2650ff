"""Makes `prices.json` out of the library `genai-prices` (the extra `prices`): `just prices`.

    a provider's models ──▶ prices valid on the day ──▶ names that the library itself finds them by ──▶ one line each

The library matches names with rules; here each rule becomes names.  `equals` is a name, `starts_with` a name that
stands for its dated versions (or a beginning, where it ends in a separator), and what only expressions say is left
out: they spell dates, which the look-up knows.  A name is kept where the library finds the same model by it.

Models for sound alone are charged by the hour of a recording or by the character.  Left out, because their bill cannot
be told from what we are told: models charged by the page, those whose pictures, videos or reasoning cost other than
their text, and those that are made for sound but whose sound has no price here.
Where a price depends on the hour of the day, the dearest counts.  Discounts for batches and the like are not prices.

    python -m hoosh.catalogue.snapshot [YYYY-MM-DD]      writes the file; the day is today's where none is given
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from hoosh.catalogue.prices import PRICES_FILE, PricedModel, PriceFile, TierRates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["PROVIDERS", "library_prices", "library_version", "write_down"]

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "groq": "groq",
    "grok": "x-ai",
    "openrouter": "openrouter",
}
"""Our provider types → the library's."""

SOURCE = "genai-prices, https://github.com/pydantic/genai-prices"
UNIT = "pico-USD (1e-12 USD) for a token"
LICENSE = (
    "The MIT License (MIT)",
    "Copyright (c) Pydantic Services Inc. 2025 to present",
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
    'documentation files (the "Software"), to deal in the Software without restriction, including without limitation '
    "the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and "
    "to permit persons to whom the Software is furnished to do so, subject to the following conditions:",
    "The above copyright notice and this permission notice shall be included in all copies or substantial portions of "
    "the Software.",
    'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO '
    "THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE "
    "AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF "
    "CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS "
    "IN THE SOFTWARE.",
)

RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "write": "cache_write_mtok",
    "audio_in": "input_audio_mtok",
    "audio_out": "output_audio_mtok",
}
"""Our words → the library's."""
BESIDE_TOKENS = frozenset(
    {
        *("requests_kcount", "web_searches_kcount", "storage_searches_kcount", "cache_write_1h_mtok"),
        *("cache_audio_read_mtok", "input_image_mtok", "cache_image_read_mtok", "input_video_mtok"),
        *("audio_hours", "input_audio_hours"),
    }
)
"""Said beside prices of tokens, and not counted here: docs/costs.md tells what that means."""
HOURS, MILLION_CHARACTERS = "input_audio_hours", "input_mchars"
OF_SOUND = frozenset({HOURS, MILLION_CHARACTERS, "audio_hours"})
"""Said without prices of tokens.  The last is the first once more, or, where it stands alone, a live session's."""

MIN_AUDIO_MS = {"groq": 10_000}
"""By the library's ids: the shortest recording that is paid for, which it does not tell.

Source: https://console.groq.com/docs/speech-to-text ("Minimum Billed Length").
"""


def library_version() -> str:
    """Raises ImportError (PackageNotFoundError) where the library is not installed."""
    return version("genai-prices")


def library_prices(on: date | None = None) -> PriceFile:
    """The prices that the installed library knows for a day, today by default.  Raises ImportError."""
    from genai_prices.data import providers

    day = on or datetime.now(UTC).date()
    by_id = {provider.id: provider for provider in providers}
    shelves = {kind: _models(by_id[theirs], day) for kind, theirs in PROVIDERS.items()}
    return PriceFile(SOURCE, library_version(), day.isoformat(), UNIT, list(LICENSE), shelves)


def write_down(file: PriceFile) -> bytes:
    """The file's text: one model a line, so that a new snapshot can be read as a difference."""
    head = msgspec.to_builtins(file)
    shelves = head.pop("providers")
    parts = [f"  {_json(kind)}: [\n{_lines(models)}\n  ]" for kind, models in shelves.items()]
    opening = "".join(f"{_json(key)}: {_json(value)},\n" for key, value in head.items())
    return ("{\n" + opening + '"providers": {\n' + ",\n".join(parts) + "\n}\n}\n").encode()


def _lines(models: Iterable[object]) -> str:
    return ",\n".join(f"    {_json(model)}" for model in models)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# -- one provider ------------------------------------------------------------------------------------------------


def _models(provider: Provider, day: date) -> list[PricedModel]:
    """Its models with the names they are found by, in the library's order; equal prices stay apart."""
    taken: set[str] = set()
    priced: list[PricedModel] = []
    for model in provider.models:
        names = [name for name in _names(model.id, model.match) if name not in taken and _finds(provider, name, model)]
        entry = _entry(provider.id, model, names, day) if names else None
        if entry is not None:
            taken.update(names)
            priced.append(entry)
    return priced


def _names(model_id: str, rule: object) -> list[str]:
    # `latest` stands for itself as well as for the dates before it.
    names = dict.fromkeys(name.lower() for name in (model_id, *_spelled(rule)))
    return sorted(names, key=lambda name: (len(name), name))


def _spelled(rule: Any) -> Iterator[str]:
    match type(rule).__name__:
        case "ClauseEquals":
            yield rule.equals
        case "ClauseStartsWith":
            is_beginning = not rule.starts_with[-1].isalnum() or rule.starts_with.startswith("ft:")
            yield rule.starts_with + "*" * is_beginning
        case "ClauseContains":
            yield rule.contains
        case "ClauseEndsWith":
            yield rule.ends_with
        case "ClauseOr":
            for part in rule.or_:
                yield from _spelled(part)
        case "ClauseAnd":
            for part in rule.and_:
                yield from _spelled(part)
        case _:  # an expression
            pass


def _finds(provider: Provider, name: str, model: ModelInfo) -> bool:
    """Does the library take `name` for this very model?"""
    found = provider.find_model(name.removesuffix("*"))
    return found is not None and found.id == model.id


def _entry(provider_id: str, model: ModelInfo, names: list[str], day: date) -> PricedModel | None:
    """A line of the file, or None where tokens do not tell what the model costs."""
    prices = _dearest(model, day)
    said = {key: value for key, value in vars(prices).items() if value is not None}
    if not said:  # to the library that is free; OpenRouter lists what has no price yet in the same way
        is_free = provider_id != "openrouter" or model.id.endswith(":free")
        return PricedModel(names) if is_free else None
    if said.keys() <= OF_SOUND:
        return _sound_entry(provider_id, names, said)
    if "input_mtok" not in said or not said.keys() <= {*RATES.values(), *BESIDE_TOKENS}:
        return None
    if "-audio" in model.id and "input_audio_mtok" not in said:
        return None
    rates = {ours: _pico(_base(said[theirs])) for ours, theirs in RATES.items() if theirs in said}
    request = _pico(_base(said["requests_kcount"])) // 1000 if "requests_kcount" in said else 0
    return PricedModel(names, **rates, request_micro_usd=request, tiers=_tiers(said))


def _sound_entry(provider_id: str, names: list[str], said: dict[str, Any]) -> PricedModel | None:
    """`-latest` may also be a model for chats, whose tokens have a price that is not told here."""
    names = [name for name in names if not name.endswith("-latest")]
    hour, characters = said.get(HOURS), said.get(MILLION_CHARACTERS)
    if not names or (hour is None and characters is None):
        return None
    return PricedModel(
        names,
        audio_hour_micro_usd=0 if hour is None else _pico(_base(hour)),
        min_audio_ms=0 if hour is None else MIN_AUDIO_MS.get(provider_id, 0),
        character=0 if characters is None else _pico(_base(characters)),
    )


def _dearest(model: ModelInfo, day: date) -> ModelPrice:
    hours = [datetime.combine(day, time(hour, 30), UTC) for hour in range(24)]
    return max((model.get_prices(hour) for hour in hours), key=lambda prices: _sum(prices))


def _sum(prices: ModelPrice) -> Decimal:
    return sum((_base(value) for value in vars(prices).values() if value is not None), Decimal(0))


def _base(value: Any) -> Decimal:
    base: Decimal = getattr(value, "base", value)
    return base


def _tiers(said: dict[str, Any]) -> list[TierRates]:
    """Each threshold with all rates that count above it."""
    starts = sorted({tier.start for value in said.values() for tier in getattr(value, "tiers", ())})
    return [
        TierRates(start, **{ours: _pico(_above(said[name], start)) for ours, name in RATES.items() if name in said})
        for start in starts
    ]


def _above(value: Any, start: int) -> Decimal:
    price = _base(value)
    for tier in getattr(value, "tiers", ()):
        if tier.start <= start:
            price = tier.price
    return price


def _pico(usd_per_million: Decimal) -> int:
    return int((usd_per_million * 10**6).to_integral_value(ROUND_HALF_EVEN))


def main(arguments: list[str]) -> None:
    day = date.fromisoformat(arguments[0]) if arguments else None
    PRICES_FILE.write_bytes(write_down(library_prices(day)))


if __name__ == "__main__":
    main(sys.argv[1:])
