"""May it start now?"""

from hoosh.admission.gate import Gate, GateStatistics, Pass, ScopeStatistics
from hoosh.admission.meter import sooner
from hoosh.admission.refusal import Scope
from hoosh.admission.scopes import limits_for, model_scope
from hoosh.admission.settings import Limits, ModelLimits, Rates
from hoosh.admission.shedding import Shedder
from hoosh.admission.turnstile import Ticket, Turnstile
from hoosh.admission.window import Window

__all__ = [
    "Gate",
    "GateStatistics",
    "Limits",
    "ModelLimits",
    "Pass",
    "Rates",
    "Scope",
    "ScopeStatistics",
    "Shedder",
    "Ticket",
    "Turnstile",
    "Window",
    "limits_for",
    "model_scope",
    "sooner",
]
