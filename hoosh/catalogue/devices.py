"""What is known of devices by their kind or name: how they compare, and how fast their memory is.

Bandwidths are GB/s (10^9 bytes a second), of the whole device; sizes are bytes.  Published figures, not measured ones.

Sources: reference section 11.1 for ranks and bus widths, 11.5 for multipliers (kinds that it does not know stand where
their makers' figures put them); the makers' data sheets for bandwidths: NVIDIA's product briefs (H100, H200, A100,
L40S, GeForce and RTX comparison tables), AMD's Instinct and Radeon specification pages, Intel's ARK, Google Cloud's
"TPU system architecture" pages, the Gaudi white papers, AWS' Inferentia and Trainium architecture pages, Apple's
technical specifications; PCI ids: the PCI ID repository (pci.ids), and `hardware_utils.py` of JAX for TPUs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from hoosh.values.hardware import Device

__all__ = [
    "AMD_CARDS",
    "INTEL_CARDS",
    "NEURON_CHIPS",
    "NVLINK_GB_S",
    "STORAGE_GB_S",
    "TPUS",
    "TPU_V2",
    "XGMI_LINK_GB_S",
    "Card",
    "NeuronChip",
    "Tpu",
    "bandwidth_of",
    "best_device",
    "bus_width_of",
    "link_bandwidth_of",
    "multiplier_of",
    "rank_of",
]

GIB = 1024**3

RANKS: Mapping[str, int] = {
    "cerebras": 85,
    "tpu-7x": 82,
    "tpu-v5p": 80,
    "tpu-v6e": 78,
    "gaudi3": 75,
    "tpu-v4": 70,
    "gaudi2": 65,
    "cuda": 60,
    "trainium": 58,
    "tpu-v5e": 55,
    "groq": 55,
    "rocm": 50,
    "graphcore": 48,
    "tpu-v3": 46,
    "tpu-v2": 44,
    "gaudi": 46,
    "inferentia": 45,
    "oneapi": 42,
    "metal": 40,
    "qualcomm": 38,
    "vulkan": 35,
    "apple-npu": 30,
    "amd-xdna": 25,
    "intel-npu": 20,
    "samsung-npu": 18,
    "mediatek-apu": 15,
    "cpu": 10,
}
"""Of two devices the one with the higher number is the better place for a model."""

MULTIPLIERS: Mapping[str, float] = {
    "cpu": 1,
    "cuda": 20,
    "rocm": 15,
    "metal": 12,
    "vulkan": 10,
    "oneapi": 13,
    "tpu-v2": 12,
    "tpu-v3": 20,
    "tpu-v4": 25,
    "tpu-v5e": 18,
    "tpu-v5p": 35,
    "tpu-v6e": 32,
    "tpu-7x": 40,
    "gaudi": 18,
    "gaudi2": 22,
    "gaudi3": 30,
    "inferentia": 15,
    "trainium": 24,
    "qualcomm": 14,
    "cerebras": 50,
    "graphcore": 16,
    "groq": 30,
    "intel-npu": 8,
    "apple-npu": 10,
    "amd-xdna": 7,
    "samsung-npu": 6,
    "mediatek-apu": 5,
}
"""How many times as fast as a CPU, roughly."""

_BUS_BITS: Mapping[str, int] = {
    "6.0": 4096,
    "6.1": 256,
    "7.0": 4096,
    "7.5": 256,
    "8.0": 5120,
    "8.6": 384,
    "8.7": 256,
    "8.9": 384,
    "9.0": 5120,
    "10.0": 8192,
    "10.3": 8192,
    "12.0": 512,
    "12.1": 256,
}
"""Of the largest card of a compute capability: a guess, where the driver does not say."""

_BANDWIDTHS: tuple[tuple[str, float], ...] = (
    # NVIDIA, data centre.  The first that fits counts: the more exact name stands above.
    (r"GB300|B300", 8000),
    (r"GB200|B200", 8000),
    (r"GB10\b", 273),
    (r"GH200.*144", 4900),
    (r"GH200", 4000),
    (r"H200", 4800),
    (r"H100 NVL", 3938),
    (r"H100 PCIe|H800 PCIe", 2039),
    (r"H100|H800", 3350),
    (r"H20\b", 4000),
    (r"A100-SXM.-80GB|A800-SXM.-80GB", 2039),
    (r"A[18]00 80GB PCIe", 1935),
    (r"A100|A800", 1555),
    (r"A30\b", 933),
    (r"A40\b", 696),
    (r"A10G?\b", 600),
    (r"\bA16\b|\bA2\b", 200),
    (r"L40S?\b|L20\b", 864),
    (r"\bL4\b", 300),
    (r"V100S", 1134),
    (r"V100", 900),
    (r"P100", 732),
    (r"Tesla P40", 347),
    (r"\bT4\b", 320),
    # NVIDIA, workstations and desktops; what is in a laptop has the same name and other memory, see `bandwidth_of`.
    (r"RTX PRO 6000", 1792),
    (r"RTX 6000 Ada", 960),
    (r"RTX 5000 Ada", 576),
    (r"RTX 4500 Ada", 432),
    (r"RTX 4000 SFF Ada", 280),
    (r"RTX 4000 Ada", 360),
    (r"RTX A[65]000", 768),
    (r"RTX A4500", 640),
    (r"RTX A4000", 448),
    (r"RTX 5090", 1792),
    (r"RTX 5080", 960),
    (r"RTX 5070 Ti", 896),
    (r"RTX 5070", 672),
    (r"RTX 5060", 448),
    (r"RTX 4090", 1008),
    (r"RTX 4080 SUPER", 736),
    (r"RTX 4080", 717),
    (r"RTX 4070 Ti SUPER", 672),
    (r"RTX 4070", 504),
    (r"RTX 4060 Ti", 288),
    (r"RTX 4060", 272),
    (r"RTX 3090 Ti", 1008),
    (r"RTX 3090", 936),
    (r"RTX 3080 Ti", 912),
    (r"RTX 3080", 760),
    (r"RTX 3070 Ti", 608),
    (r"RTX 30(?:70|60 Ti)", 448),
    (r"RTX 3060", 360),
    (r"RTX 2080 Ti", 616),
    (r"TITAN RTX", 672),
    # AMD
    (r"MI35[05]X", 8000),
    (r"MI325X", 6000),
    (r"MI30[08][XA]", 5300),
    (r"MI250", 3277),
    (r"MI210", 1638),
    (r"MI100", 1229),
    (r"MI[56]0\b", 1024),
    (r"W7900", 864),
    (r"W7800", 576),
    (r"RX 9070", 640),
    (r"RX 9060", 320),
    (r"RX 7900 XTX", 960),
    (r"RX 7900 XT", 800),
    (r"RX 7900 GRE", 576),
    (r"RX 7800", 624),
    (r"RX 7700", 432),
    (r"RX 7600", 288),
    (r"RX 6950", 576),
    (r"RX 6[89]00", 512),
    (r"RX 6700 XT", 384),
    (r"Strix Halo|8060S", 256),
    # Intel
    (r"GPU Max 1550", 3277),
    (r"GPU Max 1100", 1229),
    (r"GPU Flex 170", 576),
    (r"GPU Flex 140", 186),
    (r"Arc.*A770", 560),
    (r"Arc.*A750", 512),
    (r"Arc.*A580", 512),
    (r"Arc.*A380", 186),
    (r"Arc.*Pro B70", 608),
    (r"Arc.*(?:B580|Pro B60)", 456),
    (r"Arc.*B570", 380),
    # Gaudi, by the board's name
    (r"HL-325|HL-328|HL-338|HL-388", 3700),
    (r"HL-225|HL-288", 2450),
    (r"HL-20\d", 1000),
    # Apple
    (r"Apple M[12] Ultra", 800),
    (r"Apple M3 Ultra", 819),
    (r"Apple M4 Max", 546),
    (r"Apple M[123] Max", 400),
    (r"Apple M4 Pro", 273),
    (r"Apple M3 Pro", 150),
    (r"Apple M[12] Pro", 200),
    (r"Apple M5\b", 153),
    (r"Apple M4\b", 120),
    (r"Apple M[23]\b", 100),
    (r"Apple M1\b", 68),
)

NVLINK_GB_S: Mapping[int, float] = {1: 40, 2: 50, 3: 50, 4: 50, 5: 50, 6: 50, 7: 100, 8: 100}
"""Of one link, both directions, by NVML's number of its version: 1.0, 2.0, 2.2, 3.0, 3.1, 4.0, 5.0, 6.0."""
XGMI_LINK_GB_S = 100.0
"""Of one link, both directions, where the kernel does not say: Infinity Fabric of the MI200."""
STORAGE_GB_S: Mapping[str, float] = {"nvme": 3.5, "ssd": 0.55, "hdd": 0.15}


