"""NVIDIA's GPUs by the output of `nvidia-smi`: where `pynvml` is not installed, or finds no library.

Pure.  Source: `nvidia-smi --help-query-gpu`; memory is MiB, power W, clocks MHz, and `[N/A]` or `[Not Supported]` stand
where a card cannot say.  One that cannot say how much memory it has (GB10) lives in the machine's.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence

from hoosh.catalogue.devices import bandwidth_of, bus_width_of, link_bandwidth_of
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
from hoosh.hardware.host import Memory
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

__all__ = ["FIELDS", "LINKS", "OLD_FIELDS", "query", "read_gpus", "read_links"]

FIELDS = (
    *("index", "memory.total", "memory.used", "memory.free", "compute_cap", "driver_version", "name"),
    *("temperature.gpu", "power.draw", "utilization.gpu", "clocks.max.memory"),
)
"""In the reference's order."""
OLD_FIELDS = tuple(field for field in FIELDS if field != "compute_cap")
"""What drivers before 510 know: asked for more they answer nothing at all."""
LINKS = ("nvlink", "-s")

_GPU = re.compile(r"GPU (\d{1,4}): (.+?)(?: \(UUID: .*)?$")
_LINK = re.compile(r"\s+Link \d+: ([\d.]+) GB/s")


def query(fields: Sequence[str]) -> tuple[str, str]:
    return f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"


def read_gpus(text: str, fields: Sequence[str] = FIELDS, *, system: Memory | None = None) -> Found:
    """`system` is the memory of GPUs that share the machine's."""
    devices, odd = [], 0
    for row in csv.reader(text.splitlines()[: 4 * DEVICES_MAX]):
        if not row:
            continue
        cells = dict(zip(fields, map(str.strip, row), strict=False)) if len(row) == len(fields) else {}
        device = _device(cells, system)
        if device is None:
            odd += 1
        else:
            devices.append(device)
    warnings = (f"cuda: {odd} lines of nvidia-smi are no GPUs: {clean_name(text)}",) if odd else ()
    return Found(devices=tuple(devices[:DEVICES_MAX]), warnings=warnings)


def _device(cells: Mapping[str, str], system: Memory | None) -> Device | None:
    index, total = cells.get("index", ""), cells.get("memory.total", "")
    memory, used = byte_count(total, MIB), byte_count(cells.get("memory.used"), MIB)
    is_unified = memory is None and total.startswith("[") and system is not None
    if is_unified and system is not None:
        memory, used = system.total_bytes, system.used_bytes
    if not (index.isascii() and index.isdigit()) or len(index) > 4 or not memory:
        return None
    name, compute = clean_name(cells.get("name"), "NVIDIA GPU"), cells.get("compute_cap", "")
    compute_capability = compute if re.fullmatch(r"\d{1,2}\.\d", compute) else None
    return Device(
        kind="cuda",
        family=DeviceFamily.GPU,
        index=int(index),
        name=name,
        memory_bytes=memory,
        used_bytes=used,
        unified=is_unified,
        utilization_pct=percent(cells.get("utilization.gpu")),
        temperature_c=temperature(cells.get("temperature.gpu")),
        power_w=watts(cells.get("power.draw")),
        bandwidth_gb_s=bandwidth_of(name) or _bandwidth(cells.get("clocks.max.memory", ""), compute_capability),
        driver=clean_name(cells.get("driver_version")) or None,
        compute_capability=compute_capability,
    )


def _bandwidth(clock: str, compute_capability: str | None) -> float | None:
    mhz, bits = number(clock, 1, 100_000), bus_width_of(compute_capability)
    return None if mhz is None or bits is None else link_bandwidth_of(mhz, bits)


def read_links(text: str, *, is_switched: bool = False) -> tuple[Interconnect, ...]:
    """Of `nvidia-smi nvlink -s`, which gives what each link carries in one direction."""
    links: dict[str, list[float]] = {}
    gpu = ""
    for line in text.splitlines()[: 40 * DEVICES_MAX]:
        if named := _GPU.match(line):
            gpu = f"GPU {named[1]} ({clean_name(named[2])})"
        elif gpu and (link := _LINK.match(line)) and (gb_s := number(link[1], 0.1, 1000)):
            links.setdefault(gpu, []).append(gb_s)
    return tuple(
        Interconnect(
            kind="nvswitch" if is_switched else "nvlink",
            name=f"{gpu}, {len(each)} links",
            bandwidth_gb_s=round(2 * sum(each), 1),
            state="active",
        )
        for gpu, each in list(links.items())[:DEVICES_MAX]
    )
