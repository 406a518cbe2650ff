"""What the vendors charge, as of a day: `prices.json`, by provider type and model name.

    "models/gemini-2.5-flash-preview-05-20" ──fold──▶ exact name ──▶ without its date ──▶ longest known beginning

A name in the file stands for itself and for its dated versions (`gpt-4o` for `gpt-4o-2024-11-20`, not for
`gpt-4o-mini` or `gpt-4o-audio-preview`: what it does not name may cost ten times as much).  A name that ends in `*`
stands for whatever begins so.  OpenRouter names models `maker/model`: its own list is asked, then the maker's.
Nothing is ever guessed: whoever is not in the list has no price.

Prices are whole pico-USD (1e-12 USD) for a token, so that 2.50 USD for a million tokens are 2 500 000; what is paid by
the hour of a recording is whole micro-USD, so that 0.006 USD a minute are 360 000.

The file is generated from the library `genai-prices` by `just prices` and says which version and which day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = ["FREE", "PRICES_FILE", "Price", "PriceFile", "PriceList", "PricedModel", "Tier", "TierRates", "load_prices"]

PRICES_FILE = Path(__file__).with_name("prices.json")
MAX_NAME_CHARS = 256
"""Longer names are nobody's."""

MAKERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "deepseek": "deepseek",
    "mistralai": "mistral",
    "x-ai": "grok",
}
"""The first half of OpenRouter's names → the provider type that lists the maker's prices."""

# Stricter than the versions of `models.py`: behind a date, nothing more may come.  A price of another model is worse
# than none; two digits alone are a size or a release (`-4-10`), not a date.
_DATE = re.compile(
    r"[-@](?:\d{4}-\d\d-\d\d|\d\d-(?:\d{4}|\d\d)|\d{3,8}|latest|preview|exp|experimental|beta)\Z", re.ASCII
)


class Price(Struct, frozen=True):
    """What one model costs.  Pico-USD for a token; None is as dear as the plain token of its direction."""

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    request_micro_usd: int = 0
    """For each request, beside its tokens."""
    audio_hour_micro_usd: int = 0
    """For an hour of a recording that is written down."""
    min_audio_ms: int = 0
    """A shorter recording is paid as one of this length."""
    character: int = 0
    """Pico-USD for a character of a text that is spoken."""
    tiers: tuple[Tier, ...] = ()
    """Lowest first.  All tokens of a request are charged at the last tier that its prompt has passed."""
    free: bool = False


class Tier(Struct, frozen=True):
    """The rates of a prompt longer than `above_tokens`."""

    above_tokens: int
    rates: Price


FREE = Price(free=True)


# -- the file ----------------------------------------------------------------------------------------------------


class TierRates(Struct, forbid_unknown_fields=True, omit_defaults=True):
    above: int
    input: int
    output: int = 0
    cached: int | None = None
    write: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None


class PricedModel(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the file: names, and what they cost."""

    names: list[str]
    input: int = 0
    output: int = 0
    cached: int | None = None
    write: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    request_micro_usd: int = 0
    audio_hour_micro_usd: int = 0
    min_audio_ms: int = 0
    character: int = 0
    tiers: list[TierRates] = []


class PriceFile(Struct, forbid_unknown_fields=True):
    source: str
    version: str
    as_of: str
    """The day on which these prices were valid: YYYY-MM-DD."""
    unit: str
    license: list[str]
    providers: dict[str, list[PricedModel]]


# -- looking up --------------------------------------------------------------------------------------------------


class _Shelf(Struct, frozen=True):
    exact: Mapping[str, Price]
    beginnings: Mapping[str, Price]
    longest: int


class PriceList:
    """A price file, ready to be asked."""

    __slots__ = ("_shelves", "as_of", "models", "source", "version")

    def __init__(self, file: PriceFile) -> None:
        self.source = file.source
        self.version = file.version
        self.as_of = file.as_of
        self.models = sum(map(len, file.providers.values()))
        self._shelves = {kind: _shelf(models) for kind, models in file.providers.items()}

    def find(self, kind: str, model: str) -> Price | None:
        """The price of `model` at a provider of type `kind` (its wire name); None where nobody has told it."""
        name = model.casefold()
        if len(name) > MAX_NAME_CHARS:
            return None
        if kind == "google":
            name = name.removeprefix("models/")
        found = _look_up(self._shelves.get(kind), name)
        if found is None and kind == "openrouter":
            return self._of_maker(name)
        return found

    def _of_maker(self, name: str) -> Price | None:
        if name.endswith(":free"):
            return FREE
        maker, slash, model = name.partition("/")
        if not slash or ":" in model:  # `:nitro`, `:online` and the like have prices of their own
            return None
        return _look_up(self._shelves.get(MAKERS.get(maker, "")), model)


@cache
def load_prices(source: Literal["snapshot", "library"] = "snapshot") -> PriceList:
    """The price list, read once.  `library` takes today's out of an installed `genai-prices` instead of the file.

    Raises OSError, or ImportError where the library is not there.
    """
    if source == "library":
        from hoosh.catalogue.snapshot import library_prices

        return PriceList(library_prices())
    return PriceList(msgspec.json.decode(PRICES_FILE.read_bytes(), type=PriceFile))


def _look_up(shelf: _Shelf | None, name: str) -> Price | None:
    if shelf is None:
        return None
    undated = name
    while True:
        found = shelf.exact.get(undated)
        if found is not None:
            return found
        date = _DATE.search(undated)
        if date is None:
            break
        undated = undated[: date.start()]
    for end in range(min(len(name), shelf.longest), 0, -1):
        found = shelf.beginnings.get(name[:end])
        if found is not None:
            return found
    return None


def _shelf(models: list[PricedModel]) -> _Shelf:
    exact: dict[str, Price] = {}
    beginnings: dict[str, Price] = {}
    for model in models:
        price = _price(model)
        for name in model.names:
            (beginnings if name.endswith("*") else exact)[name.removesuffix("*")] = price
    return _Shelf(exact, beginnings, max(map(len, beginnings), default=0))


def _price(model: PricedModel) -> Price:
    price: Price = msgspec.structs.replace(
        _rates(model),
        request_micro_usd=model.request_micro_usd,
        audio_hour_micro_usd=model.audio_hour_micro_usd,
        min_audio_ms=model.min_audio_ms,
        character=model.character,
        tiers=tuple(Tier(tier.above, _rates(tier)) for tier in model.tiers),
    )
    return FREE if price == Price() else price


def _rates(entry: PricedModel | TierRates) -> Price:
    return Price(entry.input, entry.output, entry.cached, entry.write, entry.audio_in, entry.audio_out)
