"""What does it cost?"""

from hoosh.cost.settings import PriceOverride

__all__ = ["PriceOverride"]
