"""Which models of the catalogue this machine can run, and which sizes one of its devices can.

Where no quantisation is asked for, each model is looked at in the one that is suggested for it.  Source: reference
sections 2.16 and 11.7.
"""

from __future__ import annotations

from hoosh.catalogue.hardware_models import HardwareModel, hardware_models
from hoosh.hardware.clouds import headroom_pct
from hoosh.hardware.placement import suggested_quantisation
from hoosh.hardware.quantisation import Quantisation
from hoosh.hardware.room import cpu_room, rooms, rooms_bytes
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Inventory
from hoosh.values.placement import CompatibleModel, SizeFit

__all__ = ["SIZES", "compatible_models", "on_this_machine", "sizes_that_fit"]

SIZES = (1, 3, 7, 13, 70, 405)
"""Billions of parameters."""


def compatible_models(
    inventory: Inventory, reserve_bytes: int = 0, quantisation: Quantisation | None = None
) -> tuple[CompatibleModel, ...]:
    """Those that fit all accelerators together, largest first; none where there is no accelerator."""
    available = rooms_bytes(rooms(inventory, reserve_bytes))
    found = [on_this_machine(model, inventory, reserve_bytes, quantisation) for model in hardware_models()]
    fitting = [model for model in found if model.memory_required_bytes <= available]
    return tuple(sorted(fitting, key=lambda model: (-model.params_billions, model.name)))


def on_this_machine(
    model: HardwareModel, inventory: Inventory, reserve_bytes: int = 0, quantisation: Quantisation | None = None
) -> CompatibleModel:
    """What one model needs, and how much would be left."""
    workload = Workload(parameters=model.parameters, model=model)
    chosen = quantisation or suggested_quantisation(workload, inventory, reserve_bytes)
    need = workload.need_bytes(chosen)
    return CompatibleModel(
        name=model.name,
        family=model.family,
        params_billions=model.params_billions,
        params_b=model.params_billions,
        quantization=chosen.name,
        memory_required_bytes=need,
        headroom_pct=headroom_pct(need, rooms_bytes(rooms(inventory, reserve_bytes))),
    )


def sizes_that_fit(inventory: Inventory, reserve_bytes: int = 0) -> tuple[SizeFit, ...]:
    """The usual sizes, each in the quantisation that is suggested for it, on the emptiest single device."""
    left = [room.bytes for room in rooms(inventory, reserve_bytes)]
    emptiest = max(left, default=cpu_room(inventory))
    found = []
    for billions in SIZES:
        workload = Workload(parameters=billions * 10**9)
        chosen = suggested_quantisation(workload, inventory, reserve_bytes)
        need = workload.need_bytes(chosen)
        found.append(SizeFit(f"{billions}B", chosen.name, need, need <= emptiest))
    return tuple(found)
