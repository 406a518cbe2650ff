"""How a model is spread: every layer has a place, every place has room, and quick links are made use of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from placement_machines import GIB, INFINIBAND, NVLINK, NVSWITCH, accelerator, gpus, machine, model, sized

from hoosh.hardware.quantisation import FP16, INT4, INT8
from hoosh.hardware.room import rooms
from hoosh.hardware.sharding import plan_sharding, shards_required
from hoosh.hardware.simulation import snapshot_of, with_devices, without_devices
from hoosh.hardware.speed import tokens_per_s
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Device, DeviceFamily, Inventory
from hoosh.values.placement import ShardingPlan

LINKS = [(), (NVLINK,), (NVSWITCH,), (INFINIBAND,)]


def strategy(plan: ShardingPlan) -> str:
    return plan.strategy if isinstance(plan.strategy, str) else next(iter(plan.strategy))


# -- by hand -------------------------------------------------------------------------------------------------------


def test_a_model_that_fits_one_device_stays_whole_on_the_quickest():
    slow, quick = accelerator(24, bandwidth_gb_s=300.0), accelerator(24, 1, bandwidth_gb_s=900.0)
    plan = plan_sharding(sized(7), FP16, machine(slow, quick))
    assert (plan.strategy, plan.device_count, plan.shards[0].device) == ("None", 1, "cuda:1")
    assert (plan.shards[0].layer_range, plan.shards[0].memory_bytes) == ((0, 27), 16_800_000_000)
    assert plan.total_memory_bytes == 24 * GIB


def test_for_throughput_every_device_that_has_room_gets_a_copy():
    inventory = machine(*gpus(3, 24), accelerator(8, 3))
    plan = plan_sharding(sized(7), FP16, inventory, prefer="throughput")
    assert plan.strategy == {"DataParallel": {"num_replicas": 3}}
    assert plan.estimated_tokens_per_sec == pytest.approx(
        3 * (plan_sharding(sized(7), FP16, inventory).estimated_tokens_per_sec or 0), rel=0.01
    )


def test_without_a_quick_link_layers_are_dealt_out():
    plan = plan_sharding(sized(70), INT8, machine(*gpus(4, 24)))  # 84 GB for 96 GiB
    assert plan.strategy == {"PipelineParallel": {"num_stages": 4}}
    assert plan.strategy_name == "Pipeline Parallel (4 stages)"
    assert [shard.layer_range for shard in plan.shards] == [(0, 69), (70, 139), (140, 209), (210, 279)]
    assert plan.fits


def test_a_larger_device_gets_more_layers():
    plan = plan_sharding(model("Llama 3.1 70B"), INT8, machine(accelerator(64), accelerator(24, 1), accelerator(4, 2)))
    counts = [last - first + 1 for first, last in (shard.layer_range for shard in plan.shards)]
    assert sum(counts) == 80
    assert counts[0] > 2 * counts[1] > 2 * counts[2] > 0


def test_what_is_in_use_is_not_dealt_out():
    busy = accelerator(80, used_bytes=65 * GIB)
    plan = plan_sharding(model("Llama 3.1 70B"), INT8, machine(busy, accelerator(70, 1)))
    counts = [last - first + 1 for first, last in (shard.layer_range for shard in plan.shards)]
    assert counts[0] < counts[1] / 4


def test_stages_beside_each_other_are_on_one_numa_node():
    devices = [accelerator(24, 0, numa_node=1), accelerator(24, 1, numa_node=0), accelerator(24, 2, numa_node=1)]
    plan = plan_sharding(sized(50), INT8, machine(*devices))
    assert [shard.device for shard in plan.shards] == ["cuda:1", "cuda:0", "cuda:2"]


@pytest.mark.parametrize("links", [(NVSWITCH,), (NVLINK,)])
def test_with_a_quick_link_every_layer_is_shared(links):
    plan = plan_sharding(model("Llama 3.1 70B"), INT8, machine(*gpus(4, 24), links=links))
    assert plan.strategy == {"TensorParallel": {"num_devices": 4}}
    assert {shard.layer_range for shard in plan.shards} == {(0, 79)}


def test_a_network_between_machines_is_no_link_between_devices():
    plan = plan_sharding(model("Llama 3.1 70B"), INT8, machine(*gpus(4, 24), links=(INFINIBAND,)))
    assert strategy(plan) == "PipelineParallel"


def test_devices_of_two_kinds_share_no_layer():
    mixed = [*gpus(2, 48), accelerator(48, 0, kind="rocm")]
    assert (
        strategy(plan_sharding(model("Llama 3.1 70B"), INT8, machine(*mixed, links=(NVSWITCH,)))) == "PipelineParallel"
    )


def test_parts_of_a_partitioned_card_share_no_layer():
    parts = [accelerator(40, index, parent=0, profile="3g.40gb") for index in range(4)]
    assert (
        strategy(plan_sharding(model("Llama 3.1 70B"), INT8, machine(*parts, links=(NVSWITCH,)))) == "PipelineParallel"
    )


def test_the_shards_of_a_partitioned_card_are_told_apart_from_those_of_others():
    cards = [accelerator(40, 1), *(accelerator(40, index, parent=card) for card in (0, 2) for index in range(2))]
    plan = plan_sharding(model("Llama 3.1 70B"), FP16, machine(*cards))
    assert [shard.device for shard in plan.shards] == ["cuda:1", "cuda:0.0", "cuda:0.1", "cuda:2.0", "cuda:2.1"]


@pytest.mark.parametrize(
    ("name", "count", "shared_by"),
    [
        ("Llama 3.1 70B", 8, 8),  # 64 heads, 8 KV heads
        ("Llama 3.1 70B", 7, 4),  # 7, 6 and 5 do not divide 64
        ("Llama 3.1 70B", 6, 4),
        ("Qwen 2.5 72B", 3, 2),
        ("Command R+ 104B", 6, 4),  # 6 divides the 96 heads, and not the 8 KV heads
        ("Phi-3 Medium 14B", 4, 2),  # 4 divides the 40 heads, and not the 10 KV heads
    ],
)
def test_so_many_devices_share_a_layer_as_divide_its_heads(name: str, count: int, shared_by: int):
    step = FP16 if name.startswith("Phi") else INT4
    need = model(name).need_bytes(step)
    inventory = machine(*gpus(count, need / GIB * 0.9), links=(NVSWITCH,))
    assert plan_sharding(model(name), step, inventory).strategy == {"TensorParallel": {"num_devices": shared_by}}


def test_more_devices_than_kv_heads_hold_copies_of_the_cache():
    """Gemma 3 4B has 8 heads and 4 KV heads: among eight devices each has a quarter of the cache."""
    workload = model("Gemma 3 4B", context_tokens=131072, sequences=16)
    needed = workload.footprint(FP16)
    inventory = machine(*gpus(8, 12), links=(NVSWITCH,))
    plan = plan_sharding(workload, FP16, inventory)
    assert plan.strategy == {"TensorParallel": {"num_devices": 8}}
    assert plan.shards[0].memory_bytes >= needed.kv_cache_bytes // 4 + needed.weights_bytes // 8
    assert sum(shard.memory_bytes for shard in plan.shards) > needed.total_bytes


def test_tpus_are_joined_before_others():
    tpus = [accelerator(16, index, kind="tpu-v5e") for index in range(4)]
    plan = plan_sharding(sized(20), INT8, machine(*tpus, *gpus(2, 16)))
    assert plan.strategy == {"TensorParallel": {"num_devices": 4}}
    assert {shard.device.partition(":")[0] for shard in plan.shards} == {"tpu-v5e"}


def test_what_fits_no_accelerator_is_the_processors():
    plan = plan_sharding(sized(70), INT8, machine(accelerator(24), ram_gib=128))
    assert (plan.strategy, plan.shards[0].device, plan.fits) == ("None", "cpu:0", True)
    assert not plan_sharding(sized(70), INT8, machine(accelerator(24), ram_gib=32)).fits


def test_npus_are_not_joined():
    npus = [accelerator(16, index, kind="intel-npu") for index in range(4)]
    assert plan_sharding(sized(40), INT8, machine(*npus)).shards[0].device == "cpu:0"


def test_a_machine_without_any_device_has_no_plan():
    plan = plan_sharding(sized(7), INT8, Inventory(devices=(), system_memory_bytes=0))
    assert (plan.strategy, plan.shards, plan.fits) == ({"DataParallel": {"num_replicas": 0}}, (), False)
    assert plan.estimated_tokens_per_sec is None


# -- speed ---------------------------------------------------------------------------------------------------------


def test_where_the_bandwidth_is_not_known_speed_is_the_references():
    """1e9/params × multiplier × 32/bits, with 20 for CUDA and 1 for a processor."""
    assert tokens_per_s(accelerator(24), sized(8), FP16) == pytest.approx(1 / 8 * 20 * 2)
    cpu = Device(kind="cpu", family=DeviceFamily.CPU, index=0, name="", memory_bytes=1)
    assert tokens_per_s(cpu, sized(8), INT8) == pytest.approx(1 / 8 * 4)


@pytest.mark.parametrize(
    ("bandwidth_gb_s", "weights_gb", "measured"),
    [
        # Qwen 27B on an M1 Max: ggml-org/llama.cpp, issue 27525.
        *[(400.0, 16.34, 14.29), (400.0, 17.54, 13.53), (400.0, 13.82, 12.63)],
        # Llama 3.1 8B, Q4_K_M, on an M4: brand-o/normiebench, issue 3.
        (120.0, 4.92, 20.87),
    ],
)
def test_where_it_is_known_speed_is_near_what_is_measured(bandwidth_gb_s: float, weights_gb: float, measured: float):
    device = accelerator(64, bandwidth_gb_s=bandwidth_gb_s)
    assert tokens_per_s(device, sized(weights_gb), INT8) == pytest.approx(measured, rel=0.40)


def test_of_a_mixture_only_the_experts_that_a_token_meets_are_read():
    device = accelerator(80, bandwidth_gb_s=1000.0)
    dense = Workload(parameters=model("Mixtral 8x7B").parameters)
    assert tokens_per_s(device, model("Mixtral 8x7B"), INT8) > 3 * tokens_per_s(device, dense, INT8)


@given(st.integers(2, 8), st.sampled_from(LINKS))
def test_devices_are_together_never_quicker_than_so_many_alone(count: int, links):
    inventory = machine(*gpus(count, 24), links=links)
    plan = plan_sharding(sized(20 * count), INT4, inventory)
    alone = tokens_per_s(inventory.accelerators[0], sized(20 * count), INT4)
    assert plan.estimated_tokens_per_sec is not None
    assert plan.estimated_tokens_per_sec <= plan.device_count * alone + 0.01


# -- whatever the machine ------------------------------------------------------------------------------------------

DEVICES = st.lists(
    st.builds(
        lambda kind, gib, used, node: (kind, gib, used, node),
        st.sampled_from(["cuda", "cuda", "cuda", "rocm", "tpu-v5e", "gaudi3", "intel-npu"]),
        st.floats(0.5, 192),
        st.none() | st.floats(0, 1),
        st.none() | st.integers(0, 3),
    ),
    max_size=9,
)
WORKLOADS = st.one_of(
    st.builds(sized, st.floats(0.01, 700)),
    st.builds(
        model,
        st.sampled_from(
            ["Llama 3.1 8B", "Llama 3.1 70B", "Mixtral 8x7B", "Gemma 3 4B", "DeepSeek V3 671B", "Falcon 7B"]
        ),
        context_tokens=st.integers(1, 200_000),
        sequences=st.integers(1, 20),
    ),
)


def thought_of(devices, links=()) -> Inventory:
    return machine(
        *(
            accelerator(
                gib, number, kind=kind, used_bytes=None if used is None else round(gib * GIB * used), numa_node=node
            )
            for number, (kind, gib, used, node) in enumerate(devices)
        ),
        links=links,
    )


@given(
    DEVICES,
    WORKLOADS,
    st.sampled_from([FP16, INT8, INT4]),
    st.sampled_from(LINKS),
    st.integers(0, 100 * GIB),
    st.sampled_from(["latency", "throughput"]),
)
def test_every_layer_has_one_place_with_room_for_it(devices, workload, step, links, reserve, prefer):
    inventory = thought_of(devices, links)
    plan = plan_sharding(workload, step, inventory, reserve, prefer)
    need, name = workload.need_bytes(step), strategy(plan)
    whole = (0, workload.layers - 1)
    assert [shard.shard_id for shard in plan.shards] == list(range(len(plan.shards)))
    if name == "PipelineParallel":
        layers = [n for shard in plan.shards for n in range(shard.layer_range[0], shard.layer_range[1] + 1)]
        assert layers == list(range(workload.layers))
    else:
        assert {shard.layer_range for shard in plan.shards} == {whole}
    assert sum(shard.memory_bytes for shard in plan.shards) >= need
    if name == "DataParallel":
        assert all(shard.memory_bytes >= need for shard in plan.shards)
    left = {f"{room.device.kind}:{room.device.index}": room.bytes for room in rooms(inventory, reserve)}
    if plan.shards[0].device != "cpu:0":
        assert plan.fits
        assert all(shard.memory_bytes <= left[shard.device] for shard in plan.shards)
    assert len({shard.device for shard in plan.shards}) == len(plan.shards) == plan.device_count


@given(DEVICES, WORKLOADS, st.sampled_from(LINKS), st.integers(1, 9), st.floats(0, 100))
def test_what_fits_still_fits_with_more_memory(devices, workload, links, which: int, more_gib: float):
    before = thought_of(devices, links)
    grown = [
        replace(device, memory_bytes=device.memory_bytes + round(more_gib * GIB)) if number == which else device
        for number, device in enumerate(before.devices)
    ]
    after = replace(before, devices=tuple(grown))
    need = workload.need_bytes(INT8)
    if shards_required(need, rooms(before)):
        assert shards_required(need, rooms(after))
    if plan_sharding(workload, INT8, before).shards[0].device != "cpu:0":
        assert plan_sharding(workload, INT8, after).shards[0].device != "cpu:0"


@given(DEVICES, st.integers(0, 10**13))
def test_so_few_devices_are_required_as_have_room_together(devices, need: int):
    left = rooms(thought_of(devices))
    count, sizes = shards_required(need, left), sorted((room.bytes for room in left), reverse=True)
    if count:
        assert sum(sizes[:count]) >= need
        assert count == 1 or sum(sizes[: count - 1]) < need
    else:
        assert sum(sizes) < need or not sizes


# -- other machines ------------------------------------------------------------------------------------------------


@given(DEVICES, st.lists(st.integers(1, 10**12), max_size=6), WORKLOADS)
def test_what_is_put_in_and_taken_out_again_leaves_no_trace(devices, sizes: list[int], workload):
    start = without_devices(thought_of(devices), 99)
    assert without_devices(with_devices(start, sizes), len(sizes)) == start
    there = thought_of([("cuda", 1 + size / GIB, None, None) for size in sizes])
    again = with_devices(without_devices(there, len(sizes)), [each.memory_bytes for each in there.accelerators])
    assert snapshot_of(again, workload, INT8) == snapshot_of(there, workload, INT8)


@given(DEVICES, st.integers(0, 12))
def test_devices_are_taken_out_in_order_and_the_processor_stays(devices, count: int):
    before = thought_of(devices)
    after = without_devices(before, count)
    assert after.accelerators == before.accelerators[count:]
    assert after.devices[0] == before.devices[0]


def test_a_device_that_is_put_in_is_a_cuda_device_behind_the_others():
    found = with_devices(machine(*gpus(2, 24)), [80 * GIB, 8 * GIB]).accelerators[2:]
    assert [(each.kind, each.index, each.memory_bytes) for each in found] == [
        ("cuda", 2, 80 * GIB),
        ("cuda", 3, 8 * GIB),
    ]


def test_a_snapshot_does_not_take_the_processor_for_an_accelerator():
    found = snapshot_of(machine(*gpus(2, 24), ram_gib=64), sized(30), INT8)
    assert (found.device_count, found.accelerator_count) == (3, 2)
    assert found.total_vram_bytes == found.accelerator_memory_bytes == 48 * GIB
    assert (found.system_memory_bytes, found.memory_required_bytes) == (64 * GIB, 36_000_000_000)
    assert (found.fits, found.shards_required) == (True, 2)
    bare = snapshot_of(machine(ram_gib=64), sized(30), INT8)
    assert (bare.total_vram_bytes, bare.fits, bare.shards_required, bare.sharding.fits) == (0, False, 0, True)


def test_every_kind_that_is_found_is_quicker_than_a_processor():
    kinds = ("tpu-v2", "tpu-v3", "tpu-v6e", "tpu-7x", "gaudi", "cuda", "amd-xdna")
    devices = [replace(accelerator(16), kind=kind) for kind in ("cpu", *kinds)]
    of_the_processor, *others = [tokens_per_s(device, sized(7), INT8) for device in devices]
    assert min(others) > of_the_processor
