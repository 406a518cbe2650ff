"""What a machine is made of, as far as models care: devices with memory, what joins them, and where it all runs.

Sizes are bytes, bandwidths GB/s (10^9 bytes), temperatures °C, power W.  What is not known is None, never 0.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

__all__ = ["Device", "DeviceFamily", "Environment", "GpuShare", "Interconnect", "Inventory", "Storage"]


class DeviceFamily(StrEnum):
    """As the reference spells it."""

    CPU = "Cpu"
    GPU = "Gpu"
    NPU = "Npu"
    TPU = "Tpu"
    AI_ASIC = "AiAsic"


class Device(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that can carry a model, or a part of it.  A MIG instance is a device of its own."""

    kind: str
    """`cpu`, `cuda`, `rocm`, `metal`, `vulkan`, `oneapi`, `tpu-v4`, `tpu-v5e`, `tpu-v5p`, `gaudi2`, `gaudi3`,
    `inferentia`, `trainium`, `intel-npu`, `amd-xdna`, `apple-npu`, `qualcomm`, …"""
    family: DeviceFamily
    index: int
    """Among those of its kind, as the vendor's tool counts."""
    name: str
    memory_bytes: int
    """Whole; of unified memory what the device may use."""
    used_bytes: int | None = None
    utilization_pct: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    bandwidth_gb_s: float | None = None
    """Of its own memory."""
    available: bool = True
    unified: bool = False
    """Its memory is the machine's own."""
    uuid: str | None = None
    driver: str | None = None
    compute_capability: str | None = None
    pcie: str | None = None
    """As it runs now: `4.0 x16`."""
    numa_node: int | None = None
    cores: int | None = None
    """Of an accelerator card that is several (NeuronCores, TPU chips)."""
    parent: int | None = None
    """The index of the GPU whose part it is (MIG)."""
    profile: str | None = None
    """Of a MIG instance: `3g.40gb`."""

    @property
    def free_bytes(self) -> int | None:
        return None if self.used_bytes is None else max(0, self.memory_bytes - self.used_bytes)

    @property
    def is_accelerator(self) -> bool:
        return self.family is not DeviceFamily.CPU


class Interconnect(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What joins devices, or machines."""

    kind: str
    """`nvlink`, `nvswitch`, `xgmi`, `infiniband`, `roce`, `ici`, `neuronlink`."""
    name: str
    bandwidth_gb_s: float
    """Of one device, both directions of all its links together."""
    state: str | None = None


class Storage(Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    """`nvme`, `ssd`, `hdd`."""
    bandwidth_gb_s: float
    """An estimate for its kind."""
    size_bytes: int | None = None


class GpuShare(Struct, frozen=True, kw_only=True):
    """What a container has been given."""

    device_ids: tuple[str, ...]
    gpu_count: int
    """0 where it was given `all`."""
    source: str
    """The variable that says so."""


class Environment(Struct, frozen=True, kw_only=True):
    is_docker: bool = False
    is_kubernetes: bool = False
    namespace: str | None = None
    cloud_provider: str | None = None
    """`aws`, `gcp`, `azure`."""
    instance_type: str | None = None
    kubernetes_gpu: GpuShare | None = None


class Inventory(Struct, frozen=True, kw_only=True):
    """One look at the machine.  Immutable; the next look makes another."""

    devices: tuple[Device, ...]
    """The CPU first; then in order of detection."""
    system_memory_bytes: int
    available_memory_bytes: int | None = None
    """Of the system's, now; within the limit of the container."""
    interconnects: tuple[Interconnect, ...] = ()
    storage: tuple[Storage, ...] = ()
    environment: Environment = Environment()
    warnings: tuple[str, ...] = ()
    """What could not be looked at, and why.  A tool that is not installed is none."""
    looked_at: float = 0.0
    """Unix time."""
    took_s: float = 0.0

    @property
    def accelerators(self) -> tuple[Device, ...]:
        """Those that may be used."""
        return tuple(device for device in self.devices if device.is_accelerator and device.available)

    @property
    def vram_bytes(self) -> int:
        """Of all accelerators together."""
        return sum(device.memory_bytes for device in self.accelerators)

    def free_vram_bytes(self, reserve_bytes: int = 0) -> int:
        """What nobody is known to use, less `reserve_bytes`; never below 0."""
        used = sum(device.used_bytes or 0 for device in self.accelerators)
        return max(0, self.vram_bytes - used - reserve_bytes)
