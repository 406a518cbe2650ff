"""Makers' tools, by what they have printed on real machines: captures/INDEX.md says where each is from."""

from __future__ import annotations

import pytest
from hardware_machines import GIB, capture
from msgspec.structs import replace

from hoosh.hardware import apple, gaudi, intel, neuron, nvidia_smi, vulkan
from hoosh.hardware.host import Memory
from hoosh.values.hardware import Device, DeviceFamily, Interconnect

MIB = 1024**2
ARC = Device(kind="oneapi", family=DeviceFamily.GPU, index=0, name="Intel GPU", memory_bytes=0, uuid="0000:29:00.0")


# -- nvidia-smi ------------------------------------------------------------------------------------------------------


def test_nvidia_smi_lists_cards():
    found = nvidia_smi.read_gpus(capture("nvidia_smi_a6000.csv"))
    assert found.warnings == ()
    assert found.devices == (
        Device(
            kind="cuda",
            family=DeviceFamily.GPU,
            index=0,
            name="NVIDIA RTX A6000",
            memory_bytes=46068 * MIB,
            used_bytes=1 * MIB,
            utilization_pct=0.0,
            temperature_c=28.0,
            power_w=24.0,
            bandwidth_gb_s=768.0,
            driver="550.127.05",
            compute_capability="8.6",
        ),
        replace(found.devices[0], index=1, power_w=18.0),
    )


def test_a_card_that_shares_the_machine_s_memory_says_not_applicable():
    memory = Memory(127600748 * 1024, 118566368 * 1024)
    (device,) = nvidia_smi.read_gpus(capture("nvidia_smi_gb10.csv"), system=memory).devices
    assert (device.name, device.unified, device.memory_bytes) == ("NVIDIA GB10", True, 127600748 * 1024)
    assert (device.used_bytes, device.temperature_c, device.power_w) == (memory.used_bytes, 35.0, 11.17)


def test_a_driver_that_knows_no_compute_capability_is_read_without():
    line = "0, 16384, 3, 16381, 470.182.03, Tesla V100-SXM2-16GB, 35, 40.10, 0, 877\n"
    (device,) = nvidia_smi.read_gpus(line, nvidia_smi.OLD_FIELDS).devices
    assert (device.name, device.compute_capability, device.bandwidth_gb_s) == ("Tesla V100-SXM2-16GB", None, 900.0)


def test_nvlink_is_told_by_link_and_direction():
    assert nvidia_smi.read_links(capture("nvidia_smi_nvlink_a100.txt")) == tuple(
        Interconnect(
            kind="nvlink", name=f"GPU {gpu} (NVIDIA A100-SXM4-80GB), 12 links", bandwidth_gb_s=600.0, state="active"
        )
        for gpu in (0, 1)
    )
    (link,) = nvidia_smi.read_links(capture("nvidia_smi_nvlink_gb200.txt"), is_switched=True)
    assert (link.kind, link.bandwidth_gb_s) == ("nvswitch", 1912.5)


def test_links_that_are_down_do_not_count():
    text = "GPU 0: NVIDIA A100 (UUID: x)\n\t Link 0: <inactive>\n\t Link 1: 25 GB/s\n"
    assert [link.bandwidth_gb_s for link in nvidia_smi.read_links(text)] == [50.0]


def test_a_tool_that_complains_is_a_warning():
    found = nvidia_smi.read_gpus("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n")
    assert found.devices == ()
    assert found.warnings[0].startswith("cuda: 1 lines of nvidia-smi are no GPUs: NVIDIA-SMI has failed")


# -- Gaudi -----------------------------------------------------------------------------------------------------------


def test_hl_smi_lists_cards_and_its_heading_is_none():
    found = gaudi.read(capture("hl_smi_hl205.csv"))
    assert [device.index for device in found.devices] == list(range(8))
    assert found.devices[0] == Device(
        kind="gaudi",
        family=DeviceFamily.AI_ASIC,
        index=0,
        name="Intel Gaudi (HL-205)",
        memory_bytes=32 * GIB,
        used_bytes=512 * MIB,
        utilization_pct=14.0,
        temperature_c=29.0,
        power_w=102.0,
        bandwidth_gb_s=1000.0,
        uuid="00P1-HL2000A1-14-P64X00-16-07-11",
    )
    assert len(found.warnings) == 1


def test_figures_with_units_are_read_too():
    (first, _) = gaudi.read(capture("hl_smi_hl325l.csv")).devices
    assert (first.kind, first.memory_bytes, first.used_bytes) == ("gaudi3", 128 * GIB, 672 * MIB)
    assert (first.power_w, first.temperature_c, first.utilization_pct) == (226.0, 36.0, 0.0)


@pytest.mark.parametrize(
    ("board", "kind"), [("HL-205", "gaudi"), ("HL-225", "gaudi2"), ("HL-225B", "gaudi2"), ("HL-338", "gaudi3")]
)
def test_a_board_tells_the_generation(board, kind):
    assert gaudi.read(f"{board}, uuid, 90, 30, 0, 768, 98304\n").devices[0].kind == kind


# -- Neuron ----------------------------------------------------------------------------------------------------------


def test_neuron_ls_lists_devices_and_the_instance_says_what_they_are():
    found = neuron.read(capture("neuron_ls_trn1_2xlarge.json"), "trn1.2xlarge")
    assert found.devices == (
        Device(
            kind="trainium",
            family=DeviceFamily.AI_ASIC,
            index=0,
            name="AWS Trainium",
            memory_bytes=32 * GIB,
            bandwidth_gb_s=820,
            uuid="0000:00:1e.0",
            cores=2,
        ),
    )
    assert found.interconnects == ()


