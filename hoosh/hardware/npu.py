"""Small accelerators of processors: Intel's NPU (`intel_vpu`) and AMD's of Ryzen AI (`amdxdna`).

Reads `/sys/class/accel` (blocks; for worker threads).  They have no memory of their own, and how much of the machine's
they may take nobody says: their `memory_bytes` are 0, so that nobody plans with them as if they were GPUs.

Sources: the kernel's documentation of the compute accelerators subsystem, and its drivers `ivpu` and `amdxdna`.
"""

from __future__ import annotations

from hoosh.hardware.found import DEVICES_MAX, Found, clean_name
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily

__all__ = ["accel_devices", "look_for_intel", "look_for_xdna"]

ACCEL = "/sys/class/accel"


def look_for_intel(root: Root) -> Found:
    return _npus(root, "intel_vpu", "intel-npu", "Intel NPU")


def look_for_xdna(root: Root) -> Found:
    return _npus(root, "amdxdna", "amd-xdna", "AMD Ryzen AI NPU")


def accel_devices(root: Root, driver: str) -> list[str]:
    """The device directories of accelerators that `driver` runs."""
    names = [name for name in root.names(ACCEL) if name.startswith("accel")]
    paths = [f"{ACCEL}/{name}/device" for name in names[:DEVICES_MAX]]
    return [path for path in paths if root.target(f"{path}/driver") == driver]


def _npus(root: Root, driver: str, kind: str, name: str) -> Found:
    return Found(
        devices=tuple(
            Device(
                kind=kind,
                family=DeviceFamily.NPU,
                index=index,
                name=clean_name(root.text(f"{path}/vbnv"), name),
                memory_bytes=0,
                unified=True,
                driver=driver,
            )
            for index, path in enumerate(accel_devices(root, driver))
        )
    )
