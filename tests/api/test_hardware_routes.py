"""The hardware pages, over inventories as the gateway gives them: both lines of the reference at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from quart import g
from quart_trio import QuartTrio

from hoosh.api.errors import error_response
from hoosh.api.face import as_response
from hoosh.api.hardware import hardware_routes
from hoosh.errors import HooshError
from hoosh.testing.machines import GIB, cpu, gpu
from hoosh.values import Caller
from hoosh.values.hardware import Device, DeviceFamily, Environment, GpuShare, Interconnect, Inventory, Storage

TPU = Device(kind="tpu-v5e", family=DeviceFamily.TPU, index=0, name="Google TPU v5e", memory_bytes=16 * GIB)
NPU = Device(kind="intel-npu", family=DeviceFamily.NPU, index=0, name="Intel NPU", memory_bytes=0, unified=True)
PLAIN = Inventory(devices=(cpu(),), system_memory_bytes=64 * GIB, available_memory_bytes=32 * GIB, looked_at=5.0)
FULL = Inventory(
    devices=(cpu(), gpu(), replace(gpu(1), available=False), NPU),
    system_memory_bytes=64 * GIB,
    available_memory_bytes=32 * GIB,
    interconnects=(Interconnect(kind="nvlink", name="GPU 0, 4 links", bandwidth_gb_s=112.5, state="active"),),
    storage=(Storage(name="nvme0n1", kind="nvme", bandwidth_gb_s=3.5, size_bytes=10**12),),
    environment=Environment(
        is_docker=True, kubernetes_gpu=GpuShare(device_ids=("0",), gpu_count=1, source="CUDA_VISIBLE_DEVICES")
    ),
    warnings=("cuda: GPU 1: GPU is lost",),
    looked_at=1795706047.5,
    took_s=0.25,
)


class Desk:
    def __init__(self, inventory: Inventory, reserve_bytes: int = 0) -> None:
        self.inventory = inventory
        self.reserve_bytes = reserve_bytes

    async def look(self) -> Inventory:
        return self.inventory


async def ask(
    path: str,
    inventory: Inventory = FULL,
    body: Any = None,
    *,
    reserve: int = 0,
    scopes: frozenset[str] = frozenset({"inference"}),
) -> tuple[int, Any]:
    app = QuartTrio("test")
    app.register_blueprint(hardware_routes(SimpleNamespace(hardware=Desk(inventory, reserve))))

    @app.before_request
    async def authenticate() -> None:
        g.caller = Caller("ada", scopes)

    @app.errorhandler(HooshError)
    async def refuse(error: HooshError) -> Any:
        return as_response(error_response(error, "req_1"))

    client = app.test_client()
    answer = await (client.get(path) if body is None else client.post(path, json=body))
    return answer.status_code, await answer.get_json()


async def test_the_page_has_what_both_lines_of_the_reference_have():
    status, page = await ask("/v1/hardware", reserve=2 * GIB)
    assert status == 200
    assert page["accelerators"] == [
        {
            "name": "Fake GPU",
            "family": "Gpu",
            "memory_bytes": 24 * GIB,
            "memory_used_bytes": GIB,
            "memory_free_bytes": 23 * GIB,
            "utilization_pct": 12.0,
            "temperature_c": 45.0,
            "power_watts": 120.0,
            "bandwidth_gbps": 1008.0,
            "type": "cuda",
            "index": 0,
            "unified": False,
        },
        {"name": "Intel NPU", "family": "Npu", "memory_bytes": 0, "type": "intel-npu", "index": 0, "unified": True},
    ]
    del page["accelerators"]
    assert page == {
        "total_vram_bytes": 24 * GIB,
        "available_vram_bytes": 21 * GIB,
        "vram_reserve_bytes": 2 * GIB,
        "has_fast_interconnect": True,
        "environment": {
            "is_docker": True,
            "is_kubernetes": False,
            "kubernetes_gpu": {"device_ids": ["0"], "gpu_count": 1, "source": "CUDA_VISIBLE_DEVICES"},
        },
        "detected": True,
        "devices": 4,
        "accelerator_count": 2,
        "accel_memory_bytes": 24 * GIB,
        "total_memory_bytes": 88 * GIB,
        "best_device": {"type": "cuda", "family": "Gpu", "memory_bytes": 24 * GIB},
        "profiles": [
            {"type": "cpu", "family": "Cpu", "memory_bytes": 64 * GIB, "available": True},
            {"type": "cuda", "family": "Gpu", "memory_bytes": 24 * GIB, "available": True},
            {"type": "cuda", "family": "Gpu", "memory_bytes": 24 * GIB, "available": False},
            {"type": "intel-npu", "family": "Npu", "memory_bytes": 0, "available": True},
        ],
        "system_memory_bytes": 64 * GIB,
        "system_available_bytes": 32 * GIB,
        "system_io": {
            "interconnects": [{"kind": "nvlink", "name": "GPU 0, 4 links", "bandwidth_gbps": 112.5, "state": "active"}],
            "storage": [{"name": "nvme0n1", "kind": "nvme", "bandwidth_gbps": 3.5, "size_bytes": 10**12}],
        },
        "warnings": ["cuda: GPU 1: GPU is lost"],
        "looked_at": 1795706047.5,
        "took_s": 0.25,
    }


async def test_a_machine_without_a_gpu_and_one_that_nobody_looks_at():
    _, page = await ask("/v1/hardware", PLAIN)
    assert (page["detected"], page["devices"], page["accelerators"], page["total_vram_bytes"]) == (True, 1, [], 0)
    assert page["best_device"]["type"] == "cpu"
    assert page["has_fast_interconnect"] is False
    _, page = await ask("/v1/hardware", Inventory(devices=(), system_memory_bytes=0))
    assert (page["detected"], page["devices"], "best_device" in page) == (False, 0, False)


async def test_telemetry_says_null_where_a_device_cannot_say():
    status, page = await ask("/v1/hardware/telemetry", reserve=GIB)
    assert status == 200
    assert page["devices"][1] == {
        "device": "cuda",
        "device_id": 0,
        "memory_bytes": 24 * GIB,
        "memory_used_bytes": GIB,
        "memory_free_bytes": 23 * GIB,
        "utilization_percent": 12.0,
        "temperature_c": 45.0,
        "power_watts": 120.0,
        "parent": None,
    }
    nulls = {"memory_used_bytes", "memory_free_bytes", "utilization_percent", "temperature_c", "power_watts", "parent"}
    assert {name for name, value in page["devices"][3].items() if value is None} == nulls
    assert page["max_interconnect_gbps_x1000"] == 112_500
    assert page["available_vram_bytes"] == 22 * GIB
    assert page["system_io"]["storage"][0]["kind"] == "nvme"


async def test_a_way_out_that_is_down_is_not_fast():
    down = replace(FULL, interconnects=(replace(FULL.interconnects[0], state="down"),))
    assert (await ask("/v1/hardware/telemetry", down))[1]["has_fast_interconnect"] is False


TWO = replace(PLAIN, devices=(cpu(), gpu(), gpu(1, 48 * GIB), TPU))
GAUDI = replace(PLAIN, devices=(cpu(), replace(TPU, kind="gaudi3", family=DeviceFamily.AI_ASIC)))
NEURON = replace(PLAIN, devices=(cpu(), replace(TPU, kind="trainium", family=DeviceFamily.AI_ASIC)))


@pytest.mark.parametrize(
    ("requirement", "chips", "inventory", "satisfied", "device"),
    [
        ("none", 1, PLAIN, True, None),
        ("none", 9, PLAIN, True, None),
        ("gpu", 1, PLAIN, False, None),
        ("gpu", 2, TWO, True, ("cuda", 48)),
        ("gpu", 3, TWO, False, None),
        ("tpu", 1, TWO, True, ("tpu-v5e", 16)),
        ("tpu", 2, TWO, False, None),
        ("gpu-or-tpu", 3, TWO, True, ("cuda", 48)),
        ("gaudi", 1, GAUDI, True, ("gaudi3", 16)),
        ("gaudi", 1, NEURON, False, None),
        ("aws-neuron", 1, NEURON, True, ("trainium", 16)),
        ("any-accelerator", 1, FULL, True, ("cuda", 24)),
        ("any-accelerator", 1, PLAIN, False, None),
        ("gpu", 2, FULL, False, None),
    ],
)
async def test_requirements(requirement, chips, inventory, satisfied, device):
    asked = {"requirement": requirement, "min_chips": chips}
    status, page = await ask("/v1/hardware/requirement-match", inventory, asked)
    assert status == 200
    found = page.pop("device", None)
    assert page == {**asked, "satisfied": satisfied}
    assert (found and (found["type"], found["memory_bytes"] // GIB)) == device


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requirement": "quantum"}, "requirement"),
        ({}, "requirement"),
        ({"requirement": 3}, "requirement"),
        ({"requirement": "gpu", "min_chips": 0}, "min_chips"),
        ({"requirement": "gpu", "min_chips": 10**9}, "min_chips"),
        ({"requirement": "gpu", "min_chips": "two"}, "min_chips"),
    ],
)
async def test_what_nobody_can_match_is_refused_by_its_name(body, param):
    status, page = await ask("/v1/hardware/requirement-match", body=body)
    assert (status, page["error"]["param"]) == (400, param)


@pytest.mark.parametrize("path", ["/v1/hardware", "/v1/hardware/telemetry"])
async def test_a_key_that_may_not_infer_may_not_look(path):
    assert (await ask(path, scopes=frozenset({"metrics"})))[0] == 403
    assert (await ask("/v1/hardware/requirement-match", body={}, scopes=frozenset()))[0] == 403
