"""Apple silicon, by what `system_profiler` and `sysctl` print.  Pure.

A GPU there lives in the machine's memory; Metal lets it use two thirds of it, three quarters on machines with more than
36 GiB, unless the owner has set `iogpu.wired_limit_mb`.  The Macs with Intel's processors are not looked at.

Sources: Apple's `MTLDevice.recommendedMaxWorkingSetSize`, whose values these are; `man sysctl`, `man system_profiler`.
"""

from __future__ import annotations

import msgspec

from hoosh.catalogue.devices import bandwidth_of
from hoosh.hardware.found import MIB, Found, byte_count, clean_name, number
from hoosh.values.hardware import Device, DeviceFamily

__all__ = ["LIMIT", "MEMORY", "PROFILE", "read"]

PROFILE = ("SPDisplaysDataType", "-json")
MEMORY, LIMIT = "hw.memsize", "iogpu.wired_limit_mb"
"""What `sysctl` is asked for; it prints `name: value`.  Only newer systems know the second."""
LARGE_BYTES = 36 * 1024**3


def read(displays: str, facts: str) -> Found:
    """Of the two tools' output.  Raises ValueError where the first is no such document."""
    try:
        document = msgspec.json.decode(displays)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("system_profiler has printed no JSON") from None
    listed = document.get("SPDisplaysDataType") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("system_profiler has printed no displays")
    known = sysctl(facts)
    memory = byte_count(known.get(MEMORY))
    devices: list[Device] = []
    for each in listed[:8]:
        if not isinstance(each, dict) or each.get("spdisplays_vendor") != "sppci_vendor_Apple":
            continue
        name = clean_name(each.get("sppci_model"), "Apple GPU")
        cores = number(each.get("sppci_cores"), 1, 10_000)
        devices.append(
            Device(
                kind="metal",
                family=DeviceFamily.GPU,
                index=len(devices),
                name=name,
                memory_bytes=_usable(memory or 0, byte_count(known.get(LIMIT), MIB)),
                bandwidth_gb_s=bandwidth_of(name),
                unified=True,
                cores=None if cores is None else int(cores),
            )
        )
    warnings = ("apple: sysctl does not say how much memory there is",) if devices and memory is None else ()
    return Found(devices=tuple(devices), warnings=warnings)


def sysctl(text: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in text.splitlines()[:1000])
    return {name.strip(): value.strip() for name, _, value in pairs}


def _usable(memory_bytes: int, limit_bytes: int | None) -> int:
    if limit_bytes:
        return min(limit_bytes, memory_bytes)
    return memory_bytes * 3 // 4 if memory_bytes > LARGE_BYTES else memory_bytes * 2 // 3
