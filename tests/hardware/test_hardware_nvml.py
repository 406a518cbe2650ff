"""NVIDIA's GPUs by NVML, over a library of the same interface whose cards are what a test says."""

from __future__ import annotations

from itertools import chain, repeat

import pytest
from hardware_machines import (
    GIB,
    FakeNvml,
    NVMLError,
    NVMLError_DriverNotLoaded,
    NVMLError_GpuIsLost,
    NVMLError_LibraryNotFound,
    NVMLError_NotSupported,
    h100,
    tree,
)

from hoosh.hardware import nvml
from hoosh.hardware.found import Found
from hoosh.hardware.host import Memory
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

NOWHERE = Root("/nonexistent")
MEMORY = Memory(128 * GIB, 100 * GIB)


def look(*cards, root: Root = NOWHERE, system: Memory = MEMORY) -> Found:
    library = FakeNvml(*cards)
    found = nvml.look(library, root, system)
    assert library.opened == library.closed == 1
    assert found is not None
    return found


def test_a_card_with_all_that_it_can_say(tmp_path):
    root = Root(tree(tmp_path, {"/sys/bus/pci/devices/0000:18:00.0/numa_node": "1\n"}))
    found = look(h100(), root=root)
    assert found == Found(
        devices=(
            Device(
                kind="cuda",
                family=DeviceFamily.GPU,
                index=0,
                name="NVIDIA H100 80GB HBM3",
                memory_bytes=81559 * 1024**2,
                used_bytes=0,
                utilization_pct=0.0,
                temperature_c=28.0,
                power_w=88.0,
                power_limit_w=700.0,
                bandwidth_gb_s=3350.0,
                uuid="GPU-5a9f9f5e-0b8f-4e0e-9d6d-0a1b2c3d4e5f",
                driver="550.54.15",
                compute_capability="9.0",
                pcie="5.0 x16",
                numa_node=1,
            ),
        ),
        interconnects=found.interconnects,
    )


def test_what_a_card_does_not_support_is_unknown_and_not_zero():
    (device,) = look({"Name": b"GeForce GTX 750", "MemoryInfo": (2 * GIB, GIB)}).devices
    assert (device.name, device.memory_bytes, device.used_bytes) == ("GeForce GTX 750", 2 * GIB, GIB)
    unknown = ("utilization_pct", "temperature_c", "power_w", "power_limit_w", "bandwidth_gb_s", "pcie", "numa_node")
    assert [getattr(device, name) for name in unknown] == [None] * len(unknown)
    assert device.compute_capability is None


def test_a_card_without_memory_of_its_own_has_the_machine_s():
    memory = Memory(127600748 * 1024, 118566368 * 1024)
    (device,) = look({"Name": "NVIDIA GB10", "CudaComputeCapability": (12, 1)}, system=memory).devices
    assert (device.memory_bytes, device.unified) == (127600748 * 1024, True)
    assert device.used_bytes == (127600748 - 118566368) * 1024


def test_the_bandwidth_of_a_card_that_nobody_has_listed_is_reckoned_from_its_clock():
    card = h100(Name="NVIDIA H999", MaxClockInfo=2619, MemoryBusWidth=5120)
    assert look(card).devices[0].bandwidth_gb_s == 3352.3
    del card["MemoryBusWidth"]  # an older driver: the width belongs to the compute capability
    assert look(card).devices[0].bandwidth_gb_s == 3352.3


@pytest.mark.parametrize(
    ("version", "links", "switch", "expected"),
    [
        (6, 18, 2, Interconnect(kind="nvswitch", name="x", bandwidth_gb_s=900.0, state="active")),
        (5, 12, 0, Interconnect(kind="nvlink", name="x", bandwidth_gb_s=600.0, state="active")),
        (7, 18, 2, Interconnect(kind="nvswitch", name="x", bandwidth_gb_s=1800.0, state="active")),
    ],
)
def test_nvlink_is_all_active_links_of_a_card_in_both_directions(version, links, switch, expected):
    states = chain(repeat(1, links), repeat(0))
    card = h100(NvLinkState=lambda: next(states), NvLinkVersion=version, NvLinkRemoteDeviceType=switch)
    (link,) = look(card).interconnects
    assert (link.kind, link.bandwidth_gb_s, link.state) == (expected.kind, expected.bandwidth_gb_s, "active")
    assert link.name == f"GPU 0 (NVIDIA H100 80GB HBM3), {links} links"


