"""Machines that tests think of."""

from __future__ import annotations

from typing import Any

from hoosh.catalogue.hardware_models import find_hardware_model
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Device, DeviceFamily, Interconnect, Inventory

GIB = 1024**3
NVSWITCH = Interconnect(kind="nvswitch", name="NVSwitch", bandwidth_gb_s=900.0)
NVLINK = Interconnect(kind="nvlink", name="NVLink 4", bandwidth_gb_s=300.0)
INFINIBAND = Interconnect(kind="infiniband", name="mlx5_0", bandwidth_gb_s=400.0)

FAMILIES = {
    "cuda": DeviceFamily.GPU,
    "rocm": DeviceFamily.GPU,
    "tpu-v5e": DeviceFamily.TPU,
    "gaudi3": DeviceFamily.AI_ASIC,
    "intel-npu": DeviceFamily.NPU,
}


def accelerator(gib: float, index: int = 0, kind: str = "cuda", **more: Any) -> Device:
    memory = {"memory_bytes": round(gib * GIB)} | more
    return Device(kind=kind, family=FAMILIES[kind], index=index, name=kind, **memory)


def machine(*accelerators: Device, ram_gib: float = 64, links: tuple[Interconnect, ...] = ()) -> Inventory:
    ram = round(ram_gib * GIB)
    cpu = Device(kind="cpu", family=DeviceFamily.CPU, index=0, name="CPU", memory_bytes=ram)
    return Inventory(devices=(cpu, *accelerators), system_memory_bytes=ram, interconnects=links)


def gpus(count: int, gib: float, **more: Any) -> list[Device]:
    return [accelerator(gib, index, **more) for index in range(count)]


def model(name: str, **more: Any) -> Workload:
    """A model of the catalogue."""
    found = find_hardware_model(name)
    assert found is not None
    return Workload(parameters=found.parameters, model=found, **more)


def sized(billions: float) -> Workload:
    """A model of which only the size is known."""
    return Workload(parameters=round(billions * 1e9))
