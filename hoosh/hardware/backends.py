"""The backends: who asks whom, in which order.  What the answers mean is read elsewhere, by pure functions.

Each gives what it has found; nothing where its maker's hardware is not there.  Raises ToolFailed and ValueError where
that is there and cannot be understood.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from hoosh.hardware import amd, apple, gaudi, intel, neuron, npu, nvidia_smi, nvml, tpu, vulkan
from hoosh.hardware.found import Found, clean_name
from hoosh.hardware.host import memory_of
from hoosh.hardware.machine import Probe
from hoosh.hardware.root import Root
from hoosh.hardware.tools import ToolFailed
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
    links = await probe.ask("nvidia-smi", *nvidia_smi.LINKS) or ""
    is_switched = await probe.read(probe.root.exists, "/dev/nvidia-nvswitchctl")
    return replace(found, interconnects=nvidia_smi.read_links(links, is_switched=is_switched))


async def _rocm(probe: Probe) -> Found:
    return await probe.read(amd.look_for_gpus, probe.root)


async def _intel_oneapi(probe: Probe) -> Found:
    found = await probe.read(intel.look_for_gpus, probe.root)
    if not found.devices:
        return found
    listed = await probe.ask("xpu-smi", *intel.DISCOVERY)
    if listed is None:
        return found
    numbers = {address: number for number, address, _ in intel.read_discovery(listed)}
    devices = [await _with_details(probe, device, numbers) for device in found.devices]
    return replace(found, devices=tuple(devices))


async def _with_details(probe: Probe, device: Device, numbers: Mapping[str, int]) -> Device:
    number = numbers.get(device.uuid or "")
    if number is None:
        return device
    details = await probe.ask("xpu-smi", "discovery", "-d", f"{number}", "-j")
    stats = await probe.ask("xpu-smi", "stats", "-d", f"{number}", "-j")
    device = device if details is None else intel.read_details(details, device)
    return device if stats is None else intel.read_stats(stats, device)


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
    heaps = vulkan.read_heaps(await probe.ask("vulkaninfo", within_s=VULKAN_S) or "")
    return vulkan.read(summary, heaps)


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