class Card(NamedTuple):
    name: str
    memory_bytes: int | None = None
    """Where all cards of this id have as much."""
    unified: bool = False
    """A part of the processor: it lives in the machine's memory."""


class Tpu(NamedTuple):
    kind: str
    memory_bytes: int
    bandwidth_gb_s: float
    ici_gb_s: float
    """Of one chip, both directions of all its links."""


class NeuronChip(NamedTuple):
    kind: str
    name: str
    bandwidth_gb_s: float
    link_gb_s: float
    """To its neighbours; 0 where it has none."""


NEURON_CHIPS: Mapping[str, NeuronChip] = {
    "inf1": NeuronChip("inferentia", "AWS Inferentia", 50, 0),
    "inf2": NeuronChip("inferentia", "AWS Inferentia2", 820, 192),
    "trn1": NeuronChip("trainium", "AWS Trainium", 820, 768),
    "trn2": NeuronChip("trainium", "AWS Trainium2", 2900, 1280),
    "trn3": NeuronChip("trainium", "AWS Trainium3", 4900, 2560),
}
"""By the family of instances."""

AMD_CARDS: Mapping[str, Card] = {
    "0x75a3": Card("AMD Instinct MI355X", 288 * GIB),
    "0x75a0": Card("AMD Instinct MI350X", 288 * GIB),
    "0x74a5": Card("AMD Instinct MI325X", 256 * GIB),
    "0x74a1": Card("AMD Instinct MI300X", 192 * GIB),
    "0x74a2": Card("AMD Instinct MI308X", 192 * GIB),
    "0x74a0": Card("AMD Instinct MI300A", 128 * GIB),
    "0x7408": Card("AMD Instinct MI250X", 64 * GIB),
    "0x740c": Card("AMD Instinct MI250X/MI250", 64 * GIB),
    "0x740f": Card("AMD Instinct MI210", 64 * GIB),
    "0x738c": Card("AMD Instinct MI100", 32 * GIB),
    "0x66a1": Card("AMD Instinct MI50/MI60"),
    "0x744c": Card("AMD Radeon RX 7900 (Navi 31)"),
    "0x7448": Card("AMD Radeon PRO W7900", 48 * GIB),
    "0x747e": Card("AMD Radeon RX 7700/7800 XT (Navi 32)"),
    "0x7480": Card("AMD Radeon RX 7600 (Navi 33)"),
    "0x7550": Card("AMD Radeon RX 9070 (Navi 48)"),
    "0x7590": Card("AMD Radeon RX 9060 XT (Navi 44)"),
    "0x73bf": Card("AMD Radeon RX 6800/6900 (Navi 21)"),
    "0x73df": Card("AMD Radeon RX 6700 (Navi 22)"),
    "0x1586": Card("AMD Radeon 8050S/8060S (Strix Halo)", unified=True),
    "0x150e": Card("AMD Radeon 880M/890M (Strix)", unified=True),
    "0x1114": Card("AMD Radeon 840M/860M (Krackan)", unified=True),
    "0x15bf": Card("AMD Radeon 780M (Phoenix)", unified=True),
    "0x15c8": Card("AMD Radeon 740M (Phoenix)", unified=True),
    "0x1900": Card("AMD Radeon 780M (Hawk Point)", unified=True),
    "0x1681": Card("AMD Radeon 680M (Rembrandt)", unified=True),
    "0x1638": Card("AMD Radeon Vega (Cezanne)", unified=True),
    "0x1636": Card("AMD Radeon Vega (Renoir)", unified=True),
    "0x164e": Card("AMD Radeon (Raphael)", unified=True),
    "0x13c0": Card("AMD Radeon (Granite Ridge)", unified=True),
}
"""By PCI device id of the vendor 0x1002."""

