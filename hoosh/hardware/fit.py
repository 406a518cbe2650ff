"""Does a model fit where its engine runs?

    what is known of its size ──▶ bytes it needs ─┐
                                                  ├──▶ it fits, it does not, or nobody can tell
    a look at the machine, and ──▶ room there is ─┘
    what the engine holds itself

Only what is known counts.  Where somebody has said less than all, the need is the least that it can be (weights of
unknown quantisation are taken for 4 bits), and the room the most: a model is said not to fit where that is sure.  What
the engine itself holds counts as room, since it gives that up for another model; what others hold does not.

Bytes throughout.  Pure.  Source: reference sections 4.4 and 11.3, with its weakness 45.
"""

from __future__ import annotations

import re

from msgspec import Struct

from hoosh.hardware.footprint import footprint
from hoosh.hardware.quantisation import find_quantisation
from hoosh.values import Fit, ModelSize
from hoosh.values.hardware import Device, DeviceFamily, Inventory

__all__ = ["Held", "bits_of", "fit_of", "needed_bytes", "room_bytes"]

LEAST_BITS = 4.0
"""Of a weight in a quantisation that nobody has named."""
BYTE_BITS = 8.0
USUAL_CONTEXT_TOKENS = 4096
"""What engines make room for unless they are told otherwise."""
SPARE = 1.05
WHOLE_ENOUGH = 0.9
FOUR_BITS = frozenset({"awq", "gptq", "nvfp4"})

_NOMINAL = re.compile(r"i?q(\d)_\w+|(\d)bit", re.ASCII)


class Held(Struct, frozen=True):
    """What an engine has in memory already."""

    accelerator_bytes: int = 0
    """Also what may be on either side."""
    system_bytes: int = 0


def bits_of(quantisation: str) -> float | None:
    """Of a weight, on average; None where nobody has a quantisation of that name.

    Of a variant that is not listed (`UD-Q4_K_XL`) the bits in its name: it takes a little more.
    """
    name = quantisation.casefold()
    listed = find_quantisation(name)
    if listed is not None:
        return listed.bits
    if name in FOUR_BITS:
        return LEAST_BITS
    nominal = _NOMINAL.fullmatch(name.removeprefix("ud-"))
    return None if nominal is None else float(nominal[1] or nominal[2])


def needed_bytes(size: ModelSize) -> int | None:
    """To answer one request; None where nobody has said how large it is."""
    if size.weights_bytes is not None:
        weights, bits = size.weights_bytes, BYTE_BITS
    elif size.parameters is not None:
        weights, bits = size.parameters, bits_of(size.quantisation) or LEAST_BITS
    else:
        return None
    return footprint(
        weights,
        bits,
        layers=size.layers,
        kv_heads=size.kv_heads,
        head_dim=size.head_dim,
        kv_width=size.kv_width,
        windowed_layers=size.windowed_layers or 0,
        window_tokens=size.window_tokens,
        context_tokens=size.context_tokens or USUAL_CONTEXT_TOKENS,
    ).total_bytes


def room_bytes(inventory: Inventory, reserve_bytes: int, held: Held | None) -> int | None:
    """What an engine on this machine may use: of its accelerators, or of the machine's memory where they have none.

    `held` is None where nobody knows that: then it is as if nobody used anything.  None where the machine cannot be
    seen: from inside a container without an accelerator, an engine beside it may have any.
    """
    devices = [each for each in inventory.accelerators if _carries_models(each)]
    if devices:
        most = max(0, sum(each.memory_bytes for each in devices) - reserve_bytes)
        used = sum(each.used_bytes or 0 for each in devices)
        return most if held is None else max(0, min(most, most - used + held.accelerator_bytes))
    inside = inventory.environment
    if inside.is_docker or inside.is_kubernetes or inventory.system_memory_bytes <= 0:
        return None
    most, available = inventory.system_memory_bytes, inventory.available_memory_bytes
    if held is None or available is None:
        return most
    return min(most, available + held.accelerator_bytes + held.system_bytes)


def _carries_models(device: Device) -> bool:
    """With memory of its own.  What has the machine's own (in a laptop, in a Mac) gets no more than there is; and no
    engine that we know runs on an NPU."""
    return device.family is not DeviceFamily.NPU and not device.unified and device.memory_bytes > 0


def _is_split(size: ModelSize) -> bool:
    """A few layers on the processor do no harm."""
    whole, part = size.held_bytes, size.held_accelerator_bytes
    return whole is not None and part is not None and part < whole * WHOLE_ENOUGH


def fit_of(size: ModelSize, room: int | None, *, was_too_large: bool = False) -> Fit:
    """What is in memory fits: there it is.  Not so what an engine has had to split, of which a part is elsewhere than
    on the accelerators: that needs what it holds, like any other.  Else one request that loads it would draw all.

    What `was_too_large` fits again where there is some room to spare: what others use changes from second to second.
    """
    needed = needed_bytes(size)
    if size.is_loaded:
        needed = size.held_bytes or needed
        if not _is_split(size):
            return Fit(True, needed, room)
    if needed is None or room is None:
        return Fit(None, needed, room)
    return Fit(needed * (SPARE if was_too_large else 1) <= room, needed, room)
