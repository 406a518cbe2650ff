"""Google's TPUs, one device for each chip, and what joins the chips of a host.

Reads `/sys/bus/pci` and `/dev` (blocks; for worker threads).  Where the bus is hidden, as in some containers, the
device files are counted, and the environment says what they are.  How much of a chip's memory is in use only the
process that owns it knows.

Sources: JAX' `hardware_utils.py` for PCI ids; Google Cloud's documentation of TPU VMs for the variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hoosh.catalogue.devices import TPU_V2, TPUS, Tpu
from hoosh.hardware.found import DEVICES_MAX, Found, clean_name
from hoosh.hardware.pci import numa_node
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

__all__ = ["look"]

GOOGLE = "0x1ae0"
BUS = "/sys/bus/pci/devices"
VARIABLES = ("TPU_ACCELERATOR_TYPE", "ACCELERATOR_TYPE")
"""Such as `v5litepod-8`, `v4-8`, `v6e-4`, `tpu7x-8`."""
_TYPES = {
    "v2": "tpu-v2",
    "v3": "tpu-v3",
    "v4": "tpu-v4",
    "v5p": "tpu-v5p",
    "v5litepod": "tpu-v5e",
    "v5e": "tpu-v5e",
    "v6e": "tpu-v6e",
    "tpu7x": "tpu-7x",
}
_BY_KIND = {tpu.kind: tpu for tpu in (*TPUS.values(), TPU_V2)}
_FILE = re.compile(r"accel\d{1,4}", re.ASCII)


def look(root: Root, environ: Mapping[str, str]) -> Found:
    kind = _TYPES.get(_accelerator_type(environ))
    chips = _on_the_bus(root, is_v2=kind == TPU_V2.kind)
    if not chips and kind is not None:
        files = [name for name in root.names("/dev") if _FILE.fullmatch(name)] or [
            name for name in root.names("/dev/vfio") if name.isascii() and name.isdigit()
        ]
        chips = [(_BY_KIND[kind], None)] * len(files)
    devices = tuple(
        Device(
            kind=tpu.kind,
            family=DeviceFamily.TPU,
            index=index,
            name=f"Google TPU {tpu.kind.removeprefix('tpu-')}",
            memory_bytes=tpu.memory_bytes,
            bandwidth_gb_s=tpu.bandwidth_gb_s,
            numa_node=node,
        )
        for index, (tpu, node) in enumerate(chips[:DEVICES_MAX])
    )
    count = len(chips)
    links = [Interconnect(kind="ici", name=f"{count} chips", bandwidth_gb_s=chips[0][0].ici_gb_s)] if count > 1 else []
    return Found(devices=devices, interconnects=tuple(links))


def _on_the_bus(root: Root, *, is_v2: bool) -> list[tuple[Tpu, int | None]]:
    found: list[tuple[Tpu, int | None]] = []
    for address in root.names(BUS):
        path = f"{BUS}/{address}"
        if root.text(f"{path}/vendor") == GOOGLE:
            tpu = TPUS.get((root.text(f"{path}/device") or "").lower())
            if tpu is not None:
                found.append((TPU_V2 if is_v2 and tpu.kind == "tpu-v3" else tpu, numa_node(root, path)))
    return found


def _accelerator_type(environ: Mapping[str, str]) -> str:
    said = next((environ[name] for name in VARIABLES if environ.get(name)), "")
    return clean_name(said).partition("-")[0]