@pytest.mark.parametrize(
    ("gib", "kind", "name"),
    [
        (8, "inferentia", "AWS Inferentia"),
        (32, "inferentia", "AWS Inferentia2"),
        (96, "trainium", "AWS Trainium2"),
        (144, "trainium", "AWS Trainium3"),
    ],
)
def test_without_an_instance_type_the_memory_decides(gib, kind, name):
    (device,) = neuron.read(f'[{{"neuron_device": 0, "memory_size": {gib * GIB}, "nc_count": 4}}]', "").devices
    assert (device.kind, device.name, device.cores) == (kind, name, 4)


def test_devices_that_are_joined_have_a_link():
    text = '[{"memory_size": 34359738368, "connected_to": [1]}, {"memory_size": 34359738368, "connected_to": [0]}]'
    (link,) = neuron.read(text, "trn1.32xlarge").interconnects
    assert (link.kind, link.name, link.bandwidth_gb_s) == ("neuronlink", "2 devices", 768)


# -- xpu-smi ---------------------------------------------------------------------------------------------------------


def test_xpu_smi_lists_cards_by_their_address():
    assert intel.read_discovery(capture("xpu_smi_discovery_max1100.json")) == [
        (0, "0000:29:00.0", "Intel(R) Data Center GPU Max 1100"),
        (1, "0000:9a:00.0", "Intel(R) Data Center GPU Max 1100"),
    ]


def test_virtual_functions_are_no_cards():
    text = '{"device_list": [{"device_id": 0, "device_function_type": "virtual"}]}'
    assert intel.read_discovery(text) == []


def test_numbers_that_are_written_as_text_are_read():
    device = intel.read_details(capture("xpu_smi_discovery_max1100_0.json"), ARC)
    assert (device.memory_bytes, device.bandwidth_gb_s) == (51522830336, 1229)
    assert (device.name, device.driver) == ("Intel(R) Data Center GPU Max 1100", "I915_23.10.72_PSB_231129.76")


def test_what_is_not_said_of_a_card_is_taken_from_its_tiles():
    device = intel.read_stats(capture("xpu_smi_stats.json"), replace(ARC, memory_bytes=48 * GIB))
    assert device.used_bytes == int(28.02 * MIB)
    assert (device.utilization_pct, device.temperature_c, device.power_w) == (0.0, 35.5, 106.6)


# -- Apple -----------------------------------------------------------------------------------------------------------


def test_apple_silicon_has_a_part_of_the_machine_s_memory():
    found = apple.read(capture("system_profiler_m3_pro.json"), "hw.memsize: 19327352832\n")
    assert found.devices == (
        Device(
            kind="metal",
            family=DeviceFamily.GPU,
            index=0,
            name="Apple M3 Pro",
            memory_bytes=12 * GIB,
            bandwidth_gb_s=150,
            unified=True,
            cores=14,
        ),
    )


@pytest.mark.parametrize(
    ("said", "usable"),
    [
        ("hw.memsize: 68719476736\n", 48 * GIB),
        ("hw.memsize: 68719476736\niogpu.wired_limit_mb: 0\n", 48 * GIB),
        ("hw.memsize: 68719476736\niogpu.wired_limit_mb: 57344\n", 56 * GIB),
        ("hw.memsize: 68719476736\niogpu.wired_limit_mb: 999999\n", 64 * GIB),
    ],
)
def test_how_much_that_is_the_owner_may_have_said(said, usable):
    assert apple.read(capture("system_profiler_m3_pro.json"), said).devices[0].memory_bytes == usable


# -- Vulkan ----------------------------------------------------------------------------------------------------------


def test_vulkaninfo_names_devices_and_what_renders_on_the_cpu_is_none():
    found = vulkan.read(capture("vulkaninfo_summary_laptop.txt"), {0: 15 * GIB, 1: 2 * GIB})
    assert [(each.index, each.name, each.unified, each.memory_bytes) for each in found.devices] == [
        (0, "Intel(R) Graphics (RPL-U)", True, 15 * GIB),
        (1, "NVIDIA GeForce MX570 A", False, 2 * GIB),
    ]
    assert found.devices[1].driver == "570.133.07"
    assert found.warnings == ()


def test_the_memory_is_the_largest_heap_on_the_device():
    assert vulkan.read_heaps(capture("vulkaninfo_heaps_nouveau.txt")) == {0: 8 * GIB}


def test_a_device_of_unknown_memory_is_there_and_said_to_be_so():
    found = vulkan.read(capture("vulkaninfo_summary_rx6600xt.txt"), {})
    assert (found.devices[0].name, found.devices[0].memory_bytes) == ("AMD Radeon RX 6600 XT", 0)
    assert found.warnings == ("vulkan: AMD Radeon RX 6600 XT does not say how much memory it has",)


def test_a_device_that_two_drivers_list_is_one():
    summary = capture("vulkaninfo_summary_rx6600xt.txt")
    twice = summary + summary.partition("========\n")[2].replace("GPU0", "GPU1")
    assert len(vulkan.read(twice, {0: GIB, 1: GIB}).devices) == 1


@pytest.mark.parametrize("text", ["", "null", "3", "[]", "{}", '{"device_list": 3}', "[" * 100_000, '"' * 9])
def test_what_is_no_such_document_is_refused_by_name(text):
    for read in (intel.read_discovery, lambda text: apple.read(text, "")):
        with pytest.raises(ValueError):  # noqa: PT011  # its text is for people
            read(text)
    if text != "[]":
        with pytest.raises(ValueError):  # noqa: PT011
            neuron.read(text, "")
