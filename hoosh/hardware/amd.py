"""AMD's GPUs that the kernel's `amdgpu` runs, and what joins them.

Reads `/sys` (blocks; for worker threads).  Sizes there are bytes.  The GPU in a processor lives in the machine's
memory: what it may use is what the firmware has set aside for it and what the kernel lets it borrow (GTT).

Sources: the kernel's documentation of amdgpu (`mem_info_*`, `gpu_busy_percent`), of hwmon, and of KFD's topology (links
of type 11 are XGMI; `max_bandwidth` is MB/s in one direction).
"""

from __future__ import annotations

from hoosh.catalogue.devices import AMD_CARDS, XGMI_LINK_GB_S, Card, bandwidth_of
from hoosh.hardware.found import DEVICES_MAX, Found, byte_count, clean_name, number, percent
from hoosh.hardware.pci import degrees, drm_cards, numa_node, pcie, power, power_limit
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

__all__ = ["look_for_gpus"]

UNKNOWN_BYTES = 8 * 1024**3
"""The reference's guess, where the driver does not say."""
KFD = "/sys/class/kfd/kfd/topology/nodes"
XGMI = 11


def look_for_gpus(root: Root) -> Found:
    devices, warnings = [], []
    for index, path in enumerate(drm_cards(root, "amdgpu")[:DEVICES_MAX]):
        device = _gpu(root, path, index)
        devices.append(device)
        if byte_count(root.whole(f"{path}/mem_info_vram_total")) is None:
            warnings.append(f"rocm: GPU {index} does not say how much memory it has; 8 GiB are assumed")
    links = _links(root) if devices else ()
    return Found(devices=tuple(devices), interconnects=links, warnings=tuple(warnings))


def _gpu(root: Root, path: str, index: int) -> Device:
    card = AMD_CARDS.get((root.text(f"{path}/device") or "").lower(), Card("AMD GPU"))
    name = clean_name(root.text(f"{path}/product_name"), card.name)
    total = byte_count(root.whole(f"{path}/mem_info_vram_total"))
    used = byte_count(root.whole(f"{path}/mem_info_vram_used"))
    if card.unified:
        total = (total or 0) + (byte_count(root.whole(f"{path}/mem_info_gtt_total")) or 0)
        used = None if used is None else used + (byte_count(root.whole(f"{path}/mem_info_gtt_used")) or 0)
    return Device(
        kind="rocm",
        family=DeviceFamily.GPU,
        index=index,
        name=name,
        memory_bytes=total or UNKNOWN_BYTES,
        used_bytes=used,
        unified=card.unified,
        utilization_pct=percent(root.whole(f"{path}/gpu_busy_percent")),
        temperature_c=degrees(root, path),
        power_w=power(root, path),
        power_limit_w=power_limit(root, path),
        bandwidth_gb_s=bandwidth_of(name) or bandwidth_of(card.name),
        uuid=clean_name(root.text(f"{path}/unique_id")) or None,
        driver=clean_name(root.text("/sys/module/amdgpu/version")) or None,
        pcie=None if card.unified else pcie(root, path),
        numa_node=numa_node(root, path),
    )


def _links(root: Root) -> tuple[Interconnect, ...]:
    """XGMI, one for each GPU that has any."""
    found = []
    for node in root.names(KFD)[:DEVICES_MAX]:
        speeds = []
        for link in root.names(f"{KFD}/{node}/io_links")[:DEVICES_MAX]:
            facts = _properties(root.text(f"{KFD}/{node}/io_links/{link}/properties"))
            if facts.get("type") == XGMI:
                one_way = number(facts.get("max_bandwidth"), 1, 10_000_000)
                speeds.append(XGMI_LINK_GB_S if one_way is None else 2 * one_way / 1000)
        if speeds and _properties(root.text(f"{KFD}/{node}/properties")).get("simd_count"):
            name = f"node {clean_name(node)}, {len(speeds)} links"
            found.append(Interconnect(kind="xgmi", name=name, bandwidth_gb_s=round(sum(speeds), 1)))
    return tuple(found)


def _properties(text: str | None) -> dict[str, int]:
    """Lines of a name and a number."""
    found = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        if value.isascii() and value.isdigit() and len(value) <= 20:
            found[name] = int(value)
    return found
