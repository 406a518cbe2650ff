"""What if this machine had other devices?

Devices are taken out in order of detection, accelerators only, and put in behind the others as CUDA devices of a given
size.  Links stay those of the real machine.  Source: reference section 11.6, where a snapshot's memory counts the
processor's, too: here it is that of accelerators.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hoosh.hardware.quantisation import Quantisation
from hoosh.hardware.room import rooms, rooms_bytes
from hoosh.hardware.sharding import plan_sharding, shards_required
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Device, DeviceFamily, Inventory
from hoosh.values.placement import MachineSnapshot

__all__ = ["snapshot_of", "with_devices", "without_devices"]


def without_devices(inventory: Inventory, count: int) -> Inventory:
    """The machine without its first `count` accelerators; without all, where it has fewer."""
    gone = {id(device) for device in inventory.accelerators[: max(0, count)]}
    return replace(inventory, devices=tuple(device for device in inventory.devices if id(device) not in gone))


def with_devices(inventory: Inventory, memory_bytes: Sequence[int]) -> Inventory:
    """The machine with a CUDA device for each of these sizes, all of it free."""
    first = 1 + max((device.index for device in inventory.devices if device.kind == "cuda"), default=-1)
    added = (_thought_of(first + number, size) for number, size in enumerate(memory_bytes))
    return replace(inventory, devices=(*inventory.devices, *added))


def _thought_of(index: int, memory_bytes: int) -> Device:
    name = "Hypothetical CUDA device"
    return Device(kind="cuda", family=DeviceFamily.GPU, index=index, name=name, memory_bytes=memory_bytes)


def snapshot_of(
    inventory: Inventory, workload: Workload, quantisation: Quantisation, reserve_bytes: int = 0
) -> MachineSnapshot:
    """How the model would be spread over the machine."""
    left, need = rooms(inventory, reserve_bytes), workload.need_bytes(quantisation)
    count = shards_required(need, left)
    return MachineSnapshot(
        device_count=sum(device.available for device in inventory.devices),
        accelerator_count=len(inventory.accelerators),
        total_vram_bytes=inventory.vram_bytes,
        accelerator_memory_bytes=inventory.vram_bytes,
        available_vram_bytes=rooms_bytes(left),
        system_memory_bytes=inventory.system_memory_bytes,
        memory_required_bytes=need,
        fits=count > 0,
        shards_required=count,
        sharding=plan_sharding(workload, quantisation, inventory, reserve_bytes),
    )
