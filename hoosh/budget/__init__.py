"""Can it be paid?"""

from hoosh.budget.settings import Budget, OnExhausted, Unit, Window

__all__ = ["Budget", "OnExhausted", "Unit", "Window"]
