"""What does it cost?  Prices, the exact bill, running totals, and advice."""

from hoosh.catalogue.prices import Price
from hoosh.cost.advice import Offer, cheapest
from hoosh.cost.meter import (
    cost_micro_usd,
    is_paid_by_length,
    length_micro_usd,
    sound_cost_micro_usd,
    usd,
    worst_case_micro_usd,
)
from hoosh.cost.pricing import PriceBook
from hoosh.cost.settings import PriceOverride
from hoosh.cost.totals import CostsReset, Totals

__all__ = [
    "CostsReset",
    "Offer",
    "Price",
    "PriceBook",
    "PriceOverride",
    "Totals",
    "cheapest",
    "cost_micro_usd",
    "is_paid_by_length",
    "length_micro_usd",
    "sound_cost_micro_usd",
    "usd",
    "worst_case_micro_usd",
]
