"""What the kernel's files say of GPUs, NPUs, TPUs, memory, disks and networks, over copies of machines' trees.

Figures: the memory of a Radeon of 8 GB is that of issue 369 of elementary/monitor, of a Ryzen 5900HS that of issues 163
of clbr/radeontop and 152 of Ricks-Lab/gpu-utils; the node of KFD is a published MI300 one.
"""

from __future__ import annotations

import pytest
from hardware_machines import GIB, meminfo, tree

from hoosh.hardware import amd, intel, npu, tpu
from hoosh.hardware.host import cpu_device, memory_of
from hoosh.hardware.root import Root
from hoosh.hardware.surroundings import environment_of, networks_of, storage_of
from hoosh.values.hardware import Environment, GpuShare, Interconnect, Storage

CARD = "/sys/class/drm/card0/device"
PCI = "/sys/bus/pci/devices"
MIB = 1024**2


def amd_card(number: int = 0, **files: str) -> dict[str, str]:
    device = f"/sys/class/drm/card{number}/device"
    return {f"{device}/driver": "-> ../../../bus/pci/drivers/amdgpu"} | {
        f"{device}/{name.replace('__', '/')}": text for name, text in files.items()
    }


# -- AMD -------------------------------------------------------------------------------------------------------------


def test_a_radeon_with_all_that_the_kernel_says_of_it(tmp_path):
    files = amd_card(
        device="0x744c\n",
        mem_info_vram_total="8573157376\n",
        mem_info_vram_used="6812925952\n",
        gpu_busy_percent="37\n",
        hwmon__hwmon3__temp1_input="45000\n",
        hwmon__hwmon3__power1_average="95000000\n",
        hwmon__hwmon3__power1_cap="303000000\n",
        current_link_speed="16.0 GT/s PCIe\n",
        current_link_width="16\n",
        numa_node="-1\n",
        unique_id="1f2c3d4e5f607182\n",
    )
    (device,) = amd.look_for_gpus(Root(tree(tmp_path, files))).devices
    assert (device.kind, device.index, device.name) == ("rocm", 0, "AMD Radeon RX 7900 (Navi 31)")
    assert (device.memory_bytes, device.used_bytes, device.utilization_pct) == (8573157376, 6812925952, 37.0)
    assert (device.temperature_c, device.power_w, device.power_limit_w) == (45.0, 95.0, 303.0)
    assert (device.pcie, device.numa_node, device.unified) == ("4.0 x16", None, False)


def test_the_gpu_of_a_processor_has_what_it_may_borrow_too(tmp_path):
    files = amd_card(
        device="0x1638\n",
        mem_info_vram_total="536870912\n",
        mem_info_vram_used="400000000\n",
        mem_info_gtt_total=f"{7695 * MIB}\n",
        mem_info_gtt_used="1051754496\n",
        current_link_speed="8.0 GT/s PCIe\n",
        current_link_width="16\n",
    )
    (device,) = amd.look_for_gpus(Root(tree(tmp_path, files))).devices
    assert device.unified
    assert (device.memory_bytes, device.used_bytes) == (536870912 + 7695 * MIB, 400000000 + 1051754496)
    assert device.pcie is None


def test_cards_of_other_drivers_and_connectors_are_not_amd_s(tmp_path):
    files = {
        f"{CARD}/driver": "-> ../../../bus/pci/drivers/nouveau",
        "/sys/class/drm/card1-DP-2/device/driver": "-> ../../drivers/amdgpu",
        "/sys/class/drm/renderD128/device/driver": "-> ../../drivers/amdgpu",
    }
    assert amd.look_for_gpus(Root(tree(tmp_path, files))).devices == ()


def test_a_card_that_says_nothing_has_the_reference_s_eight_gib_and_a_warning(tmp_path):
    found = amd.look_for_gpus(Root(tree(tmp_path, amd_card(product_name="AMD Instinct MI210\n"))))
    assert (found.devices[0].memory_bytes, found.devices[0].bandwidth_gb_s) == (8 * GIB, 1638)
    assert found.warnings == ("rocm: GPU 0 does not say how much memory it has; 8 GiB are assumed",)


