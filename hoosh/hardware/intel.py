"""Intel's GPUs on cards of their own (Arc, Data Center GPU), which `i915` or `xe` runs.

`look_for_gpus` reads `/sys` (blocks; for worker threads); `read_discovery` and `read_stats` read what `xpu-smi` has
printed, and are pure.  The GPU in a processor is not looked for: it is no place for models.

Sources: the kernel's documentation of i915 and xe; `doc/smi_user_guide.md` of intel/xpumanager.  `xpu-smi` gives some
numbers as text, depending on its version.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from hoosh.catalogue.devices import INTEL_CARDS, bandwidth_of
from hoosh.hardware.found import (
    DEVICES_MAX,
    MIB,
    Found,
    byte_count,
    clean_name,
    number,
    percent,
    temperature,
    watts,
)
from hoosh.hardware.pci import degrees, drm_cards, numa_node, pcie, power, power_limit
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily

__all__ = ["DISCOVERY", "look_for_gpus", "read_details", "read_discovery", "read_stats"]

DISCOVERY = ("discovery", "-j")
IN_THE_PROCESSOR = "0000:00:02.0"
LEAST_BAR_BYTES = 2 * 1024**3
"""The window of a card into which all of its memory fits is as large as that; a smaller one says nothing."""


def look_for_gpus(root: Root) -> Found:
    devices: list[Device] = []
    warnings = []
    for path in drm_cards(root, "i915", "xe")[:DEVICES_MAX]:
        if root.real(path) == IN_THE_PROCESSOR:
            continue
        card = INTEL_CARDS.get((root.text(f"{path}/device") or "").lower())
        total = _memory(root, path) or (card and card.memory_bytes)
        if card is None and total is None:
            continue  # what has no memory of its own is in a processor, at whatever address
        name = "Intel GPU" if card is None else card.name
        if total is None:
            warnings.append(f"intel_oneapi: {name} does not say how much memory it has")
        devices.append(
            Device(
                kind="oneapi",
                family=DeviceFamily.GPU,
                index=len(devices),
                name=name,
                memory_bytes=total or 0,
                used_bytes=_used(root, path, total),
                temperature_c=degrees(root, path),
                power_w=power(root, path),
                power_limit_w=power_limit(root, path),
                bandwidth_gb_s=bandwidth_of(name),
                uuid=root.real(path) or None,
                driver=root.target(f"{path}/driver"),
                pcie=pcie(root, path),
                numa_node=numa_node(root, path),
            )
        )
    return Found(devices=tuple(devices), warnings=tuple(warnings))


def _memory(root: Root, path: str) -> int | None:
    card = path.removesuffix("/device")
    for file in (f"{card}/lmem_total_bytes", f"{path}/tile0/physical_vram_size_bytes"):
        if found := byte_count(root.whole(file)):
            return found
    return _window(root.text(f"{path}/resource"))


def _window(resource: str | None) -> int | None:
    """The size of the card's third window, if all of its memory fits into it.  Source: PCI's `resource` in sysfs."""
    lines = (resource or "").splitlines()
    words = lines[2].split() if len(lines) > 2 else []
    try:
        start, end = int(words[0], 16), int(words[1], 16)
    except (IndexError, ValueError):
        return None
    size = byte_count(end - start + 1)
    return size if size and size >= LEAST_BAR_BYTES else None


def _used(root: Root, path: str, total: int | None) -> int | None:
    free = byte_count(root.whole(path.removesuffix("/device") + "/lmem_avail_bytes"))
    return None if free is None or total is None else max(0, total - free)


# -- xpu-smi -------------------------------------------------------------------------------------------------------


def read_discovery(text: str) -> list[tuple[int, str, str]]:
    """Of `xpu-smi discovery -j`: number, address on the bus and name of each card.  Raises ValueError."""
    document = _object(text)
    listed = document.get("device_list")
    if not isinstance(listed, list):
        raise ValueError("xpu-smi has printed no list of devices")
    found = []
    for each in listed[:DEVICES_MAX]:
        if not isinstance(each, dict) or each.get("device_function_type", "physical") != "physical":
            continue
        number_ = number(each.get("device_id"), 0, 10_000)
        if number_ is not None:
            found.append((int(number_), clean_name(each.get("pci_bdf_address")), clean_name(each.get("device_name"))))
    return found


def read_details(text: str, device: Device) -> Device:
    """`device` with what `xpu-smi discovery -d N -j` adds: how much memory there is.  Raises ValueError."""
    details = _object(text)
    name = clean_name(details.get("device_name"), device.name)
    total = byte_count(details.get("memory_physical_size_byte"))
    return replace(
        device,
        name=name,
        memory_bytes=total or device.memory_bytes,
        driver=clean_name(details.get("driver_version"), device.driver or "") or None,
        bandwidth_gb_s=bandwidth_of(name) or device.bandwidth_gb_s,
    )


def read_stats(text: str, device: Device) -> Device:
    """`device` with what `xpu-smi stats -d N -j` adds: load, memory in use (MiB), °C and W.  Raises ValueError.

    Cards of several tiles give some of it by tile only.
    """
    stats = _object(text)
    values = _values(stats.get("device_level"))
    tiles = [_values(tile.get("data_list")) for tile in _list(stats.get("tile_level")) if isinstance(tile, dict)]
    used = _of("MEMORY_USED", values, tiles, sum)
    return replace(
        device,
        used_bytes=device.used_bytes if used is None else byte_count(used, MIB),
        utilization_pct=percent(_of("GPU_UTILIZATION", values, tiles, max)),
        temperature_c=temperature(_of("GPU_CORE_TEMPERATURE", values, tiles, max)) or device.temperature_c,
        power_w=watts(_of("POWER", values, tiles, max)) or device.power_w,
    )


def _of(name: str, values: dict[str, float], tiles: list[dict[str, float]], of_tiles: Any) -> float | None:
    if name in values:
        return values[name]
    found = [tile[name] for tile in tiles if name in tile]
    return float(of_tiles(found)) if found else None


def _values(listed: object) -> dict[str, float]:
    """By the name of the metric, without `XPUM_STATS_`."""
    found = {}
    for each in _list(listed)[:1000]:
        if isinstance(each, dict) and isinstance(name := each.get("metrics_type"), str):
            value = number(each.get("value"))
            if value is not None:
                found[name.removeprefix("XPUM_STATS_")] = value
    return found


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(text: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("xpu-smi has printed no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("xpu-smi has printed no JSON object")
    return document
