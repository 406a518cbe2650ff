"""Whole looks: backends beside each other, none able to spoil a look, and what a glance asks again."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
import trio
from hardware_machines import GIB, FakeNvml, NVMLError_LibraryNotFound, Tools, capture, h100, machine, meminfo, tree

from hoosh.hardware import BACKENDS, backends, detection
from hoosh.hardware.detection import Detection
from hoosh.hardware.found import Found
from hoosh.hardware.machine import Probe
from hoosh.hardware.tools import ToolFailed
from hoosh.values.hardware import Inventory

PLAIN = meminfo(64 * 1024**2, 60 * 1024**2)
NVIDIA = PLAIN | {"/dev/nvidiactl": ""}
RADEON = {
    "/sys/class/drm/card0/device/driver": "-> ../../drivers/amdgpu",
    "/sys/class/drm/card0/device/mem_info_vram_total": f"{24 * GIB}\n",
    "/sys/class/drm/card0/device/mem_info_vram_used": f"{GIB}\n",
}


async def look(tmp_path, files, tools: Tools | None = None, *, disabled=(), **facts) -> Inventory:
    sight = await Detection(machine(tree(tmp_path, files), tools, **facts)).look(disabled)
    return sight.inventory()


def an_intel_card(directory: Path) -> Path:
    place = "/sys/devices/0000:29:00.0"
    tree(directory, {f"{place}/driver": "-> ../drivers/i915", f"{place}/device": "0x0bda\n"})
    link = directory / "sys/class/drm/card1/device"
    link.parent.mkdir(parents=True)
    link.symlink_to(directory / place.lstrip("/"))
    return directory


def kinds(inventory: Inventory) -> list[str]:
    return [device.kind for device in inventory.devices]


async def test_a_machine_without_a_gpu_is_a_normal_machine(tmp_path):
    inventory = await look(tmp_path, PLAIN)
    assert kinds(inventory) == ["cpu"]
    assert (inventory.warnings, inventory.accelerators, inventory.vram_bytes) == ((), (), 0)
    assert inventory.system_memory_bytes == 64 * GIB
    assert inventory.available_memory_bytes == 60 * GIB


async def test_an_empty_machine_is_one_too(tmp_path):
    inventory = await look(tmp_path, {})
    assert kinds(inventory) == ["cpu"]
    assert inventory.warnings == ()
    assert inventory.system_memory_bytes > 0


async def test_nvidia_s_library_is_asked_before_its_tool(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(h100(), h100()))
    tools = Tools(nvidia_smi=capture("nvidia_smi_a6000.csv"))
    inventory = await look(tmp_path, NVIDIA, tools)
    assert kinds(inventory) == ["cpu", "cuda", "cuda"]
    assert inventory.accelerators[0].name == "NVIDIA H100 80GB HBM3"
    assert [link.kind for link in inventory.interconnects] == ["nvswitch", "nvswitch"]
    assert tools.asked == []


async def test_without_a_driver_the_library_is_not_even_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(h100(), init=AssertionError("asked")))
    assert kinds(await look(tmp_path, PLAIN)) == ["cpu"]


@pytest.mark.parametrize("library", [None, FakeNvml(init=NVMLError_LibraryNotFound())])
async def test_where_there_is_no_library_the_tool_is_asked(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, "pynvml", library)
    tools = Tools()
    tools.prints["nvidia-smi"] = capture("nvidia_smi_a6000.csv")
    tools.by_arguments["nvidia-smi", "nvlink", "-s"] = capture("nvidia_smi_nvlink_a100.txt")
    inventory = await look(tmp_path, NVIDIA | {"/dev/nvidia-nvswitchctl": ""}, tools)
    assert kinds(inventory) == ["cpu", "cuda", "cuda"]
    assert {link.kind for link in inventory.interconnects} == {"nvswitch"}


async def test_an_old_tool_is_asked_for_less(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    tools = Tools()
    fields = backends.nvidia_smi.query(backends.nvidia_smi.OLD_FIELDS)
    line = "0, 16384, 3, 16381, 470.182.03, Tesla V100-SXM2-16GB, 35, 40.10, 0, 877\n"
    tools.by_arguments["nvidia-smi", *fields] = line
    inventory = await look(tmp_path, NVIDIA, tools)
    assert [device.name for device in inventory.accelerators] == ["Tesla V100-SXM2-16GB"]
    assert inventory.warnings == ()


async def test_makers_side_by_side(tmp_path):
    files = PLAIN | RADEON | {"/sys/class/accel/accel0/device/driver": "-> ../../drivers/amdxdna"}
    tools = Tools(hl_smi=capture("hl_smi_hl325l.csv"), neuron_ls=capture("neuron_ls_trn1_2xlarge.json"))
    files |= {"/sys/class/dmi/id/product_name": "trn1.2xlarge\n"}
    inventory = await look(tmp_path, files, tools)
    assert kinds(inventory) == ["cpu", "rocm", "gaudi3", "gaudi3", "trainium", "amd-xdna"]
    assert inventory.vram_bytes == (24 + 2 * 128 + 32) * GIB


async def test_a_tool_that_cannot_tell_of_links_does_not_hide_the_cards(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    tools = Tools()
    tools.by_arguments["nvidia-smi", *backends.nvidia_smi.query(backends.nvidia_smi.FIELDS)] = capture(
        "nvidia_smi_a6000.csv"
    )
    inventory = await look(tmp_path, NVIDIA, tools)
    assert kinds(inventory) == ["cpu", "cuda", "cuda"]
    assert inventory.warnings == ("cuda: nvidia-smi has failed with 1",)


@pytest.mark.parametrize(
    ("listed", "warning"),
    [
        (ToolFailed("xpu-smi has failed with 1"), "intel_oneapi: xpu-smi has failed with 1"),
        ("no JSON", "intel_oneapi: xpu-smi has printed no JSON"),
        (capture("xpu_smi_discovery_max1100.json"), "intel_oneapi: xpu-smi has failed with 1"),
    ],
)
async def test_what_the_kernel_knows_of_an_intel_card_stands_where_its_tool_fails(tmp_path, listed, warning):
    tools = Tools()
    tools.by_arguments["xpu-smi", "discovery", "-j"] = listed
    inventory = await look(an_intel_card(tmp_path), PLAIN, tools)
    assert [(device.name, device.memory_bytes) for device in inventory.accelerators] == [
        ("Intel Data Center GPU Max 1100", 48 * GIB)
    ]
    assert set(inventory.warnings) == {warning}


async def test_an_intel_card_is_completed_by_its_tool(tmp_path):
    an_intel_card(tmp_path)
    tools = Tools()
    tools.by_arguments["xpu-smi", "discovery", "-j"] = capture("xpu_smi_discovery_max1100.json")
    tools.by_arguments["xpu-smi", "discovery", "-d", "0", "-j"] = capture("xpu_smi_discovery_max1100_0.json")
    tools.by_arguments["xpu-smi", "stats", "-d", "0", "-j"] = capture("xpu_smi_stats.json")
    (device,) = (await look(tmp_path, PLAIN, tools)).accelerators
    assert (device.kind, device.memory_bytes, device.power_w) == ("oneapi", 51522830336, 106.6)


async def test_apple_silicon(tmp_path):
    tools = Tools()
    tools.prints["system_profiler"] = capture("system_profiler_m3_pro.json")
    tools.by_arguments["sysctl", "hw.memsize"] = "hw.memsize: 19327352832\n"
    tools.by_arguments["sysctl", "iogpu.wired_limit_mb"] = ToolFailed("sysctl has failed with 1")
    (device,) = (await look(tmp_path, {}, tools, system="Darwin")).accelerators
    assert (device.kind, device.memory_bytes) == ("metal", 12 * GIB)
    assert kinds(await look(tmp_path / "linux", {}, tools)) == ["cpu"]


async def test_vulkan_is_asked_last_and_only_where_nobody_knows_a_gpu(tmp_path):
    tools = Tools()
    tools.by_arguments["vulkaninfo", "--summary"] = capture("vulkaninfo_summary_rx6600xt.txt")
    tools.by_arguments["vulkaninfo",] = capture("vulkaninfo_heaps_nouveau.txt")
    (device,) = (await look(tmp_path / "a", PLAIN, tools)).accelerators
    assert (device.kind, device.memory_bytes) == ("vulkan", 8 * GIB)
    tools.by_arguments["vulkaninfo",] = ToolFailed("vulkaninfo has not answered within 3 s")
    silent = await look(tmp_path / "c", PLAIN, tools)
    assert [device.memory_bytes for device in silent.accelerators] == [0]
    assert silent.warnings[0] == "vulkan: vulkaninfo has not answered within 3 s"
    tools.asked.clear()
    assert kinds(await look(tmp_path / "b", PLAIN | RADEON, tools)) == ["cpu", "rocm"]
    assert tools.asked == []


async def test_what_is_disabled_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(init=AssertionError("asked")))
    tools = Tools(**dict.fromkeys(("nvidia_smi", "hl_smi", "neuron_ls", "vulkaninfo", "xpu_smi"), AssertionError()))
    inventory = await look(tmp_path, NVIDIA | RADEON, tools, disabled=BACKENDS)
    assert kinds(inventory) == ["cpu"]
    assert (inventory.warnings, tools.asked) == ((), [])


async def test_one_that_fails_is_a_warning_and_the_others_findings_stand(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(h100(Temperature=RuntimeError("a bug"))))
    tools = Tools(hl_smi=ToolFailed("hl-smi has failed with 2"), neuron_ls="no JSON")
    inventory = await look(tmp_path, NVIDIA | RADEON, tools)
    assert kinds(inventory) == ["cpu", "rocm"]
    assert inventory.warnings == (
        "cuda: crashed: RuntimeError('a bug')",
        "gaudi: hl-smi has failed with 2",
        "aws_neuron: neuron-ls has printed no JSON",
    )


# -- those that hang -------------------------------------------------------------------------------------------------


async def test_a_driver_that_hangs_is_given_up_and_holds_one_thread_only(tmp_path, monkeypatch):
    go, calls = threading.Event(), []

    def hang() -> None:
        calls.append(1)
        go.wait()

    monkeypatch.setattr(detection, "BACKEND_S", 0.05)
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(h100(MemoryInfo=hang)))
    looks = Detection(machine(tree(tmp_path, NVIDIA | RADEON)))
    try:
        for _ in range(3):
            inventory = (await looks.look()).inventory()
            assert kinds(inventory) == ["cpu", "rocm"]
            assert inventory.warnings == ("cuda: has not answered within 0.05 s",)
        assert calls == [1]
    finally:
        go.set()


async def test_who_looks_can_be_cancelled_while_a_driver_hangs(tmp_path, monkeypatch):
    go, is_asked = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hang() -> None:
        token.run_sync_soon(is_asked.set)
        go.wait()

    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(h100(MemoryInfo=hang)))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Detection(machine(tree(tmp_path, NVIDIA))).look)
            await is_asked.wait()
            nursery.cancel_scope.cancel()
    finally:
        go.set()


async def test_a_disk_that_hangs_is_left_out_and_the_memory_is_known(tmp_path, monkeypatch):
    go = threading.Event()

    def hang(root: object) -> tuple[()]:
        go.wait()
        return ()

    monkeypatch.setattr(detection, "BACKEND_S", 0.05)
    monkeypatch.setattr(detection, "storage_of", hang)
    try:
        inventory = await look(tmp_path, PLAIN | {"/sys/block/sda/size": "1000\n"})
        assert (inventory.storage, inventory.system_memory_bytes) == ((), 64 * GIB)
    finally:
        go.set()


# -- glances ---------------------------------------------------------------------------------------------------------


async def test_a_glance_asks_those_who_were_there_for_what_changes(tmp_path, monkeypatch):
    card = h100()
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(card))
    tools = Tools(neuron_ls=capture("neuron_ls_trn1_2xlarge.json"))
    looks = Detection(machine(tree(tmp_path, NVIDIA), tools), wall_s=iter((100.0, 130.0)).__next__)
    before = await looks.look()
    tools.asked.clear()
    card["MemoryInfo"], card["Temperature"] = (81559 * 1024**2, 70 * GIB), 66
    tree(tmp_path, meminfo(64 * 1024**2, 10 * 1024**2))
    sight = await looks.glance(before)
    inventory = sight.inventory()
    assert kinds(inventory) == ["cpu", "cuda", "inferentia"]
    assert inventory.devices[1].used_bytes == 70 * GIB
    assert inventory.devices[1].temperature_c == 66.0
    assert inventory.available_memory_bytes == 10 * GIB
    assert (sight.looked_at, inventory.looked_at) == (100.0, 130.0)
    assert tools.asked == []


async def test_of_a_device_that_answers_no_more_nothing_is_known_but_that_it_was_there(tmp_path, monkeypatch):
    library = FakeNvml(h100())
    monkeypatch.setitem(sys.modules, "pynvml", library)
    looks = Detection(machine(tree(tmp_path, NVIDIA)))
    before = await looks.look()
    library.cards = (h100(Temperature=RuntimeError("gone")),)
    inventory = (await looks.glance(before)).inventory()
    (device,) = inventory.accelerators
    assert (device.memory_bytes, device.used_bytes, device.temperature_c) == (81559 * 1024**2, None, None)
    assert inventory.warnings == ("cuda: crashed: RuntimeError('gone')",)


async def test_a_probe_s_backend_holds_one_thread(tmp_path):
    probe: Probe = machine(tmp_path).probe("cuda")
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> Found:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return Found()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(probe.read, work)
    assert most == 1


def test_all_backends_have_the_reference_s_names():
    assert set(backends.LOOKS) <= set(BACKENDS)
    assert {*backends.SUFFICE, *backends.SILENT} <= set(backends.LOOKS)
