"""What does this model cost at this provider?  Asked once for each, then remembered.

    `[[prices]]`              the first entry whose glob matches, and whose provider, where it names one
    local provider            free, whatever the model is called: only an entry that names it says otherwise
    the price list            by the type of the provider: `hoosh.catalogue.prices`
    otherwise                 None: nobody knows, and nobody guesses

Source: product section 4; weakness 26 of the reference (hosted names that were billed when served locally).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase

from msgspec.structs import astuple

from hoosh.catalogue.prices import FREE, Price, PriceList, load_prices
from hoosh.cost.settings import PriceOverride

__all__ = ["PriceBook", "price_of"]

REMEMBERED = 4096
"""Model names come from clients, too."""


class PriceBook:
    """The owner's prices over the vendors'."""

    __slots__ = ("_overrides", "_prices", "_remembered")

    def __init__(self, overrides: Sequence[PriceOverride] = (), prices: PriceList | None = None) -> None:
        """`prices` is the list of the catalogue, unless another one is given.  Reads it now: raises OSError."""
        self._prices = load_prices() if prices is None else prices
        self.configure(overrides)

    def configure(self, overrides: Sequence[PriceOverride]) -> None:
        """These are the owner's prices from now on."""
        self._overrides = [(entry.provider, entry.model, price_of(entry)) for entry in overrides]
        self._remembered: dict[tuple[str, str, str], Price | None] = {}

    @property
    def as_of(self) -> str:
        """The day of the price list."""
        return self._prices.as_of

    def of(self, provider_name: str, provider_kind: str, model: str, *, local: bool) -> Price | None:
        """The price of `model`, by the name that the provider of this name and type (wire name) has for it."""
        if local or provider_kind == "echo":
            return self._of_local(provider_name, model) or FREE
        key = (provider_name, provider_kind, model)
        try:
            return self._remembered[key]
        except KeyError:
            pass
        price = self._find(provider_name, provider_kind, model)
        if len(self._remembered) >= REMEMBERED:
            # The oldest goes.  A client that invents names can only cost itself the look-up.
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = price
        return price

    def _of_local(self, provider_name: str, model: str) -> Price | None:
        """What the owner asks for the use of own machines, where that is written down for this one."""
        for provider, glob, price in self._overrides:
            if provider == provider_name and fnmatchcase(model, glob):
                return price
        return None

    def _find(self, provider_name: str, provider_kind: str, model: str) -> Price | None:
        for provider, glob, price in self._overrides:
            if provider in (None, provider_name) and fnmatchcase(model, glob):
                return price
        return self._prices.find(provider_kind, model)


def price_of(entry: PriceOverride) -> Price:
    """An entry of the configuration as a price."""
    price = Price(
        input=_pico(entry.input),
        output=_pico(entry.output),
        cached_input=_pico_or_none(entry.cached_input),
        cache_write=_pico_or_none(entry.cache_write),
        audio_input=_pico_or_none(entry.audio_input),
        audio_output=_pico_or_none(entry.audio_output),
        request_micro_usd=_pico(entry.request),
        audio_hour_micro_usd=_pico(entry.audio_minute, times=60),
        min_audio_ms=round(entry.min_audio_secs * 1000) if entry.audio_minute else 0,
        character=_pico(entry.characters),
    )
    return price if any(astuple(price)) else FREE


def _pico_or_none(usd: float | None) -> int | None:
    return None if usd is None else _pico(usd)


def _pico(usd: float, *, times: int = 1) -> int:
    """Millionths of `usd`, which are pico-USD a token of what is USD a million tokens, and micro-USD of plain USD.

    From the digits as they were written: 0.1 is a tenth, not the binary fraction next to it.
    """
    return int((Decimal(repr(usd)) * times * 1_000_000).to_integral_value(ROUND_HALF_UP))
