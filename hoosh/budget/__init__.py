"""Can it be paid?"""

from hoosh.budget.entries import (
    Configured,
    Entry,
    Expired,
    Released,
    Reported,
    Reserved,
    decode_entry,
    encode_entry,
)
from hoosh.budget.estimate import Estimator, ModelKey
from hoosh.budget.guard import BudgetGuard, Watched
from hoosh.budget.ledger import Ledger
from hoosh.budget.pool import Hold, HoldMisused, Pool, PoolState
from hoosh.budget.settings import Budget, OnExhausted, Unit, Window
from hoosh.budget.weight import Weight, choices, reply_limit, weigh

__all__ = [
    "Budget",
    "BudgetGuard",
    "Configured",
    "Entry",
    "Estimator",
    "Expired",
    "Hold",
    "HoldMisused",
    "Ledger",
    "ModelKey",
    "OnExhausted",
    "Pool",
    "PoolState",
    "Released",
    "Reported",
    "Reserved",
    "Unit",
    "Watched",
    "Weight",
    "Window",
    "choices",
    "decode_entry",
    "encode_entry",
    "reply_limit",
    "weigh",
]
