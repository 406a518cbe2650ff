"""Which limits are there, and which of them does a model fall under?"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from hoosh.admission.refusal import Scope
from hoosh.admission.settings import Limits, Rates
from hoosh.values.caller import ANONYMOUS

__all__ = ["limits_for", "model_scope"]


def limits_for(keys: Mapping[str, Rates], limits: Limits, providers: Mapping[str, Rates]) -> dict[Scope, Rates]:
    """Everything that `Gate.configure` needs to know.  `keys` and `providers` are by name.

    A key takes the numbers it lacks from `limits`; strangers share them as one caller.
    """
    found: dict[Scope, Rates] = {}
    for name, own in {ANONYMOUS.name: Rates(), **keys}.items():
        found["key", name] = Rates(
            limits.rpm if own.rpm is None else own.rpm,
            limits.tpm if own.tpm is None else own.tpm,
            limits.max_concurrent if own.max_concurrent is None else own.max_concurrent,
        )
    for name, own in providers.items():
        found["provider", name] = own
    for model in limits.models:
        found["model", model.name] = Rates(model.rpm, model.tpm, model.max_concurrent)
    return {scope: rates for scope, rates in found.items() if not rates.is_open}


def model_scope(limits: Limits, model: str) -> Scope | None:
    """The first of `[[limits.models]]` that matches `model`, a name as the client asked for it.

    Too slow for every request: the caller remembers.  A glob without numbers shields what it matches from later ones.
    """
    for each in limits.models:
        if fnmatchcase(model, each.name):
            return ("model", each.name)
    return None