def test_a_card_without_nvlink_has_none():
    assert look(h100(NvLinkState=NVMLError_NotSupported())).interconnects == ()


def test_a_card_that_is_split_is_its_instances():
    parts = [
        {"Name": "NVIDIA H100 80GB HBM3 MIG 3g.40gb", "UUID": "MIG-1", "MemoryInfo": (40 * GIB, GIB)},
        {"Name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "UUID": "MIG-2", "MemoryInfo": (10 * GIB, 0)},
    ]
    found = look(h100(), h100(MigMode=(1, 1), Parts=parts, MemoryInfo=(80 * GIB, 0), NvLinkState=0))
    whole, split, large, small = found.devices
    assert (whole.available, split.available, large.available, small.available) == (True, False, True, True)
    assert [(each.parent, each.index, each.profile, each.uuid) for each in (large, small)] == [
        (1, 0, "3g.40gb", "MIG-1"),
        (1, 1, "1g.10gb", "MIG-2"),
    ]
    assert (large.memory_bytes, large.used_bytes, large.bandwidth_gb_s) == (40 * GIB, GIB, 1675.0)
    assert large.utilization_pct is None


def test_a_card_in_mig_mode_without_instances_is_of_no_use():
    (device,) = look(h100(MigMode=(1, 1), Parts=[])).devices
    assert not device.available


@pytest.mark.parametrize("where", ["handle", "Name", "MemoryInfo", "Temperature", "NvLinkState"])
def test_a_lost_card_is_there_and_not_available_and_the_others_are_as_ever(where):
    found = look(h100(), h100(**{where: NVMLError_GpuIsLost()}), h100())
    assert [device.available for device in found.devices] == [True, False, True]
    assert [device.index for device in found.devices] == [0, 1, 2]
    assert found.warnings == ("cuda: GPU 1: GPU is lost",)


def test_without_the_library_somebody_else_is_asked_and_without_a_driver_nobody():
    assert nvml.look(FakeNvml(init=NVMLError_LibraryNotFound()), NOWHERE, MEMORY) is None
    found = nvml.look(FakeNvml(init=NVMLError_DriverNotLoaded()), NOWHERE, MEMORY)
    assert found == Found(warnings=("cuda: Driver Not Loaded",))


def test_the_library_is_closed_where_a_look_ends_in_a_bug():
    library = FakeNvml(h100(Temperature=RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        nvml.look(library, NOWHERE, MEMORY)
    assert library.closed == 1


def test_numbers_that_cannot_be_are_not_believed():
    (device,) = look(h100(Temperature=4_294_967_295, UtilizationRates=4_294_967_295, PowerUsage=-1)).devices
    assert (device.temperature_c, device.utilization_pct, device.power_w) == (None, None, None)


def test_a_name_is_printable_and_not_long():
    (device,) = look(h100(Name="a\x1b[2J\n" + "x" * 500)).devices
    assert device.name.isprintable()
    assert len(device.name) <= 120


def test_the_real_library_has_the_same_interface():
    pynvml = pytest.importorskip("pynvml")
    assert issubclass(pynvml.NVMLError_GpuIsLost, pynvml.NVMLError)
    assert issubclass(pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError)
    for name in ("MemoryInfo", "UtilizationRates", "Temperature", "PowerUsage", "EnforcedPowerLimit", "MaxClockInfo"):
        assert hasattr(pynvml, f"nvmlDeviceGet{name}")
    for name in ("NvLinkState", "NvLinkVersion", "NvLinkRemoteDeviceType", "MigMode", "MigDeviceHandleByIndex"):
        assert hasattr(pynvml, f"nvmlDeviceGet{name}")
    assert pynvml.NVML_TEMPERATURE_GPU == 0
    assert pynvml.NVML_CLOCK_MEM == 2
    assert pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH == nvml.SWITCH
    assert pynvml.NVML_NVLINK_MAX_LINKS <= nvml.LINKS_MAX
    assert issubclass(NVMLError_GpuIsLost, NVMLError)


def test_what_was_found_counts_though_the_library_cannot_be_closed():
    class Stubborn(FakeNvml):
        def nvmlShutdown(self) -> None:
            raise NVMLError("Unknown Error")

    found = nvml.look(Stubborn(h100()), NOWHERE, MEMORY)
    assert found is not None
    assert len(found.devices) == 1
