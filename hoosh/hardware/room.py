"""How much of each device is left: what it has, less what is in use, less the owner's reserve.

A GPU in the processor, which lives in the machine's memory, is no place for models beside a card with memory of its
own: no engine spreads one over both.

The reserve is of accelerators as a whole.  It is taken from the first of them, and from the next where that has not
enough: there the display is, and whatever else an owner keeps room for.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from hoosh.values.hardware import Device, Inventory

__all__ = ["CPU_BYTES", "Room", "cpu_room", "rooms", "rooms_bytes"]

CPU_BYTES = 16 * 1024**3
"""The reference's guess, where nobody knows how much memory there is."""


class Room(Struct, frozen=True):
    """A device, and how many bytes of it may be planned with."""

    device: Device
    bytes: int


def rooms(inventory: Inventory, reserve_bytes: int = 0) -> tuple[Room, ...]:
    """Of every accelerator that models are placed on, in order of detection."""
    found = []
    accelerators = inventory.accelerators
    has_own = any(device.memory_bytes and not device.unified for device in accelerators)
    for device in accelerators:
        if has_own and device.unified:
            continue
        free = device.memory_bytes if device.free_bytes is None else device.free_bytes
        kept = min(free, reserve_bytes)
        reserve_bytes -= kept
        found.append(Room(device, free - kept))
    return tuple(found)


def cpu_room(inventory: Inventory) -> int:
    """Bytes of the machine's own memory that are free, as far as that is known."""
    if inventory.available_memory_bytes is not None:
        return inventory.available_memory_bytes
    return inventory.system_memory_bytes or CPU_BYTES


def rooms_bytes(found: Iterable[Room]) -> int:
    return sum(room.bytes for room in found)