INTEL_CARDS: Mapping[str, Card] = {
    "0x0bd5": Card("Intel Data Center GPU Max 1550", 128 * GIB),
    "0x0bda": Card("Intel Data Center GPU Max 1100", 48 * GIB),
    "0x56c0": Card("Intel Data Center GPU Flex 170", 16 * GIB),
    "0x56c1": Card("Intel Data Center GPU Flex 140", 6 * GIB),
    "0x56a0": Card("Intel Arc A770"),  # with 8 or 16 GiB
    "0x56a1": Card("Intel Arc A750", 8 * GIB),
    "0x56a2": Card("Intel Arc A580", 8 * GIB),
    "0x56a5": Card("Intel Arc A380", 6 * GIB),
    "0x56a6": Card("Intel Arc A310", 4 * GIB),
    "0xe20b": Card("Intel Arc B580", 12 * GIB),
    "0xe20c": Card("Intel Arc B570", 10 * GIB),
    "0xe211": Card("Intel Arc Pro B60", 24 * GIB),
    "0xe212": Card("Intel Arc Pro B50", 16 * GIB),
    "0xe223": Card("Intel Arc Pro B70", 32 * GIB),
}
"""Cards of their own, by PCI device id of the vendor 0x8086."""

TPUS: Mapping[str, Tpu] = {
    "0x0027": Tpu("tpu-v3", 32 * GIB, 900, 656),
    "0x005e": Tpu("tpu-v4", 32 * GIB, 1228, 540),
    "0x0062": Tpu("tpu-v5p", 95 * GIB, 2765, 1200),
    "0x0063": Tpu("tpu-v5e", 16 * GIB, 819, 400),
    "0x006f": Tpu("tpu-v6e", 32 * GIB, 1638, 800),
    "0x0076": Tpu("tpu-7x", 192 * GIB, 7380, 1200),
}
"""By PCI device id of the vendor 0x1ae0."""
TPU_V2 = Tpu("tpu-v2", 16 * GIB, 700, 496)
"""Has the id of a v3: only the environment tells them apart."""


