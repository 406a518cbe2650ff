"""NVIDIA's GPUs by the output of `nvidia-smi`: where `pynvml` is not installed, or finds no library.

Pure.  Source: `nvidia-smi --help-query-gpu`; memory is MiB, power W, clocks MHz, and `[N/A]` or `[Not Supported]` stand
where a card cannot say.
"""

from __future__ import annotations

import csv
import re

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
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

__all__ = ["LINKS", "QUERY", "read_gpus", "read_links"]

FIELDS = (
    *("index", "memory.total", "memory.used", "memory.free", "compute_cap", "driver_version", "name"),
    *("temperature.gpu", "power.draw", "utilization.gpu", "clocks.max.memory"),
)
"""In the reference's order."""
QUERY = (f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")
LINKS = ("nvlink", "-s")

_GPU = re.compile(r"GPU (\d{1,4}): (.+?)(?: \(UUID: .*)?$")
_LINK = re.compile(r"\s+Link \d+: ([\d.]+) GB/s")


def read_gpus(text: str) -> Found:
    devices, odd = [], 0
    for row in csv.reader(text.splitlines()[: 4 * DEVICES_MAX]):
        if not row:
            continue
        device = _device([cell.strip() for cell in row])
        if device is None:
            odd += 1
        else:
            devices.append(device)
    warnings = (f"cuda: {odd} lines of nvidia-smi are no GPUs: {clean_name(text)}",) if odd else ()
    return Found(devices=tuple(devices[:DEVICES_MAX]), warnings=warnings)


def _device(cells: list[str]) -> Device | None:
    if len(cells) != len(FIELDS):
        return None
    index, total, used, _, compute, driver, name, degrees, power, load, clock = cells
    memory = byte_count(total, MIB)
    if not (index.isascii() and index.isdigit()) or len(index) > 4 or not memory:
        return None
    name = clean_name(name, "NVIDIA GPU")
    compute_capability = compute if re.fullmatch(r"\d{1,2}\.\d", compute) else None
    return Device(
        kind="cuda",
        family=DeviceFamily.GPU,
        index=int(index),
        name=name,
        memory_bytes=memory,
        used_bytes=byte_count(used, MIB),
        utilization_pct=percent(load),
        temperature_c=temperature(degrees),
        power_w=watts(power),
        bandwidth_gb_s=bandwidth_of(name) or _bandwidth(clock, compute_capability),
        driver=clean_name(driver) or None,
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
