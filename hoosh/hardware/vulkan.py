"""GPUs by what `vulkaninfo` prints: the last resort, for machines whose GPU no other backend knows.  Pure.

`--summary` names the devices; how much memory each has only the long form says, by its largest heap on the device.
What renders on the CPU (llvmpipe) is no device.  Source: Khronos' Vulkan-Tools, `vulkaninfo`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hoosh.catalogue.devices import bandwidth_of
from hoosh.hardware.found import Found, byte_count, clean_name
from hoosh.values.hardware import Device, DeviceFamily

__all__ = ["SUMMARY", "read", "read_heaps"]

SUMMARY = ("--summary",)
TYPES = {
    "PHYSICAL_DEVICE_TYPE_DISCRETE_GPU": False,
    "PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU": False,
    "PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU": True,
}
"""What counts, and whether its memory is the machine's."""
DEVICES_MAX = 64
LINES_MAX = 100_000

_GPU = re.compile(r"GPU(\d{1,4}):\s*$")
_FACT = re.compile(r"\s+(\w{1,40})\s+= (.{1,300})$")
_SIZE = re.compile(r"\s+size\s+= (\d{1,20})\b")


def read(summary: str, heaps: dict[int, int]) -> Found:
    """`heaps`: bytes by the number of the device, from `read_heaps`."""
    devices: list[Device] = []
    silent = []
    seen: set[str] = set()
    for number, facts in _gpus(summary):
        is_integrated = TYPES.get(facts.get("deviceType", ""))
        uuid = clean_name(facts.get("deviceUUID"))
        if is_integrated is None or len(devices) == DEVICES_MAX or uuid in seen:
            continue  # two drivers may know one device
        seen |= {uuid} - {""}
        name = clean_name(facts.get("deviceName"), "GPU")
        if number not in heaps:
            silent.append(name)
        devices.append(
            Device(
                kind="vulkan",
                family=DeviceFamily.GPU,
                index=number,
                name=name,
                memory_bytes=heaps.get(number, 0),
                unified=is_integrated,
                bandwidth_gb_s=bandwidth_of(name),
                uuid=uuid or None,
                driver=clean_name(facts.get("driverInfo")) or None,
            )
        )
    warnings = tuple(f"vulkan: {name} does not say how much memory it has" for name in silent)
    return Found(devices=tuple(devices), warnings=warnings)


def read_heaps(text: str) -> dict[int, int]:
    """Of the long form: the largest heap on each device."""
    found: dict[int, int] = {}
    number, size = None, None
    for line in text.splitlines()[:LINES_MAX]:
        if heading := _GPU.match(line):
            number, size = int(heading[1]), None
        elif written := _SIZE.match(line):
            size = byte_count(written[1])
        elif "MEMORY_HEAP_DEVICE_LOCAL_BIT" in line and number is not None and size:
            found[number] = max(size, found.get(number, 0))
            size = None
    return found


def _gpus(summary: str) -> Iterator[tuple[int, dict[str, str]]]:
    number: int | None = None
    facts: dict[str, str] = {}
    for line in summary.splitlines()[:LINES_MAX]:
        if heading := _GPU.match(line):
            if number is not None:
                yield number, facts
            number, facts = int(heading[1]), {}
        elif number is not None and (fact := _FACT.match(line)):
            facts.setdefault(fact[1], fact[2].strip())
    if number is not None:
        yield number, facts
