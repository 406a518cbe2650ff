"""What a model needs, what room there is, and whether that is enough: only where it is known."""

from __future__ import annotations

from typing import Any

import pytest

from hoosh.hardware.fit import Held, bits_of, fit_of, needed_bytes, room_bytes
from hoosh.values import Fit, ModelSize
from hoosh.values.hardware import Device, DeviceFamily, Environment, Inventory

GB = 10**9
CPU = Device(kind="cpu", family=DeviceFamily.CPU, index=0, name="cpu", memory_bytes=64 * GB)
NPU = Device(kind="intel-npu", family=DeviceFamily.NPU, index=0, name="npu", memory_bytes=2 * GB)


def gpu(memory: int = 24 * GB, used: int | None = 0, **fields: Any) -> Device:
    return Device(
        kind="cuda", family=DeviceFamily.GPU, index=0, name="gpu", memory_bytes=memory, used_bytes=used, **fields
    )


def machine(*accelerators: Device, **fields: Any) -> Inventory:
    fields.setdefault("system_memory_bytes", 64 * GB)
    return Inventory(devices=(CPU, *accelerators), **fields)


def test_the_engines_own_word_for_its_weights_counts_before_parameters():
    assert needed_bytes(ModelSize(parameters=70 * GB, weights_bytes=10 * GB)) == 12 * GB
    assert needed_bytes(ModelSize(parameters=10 * GB, quantisation="fp16")) == 24 * GB
    assert needed_bytes(ModelSize(parameters=10 * GB)) == 6 * GB  # 4 bits: the least it can be
    assert needed_bytes(ModelSize()) is needed_bytes(ModelSize(quantisation="fp16")) is None


def test_where_the_architecture_is_known_the_cache_is_counted():
    weights = 5 * GB
    size = ModelSize(weights_bytes=weights, layers=32, kv_heads=8, head_dim=128)
    cache = 2 * 32 * 8 * 128 * 2 * 4096
    assert needed_bytes(size) == weights + cache + 512 * 1024**2 + weights // 20


@pytest.mark.parametrize(
    ("name", "bits"),
    [("Q4_0", 4.5), ("MXFP4", 4.25), ("fp16", 16), ("UD-Q4_K_XL", 4), ("q3_k_xl", 3), ("8bit", 8), ("AWQ", 4)],
)
def test_bits_of_a_quantisation(name: str, bits: float):
    assert bits_of(name) == bits


def test_bits_of_no_quantisation_are_not_known():
    assert bits_of("") is bits_of("q") is bits_of("fast") is None


def test_the_room_is_what_is_free_and_what_the_engine_holds_itself():
    assert room_bytes(machine(gpu(used=10 * GB)), 0, Held()) == 14 * GB
    assert room_bytes(machine(gpu(used=10 * GB)), 2 * GB, Held()) == 12 * GB
    assert room_bytes(machine(gpu(used=10 * GB)), 0, Held(9 * GB)) == 23 * GB
    assert room_bytes(machine(gpu(used=20 * GB), gpu(used=None)), 0, Held()) == 28 * GB


def test_the_room_is_never_more_than_there_is_nor_less_than_nothing():
    assert room_bytes(machine(gpu(used=10 * GB)), 1 * GB, Held(20 * GB)) == 23 * GB
    assert room_bytes(machine(gpu(used=23 * GB)), 5 * GB, Held()) == 0


def test_where_nobody_knows_what_the_engine_holds_everything_may_be_its_own():
    assert room_bytes(machine(gpu(used=23 * GB)), 1 * GB, None) == 23 * GB
    assert room_bytes(machine(available_memory_bytes=3 * GB), 0, None) == 64 * GB


def test_without_an_accelerator_the_machines_memory_counts():
    assert room_bytes(machine(), 8 * GB, Held()) == 64 * GB
    assert room_bytes(machine(available_memory_bytes=30 * GB), 0, Held(system_bytes=4 * GB)) == 34 * GB
    assert room_bytes(machine(available_memory_bytes=62 * GB), 0, Held(system_bytes=4 * GB)) == 64 * GB


def test_a_gpu_that_shares_the_machines_memory_gets_what_is_free_of_that():
    shared = gpu(32 * GB, unified=True)
    look = machine(shared, available_memory_bytes=30 * GB)
    assert room_bytes(look, 0, Held(accelerator_bytes=4 * GB)) == 34 * GB
    # Beside a card with memory of its own it is not where models go.
    assert room_bytes(machine(shared, gpu()), 0, Held()) == 24 * GB


@pytest.mark.parametrize("device", [NPU, gpu(0), gpu(available=False)])
def test_what_engines_do_not_run_on_is_no_accelerator(device: Device):
    assert room_bytes(machine(device), 0, Held()) == 64 * GB


@pytest.mark.parametrize("inside", [Environment(is_docker=True), Environment(is_kubernetes=True)])
def test_a_container_without_an_accelerator_sees_nothing_of_the_engine_beside_it(inside: Environment):
    assert room_bytes(machine(environment=inside), 0, Held()) is None
    assert room_bytes(machine(gpu(), environment=inside), 0, Held()) == 24 * GB


def test_a_model_fits_does_not_or_nobody_can_tell():
    size = ModelSize(weights_bytes=10 * GB)
    assert fit_of(size, 12 * GB) == Fit(True, 12 * GB, 12 * GB)
    assert fit_of(size, 12 * GB - 1) == Fit(False, 12 * GB, 12 * GB - 1)
    assert fit_of(size, None) == Fit(None, 12 * GB, None)
    assert fit_of(ModelSize(), 1 * GB) == Fit(None, None, 1 * GB)


def test_what_is_in_memory_fits():
    assert fit_of(ModelSize(weights_bytes=10 * GB, is_loaded=True), 0) == Fit(True, 12 * GB, 0)
    assert fit_of(ModelSize(is_loaded=True, held_bytes=11), None) == Fit(True, 11, None)
    assert fit_of(ModelSize(is_loaded=True, held_bytes=10, held_accelerator_bytes=9), 8).fits


def test_what_its_engine_has_had_to_split_fits_where_there_is_room_for_all_of_it():
    split = ModelSize(is_loaded=True, held_bytes=50, held_accelerator_bytes=22)
    assert fit_of(split, 24) == Fit(False, 50, 24)
    assert fit_of(split, 50) == Fit(True, 50, 50)
    assert fit_of(split, None) == Fit(None, 50, None)
    on_the_processor = ModelSize(is_loaded=True, held_bytes=50, held_accelerator_bytes=0)
    assert fit_of(on_the_processor, 64).fits, "of a machine without an accelerator"