def test_xgmi_is_all_links_of_a_gpu_and_the_processor_s_do_not_count(tmp_path):
    nodes = "/sys/class/kfd/kfd/topology/nodes"
    link = "type 11\nnode_from 1\nnode_to 2\nweight 15\nmin_bandwidth 64000\nmax_bandwidth 64000\n"
    files = amd_card(device="0x74a1\n", mem_info_vram_total=f"{192 * GIB}\n") | {
        f"{nodes}/0/properties": "cpu_cores_count 96\nsimd_count 0\n",
        f"{nodes}/0/io_links/0/properties": link,
        f"{nodes}/1/properties": "cpu_cores_count 0\nsimd_count 304\ngfx_target_version 90402\n",
        f"{nodes}/1/io_links/0/properties": "type 2\nmax_bandwidth 32000\n",
        f"{nodes}/1/io_links/1/properties": link,
        f"{nodes}/1/io_links/2/properties": link.replace("max_bandwidth 64000", "max_bandwidth 0"),
    }
    found = amd.look_for_gpus(Root(tree(tmp_path, files)))
    assert found.interconnects == (Interconnect(kind="xgmi", name="node 1, 2 links", bandwidth_gb_s=228.0),)


# -- Intel -----------------------------------------------------------------------------------------------------------


def intel_card(tmp_path, number: int, address: str, **files: str) -> None:
    tree(tmp_path, {f"/sys/devices/{address}/{name}": text for name, text in files.items()})
    device = tmp_path / f"sys/class/drm/card{number}/device"
    device.parent.mkdir(parents=True)
    device.symlink_to(tmp_path / f"sys/devices/{address}")


def test_arc_cards_and_not_the_gpu_of_the_processor(tmp_path):
    intel_card(tmp_path, 0, "0000:00:02.0", driver="-> ../drivers/i915", device="0xa7ac\n")
    third = "0x0000004000000000 0x00000043ffffffff 0x000000000014220c\n"
    resource = "0x0 0x0 0x0\n" * 2 + third
    intel_card(tmp_path, 1, "0000:03:00.0", driver="-> ../drivers/i915", device="0x56a0\n", resource=resource)
    intel_card(tmp_path, 2, "0000:04:00.0", driver="-> ../drivers/xe", device="0xe20b\n")
    first, second = intel.look_for_gpus(Root(tmp_path)).devices
    assert (first.index, first.name, first.memory_bytes, first.uuid) == (0, "Intel Arc A770", 16 * GIB, "0000:03:00.0")
    assert (second.index, second.name, second.memory_bytes, second.driver) == (1, "Intel Arc B580", 12 * GIB, "xe")
    assert (first.bandwidth_gb_s, second.bandwidth_gb_s) == (560, 456)


def test_a_card_behind_a_small_window_whose_memory_nobody_knows_is_said_to_be_so(tmp_path):
    resource = "0x0 0x0 0x0\n" * 2 + "0x0000004000000000 0x000000400fffffff 0x14220c\n"
    intel_card(tmp_path, 0, "0000:03:00.0", driver="-> ../drivers/i915", device="0x56a0\n", resource=resource)
    found = intel.look_for_gpus(Root(tmp_path))
    assert found.devices[0].memory_bytes == 0
    assert found.warnings == ("intel_oneapi: Intel Arc A770 does not say how much memory it has",)


def test_npus_are_there_and_have_no_memory_of_their_own(tmp_path):
    files = {
        "/sys/class/accel/accel0/device/driver": "-> ../../drivers/intel_vpu",
        "/sys/class/accel/accel0/device/npu_memory_utilization": "123456\n",
        "/sys/class/accel/accel1/device/driver": "-> ../../drivers/amdxdna",
        "/sys/class/accel/accel1/device/vbnv": "RyzenAI-npu1\n",
    }
    root = Root(tree(tmp_path, files))
    (vpu,), (xdna,) = npu.look_for_intel(root).devices, npu.look_for_xdna(root).devices
    assert (vpu.kind, vpu.name, vpu.memory_bytes, vpu.used_bytes) == ("intel-npu", "Intel NPU", 0, None)
    assert (xdna.kind, xdna.name, xdna.memory_bytes) == ("amd-xdna", "RyzenAI-npu1", 0)


# -- TPU -------------------------------------------------------------------------------------------------------------


