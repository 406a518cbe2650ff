"""May it start now?"""

from hoosh.admission.settings import Limits, ModelLimits, Rates

__all__ = ["Limits", "ModelLimits", "Rates"]
