"""How much memory it takes to train a model, by method and by what it is trained on.

    base         two bytes a parameter, in gibibytes
    the rest     base times what stands in the table: the model, the optimiser's state, the activations

The reference's numbers: good for comparing methods, and low for `full` with Adam in mixed precision, which keeps 16
bytes a parameter (ZeRO, Rajbhandari et al. 2020, section 3.1) where this has 8.  A method that the table does not have
for a target is taken from the GPU's row.  A model in few bits (`qlora`) keeps the adapter's optimiser, and its
activations shrink with it.

Source: reference section 11.9.
"""

from __future__ import annotations

from collections.abc import Mapping

from hoosh.values.placement import TrainingEstimate, TrainingMethod, TrainingTarget

__all__ = ["training_estimate"]

GIB = 1024**3
_Multiples = tuple[float, float, float]

_MULTIPLES: Mapping[TrainingTarget, Mapping[str, _Multiples]] = {
    "gpu": {
        "full": (1, 2, 1),
        "lora": (1, 0.1, 0.1),
        "prefix": (1, 0.05, 0.05),
        "preference": (2, 2, 1.5),
        "distillation": (1.5, 1, 0.8),
    },
    "tpu": {
        "full": (1, 1.5, 0.8),
        "lora": (1, 0.15, 0.12),
        "preference": (2, 1.5, 1.2),
        "distillation": (1.5, 0.8, 0.6),
    },
    "gaudi": {
        "full": (1, 1.5, 0.9),
        "lora": (1, 0.12, 0.12),
        "preference": (2, 1.5, 1.3),
        "distillation": (1.5, 0.9, 0.7),
    },
}
_QUANTISED: Mapping[TrainingTarget, Mapping[str, float]] = {
    "gpu": {"qlora-4bit": 0.25, "qlora-8bit": 0.5},
    "tpu": {"qlora-4bit": 0.4, "qlora-8bit": 0.6},
    "gaudi": {"qlora-4bit": 0.35, "qlora-8bit": 0.55},
}
_GROUPS = {"dpo": "preference", "rlhf": "preference"}


def training_estimate(parameters: int, method: TrainingMethod, target: TrainingTarget) -> TrainingEstimate:
    base = parameters * 2 / GIB
    model, optimizer, activation = (round(base * multiple, 3) for multiple in _multiples(method, target))
    total = round(model + optimizer + activation, 3)
    return TrainingEstimate(model_gb=model, optimizer_gb=optimizer, activation_gb=activation, total_gb=total)


def _multiples(method: TrainingMethod, target: TrainingTarget) -> _Multiples:
    share = _QUANTISED[target].get(method)
    if share is not None:
        _, optimizer, activation = _MULTIPLES[target]["lora"]
        return share, optimizer, activation * share
    group = _GROUPS.get(method, method)
    return _MULTIPLES[target].get(group) or _MULTIPLES["gpu"][group]