def rank_of(kind: str) -> int:
    """A kind that nobody knows is better than a CPU, and no more."""
    return RANKS.get(kind, RANKS["cpu"] + 1)


def multiplier_of(kind: str, cores: int | None = None) -> float:
    """How many times as fast as a CPU.  `cores` counts of what comes as a card of several NeuronCores."""
    times = MULTIPLIERS.get(kind, MULTIPLIERS["mediatek-apu"])
    return times * max(1, (cores or 2) / 2) if kind in ("inferentia", "trainium") else times


def best_device(devices: Iterable[Device]) -> Device | None:
    """Of those that may be used the one with the highest rank; of equals the one with the most memory."""
    usable = (device for device in devices if device.available)
    return max(usable, key=lambda device: (rank_of(device.kind), device.memory_bytes), default=None)


def bandwidth_of(name: str) -> float | None:
    """The published figure of a device of this name, None where it is not known."""
    if "Laptop" in name or "Max-Q" in name or "Mobile" in name:
        return None
    return next((gb_s for pattern, gb_s in _known() if pattern.search(name)), None)


@cache
def _known() -> tuple[tuple[re.Pattern[str], float], ...]:
    """Compiled when first asked for: 10 ms that no start shall wait for."""
    return tuple((re.compile(pattern), gb_s) for pattern, gb_s in _BANDWIDTHS)


def bus_width_of(compute_capability: str | None) -> int | None:
    """Bits between an NVIDIA GPU of this compute capability and its memory."""
    return None if compute_capability is None else _BUS_BITS.get(compute_capability)


def link_bandwidth_of(clock_mhz: float, bus_bits: int) -> float:
    """Of memory that sends twice a cycle."""
    return round(clock_mhz * bus_bits * 2 / 8 / 1000, 1)
