"""How a model is spread over the devices of a machine.

    one device has room          ─▶ None: the quickest of those; or, for throughput, a whole copy on each of them
    TPUs have room together      ─▶ TensorParallel
    devices with a quick link    ─▶ TensorParallel, if they are of one kind and share the attention heads evenly
    devices have room together   ─▶ PipelineParallel: layers by how much each has left, neighbours by NUMA node
    else                         ─▶ None on the processor; `fits` says whether its memory is enough

Tensor parallelism splits every layer: `n` devices must divide the attention heads, and share the KV heads evenly or
hold copies of them.  A pipeline splits between layers, and a layer is never cut.  Whatever is planned is planned with
what devices have left (`room.py`).  Speeds are estimates: a pipeline's with as many requests at once as it has stages.

Source: reference section 11.5, whose factors of tensor parallelism are halved here: `n` devices are not more than `n`
times as quick.  The rule of heads: vLLM, documentation of `tensor_parallel_size`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hoosh.hardware.footprint import Footprint
from hoosh.hardware.quantisation import Quantisation
from hoosh.hardware.room import Room, cpu_room, rooms
from hoosh.hardware.speed import tokens_per_s
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Device, DeviceFamily, Inventory
from hoosh.values.placement import Prefer, Shard, ShardingPlan, Strategy

__all__ = ["plan_sharding", "shards_required"]

JOINABLE = frozenset({DeviceFamily.GPU, DeviceFamily.TPU, DeviceFamily.AI_ASIC})
BETWEEN_DEVICES = frozenset({"nvlink", "nvswitch", "xgmi", "ici", "neuronlink"})
"""Links inside a machine; InfiniBand and RoCE join machines."""
QUICK_GB_S = 100.0
MAX_TENSOR_DEVICES = 8
"""Without a switch."""
SWITCHED, UNLINKED_PIPELINE, LINKED_PIPELINE = 0.9, 0.65, 0.85


def plan_sharding(
    workload: Workload,
    quantisation: Quantisation,
    inventory: Inventory,
    reserve_bytes: int = 0,
    prefer: Prefer = "latency",
) -> ShardingPlan:
    """The best plan there is.  Whether it has room is in `fits`."""
    plan = _Plan(workload, quantisation, inventory)
    left = rooms(inventory, reserve_bytes)
    need = plan.footprint.total_bytes
    able = [room for room in left if need <= room.bytes]
    if able and prefer == "throughput" and len(able) > 1:
        return plan.replicas(able)
    if able:
        return plan.single(max(able, key=lambda room: plan.speed(room.device)).device)
    tpus = [room for room in left if room.device.family is DeviceFamily.TPU]
    joined = [room for room in left if room.device.family in JOINABLE]
    return (
        plan.tensor(tpus, 1.0) or plan.tensor(joined, plan.link_factor(joined)) or plan.pipeline(joined) or plan.cpu()
    )


def shards_required(need_bytes: int, left: Sequence[Room]) -> int:
    """How few devices have room together, the emptiest first; 0 where all of them have none."""
    total = 0
    for count, room in enumerate(sorted(left, key=lambda room: -room.bytes), 1):
        total += room.bytes
        if need_bytes <= total:
            return count
    return 0


class _Plan:
    """One model at one quantisation on one machine: how each strategy would look."""

    def __init__(self, workload: Workload, quantisation: Quantisation, inventory: Inventory) -> None:
        self.workload = workload
        self.quantisation = quantisation
        self.inventory = inventory
        self.footprint: Footprint = workload.footprint(quantisation)
        self.last_layer = workload.layers - 1

    def speed(self, device: Device) -> float:
        return tokens_per_s(device, self.workload, self.quantisation)

    def link_factor(self, joined: Sequence[Room]) -> float | None:
        """How much of a device each one is worth when they share every layer; None where links are too slow."""
        links = [link for link in self.inventory.interconnects if link.kind in BETWEEN_DEVICES]
        if any(link.kind == "nvswitch" for link in links):
            return SWITCHED
        bandwidth = sum(link.bandwidth_gb_s for link in links)
        if bandwidth > QUICK_GB_S and len(joined) <= MAX_TENSOR_DEVICES:
            return (1 + min(bandwidth / 200, 0.8)) / 2
        return None

    # -- strategies ------------------------------------------------------------------------------------------------

    def single(self, device: Device) -> ShardingPlan:
        memory = [(device, (0, self.last_layer), self.footprint.total_bytes)]
        return self._plan("None", "None", memory, self.speed(device))

    def replicas(self, able: Sequence[Room]) -> ShardingPlan:
        each = self.footprint.total_bytes
        memory = [(room.device, (0, self.last_layer), each) for room in able]
        speed = sum(self.speed(room.device) for room in able)
        strategy = {"DataParallel": {"num_replicas": len(able)}}
        return self._plan(strategy, f"Data Parallel ({len(able)} replicas)", memory, speed)

    def tensor(self, joined: Sequence[Room], factor: float | None) -> ShardingPlan | None:
        """Over as many as can share evenly; None where that are fewer than two, or their room is not enough."""
        if factor is None or len({room.device.kind for room in joined}) != 1:
            return None
        # The parts of a partitioned card (MIG) cannot reach each other's memory.
        emptiest = sorted((room for room in joined if room.device.parent is None), key=lambda room: -room.bytes)
        for count in range(len(emptiest), 1, -1):
            share = self._tensor_share(count)
            if share is not None and share <= emptiest[count - 1].bytes:
                break
        else:
            return None
        taken = {id(room) for room in emptiest[:count]}
        devices = [room.device for room in joined if id(room) in taken]
        speed = min(map(self.speed, devices)) * count * factor
        strategy = {"TensorParallel": {"num_devices": count}}
        memory = [(device, (0, self.last_layer), share) for device in devices]
        return self._plan(strategy, f"Tensor Parallel ({count} devices)", memory, speed)

    def _tensor_share(self, count: int) -> int | None:
        """Bytes of each of `count` devices; None where the attention heads cannot be shared among so many."""
        model, needed = self.workload.model, self.footprint
        heads, kv_heads = (None, None) if model is None else (model.heads, model.kv_heads)
        if heads is not None and heads % count:
            return None
        if kv_heads is not None and kv_heads % count and count % kv_heads:
            return None
        cache_parts = count if kv_heads is None else min(count, kv_heads)
        if model is not None and model.kv_width is not None:
            cache_parts = 1  # a latent cache has no heads to be shared by: each device holds all of it
        return _ceil(needed.weights_bytes + needed.overhead_bytes, count) + _ceil(needed.kv_cache_bytes, cache_parts)

    def pipeline(self, joined: Sequence[Room]) -> ShardingPlan | None:
        """By layers; None where their rooms, each of whole layers, are not enough."""
        layers = self.workload.layers
        each = _ceil(self.footprint.total_bytes, layers)
        capacity = [room.bytes // each for room in joined]
        if sum(capacity) < layers:
            return None
        dealt = _deal(layers, [room.bytes for room in joined], capacity)
        stages = [(room.device, count) for room, count in zip(joined, dealt, strict=True) if count]
        stages.sort(key=lambda stage: (stage[0].numa_node is None, stage[0].numa_node or 0))
        memory, first = [], 0
        for device, count in stages:
            memory.append((device, (first, first + count - 1), count * each))
            first += count
        is_linked = any(link.kind in BETWEEN_DEVICES for link in self.inventory.interconnects)
        factor = LINKED_PIPELINE if is_linked else UNLINKED_PIPELINE
        speed = min(self.speed(device) for device, _ in stages) * len(stages) * factor
        strategy = {"PipelineParallel": {"num_stages": len(stages)}}
        return self._plan(strategy, f"Pipeline Parallel ({len(stages)} stages)", memory, speed)

    def cpu(self) -> ShardingPlan:
        found = (each for each in self.inventory.devices if each.family is DeviceFamily.CPU and each.available)
        device = next(found, None)
        if device is None:
            return self._plan({"DataParallel": {"num_replicas": 0}}, "Data Parallel (0 replicas)", [], None, fits=False)
        memory = [(device, (0, self.last_layer), self.footprint.total_bytes)]
        fits = self.footprint.total_bytes <= cpu_room(self.inventory)
        return self._plan("None", "None", memory, self.speed(device), fits=fits)

    def _plan(
        self,
        strategy: Strategy,
        name: str,
        memory: Sequence[tuple[Device, tuple[int, int], int]],
        speed: float | None,
        *,
        fits: bool = True,
    ) -> ShardingPlan:
        return ShardingPlan(
            strategy=strategy,
            strategy_name=name,
            device_count=len(memory),
            total_memory_bytes=sum(device.memory_bytes for device, _, _ in memory),
            quantization=self.quantisation.name,
            fits=fits,
            shards=tuple(
                Shard(number, layers, _name_of(device), needed)
                for number, (device, layers, needed) in enumerate(memory)
            ),
            estimated_tokens_per_sec=None if speed is None else round(speed, 2),
        )


def _name_of(device: Device) -> str:
    """`cuda:0`; `cuda:0.2` of an instance (MIG), which its card's index belongs to."""
    index = f"{device.index}" if device.parent is None else f"{device.parent}.{device.index}"
    return f"{device.kind}:{index}"


def _deal(layers: int, left: Sequence[int], capacity: Sequence[int]) -> list[int]:
    """How many layers each device gets: in proportion to its room, never more than it has room for.

    `capacity` is enough for all of them together.  Then a share in proportion, rounded down, is in nobody's way, and
    fewer layers are left over than there are devices.
    """
    total = max(1, sum(left))
    dealt = [layers * room // total for room in left]
    for _ in range(layers - sum(dealt)):
        spare = [most - given for most, given in zip(capacity, dealt, strict=True)]
        dealt[spare.index(max(spare))] += 1
    return dealt


def _ceil(amount: int, parts: int) -> int:
    return -(-amount // parts)
