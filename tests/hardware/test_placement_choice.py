"""Which quantisation is suggested, who should serve a model, what can be rented, and what fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placement_machines import GIB, accelerator, gpus, machine, model, sized

from hoosh.hardware.clouds import cloud_alternatives
from hoosh.hardware.compatible import compatible_models, on_this_machine, sizes_that_fit
from hoosh.hardware.placement import provider_for, suggested_quantisation
from hoosh.hardware.quantisation import FP16, INT4, INT8
from hoosh.hardware.room import cpu_room, rooms, rooms_bytes
from hoosh.hardware.training import training_estimate
from hoosh.values.hardware import Inventory
from hoosh.values.placement import TrainingMethod, TrainingTarget

GIGA = 10**9


@pytest.mark.parametrize(
    ("devices", "ram_gib", "billions", "step"),
    [
        # 7 B need 16.8 GB in 16 bits, 8.4 in 8, 4.2 in 4.
        ([accelerator(24)], 64, 7, "FP16"),
        ([accelerator(12)], 64, 7, "INT8"),
        ([accelerator(6)], 64, 7, "INT4"),
        ([accelerator(24), accelerator(12, 1)], 64, 7, "FP16"),
        ([accelerator(16, kind="tpu-v5e"), accelerator(24)], 64, 7, "BF16"),
        ([accelerator(12, kind="tpu-v5e")], 64, 7, "INT8"),
        ([accelerator(96, kind="gaudi3")], 64, 7, "BF16"),
        ([accelerator(12, kind="intel-npu")], 64, 7, "INT8"),
        ([accelerator(5, kind="intel-npu")], 64, 7, "INT4"),
        # No accelerator has room: the processor's memory.
        ([accelerator(3)], 64, 7, "FP16"),
        ([], 12, 7, "INT8"),
        ([], 2, 7, "INT4"),
        # What is in use is not there.
        ([accelerator(24, used_bytes=10 * GIB)], 64, 7, "INT8"),
    ],
)
def test_the_finest_step_that_one_device_has_room_for_is_suggested(devices, ram_gib: float, billions: float, step: str):
    assert suggested_quantisation(sized(billions), machine(*devices, ram_gib=ram_gib)).name == step


def test_the_reserve_is_not_planned_with():
    assert suggested_quantisation(sized(7), machine(accelerator(24)), 10 * GIB) == INT8
    # It is taken from the first device: the second may still have room.
    assert suggested_quantisation(sized(7), machine(*gpus(2, 24)), 10 * GIB) == FP16


def test_weights_published_in_four_bits_are_not_suggested_in_sixteen():
    assert suggested_quantisation(model("gpt-oss 20B"), machine(accelerator(80))).name == "MXFP4"


@pytest.mark.parametrize(
    ("fits", "providers", "chosen"),
    [
        (True, ["openai", "ollama"], "ollama"),
        (True, ["llamacpp", "ollama"], "llamacpp"),
        (True, ["openai", "vllm"], "openai"),
        (True, [], "ollama"),
        (False, ["ollama", "openai"], "openai"),
        (False, ["ollama", "llamacpp"], "ollama"),
        (False, ["somebody", "ollama"], "somebody"),
        (False, [], "ollama"),
    ],
)
def test_a_model_goes_home_if_it_fits_and_elsewhere_if_it_does_not(fits: bool, providers: list[str], chosen: str):
    assert provider_for(fits, providers) == chosen


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=8), st.integers(0, 10**13))
def test_rooms_are_what_is_left_of_all_of_them_together(sizes: list[tuple[int, int]], reserve: int):
    devices = [accelerator(0, number, memory_bytes=size, used_bytes=used) for number, (size, used) in enumerate(sizes)]
    inventory = machine(*devices)
    left = rooms(inventory, reserve)
    free = sum(max(0, size - used) for size, used in sizes)
    assert rooms_bytes(left) == max(0, free - reserve)
    assert all(0 <= room.bytes <= room.device.memory_bytes for room in left)


def test_a_device_that_is_not_to_be_used_has_no_room():
    assert rooms(machine(accelerator(24, available=False))) == ()


def test_memory_of_the_machine_is_what_is_free_of_it_as_far_as_that_is_known():
    whole = machine(ram_gib=8)
    assert cpu_room(whole) == 8 * GIB
    assert cpu_room(Inventory(devices=(), system_memory_bytes=8 * GIB, available_memory_bytes=GIB)) == GIB
    assert cpu_room(Inventory(devices=(), system_memory_bytes=0)) == 16 * GIB


# -- the catalogue on a machine ----------------------------------------------------------------------------------


def test_models_that_fit_are_told_largest_first():
    found = compatible_models(machine(accelerator(24)), quantisation=INT8)
    sizes = [each.params_billions for each in found]
    assert sizes == sorted(sizes, reverse=True)
    assert "Llama 3.1 8B" in [each.name for each in found]
    assert "Llama 3.1 70B" not in [each.name for each in found]
    assert all(each.memory_required_bytes <= 24 * GIB and each.headroom_pct >= 0 for each in found)
    assert {each.quantization for each in found} == {"INT8"}


def test_nothing_fits_where_there_is_no_accelerator():
    assert compatible_models(machine()) == ()
    one = on_this_machine(model("Llama 3.1 8B").model, machine())  # type: ignore[arg-type]
    assert one.headroom_pct == 0


@given(st.floats(1, 500), st.floats(0, 500))
def test_more_memory_never_runs_fewer_models(gib: float, more: float):
    few = {each.name for each in compatible_models(machine(accelerator(gib)), quantisation=INT4)}
    many = {each.name for each in compatible_models(machine(accelerator(gib + more)), quantisation=INT4)}
    assert few <= many


def test_the_usual_sizes_are_held_against_the_emptiest_device():
    found = {each.size: each for each in sizes_that_fit(machine(*gpus(2, 24)))}
    assert list(found) == ["1B", "3B", "7B", "13B", "70B", "405B"]
    assert (found["7B"].quant, found["7B"].fits) == ("FP16", True)
    assert (found["13B"].quant, found["13B"].memory_bytes) == ("INT8", 15_600_000_000)
    assert not found["70B"].fits


def test_without_an_accelerator_it_is_the_processor():
    assert [each.fits for each in sizes_that_fit(machine(ram_gib=64))] == [True, True, True, True, True, False]


# -- elsewhere -----------------------------------------------------------------------------------------------------


def test_machines_to_rent_are_told_cheapest_first():
    found = cloud_alternatives(60 * GIB)
    assert len(found) == 5
    prices = [each.price_per_hour for each in found]
    assert prices == sorted(prices)
    assert found[0].name == "Standard_NC24ads_A100_v4"
    assert found[0].memory_headroom_pct == 25.0
    assert all(each.as_of for each in found)


def test_some_models_are_too_large_to_be_rented_for():
    assert cloud_alternatives(10_000 * GIB) == ()


@pytest.mark.parametrize(
    ("method", "target", "model_gb", "optimizer_gb", "activation_gb"),
    [
        ("full", "gpu", 100, 200, 100),
        ("lora", "gpu", 100, 10, 10),
        ("qlora-4bit", "gpu", 25, 10, 2.5),
        ("qlora-8bit", "gpu", 50, 10, 5),
        ("prefix", "gpu", 100, 5, 5),
        ("dpo", "gpu", 200, 200, 150),
        ("rlhf", "gpu", 200, 200, 150),
        ("distillation", "gpu", 150, 100, 80),
        ("full", "tpu", 100, 150, 80),
        ("lora", "tpu", 100, 15, 12),
        ("qlora-8bit", "tpu", 60, 15, 7.2),
        ("prefix", "tpu", 100, 5, 5),
        ("dpo", "tpu", 200, 150, 120),
        ("full", "gaudi", 100, 150, 90),
        ("qlora-4bit", "gaudi", 35, 12, 4.2),
        ("rlhf", "gaudi", 200, 150, 130),
        ("distillation", "gaudi", 150, 90, 70),
    ],
)
def test_training_takes_what_the_reference_says(
    method: TrainingMethod, target: TrainingTarget, model_gb: float, optimizer_gb: float, activation_gb: float
):
    found = training_estimate(50 * GIB, method, target)  # 100 GiB in 16 bits
    assert (found.model_gb, found.optimizer_gb, found.activation_gb) == (model_gb, optimizer_gb, activation_gb)
    assert found.total_gb == pytest.approx(model_gb + optimizer_gb + activation_gb)


def test_a_gpu_in_the_processor_is_no_place_for_models_beside_a_card_with_memory_of_its_own():
    """A desktop of every day: 24 GiB on the card, and half of the machine's memory lent to what draws the windows."""
    inside = accelerator(32, kind="rocm", unified=True)
    assert [room.bytes for room in rooms(machine(inside, accelerator(24)), GIB)] == [23 * GIB]
    assert [room.bytes for room in rooms(machine(inside), GIB)] == [31 * GIB]
    npu = accelerator(0, kind="intel-npu", unified=True)
    assert [room.bytes for room in rooms(machine(inside, npu))] == [32 * GIB, 0]
