"""Whatever tools and files say, nobody is harmed: damaged output gives devices that make sense, or words.

`HOOSH_SEED` says which cases.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from hardware_machines import CAPTURES, capture, tree

from hoosh.hardware import amd, apple, gaudi, intel, neuron, npu, nvidia_smi, nvml, tpu, vulkan
from hoosh.hardware.found import DEVICES_MAX, Found
from hoosh.hardware.host import Memory, cpu_device, memory_of
from hoosh.hardware.root import Root
from hoosh.hardware.surroundings import environment_of, networks_of, storage_of
from hoosh.testing.seeds import seed_of_run
from hoosh.values.hardware import Device, DeviceFamily

SEED = seed_of_run()
CASES = 150
ARC = Device(kind="oneapi", family=DeviceFamily.GPU, index=0, name="Intel GPU", memory_bytes=0)


def by_links(text: str) -> Found:
    return Found(interconnects=nvidia_smi.read_links(text))


def by_discovery(text: str) -> Found:
    intel.read_discovery(text)
    return Found()


READERS: dict[str, tuple[Callable[[str], Found], ...]] = {
    "nvidia_smi_a6000.csv": (nvidia_smi.read_gpus, lambda text: nvidia_smi.read_gpus(text, system=Memory(1, None))),
    "nvidia_smi_nvlink_gb200.txt": (by_links,),
    "hl_smi_hl205.csv": (gaudi.read,),
    "neuron_ls_trn1_2xlarge.json": (lambda text: neuron.read(text, ""), lambda text: neuron.read(text, "trn1.2xlarge")),
    "xpu_smi_discovery_max1100.json": (by_discovery,),
    "xpu_smi_discovery_max1100_0.json": (lambda text: Found(devices=(intel.read_details(text, ARC),)),),
    "xpu_smi_stats.json": (lambda text: Found(devices=(intel.read_stats(text, ARC),)),),
    "system_profiler_m3_pro.json": (
        lambda text: apple.read(text, text),
        lambda text: apple.read(text, "hw.memsize: 1"),
    ),
    "vulkaninfo_summary_laptop.txt": (lambda text: vulkan.read(text, vulkan.read_heaps(text)),),
    "vulkaninfo_heaps_nouveau.txt": (lambda text: vulkan.read(text, vulkan.read_heaps(text)),),
}


def makes_sense(found: Found) -> None:
    assert len(found.devices) <= DEVICES_MAX
    for device in found.devices:
        assert 0 <= device.memory_bytes <= 2**50
        assert device.name.isprintable()
        assert len(device.name) <= 120
        for number in (device.used_bytes, device.utilization_pct, device.temperature_c, device.power_w):
            assert number is None or math.isfinite(number)
    for link in found.interconnects:
        assert 0 < link.bandwidth_gb_s < 1e6
    for warning in found.warnings:
        assert warning.isprintable()
        assert len(warning) < 300


ODD = (None, -1, 0, 10**30, True, "", "N/A", "\x1b[2J" + "x" * 1000, [], {}, [[]], 1e308)


def odd(value: Any, chance: random.Random) -> Any:
    """A document of this shape, with something else in some places."""
    if chance.random() < 0.1:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {name: odd(each, chance) for name, each in value.items() if chance.random() < 0.9}
    return [odd(each, chance) for each in value * chance.randrange(3)] if isinstance(value, list) else value


def damaged(text: str, chance: random.Random) -> str:
    if text.lstrip().startswith(("{", "[")) and chance.random() < 0.8:
        return json.dumps(odd(json.loads(text), chance))
    match chance.randrange(5):
        case 0:
            return text[: chance.randrange(len(text))]
        case 1:
            return chance.randbytes(chance.randrange(2000)).decode("utf-8", "replace")
        case 2:
            return "".join(chance.choice(('"', "9" * 30, "\0", "\x1b[2J", "-1", "1e999", sign)) for sign in text)
        case 3:
            lines = text.splitlines()
            chance.shuffle(lines)
            return "\n".join(lines * chance.randrange(1, 50))
        case _:
            spots = {chance.randrange(len(text)) for _ in range(10)}
            return "".join(chr(chance.randrange(0x2FF)) if at in spots else sign for at, sign in enumerate(text))


@pytest.mark.parametrize("name", READERS)
def test_damaged_output_is_read_or_refused(name):
    print(f"HOOSH_SEED={SEED}")
    chance, text, refused = random.Random(f"{SEED} {name}"), capture(name), 0
    for _ in range(CASES):
        said = damaged(text, chance)
        for read in READERS[name]:
            try:
                makes_sense(read(said))
            except ValueError:
                refused += 1
    assert refused < CASES * len(READERS[name])


def test_every_capture_is_among_them():
    there = {path.name for path in CAPTURES.iterdir()} - {"INDEX.md"}
    alike = {
        "nvidia_smi_gb10.csv",
        "nvidia_smi_nvlink_a100.txt",
        "hl_smi_hl325l.csv",
        "vulkaninfo_summary_rx6600xt.txt",
    }
    assert there == READERS.keys() | alike


def test_huge_output_is_read_in_part():
    makes_sense(nvidia_smi.read_gpus(capture("nvidia_smi_a6000.csv") * 20_000))
    makes_sense(gaudi.read(capture("hl_smi_hl325l.csv") * 10_000))
    makes_sense(vulkan.read(capture("vulkaninfo_summary_laptop.txt") * 500, {}))


def test_files_of_the_kernel_that_are_damaged_harm_nobody(tmp_path):
    print(f"HOOSH_SEED={SEED}")
    chance = random.Random(SEED)
    driver = "-> ../../drivers/{}"
    names = (
        "device",
        "vendor",
        "mem_info_vram_total",
        "mem_info_vram_used",
        "gpu_busy_percent",
        "resource",
        "numa_node",
    )
    files = {f"/sys/class/drm/card{at}/device/{name}": "" for at in range(4) for name in names}
    files |= {f"/sys/class/drm/card{at}/device/hwmon/hwmon0/temp1_input": "" for at in range(4)}
    files |= {"/proc/meminfo": "", "/proc/self/cgroup": "", "/proc/1/cgroup": "", "/proc/cpuinfo": ""}
    files |= {"/sys/block/sda/size": "", "/sys/class/infiniband/a/ports/1/rate": "", "/sys/class/dmi/id/sys_vendor": ""}
    files |= {"/sys/class/kfd/kfd/topology/nodes/1/properties": "", "/sys/fs/cgroup/memory.max": ""}
    files |= {"/sys/bus/pci/devices/0000:00:04.0/vendor": "0x1ae0", "/sys/bus/pci/devices/0000:00:04.0/device": ""}
    files |= {f"/sys/class/drm/card{at}/device/driver": driver.format(each) for at, each in enumerate(("amdgpu", "xe"))}
    root = Root(tree(tmp_path, files))
    for _ in range(40):
        for name, text in files.items():
            if not text:
                (tmp_path / name.lstrip("/")).write_bytes(chance.choice((b"", b"9" * 40, b"-1", chance.randbytes(60))))
        for look in (amd.look_for_gpus, intel.look_for_gpus, npu.look_for_intel, npu.look_for_xdna):
            makes_sense(look(root))
        makes_sense(tpu.look(root, {}))
        memory = memory_of(root)
        assert memory.total_bytes > 0
        makes_sense(Found(devices=(cpu_device(root, memory),), interconnects=networks_of(root)))
        storage_of(root)
        environment_of(root, {"CUDA_VISIBLE_DEVICES": chance.randbytes(50).decode("latin-1")})
        assert not nvml.has_driver(root)


def test_a_file_that_never_ends_and_one_that_is_none_are_left_alone(tmp_path):
    (tmp_path / "long").write_bytes(b"x" * 200_000)
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    root = Root(tmp_path)
    assert len(root.text("/long") or "") == 64 * 1024
    assert [root.text(name) for name in ("/directory", "/pipe", "/none")] == [None] * 3
    assert root.names("/long") == []