def test_the_chips_of_a_tpu_host_are_found_on_the_bus(tmp_path):
    files = {f"{PCI}/0000:00:0{number}.0/vendor": "0x1ae0\n" for number in range(4, 8)}
    files |= {f"{PCI}/0000:00:0{number}.0/device": "0x0063\n" for number in range(4, 8)}
    files |= {f"{PCI}/0000:00:01.0/vendor": "0x1ae0\n", f"{PCI}/0000:00:01.0/device": "0x001f\n"}  # a disk of theirs
    found = tpu.look(Root(tree(tmp_path, files)), {})
    assert [(device.kind, device.index, device.memory_bytes) for device in found.devices] == [
        ("tpu-v5e", number, 16 * GIB) for number in range(4)
    ]
    assert found.interconnects == (Interconnect(kind="ici", name="4 chips", bandwidth_gb_s=400),)


@pytest.mark.parametrize(("said", "kind", "gib"), [("v2-8", "tpu-v2", 16), ("v3-8", "tpu-v3", 32), ("", "tpu-v3", 32)])
def test_two_generations_share_an_id_and_the_environment_tells_them_apart(tmp_path, said, kind, gib):
    root = Root(tree(tmp_path, {f"{PCI}/0000:00:04.0/vendor": "0x1ae0\n", f"{PCI}/0000:00:04.0/device": "0x0027\n"}))
    (device,) = tpu.look(root, {"ACCELERATOR_TYPE": said}).devices
    assert (device.kind, device.memory_bytes) == (kind, gib * GIB)


@pytest.mark.parametrize(
    ("said", "files", "kinds"),
    [
        ("v5p-8", ["/dev/accel0", "/dev/accel1"], ["tpu-v5p"] * 2),
        ("v6e-1", ["/dev/vfio/0", "/dev/vfio/vfio"], ["tpu-v6e"]),
        ("v5litepod-4", [], []),
        ("", ["/dev/accel0"], []),
        ("h100-8", ["/dev/accel0"], []),
    ],
)
def test_where_the_bus_is_hidden_the_environment_says_what_the_device_files_are(tmp_path, said, files, kinds):
    root = Root(tree(tmp_path, dict.fromkeys(files, "")))
    assert [device.kind for device in tpu.look(root, {"TPU_ACCELERATOR_TYPE": said}).devices] == kinds


# -- memory ----------------------------------------------------------------------------------------------------------


def test_the_memory_of_a_machine(tmp_path):
    root = Root(tree(tmp_path, meminfo(24684092, 24162540) | {"/proc/cpuinfo": "model name\t: AMD EPYC 9B14\n"}))
    memory = memory_of(root)
    assert memory == (24684092 * 1024, 24162540 * 1024)
    device = cpu_device(root, memory)
    assert (device.name, device.memory_bytes) == ("AMD EPYC 9B14", 24684092 * 1024)
    assert device.used_bytes == (24684092 - 24162540) * 1024


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"memory.max": 4 * GIB, "memory.current": 3 * GIB, "memory.stat": f"inactive_file {GIB}\n"}),
        ("0::/a/b\n", {"a/memory.max": 4 * GIB, "a/memory.current": 2 * GIB, "a/b/memory.max": "max"}),
        (
            "4:memory:/docker/x\n9:name=systemd:/docker/x\n",
            {
                "memory/docker/x/memory.limit_in_bytes": 4 * GIB,
                "memory/docker/x/memory.usage_in_bytes": 3 * GIB,
                "memory/docker/x/memory.stat": f"cache 1\ntotal_inactive_file {GIB}\n",
                "memory/memory.limit_in_bytes": 9223372036854771712,
            },
        ),
    ],
    ids=["v2", "v2 of a parent", "v1"],
)
def test_a_container_has_what_it_may_use(tmp_path, groups, files):
    group_files = {f"/sys/fs/cgroup/{name}": f"{value}" for name, value in files.items()}
    root = Root(tree(tmp_path, meminfo(16 * MIB, 15 * MIB) | {"/proc/self/cgroup": groups} | group_files))
    assert memory_of(root) == (4 * GIB, 2 * GIB)


def test_a_path_that_climbs_out_of_the_group_stays_within(tmp_path):
    files = {"/proc/self/cgroup": "0::/../../etc\n", "/etc/memory.max": f"{GIB}"}
    assert memory_of(Root(tree(tmp_path, meminfo(16 * MIB, 15 * MIB) | files))).total_bytes == 16 * GIB


# -- around ----------------------------------------------------------------------------------------------------------


