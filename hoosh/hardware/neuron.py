"""AWS' Inferentia and Trainium, by the output of `neuron-ls --json-output`.  Pure.

Source: the Neuron LS User Guide.  The list does not say which of the two a device is: the type of the instance does
(`inf2.xlarge`, `trn1.32xlarge`), as newer versions of the tool and the machine's own product name have it; where
neither is known the memory decides, and between Inferentia2 and Trainium1, which have the same, the slower one is
presumed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hoosh.catalogue.devices import NEURON_CHIPS, NeuronChip
from hoosh.hardware.found import DEVICES_MAX, Found, byte_count, clean_name, number
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

__all__ = ["QUERY", "read"]

QUERY = ("--json-output",)
GIB = 1024**3


def read(text: str, instance_type: str) -> Found:
    """Raises ValueError where it is no list of devices."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("neuron-ls has printed no JSON") from None
    if isinstance(document, dict):
        document = document.get("neuron_devices")
    if not isinstance(document, list):
        raise ValueError("neuron-ls has printed no list of devices")
    devices: list[Device] = []
    joined, gb_s = 0, 0.0
    for each in document[:DEVICES_MAX]:
        memory = byte_count(each.get("memory_size")) if isinstance(each, dict) else None
        if not memory:
            continue
        chip = _chip(clean_name(each.get("instance_type")) or instance_type, memory)
        devices.append(_device(each, len(devices), chip, memory))
        joined += bool(each.get("connected_to"))
        gb_s = max(gb_s, chip.link_gb_s)
    odd = len(document[:DEVICES_MAX]) - len(devices)
    links = [Interconnect(kind="neuronlink", name=f"{joined} devices", bandwidth_gb_s=gb_s)] if joined and gb_s else []
    warnings = (f"aws_neuron: {odd} entries of neuron-ls are no devices",) if odd else ()
    return Found(devices=tuple(devices), interconnects=tuple(links), warnings=warnings)


def _chip(instance_type: str, memory_bytes: int) -> NeuronChip:
    known = NEURON_CHIPS.get(instance_type[:4])
    if known is not None:
        return known
    gib = memory_bytes / GIB
    return NEURON_CHIPS["inf1" if gib < 16 else "inf2" if gib < 64 else "trn2" if gib < 128 else "trn3"]


def _device(each: dict[str, Any], index: int, chip: NeuronChip, memory: int) -> Device:
    node, cores = number(each.get("numa_node"), 0, 4096), number(each.get("nc_count"), 1, 1024)
    said = number(each.get("neuron_device"), 0, 10_000)
    return Device(
        kind=chip.kind,
        family=DeviceFamily.AI_ASIC,
        index=index if said is None else int(said),
        name=chip.name,
        memory_bytes=memory,
        bandwidth_gb_s=chip.bandwidth_gb_s,
        uuid=clean_name(each.get("bdf")) or None,
        numa_node=None if node is None else int(node),
        cores=None if cores is None else int(cores),
    )
