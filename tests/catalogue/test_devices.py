"""What is known of devices by kind and name."""

from __future__ import annotations

import pytest

from hoosh.catalogue import devices
from hoosh.catalogue.devices import (
    bandwidth_of,
    best_device,
    bus_width_of,
    link_bandwidth_of,
    multiplier_of,
    rank_of,
)
from hoosh.values.hardware import Device, DeviceFamily

GIB = 1024**3


def device(kind: str, memory: int = 1, **changes: bool) -> Device:
    return Device(kind=kind, family=DeviceFamily.GPU, index=0, name=kind, memory_bytes=memory, **changes)


@pytest.mark.parametrize(
    ("name", "gb_s"),
    [
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA H100 PCIe", 2039),
        ("NVIDIA H100 NVL", 3938),
        ("NVIDIA H200", 4800),
        ("NVIDIA GH200 480GB", 4000),
        ("NVIDIA A100-SXM4-40GB", 1555),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA A100 80GB PCIe", 1935),
        ("NVIDIA L40S", 864),
        ("NVIDIA L4", 300),
        ("Tesla T4", 320),
        ("NVIDIA A10G", 600),
        ("NVIDIA GeForce RTX 4090", 1008),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 672),
        ("NVIDIA GeForce RTX 3060 Ti", 448),
        ("NVIDIA GeForce RTX 3060", 360),
        ("NVIDIA RTX A6000", 768),
        ("NVIDIA RTX 6000 Ada Generation", 960),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("AMD Instinct MI300X", 5300),
        ("Intel(R) Arc(TM) A770 Graphics", 560),
        ("Apple M3 Pro", 150),
        ("Apple M2 Ultra", 800),
        ("Somebody's card", None),
        ("", None),
    ],
)
def test_bandwidths_by_name_are_the_makers(name, gb_s):
    assert bandwidth_of(name) == gb_s


def test_the_formula_agrees_with_the_data_sheets():
    """Clocks as `nvidia-smi` gives them."""
    for name, mhz, bits in (("H100", 2619, 5120), ("A100-SXM4-80GB", 1593, 5120), ("RTX 4090", 10501, 384)):
        assert link_bandwidth_of(mhz, bits) == pytest.approx(bandwidth_of(name), rel=0.01)
    assert [bus_width_of(each) for each in ("9.0", "8.0", "8.9", "1.0", None)] == [5120, 5120, 384, None, None]


def test_ranks_are_the_reference_s():
    said = (
        "cerebras 85, tpu-v5p 80, gaudi3 75, tpu-v4 70, gaudi2 65, cuda 60, trainium 58, tpu-v5e 55, groq 55, rocm 50"
    )
    said += ", graphcore 48, inferentia 45, oneapi 42, metal 40, qualcomm 38, vulkan 35, apple-npu 30, amd-xdna 25"
    said += ", intel-npu 20, samsung-npu 18, mediatek-apu 15, cpu 10"
    for each in said.split(", "):
        kind, rank = each.split()
        assert rank_of(kind) == int(rank)
    assert rank_of("unheard-of") > rank_of("cpu")


def test_the_best_device_is_of_the_best_kind_and_of_equals_the_largest():
    small, large = device("cuda", 1), device("cuda", 2)
    assert best_device([device("cpu", 99), small, large, device("vulkan", 50)]) is large
    assert best_device([device("cpu", 99), device("cuda", 2, available=False)]).kind == "cpu"
    assert best_device([]) is None


def test_multipliers_are_the_reference_s():
    assert [multiplier_of(kind) for kind in ("cpu", "cuda", "rocm", "metal", "tpu-v5p")] == [1, 20, 15, 12, 35]
    assert (multiplier_of("trainium", 8), multiplier_of("trainium", 2), multiplier_of("inferentia", 1)) == (96, 24, 15)
    assert multiplier_of("unheard-of") == multiplier_of("mediatek-apu")


def test_every_kind_has_a_rank_and_a_multiplier():
    kinds = {tpu.kind for tpu in devices.TPUS.values()} | {"cuda", "rocm", "metal", "oneapi", "vulkan", "gaudi"}
    assert kinds <= devices.RANKS.keys() & devices.MULTIPLIERS.keys()
    assert devices.RANKS.keys() == devices.MULTIPLIERS.keys()


def test_cards_are_known_by_ids_as_the_kernel_writes_them():
    for cards in (devices.AMD_CARDS, devices.INTEL_CARDS, devices.TPUS):
        assert all(len(identity) == 6 and identity == identity.lower() for identity in cards)
    assert devices.TPUS["0x0063"].memory_bytes == 16 * GIB