def test_disks_are_told_apart_and_what_is_none_is_left_out(tmp_path):
    files = {
        "/sys/block/nvme0n1/size": "2000409264\n",
        "/sys/block/sda/size": "7814037168\n",
        "/sys/block/sda/queue/rotational": "1\n",
        "/sys/block/sdb/size": "1000215216\n",
        "/sys/block/sdb/queue/rotational": "0\n",
        "/sys/block/vda/size": "1000215216\n",
        "/sys/block/vda/queue/rotational": "1\n",
        "/sys/block/loop0/size": "8\n",
        "/sys/block/sr0/size": "2097151\n",
        "/sys/block/sdc/size": "0\n",
    }
    assert set(storage_of(Root(tree(tmp_path, files)))) == {
        Storage(name="nvme0n1", kind="nvme", bandwidth_gb_s=3.5, size_bytes=2000409264 * 512),
        Storage(name="sda", kind="hdd", bandwidth_gb_s=0.15, size_bytes=7814037168 * 512),
        Storage(name="sdb", kind="ssd", bandwidth_gb_s=0.55, size_bytes=1000215216 * 512),
        Storage(name="vda", kind="ssd", bandwidth_gb_s=0.55, size_bytes=1000215216 * 512),
    }


def test_infiniband_and_roce(tmp_path):
    port = "/sys/class/infiniband/mlx5_{}/ports/1/{}"
    files = {
        port.format(0, "rate"): "400 Gb/sec (4X NDR)\n",
        port.format(0, "state"): "4: ACTIVE\n",
        port.format(0, "link_layer"): "InfiniBand\n",
        port.format(1, "rate"): "100 Gb/sec (4X EDR)\n",
        port.format(1, "state"): "1: DOWN\n",
        port.format(1, "link_layer"): "Ethernet\n",
    }
    assert networks_of(Root(tree(tmp_path, files))) == (
        Interconnect(kind="infiniband", name="mlx5_0, port 1", bandwidth_gb_s=100.0, state="active"),
        Interconnect(kind="roce", name="mlx5_1, port 1", bandwidth_gb_s=25.0, state="down"),
    )


DMI = "/sys/class/dmi/id"
POD = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({}, {}, Environment()),
        ({"/.dockerenv": ""}, {}, Environment(is_docker=True)),
        ({"/proc/1/cgroup": "0::/system.slice/containerd.service\n"}, {}, Environment(is_docker=True)),
        ({POD: "ml-team\n"}, {}, Environment(is_kubernetes=True, namespace="ml-team")),
        (
            {f"{DMI}/sys_vendor": "Amazon EC2\n", f"{DMI}/product_name": "p5.48xlarge\n"},
            {},
            Environment(cloud_provider="aws", instance_type="p5.48xlarge"),
        ),
        (
            {f"{DMI}/sys_vendor": "Xen\n", f"{DMI}/product_name": "HVM domU\n", f"{DMI}/bios_version": "4.11.amazon\n"},
            {},
            Environment(cloud_provider="aws"),
        ),
        ({f"{DMI}/sys_vendor": "Xen\n", f"{DMI}/bios_version": "4.17\n"}, {}, Environment()),
        ({f"{DMI}/sys_vendor": "Google\n"}, {}, Environment(cloud_provider="gcp")),
        (
            {
                f"{DMI}/sys_vendor": "Microsoft Corporation\n",
                f"{DMI}/chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
            },
            {},
            Environment(cloud_provider="azure"),
        ),
        ({f"{DMI}/sys_vendor": "Microsoft Corporation\n"}, {}, Environment()),
        (
            {},
            {"NVIDIA_VISIBLE_DEVICES": "all"},
            Environment(kubernetes_gpu=GpuShare(device_ids=("all",), gpu_count=0, source="NVIDIA_VISIBLE_DEVICES")),
        ),
        (
            {},
            {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": "0, 2"},
            Environment(kubernetes_gpu=GpuShare(device_ids=("0", "2"), gpu_count=2, source="CUDA_VISIBLE_DEVICES")),
        ),
        ({}, {"CUDA_VISIBLE_DEVICES": "-1"}, Environment()),
    ],
)
def test_where_it_runs(tmp_path, files, environ, expected):
    assert environment_of(Root(tree(tmp_path, files)), environ) == expected


def test_many_gpus_by_their_uuids_are_all_counted(tmp_path):
    said = ",".join(f"GPU-0000000{number}-aaaa-bbbb-cccc-dddddddddddd" for number in range(8))
    share = environment_of(Root(tmp_path), {"NVIDIA_VISIBLE_DEVICES": said}).kubernetes_gpu
    assert share is not None
    assert (share.gpu_count, len(share.device_ids[7])) == (8, 40)
