"""What a machine can carry, asked of a whole gateway over HTTP; the machine is one that the test thinks of."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from model_bytes import ALL, LLAMA, small_llama
from msgspec.structs import replace
from placement_machines import GIB, NVSWITCH, gpus, machine

from hoosh.access import Key
from hoosh.config import Alias, Config, Discovery, Hardware, Storage
from hoosh.errors import Unavailable
from hoosh.gateway import placement
from hoosh.testing.house import MemoryHouse, memory_house
from hoosh.values.hardware import Inventory
from hoosh.values.secret import Secret

GPU_BOX = machine(*gpus(2, 24), ram_gib=64)
ADMIN, METER = "sk-may-do-all-of-it", "sk-may-read-metrics"


class Machine:
    """Stands in for whoever looks at the real one."""

    def __init__(self, inventory: Inventory | None = GPU_BOX, reserve_bytes: int = 0) -> None:
        self.inventory = inventory
        self.reserve_bytes = reserve_bytes
        self.asked, self.seen = trio.Event(), trio.Event()

    def configure(self, settings: Hardware) -> None:
        """It is as it is."""

    async def look(self) -> Inventory:
        self.asked.set()
        if self.inventory is None:
            await self.seen.wait()
        assert self.inventory is not None
        return self.inventory


class Blind(Machine):
    """Looks, and has not done so for too long."""

    async def look(self) -> Inventory:
        raise Unavailable("The machine is still being looked at.", retry_after_s=1.0)


@asynccontextmanager
async def opened(box: Machine | None = None, **settings: Any) -> AsyncIterator[MemoryHouse]:
    quiet = {"storage": Storage(url="memory:"), "discovery": Discovery(local=False, environment=False)}
    async with memory_house(Config(**(quiet | settings))) as house:
        house.gateway.hardware = box or Machine()  # type: ignore[assignment]
        yield house


async def ask(house: MemoryHouse, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    url = f"/v1/hardware/{path}"
    status, _, answer = await (house.get(url, headers=sent) if body is None else house.post(url, body, headers=sent))
    return status, json.loads(answer)


async def told(house: MemoryHouse, path: str, body: Any = None) -> Any:
    status, answer = await ask(house, path, body)
    assert status == 200, answer
    return answer


async def refused(house: MemoryHouse, path: str, body: Any, status: int = 400) -> dict[str, Any]:
    found, answer = await ask(house, path, body)
    assert found == status, answer
    error: dict[str, Any] = answer["error"]
    return error


# -- placement -----------------------------------------------------------------------------------------------------


async def test_a_model_by_its_size_is_placed_as_the_reference_places_it():
    async with opened() as house:
        found = await told(house, "placement", {"model_params": 7_000_000_000, "providers": ["openai", "ollama"]})
    assert found["recommendation"] == {
        "provider": "ollama",
        "quantization": "FP16",
        "estimated_memory_bytes": 16_800_000_000,
        "fits_in_vram": True,
    }
    assert found["cloud_alternatives"] == []
    assert found["model_params"] == 7_000_000_000
    assert (found["quantization"], found["suggested_quant"]) == ("FP16", "FP16")
    assert found["memory_required_bytes"] == 16_800_000_000
    assert (found["fits_single_device"], found["fits_available"]) == (True, True)
    assert (found["available_vram_bytes"], found["vram_reserve_bytes"]) == (48 * GIB, 0)
    assert found["sharding"]["strategy"] == "None"
    assert "model" not in found


async def test_a_model_by_its_name_is_placed_by_its_architecture():
    async with opened() as house:
        found = await told(
            house, "placement", {"model": "llama3.1:8b", "quantization": "q4_k_m", "context_tokens": 8192}
        )
    assert found["model"] == "Llama 3.1 8B"
    assert found["model_params"] == 8_030_261_248
    assert found["kv_cache_bytes"] == GIB
    assert found["weights_bytes"] == pytest.approx(4.58 * GIB, rel=0.01)
    parts = found["weights_bytes"] + found["kv_cache_bytes"] + found["overhead_bytes"]
    assert found["memory_required_bytes"] == parts


async def test_a_model_that_does_not_fit_is_sent_elsewhere():
    async with opened() as house:
        found = await told(house, "placement", {"model": "405b", "providers": ["ollama", "anthropic"]})
    assert found["recommendation"]["provider"] == "anthropic"
    assert not found["recommendation"]["fits_in_vram"]
    alternatives = found["cloud_alternatives"]
    assert 0 < len(alternatives) <= 5
    assert [each["price_per_hour"] for each in alternatives] == sorted(each["price_per_hour"] for each in alternatives)
    assert {"name", "provider", "gpu", "gpu_count", "total_gpu_memory_gb", "memory_headroom_pct"} <= set(
        alternatives[0]
    )
    assert all(each["as_of"].startswith("202") for each in alternatives)


async def test_nothing_said_is_seven_billion_parameters():
    async with opened() as house:
        status, _, answer = await house.post("/v1/hardware/placement", b"")
        assert (status, json.loads(answer)["model_params"]) == (200, 7_000_000_000)
        assert (await told(house, "placement", {}))["model_params"] == 7_000_000_000


async def test_what_is_in_use_and_in_reserve_is_not_there():
    busy = machine(*gpus(1, 24, used_bytes=6 * GIB))
    async with opened(Machine(busy, reserve_bytes=4 * GIB)) as house:
        found = await told(house, "placement", {"model": "7b", "quantization": "fp16"})
    assert found["available_vram_bytes"] == 14 * GIB
    assert found["vram_reserve_bytes"] == 4 * GIB
    assert not found["recommendation"]["fits_in_vram"]
    assert found["suggested_quant"] == "INT8"


async def test_without_an_accelerator_nothing_fits_one_not_even_what_needs_no_bytes():
    async with opened(Machine(machine())) as house:
        found = await told(house, "placement", {"model_params": 1, "quantization": "int4"})
    assert found["memory_required_bytes"] == 0  # rounded down, as the reference does
    assert (found["recommendation"]["fits_in_vram"], found["fits_available"]) == (False, False)


async def test_a_machine_without_accelerators_is_a_normal_one():
    async with opened(Machine(machine(ram_gib=64))) as house:
        found = await told(house, "placement", {"model": "7b"})
        assert not found["recommendation"]["fits_in_vram"]
        assert (found["sharding"]["shards"][0]["device"], found["sharding"]["fits"]) == ("cpu:0", True)
        assert (await told(house, "models", {}))["compatible"] == []
        assert (await told(house, "compatible-models"))["models"] == []


async def test_for_throughput_there_is_a_copy_on_every_device():
    async with opened() as house:
        found = await told(house, "placement", {"model": "7b", "prefer": "throughput"})
    assert found["sharding"]["strategy"] == {"DataParallel": {"num_replicas": 2}}


async def test_an_alias_is_as_large_as_what_it_stands_for():
    aliases = (Alias(name="house", targets=("ollama/qwen2.5:14b",)), Alias(name="other", targets=("x/y-13b",)))
    async with opened(models=aliases) as house:
        assert (await told(house, "placement", {"model": "house"}))["model"] == "Qwen 2.5 14B"
        assert (await told(house, "placement", {"model": "other"}))["model_params"] == 13_000_000_000


NONSENSE: list[tuple[dict[str, Any], str, str]] = [
    ({"model_params": 0}, "model_params", "invalid_value"),
    ({"model_params": 10**16}, "model_params", "invalid_value"),
    ({"model_params": "7b"}, "model_params", "invalid_type"),
    ({"model_params": 7.5}, "model_params", "invalid_type"),
    ({"model": ""}, "model", "invalid_value"),
    ({"model": "x" * 257}, "model", "invalid_value"),
    ({"model": "gpt-4o"}, "model", "unknown_model_size"),
    ({"quantization": "q9"}, "quantization", "invalid_value"),
    ({"quantization": 4}, "quantization", "invalid_type"),
    ({"providers": "ollama"}, "providers", "invalid_type"),
    ({"providers": ["x"] * 65}, "providers", "invalid_value"),
    ({"providers": [7]}, "providers[0]", "invalid_type"),
    ({"context_tokens": 10**12}, "context_tokens", "invalid_value"),
    ({"prefer": "both"}, "prefer", "invalid_value"),
]


async def test_what_makes_no_sense_is_refused_by_name():
    async with opened() as house:
        for body, param, code in NONSENSE:
            error = await refused(house, "placement", body)
            assert (error["param"], error["code"]) == (param, code), body


async def test_a_body_that_is_no_object_is_refused():
    async with opened() as house:
        for path in ("placement", "models", "simulate", "cost", "training-estimate", "format"):
            for body in (b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 60_000):
                await refused(house, path, body)


async def test_a_large_body_is_refused():
    async with opened() as house:
        await refused(house, "placement", b'{"model":"' + b"x" * 70_000 + b'"}', 413)


# -- the catalogue -------------------------------------------------------------------------------------------------


async def test_models_that_fit_are_listed():
    async with opened() as house:
        found = await told(house, "models", {"quantization": "int4"})
    assert (found["total_vram_bytes"], found["available_vram_bytes"]) == (48 * GIB, 48 * GIB)
    assert {"name", "family", "params_billions", "memory_required_bytes", "headroom_pct"} <= set(found["compatible"][0])
    names = [each["name"] for each in found["compatible"]]
    assert "Llama 3.1 70B" in names
    assert "Llama 3.1 405B" not in names
    assert "model" not in found


@pytest.mark.parametrize(("name", "can"), [("Llama 3.1 8B", True), ("llama3.1:405b", False)])
async def test_one_model_is_looked_at(name: str, can: bool):
    async with opened() as house:
        found = await told(house, "models", {"model": name, "quantization": "int8"})
    assert found["can_run"] is can
    assert found["model"]["name"].startswith("Llama 3.1")
    assert (found["model"]["headroom_pct"] > 0) is can
    assert "compatible" not in found


async def test_a_model_that_nobody_knows_is_not_found():
    async with opened() as house:
        error = await refused(house, "models", {"model": "Nobody 7B"}, 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


async def test_sizes_are_listed():
    async with opened() as house:
        found = (await told(house, "models"))["models"]
    assert [each["size"] for each in found] == ["1B", "3B", "7B", "13B", "70B", "405B"]
    assert found[2] == {"size": "7B", "quant": "FP16", "memory_bytes": 16_800_000_000, "fits": True}


async def test_models_in_eight_bits_are_listed():
    async with opened() as house:
        found = await told(house, "compatible-models")
    assert found["quantization"] == "int8"
    assert {"name", "family", "params_b", "headroom_pct"} <= set(found["models"][0])


# -- other machines ------------------------------------------------------------------------------------------------


async def test_another_machine_is_thought_of():
    async with opened(Machine(machine(*gpus(2, 24), links=(NVSWITCH,)))) as house:
        body = {"model_params": 70_000_000_000, "add_devices": [{"memory_bytes": 80 * GIB}], "remove_count": 1}
        found = await told(house, "simulate", body | {"quantization": "int8"})
    assert (found["removed_devices"], found["added_devices"], found["quantization"]) == (1, 1, "INT8")
    before, after = found["original"], found["simulated"]
    assert (before["device_count"], before["accelerator_count"]) == (3, 2)
    assert (before["total_vram_bytes"], after["total_vram_bytes"]) == (48 * GIB, 104 * GIB)
    assert (before["fits"], before["shards_required"]) == (False, 0)
    assert (after["fits"], after["shards_required"]) == (True, 1)
    assert after["sharding"]["shards"][0]["device"] == "cuda:2"
    assert before["memory_required_bytes"] == after["memory_required_bytes"] == 84_000_000_000


async def test_no_more_is_taken_out_than_there_is():
    async with opened() as house:
        found = await told(house, "simulate", {"model": "7b", "remove_count": 50})
    assert (found["removed_devices"], found["simulated"]["accelerator_count"]) == (2, 0)
    assert found["simulated"]["device_count"] == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model_params"),
        ({"model_params": 0}, "model_params"),
        ({"model_params": 1, "add_devices": [{"memory_bytes": 0}]}, "add_devices[0].memory_bytes"),
        ({"model_params": 1, "add_devices": [{}]}, "add_devices[0].memory_bytes"),
        ({"model_params": 1, "add_devices": [{"memory_bytes": 1}] * 65}, "add_devices"),
        ({"model_params": 1, "remove_count": -1}, "remove_count"),
    ],
)
async def test_limits_of_thinking_are_kept(body: dict[str, Any], param: str):
    async with opened() as house:
        assert (await refused(house, "simulate", body))["param"] == param


# -- anywhere ------------------------------------------------------------------------------------------------------


async def test_machines_to_rent_are_told_with_their_prices_days():
    async with opened() as house:
        found = await told(house, "cost", {"model": "70b"})
    assert (found["model"], found["model_params"], found["quantization"]) == ("70b", 70_000_000_000, "INT8")
    assert found["memory_required_bytes"] == 84_000_000_000
    assert found["as_of"] == min(each["as_of"] for each in found["instances"])
    assert len(found["instances"]) == 5


async def test_training_is_estimated():
    async with opened() as house:
        found = await told(house, "training-estimate", {"model": "8x7b", "method": "qlora-4bit"})
        assert found["model_params_millions"] == pytest.approx(46_702.792704)
        by_size = await told(house, "training-estimate", {"model_params_m": 1000.5, "method": "full", "target": "tpu"})
        assert (by_size["model_params_millions"], by_size["method"], by_size["target"]) == (1000.5, "full", "tpu")
    assert set(found["estimate"]) == {"model_gb", "optimizer_gb", "activation_gb", "total_gb"}
    assert (found["method"], found["target"]) == ("qlora-4bit", "gpu")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("cost", {}, "model"),
        ("cost", {"model": "somebody"}, "model"),
        ("training-estimate", {}, "model"),
        ("training-estimate", {"model": "7b", "method": "magic"}, "method"),
        ("training-estimate", {"model": "7b", "target": "abacus"}, "target"),
        ("training-estimate", {"model_params_m": 0}, "model_params_m"),
    ],
)
async def test_estimates_without_a_model_are_refused(path: str, body: dict[str, Any], param: str):
    async with opened() as house:
        assert (await refused(house, path, body))["param"] == param


# -- model files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.gguf").write_bytes(bytes(small_llama()))
    (tmp_path / "models" / "text.bin").write_bytes(b"just a text")
    (tmp_path / "outside.gguf").write_bytes(bytes(small_llama()))
    return tmp_path / "models"


async def test_a_file_below_the_models_directory_is_read(models_dir: Path):
    async with opened(hardware=Hardware(models_dir=str(models_dir))) as house:
        found = await told(house, "format", {"path": str(models_dir / "a.gguf")})
    assert found == LLAMA | {"file_bytes": (models_dir / "a.gguf").stat().st_size}


async def test_outside_and_missing_are_the_same(models_dir: Path):
    async with opened(hardware=Hardware(models_dir=str(models_dir))) as house:
        errors = [
            await refused(house, "format", {"path": str(path)}, 404)
            for path in (models_dir.parent / "outside.gguf", models_dir / "gone.gguf", "/dev/zero.bin", "/gone.pt")
        ]
    assert all(error == errors[0] for error in errors)
    assert str(models_dir) not in errors[0]["message"]


@pytest.mark.parametrize(
    "path", ["a.gguf", "../a.gguf", "/etc/passwd", "/x/a.gguf.txt", "/gguf", "", "/" + "x" * 5000 + ".pt"]
)
async def test_a_path_that_cannot_be_a_models_is_refused(models_dir: Path, path: str):
    async with opened(hardware=Hardware(models_dir=str(models_dir))) as house:
        assert (await refused(house, "format", {"path": path}))["param"] == "path"


async def test_a_file_that_is_no_model_is_told_to_be_none(models_dir: Path):
    async with opened(hardware=Hardware(models_dir=str(models_dir))) as house:
        error = await refused(house, "format", {"path": str(models_dir / "text.bin")})
    assert error["code"] == "unknown_model_format"


async def test_without_a_models_directory_no_file_is_looked_at(models_dir: Path):
    async with opened() as house:
        there, gone = [
            await refused(house, "format", {"path": str(models_dir / name)}, 403) for name in ("a.gguf", "gone.gguf")
        ]
        assert there == gone
        config = house.gateway.snapshot.config
        await house.gateway.reload(replace(config, hardware=Hardware(models_dir=str(models_dir))))
        assert (await told(house, "format", {"path": str(models_dir / "a.gguf")}))["format"] == "GGUF"


async def test_a_file_that_cannot_be_read_in_time_is_given_up(models_dir: Path, monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()
    monkeypatch.setattr(placement, "READ_S", 0.05)
    monkeypatch.setattr(placement, "read_model_file", lambda root, path: over.wait(10))
    try:
        async with opened(hardware=Hardware(models_dir=str(models_dir))) as house:
            for _ in range(3):  # the third finds no thread free
                await refused(house, "format", {"path": str(models_dir / "a.gguf")}, 503)
    finally:
        over.set()


@pytest.mark.parametrize("kind", ALL)
async def test_the_bytes_of_a_model_tell_what_it_is(kind: str):
    async with opened() as house:
        found = await told(house, "model-format", ALL[kind])
    assert found["format"] == kind
    assert "file_bytes" not in found


@pytest.mark.parametrize("body", [b"", b"hello", b"\x00" * 1000])
async def test_bytes_of_nothing_known_are_refused(body: bytes):
    async with opened() as house:
        await refused(house, "model-format", body)


# -- before the first look, and keys -------------------------------------------------------------------------------


async def test_a_look_that_is_not_over_is_waited_for():
    box = Machine(None)
    async with opened(box) as house, trio.open_nursery() as nursery:
        answers: list[Any] = []

        async def place() -> None:
            answers.append(await told(house, "placement", {"model": "7b"}))

        nursery.start_soon(place)
        await box.asked.wait()
        await trio.lowlevel.checkpoint()
        assert answers == []
        box.inventory = GPU_BOX
        box.seen.set()
    assert answers[0]["available_vram_bytes"] == 48 * GIB


async def test_what_does_not_need_the_machine_is_answered_without_a_look():
    async with opened(Blind()) as house:
        for path, body in (("placement", {}), ("models", {}), ("simulate", {"model": "7b"})):
            await refused(house, path, body, 503)
        await told(house, "cost", {"model": "70b"})  # the machine does not matter


PATHS = ["placement", "models", "simulate", "cost", "training-estimate", "format", "model-format"]


@pytest.mark.parametrize("path", [*PATHS, "GET models", "GET compatible-models"])
async def test_a_key_is_needed_and_it_must_be_for_inference(path: str):
    keys = (
        Key(name="admin", key=Secret(ADMIN)),
        Key(name="meter", key=Secret(METER), scopes=("metrics",)),
    )
    async with opened(keys=keys) as house:
        name = path.rpartition(" ")[2]
        body = None if path.startswith("GET") else {"model": "7b"}
        assert (await ask(house, name, body))[0] == 401
        assert (await ask(house, name, body, authorization=f"Bearer {METER}"))[0] == 403
        assert (await ask(house, name, body, authorization=f"Bearer {ADMIN}"))[0] in (200, 400, 403, 404)
