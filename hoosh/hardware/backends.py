"""The backends: who asks whom, in which order.  What the answers mean is read elsewhere, by pure functions.

Each gives what it has found; nothing where its maker's hardware is not there.  Raises ToolFailed and ValueError where
that is there and cannot be understood.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio
from msgspec.structs import replace

from hoosh.hardware import amd, apple, gaudi, intel, neuron, npu, nvidia_smi, nvml, tpu, vulkan
from hoosh.hardware.found import Found, clean_name
from hoosh.hardware.host import memory_of
from hoosh.hardware.machine import Probe
from hoosh.hardware.root import Root
from hoosh.hardware.tools import TOOL_S, ToolFailed
from hoosh.values.hardware import Device

__all__ = ["LAST_RESORT", "LOOKS", "SILENT", "SUFFICE"]

Look = Callable[[Probe], Awaitable[Found]]

VULKAN_S = 3.0
LAST_RESORT = "vulkan"
SUFFICE = frozenset({"cuda", "rocm", "intel_oneapi", "apple"})
"""Where one of them has found something, the last resort would only find it again."""
SILENT = frozenset({"vulkan", "tpu", "aws_neuron", "intel_npu", "amd_xdna", "apple"})
"""They say nothing that changes from one minute to the next: asked for it they would say the same again."""


async def _cuda(probe: Probe) -> Found:
    found = await probe.read(_by_nvml, probe.root)
    return await _by_nvidia_smi(probe) if found is None else found


def _by_nvml(root: Root) -> Found | None:
    """None where there is no library to ask."""
    if not nvml.has_driver(root):
        return Found()
    library = nvml.library()
    return None if library is None else nvml.look(library, root, memory_of(root))


async def _by_nvidia_smi(probe: Probe) -> Found:
    fields: tuple[str, ...] = nvidia_smi.FIELDS
    try:
        text = await probe.ask("nvidia-smi", *nvidia_smi.query(fields))
    except ToolFailed:
        fields = nvidia_smi.OLD_FIELDS
        text = await probe.ask("nvidia-smi", *nvidia_smi.query(fields))
    if text is None:
        return Found()
    found = nvidia_smi.read_gpus(text, fields, system=await probe.read(memory_of, probe.root))
    if len(found.devices) < 2:
        return found
    warnings = list(found.warnings)
    links = await _more("cuda", probe, warnings, "nvidia-smi", *nvidia_smi.LINKS)
    is_switched = await probe.read(probe.root.exists, "/dev/nvidia-nvswitchctl")
    interconnects = nvidia_smi.read_links(links, is_switched=is_switched)
    return replace(found, interconnects=interconnects, warnings=tuple(warnings))


async def _more(
    name: str, probe: Probe, warnings: list[str], tool: str, *arguments: str, within_s: float = TOOL_S
) -> str:
    """What a tool adds to what is known without it; "" where it cannot, and then a warning says why."""
    try:
        return await probe.ask(tool, *arguments, within_s=within_s) or ""
    except ToolFailed as error:
        warnings.append(f"{name}: {clean_name(str(error))}")
        return ""


async def _rocm(probe: Probe) -> Found:
    return await probe.read(amd.look_for_gpus, probe.root)


async def _intel_oneapi(probe: Probe) -> Found:
    """What the kernel says, and what `xpu-smi` adds to it, where that is there."""
    found = await probe.read(intel.look_for_gpus, probe.root)
    if not found.devices:
        return found
    warnings, devices = list(found.warnings), list(found.devices)
    try:
        numbers = await _numbers(probe)
        async with trio.open_nursery() as nursery:  # each takes a second or so
            for at, device in enumerate(devices):
                nursery.start_soon(_complete, probe, devices, at, numbers.get(device.uuid or ""), warnings)
    except (ToolFailed, ValueError) as error:
        warnings.append(f"intel_oneapi: {clean_name(str(error))}")
    return replace(found, devices=tuple(devices), warnings=tuple(warnings))


async def _numbers(probe: Probe) -> dict[str, int]:
    """Those that `xpu-smi` has given the cards, by their address.  Raises ToolFailed and ValueError."""
    listed = await probe.ask("xpu-smi", *intel.DISCOVERY)
    return {} if listed is None else {address: number for number, address, _ in intel.read_discovery(listed)}


async def _complete(probe: Probe, devices: list[Device], at: int, number: int | None, warnings: list[str]) -> None:
    if number is None:
        return
    for what, read in (("discovery", intel.read_details), ("stats", intel.read_stats)):
        try:
            text = await probe.ask("xpu-smi", what, "-d", f"{number}", "-j")
            devices[at] = devices[at] if text is None else read(text, devices[at])
        except (ToolFailed, ValueError) as error:
            warnings.append(f"intel_oneapi: {clean_name(str(error))}")


async def _intel_npu(probe: Probe) -> Found:
    return await probe.read(npu.look_for_intel, probe.root)


async def _amd_xdna(probe: Probe) -> Found:
    return await probe.read(npu.look_for_xdna, probe.root)


async def _apple(probe: Probe) -> Found:
    if probe.system != "Darwin":
        return Found()
    displays = await probe.ask("system_profiler", *apple.PROFILE)
    if displays is None:
        return Found()
    facts = await probe.ask("sysctl", apple.MEMORY) or ""
    try:
        facts += await probe.ask("sysctl", apple.LIMIT) or ""
    except ToolFailed:  # an older system
        pass
    return apple.read(displays, facts)


async def _tpu(probe: Probe) -> Found:
    return await probe.read(tpu.look, probe.root, probe.environ)


async def _gaudi(probe: Probe) -> Found:
    text = await probe.ask("hl-smi", *gaudi.QUERY)
    return Found() if text is None else gaudi.read(text)


async def _aws_neuron(probe: Probe) -> Found:
    text = await probe.ask("neuron-ls", *neuron.QUERY)
    if text is None:
        return Found()
    product = await probe.read(probe.root.text, "/sys/class/dmi/id/product_name")
    return neuron.read(text, clean_name(product))


async def _vulkan(probe: Probe) -> Found:
    summary = await probe.ask("vulkaninfo", *vulkan.SUMMARY, within_s=VULKAN_S)
    if summary is None or not vulkan.read(summary, {}).devices:
        return Found()
    warnings: list[str] = []
    heaps = vulkan.read_heaps(await _more("vulkan", probe, warnings, "vulkaninfo", within_s=VULKAN_S))
    found = vulkan.read(summary, heaps)
    return replace(found, warnings=(*warnings, *found.warnings))


LOOKS: Mapping[str, Look] = {
    "cuda": _cuda,
    "rocm": _rocm,
    "apple": _apple,
    "intel_oneapi": _intel_oneapi,
    "tpu": _tpu,
    "gaudi": _gaudi,
    "aws_neuron": _aws_neuron,
    "intel_npu": _intel_npu,
    "amd_xdna": _amd_xdna,
    LAST_RESORT: _vulkan,
}
"""By the names of `[hardware] disabled_backends`, in the order in which devices are listed."""
