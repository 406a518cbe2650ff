"""Intel's Gaudi (Habana Labs), by the output of `hl-smi`.  Pure.

Source: `hl-smi --help-query-aip`; Habana's System Management Interface Tool guide.  Memory is MiB, power W.
"""

from __future__ import annotations

import csv

from hoosh.catalogue.devices import bandwidth_of
from hoosh.hardware.found import (
    DEVICES_MAX,
    MIB,
    Found,
    byte_count,
    clean_name,
    percent,
    temperature,
    watts,
)
from hoosh.values.hardware import Device, DeviceFamily

__all__ = ["QUERY", "read"]

FIELDS = ("name", "uuid", "power.draw", "temperature.aip", "utilization.aip", "memory.used", "memory.total")
QUERY = (f"--query-aip={','.join(FIELDS)}", "--format=csv,nounits,noheader")
GENERATIONS = (("HL-3", "gaudi3", "Gaudi 3"), ("HL-2", "gaudi2", "Gaudi 2"))
FIRST = ("HL-20", "HL-10")
"""The boards of the first generation: HL-205 would else be taken for one of the second."""


def read(text: str) -> Found:
    devices: list[Device] = []
    odd = 0
    for row in csv.reader(text.splitlines()[: 4 * DEVICES_MAX]):
        if not row:
            continue
        cells = [cell.strip() for cell in row]
        memory = byte_count(cells[-1], MIB) if len(cells) == len(FIELDS) else None
        if not memory or not cells[0].startswith("HL-"):
            odd += 1
            continue
        board, uuid, power, degrees, load, used, _ = cells
        kind, name = _generation(board)
        devices.append(
            Device(
                kind=kind,
                family=DeviceFamily.AI_ASIC,
                index=len(devices),
                name=clean_name(f"Intel {name} ({board})"),
                memory_bytes=memory,
                used_bytes=byte_count(used, MIB),
                utilization_pct=percent(load),
                temperature_c=temperature(degrees),
                power_w=watts(power),
                bandwidth_gb_s=bandwidth_of(board),
                uuid=clean_name(uuid) or None,
            )
        )
    warnings = (f"gaudi: {odd} lines of hl-smi are no devices: {clean_name(text)}",) if odd else ()
    return Found(devices=tuple(devices[:DEVICES_MAX]), warnings=warnings)


def _generation(board: str) -> tuple[str, str]:
    if not board.startswith(FIRST):
        for prefix, kind, name in GENERATIONS:
            if board.startswith(prefix):
                return kind, name
    return "gaudi", "Gaudi"
