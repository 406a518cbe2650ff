"""NVIDIA's GPUs, by NVML: name, memory, load, temperature, power, PCIe, NVLink, and MIG instances as devices.

Blocks, and may hang for ever when a GPU has fallen off the bus: for a worker thread that can be given up.  What a card
does not support is None, never 0.  A card that is lost is there and not available.  The library is opened for each look
and closed again: held open it would keep the GPUs of a laptop from sleeping.

A GPU in MIG mode is there, too, and not available: nothing can run on it but its instances.

Source: NVIDIA's NVML API reference (r580); `pynvml` of the package nvidia-ml-py.  Units there: bytes, milliwatts, MHz.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from hoosh.catalogue.devices import NVLINK_GB_S, bandwidth_of, bus_width_of, link_bandwidth_of
from hoosh.hardware.found import (
    DEVICES_MAX,
    Found,
    byte_count,
    clean_name,
    number,
    percent,
    temperature,
    watts,
)
from hoosh.hardware.host import Memory
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

__all__ = ["has_driver", "library", "look"]

SIGNS = ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia", "/dev/dxg", "/dev/nvmap")
"""Of a driver: on Linux, in containers, on WSL 2, and on a Jetson."""
LINKS_MAX = 36
SWITCH = 2
"""`NVML_NVLINK_DEVICE_TYPE_SWITCH`."""


def has_driver(root: Root) -> bool:
    """Without one it would be in vain to load the library."""
    return any(root.exists(sign) for sign in SIGNS)


def library() -> Any | None:
    """The module `pynvml`, None where it is not installed.  Takes 30 ms the first time."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def look(nvml: Any, root: Root, system: Memory) -> Found | None:
    """All GPUs.  None where NVML itself is not there.  `system` is the memory of those that share the machine's."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if isinstance(error, nvml.NVMLError_LibraryNotFound):
            return None
        return Found(warnings=(f"cuda: {clean_name(str(error))}",))
    try:
        return _Look(nvml, root, system).all()
    finally:
        with suppress(nvml.NVMLError):  # what was found counts all the same
            nvml.nvmlShutdown()


class _Look:
    """One look, with the library open."""

    def __init__(self, nvml: Any, root: Root, system: Memory) -> None:
        self._nvml = nvml
        self._root = root
        self._system = system
        self._warnings: list[str] = []
        self._devices: list[Device] = []
        self._links: list[Interconnect] = []

    def all(self) -> Found:
        driver = clean_name(self._maybe("nvmlSystemGetDriverVersion")) or None
        count = self._maybe("nvmlDeviceGetCount") or 0
        for index in range(min(count, DEVICES_MAX)):
            try:
                self._gpu(index, driver)
            except self._nvml.NVMLError as error:
                self._warnings.append(f"cuda: GPU {index}: {clean_name(str(error))}")
                self._devices.append(_lost(index, driver))
        return Found(
            devices=tuple(self._devices[:DEVICES_MAX]),
            interconnects=tuple(self._links),
            warnings=tuple(self._warnings),
        )

    def _gpu(self, index: int, driver: str | None) -> None:
        """Raises NVMLError where the card cannot be used at all."""
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        name = clean_name(self._nvml.nvmlDeviceGetName(handle), "NVIDIA GPU")
        device = self._device(handle, index, name, driver)
        parts = list(self._instances(handle, device))
        links = list(self._nvlink(handle, index, name))  # all is asked before anything counts: it may be lost yet
        is_split = bool(parts) or self._is_in_mig_mode(handle)
        self._devices.append(replace(device, available=False) if is_split else device)
        self._devices += parts
        self._links += links

    def _device(self, handle: Any, index: int, name: str, driver: str | None) -> Device:
        total, used = self._memory(handle)
        capability = self._maybe("nvmlDeviceGetCudaComputeCapability", handle)
        compute = f"{capability[0]}.{capability[1]}" if capability else None
        rates = self._maybe("nvmlDeviceGetUtilizationRates", handle)
        return Device(
            kind="cuda",
            family=DeviceFamily.GPU,
            index=index,
            name=name,
            memory_bytes=self._system.total_bytes if total is None else total,
            used_bytes=self._system.used_bytes if total is None else used,
            unified=total is None,  # such as GB10 and Jetson: NVML knows of no memory of their own
            utilization_pct=None if rates is None else percent(rates.gpu),
            temperature_c=temperature(self._maybe("nvmlDeviceGetTemperature", handle, 0)),
            power_w=_milliwatts(self._maybe("nvmlDeviceGetPowerUsage", handle)),
            power_limit_w=_milliwatts(self._maybe("nvmlDeviceGetEnforcedPowerLimit", handle)),
            bandwidth_gb_s=bandwidth_of(name) or self._bandwidth(handle, compute),
            uuid=clean_name(self._maybe("nvmlDeviceGetUUID", handle)) or None,
            driver=driver,
            compute_capability=compute,
            pcie=self._pcie(handle),
            numa_node=self._numa_node(handle),
        )

    def _memory(self, handle: Any) -> tuple[int | None, int | None]:
        """Whole and used.  Version 2 does not count as used what the driver keeps to itself."""
        memory = self._maybe("nvmlDeviceGetMemoryInfo", handle, getattr(self._nvml, "nvmlMemory_v2", None))
        memory = memory or self._maybe("nvmlDeviceGetMemoryInfo", handle)
        if memory is None or not memory.total:
            return None, None
        return byte_count(memory.total), byte_count(memory.used)

    def _bandwidth(self, handle: Any, compute: str | None) -> float | None:
        clock_mhz = number(self._maybe("nvmlDeviceGetMaxClockInfo", handle, 2), 1, 100_000)
        bits = self._maybe("nvmlDeviceGetMemoryBusWidth", handle) or bus_width_of(compute)
        return None if clock_mhz is None or not bits else link_bandwidth_of(clock_mhz, bits)

    def _pcie(self, handle: Any) -> str | None:
        generation = self._maybe("nvmlDeviceGetCurrPcieLinkGeneration", handle)
        width = self._maybe("nvmlDeviceGetCurrPcieLinkWidth", handle)
        return f"{generation}.0 x{width}" if generation and width else None

    def _numa_node(self, handle: Any) -> int | None:
        info = self._maybe("nvmlDeviceGetPciInfo", handle)
        address = "" if info is None else clean_name(info.busId).lower()
        if address.count(":") != 2 or "/" in address:
            return None
        domain, rest = address.split(":", 1)
        node = self._root.whole(f"/sys/bus/pci/devices/{domain[-4:]}:{rest}/numa_node")
        return node if node is not None and node >= 0 else None

    # -- parts and links -------------------------------------------------------------------------------------------

    def _is_in_mig_mode(self, handle: Any) -> bool:
        mode = self._maybe("nvmlDeviceGetMigMode", handle)
        return bool(mode) and mode[0] == 1

    def _instances(self, handle: Any, parent: Device) -> Iterator[Device]:
        if not self._is_in_mig_mode(handle):
            return
        for index in range(min(self._maybe("nvmlDeviceGetMaxMigDeviceCount", handle) or 0, 16)):
            part = self._maybe("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
            if part is None:
                continue
            name = clean_name(self._maybe("nvmlDeviceGetName", part), parent.name)
            total, used = self._memory(part)
            if total is None:
                continue
            share = min(1.0, total / parent.memory_bytes) if parent.memory_bytes else 0.0
            whole_gb_s = parent.bandwidth_gb_s
            yield Device(
                kind="cuda",
                family=DeviceFamily.GPU,
                index=index,
                name=name,
                memory_bytes=total,
                used_bytes=used,
                bandwidth_gb_s=None if whole_gb_s is None else round(whole_gb_s * share, 1),
                uuid=clean_name(self._maybe("nvmlDeviceGetUUID", part)) or None,
                driver=parent.driver,
                compute_capability=parent.compute_capability,
                pcie=parent.pcie,
                numa_node=parent.numa_node,
                parent=parent.index,
                profile=name.rpartition("MIG ")[2] if "MIG " in name else None,
            )

    def _nvlink(self, handle: Any, index: int, name: str) -> Iterator[Interconnect]:
        links, gb_s, is_switched = 0, 0.0, False
        for link in range(LINKS_MAX):
            if self._maybe("nvmlDeviceGetNvLinkState", handle, link) != 1:
                continue
            links += 1
            version = self._maybe("nvmlDeviceGetNvLinkVersion", handle, link)
            gb_s += NVLINK_GB_S.get(version or 0, 50)
            is_switched = is_switched or self._maybe("nvmlDeviceGetNvLinkRemoteDeviceType", handle, link) == SWITCH
        if links:
            kind = "nvswitch" if is_switched else "nvlink"
            yield Interconnect(
                kind=kind, name=f"GPU {index} ({name}), {links} links", bandwidth_gb_s=gb_s, state="active"
            )

    def _maybe(self, function: str, *arguments: Any) -> Any:
        """What it returns; None where the card, the driver or this version of the library cannot say.

        Raises NVMLError where the card is lost.
        """
        ask: Callable[..., Any] | None = getattr(self._nvml, function, None)
        if ask is None:
            return None
        try:
            return ask(*arguments)
        except self._nvml.NVMLError_GpuIsLost:
            raise
        except self._nvml.NVMLError:
            return None


def _milliwatts(value: object) -> float | None:
    found = number(value)
    return None if found is None else watts(found / 1000)


def _lost(index: int, driver: str | None) -> Device:
    """A card that cannot be asked."""
    return Device(
        kind="cuda",
        family=DeviceFamily.GPU,
        index=index,
        name="NVIDIA GPU",
        memory_bytes=0,
        available=False,
        driver=driver,
    )
