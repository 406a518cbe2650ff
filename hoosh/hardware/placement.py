"""Which quantisation, and at whom: the first questions about a model on a machine.

    TPU → BF16, INT8    Gaudi and other accelerators → BF16, INT8    GPU → FP16, INT8, INT4    NPU → INT8, INT4
    the processor's memory → FP16, INT8, INT4    nothing has room → INT4

The first step that fits the emptiest single device of a family is suggested; families in this order.  Where the
reference looks at what devices have, this looks at what they have left.

Source: reference sections 11.2 to 11.4.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hoosh.catalogue import find_provider_type
from hoosh.hardware.quantisation import BF16, FP16, INT4, INT8, Quantisation, find_quantisation
from hoosh.hardware.room import Room, cpu_room, rooms
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import DeviceFamily, Inventory

__all__ = ["fits_one", "provider_for", "suggested_quantisation"]

_STEPS: tuple[tuple[DeviceFamily, tuple[Quantisation, ...]], ...] = (
    (DeviceFamily.TPU, (BF16, INT8)),
    (DeviceFamily.AI_ASIC, (BF16, INT8)),
    (DeviceFamily.GPU, (FP16, INT8, INT4)),
    (DeviceFamily.NPU, (INT8, INT4)),
)
_CPU_STEPS = (FP16, INT8, INT4)
_AT_HOME = ("llamacpp", "ollama")
"""Engines that load whatever they are given."""


def suggested_quantisation(workload: Workload, inventory: Inventory, reserve_bytes: int = 0) -> Quantisation:
    """The finest step at which one device has room."""
    left = rooms(inventory, reserve_bytes)
    for family, steps in _STEPS:
        emptiest = max((room.bytes for room in left if room.device.family is family), default=0)
        fitting = _first_that_fits(workload, steps, emptiest)
        if fitting is not None:
            return fitting
    return _first_that_fits(workload, _CPU_STEPS, cpu_room(inventory)) or INT4


def _first_that_fits(workload: Workload, steps: Sequence[Quantisation], left_bytes: int) -> Quantisation | None:
    usable = (_no_finer_than_made(workload, step) for step in steps)
    return next((step for step in usable if workload.need_bytes(step) <= left_bytes), None)


def _no_finer_than_made(workload: Workload, step: Quantisation) -> Quantisation:
    """Weights that were published in four bits do not become better in sixteen."""
    made = None if workload.model is None else find_quantisation(workload.model.default_dtype)
    return made if made is not None and made.bits < step.bits else step


def fits_one(need_bytes: int, left: Collection[Room]) -> bool:
    return any(need_bytes <= room.bytes for room in left)


def provider_for(fits: bool, providers: Sequence[str]) -> str:
    """Of those that may serve it (types or names), the one that should; `ollama` where none are given.

    A model that fits goes to an engine that would load it, one that does not to somebody elsewhere, if there is one.
    """
    if not providers:
        return "ollama"
    if fits:
        return next((name for name in providers if name in _AT_HOME), providers[0])
    return next((name for name in providers if not _is_local(name)), providers[0])


def _is_local(name: str) -> bool:
    kind = find_provider_type(name)
    return kind is not None and kind.local
