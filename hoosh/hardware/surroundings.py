"""What is around the devices: disks, ways to other machines, and whose machine it is.

Reads `/sys`, `/proc` and the environment (blocks for a moment; for worker threads).

Sources: reference section 11.1; the kernel's sysfs-class-infiniband and sysfs-block; the variables of NVIDIA's
container toolkit and of CUDA and ROCm; cloud-init's data sources for the clouds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hoosh.catalogue.devices import STORAGE_GB_S
from hoosh.hardware.found import byte_count, clean_name, number
from hoosh.hardware.root import Root
from hoosh.values.hardware import Environment, GpuShare, Interconnect, Storage

__all__ = ["environment_of", "networks_of", "storage_of"]

DISKS_MAX = 64
PORTS_MAX = 128
IDS_MAX = 64
NO_DISK = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")
VIRTUAL = ("vd", "xvd")
"""What a virtual disk says of turning means nothing."""
INFINIBAND = "/sys/class/infiniband"
SECRETS = "/var/run/secrets/kubernetes.io/serviceaccount"
DMI = "/sys/class/dmi/id"
AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"
"""Source: cloud-init, DataSourceAzure."""
SHARES = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
_RATE = re.compile(r"([\d.]{1,10}) Gb/sec")


def storage_of(root: Root) -> tuple[Storage, ...]:
    found: list[Storage] = []
    for name in root.names("/sys/block"):
        size = byte_count(root.whole(f"/sys/block/{name}/size"), 512)
        if name.startswith(NO_DISK) or not size or len(found) == DISKS_MAX:
            continue
        spins = root.whole(f"/sys/block/{name}/queue/rotational")
        kind = "nvme" if name.startswith("nvme") else "hdd" if spins and not name.startswith(VIRTUAL) else "ssd"
        found.append(Storage(name=clean_name(name), kind=kind, bandwidth_gb_s=STORAGE_GB_S[kind], size_bytes=size))
    return tuple(found)


def networks_of(root: Root) -> tuple[Interconnect, ...]:
    """InfiniBand, and what speaks like it over Ethernet (RoCE)."""
    found: list[Interconnect] = []
    for device in root.names(INFINIBAND):
        for port in root.names(f"{INFINIBAND}/{device}/ports"):
            path = f"{INFINIBAND}/{device}/ports/{port}"
            rate = _RATE.match(root.text(f"{path}/rate") or "")
            gb = None if rate is None else number(rate[1], 0.1, 100_000)
            if gb is None or len(found) == PORTS_MAX:
                continue
            kind = "roce" if root.text(f"{path}/link_layer") == "Ethernet" else "infiniband"
            state = clean_name((root.text(f"{path}/state") or "").rpartition(": ")[2]).lower() or None
            name = clean_name(f"{device}, port {port}")
            found.append(Interconnect(kind=kind, name=name, bandwidth_gb_s=round(2 * gb / 8, 1), state=state))
    return tuple(found)


def environment_of(root: Root, environ: Mapping[str, str]) -> Environment:
    groups = root.text("/proc/1/cgroup") or ""
    is_kubernetes = root.exists(SECRETS)
    provider, instance = _cloud(root)
    return Environment(
        is_docker=root.exists("/.dockerenv") or "docker" in groups or "containerd" in groups,
        is_kubernetes=is_kubernetes,
        namespace=clean_name(root.text(f"{SECRETS}/namespace")) or None if is_kubernetes else None,
        cloud_provider=provider,
        instance_type=instance,
        kubernetes_gpu=_share(environ),
    )


def _cloud(root: Root) -> tuple[str | None, str | None]:
    """Not everything by Microsoft stands in Azure, nor does every Xen belong to Amazon."""
    vendor, product, bios, chassis = (
        clean_name(root.text(f"{DMI}/{file}"))
        for file in ("sys_vendor", "product_name", "bios_version", "chassis_asset_tag")
    )
    if "Amazon" in vendor or ("Xen" in vendor and "amazon" in bios):
        return "aws", product if "." in product else None
    if "Google" in vendor:
        return "gcp", None
    if chassis == AZURE_CHASSIS:
        return "azure", None
    return None, None


def _share(environ: Mapping[str, str]) -> GpuShare | None:
    """What this process has been given of the GPUs."""
    for source in SHARES:
        said = environ.get(source, "").strip()
        if said in ("", "void", "none", "-1"):
            continue
        ids = tuple(filter(None, map(clean_name, said.split(",", IDS_MAX)[:IDS_MAX])))
        return GpuShare(device_ids=ids, gpu_count=0 if said == "all" else len(ids), source=source)
    return None
