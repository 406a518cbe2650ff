"""What clients are told of models on machines: shared by the hardware room, the gateway and the door.

The structs that are answers are spelled as the API spells them.  Sizes are bytes, prices USD an hour, headroom per cent
of what the accelerators have left.  What is not known is left out.  Source: reference sections 2.16 and 11.5.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = [
    "MAX_PARAMETERS",
    "AddedDevice",
    "CloudAlternative",
    "CloudCost",
    "CompatibleModel",
    "CompatibleModels",
    "MachineSnapshot",
    "ModelFormat",
    "ModelQuestion",
    "Name",
    "Placement",
    "PlacementAdvice",
    "PlacementQuestion",
    "Prefer",
    "Shard",
    "ShardingPlan",
    "SimulatedMachines",
    "SimulationQuestion",
    "SizeFit",
    "Strategy",
    "TrainingAdvice",
    "TrainingEstimate",
    "TrainingMethod",
    "TrainingQuestion",
    "TrainingTarget",
]

MAX_PARAMETERS = 10**15
MAX_NAME_CHARS = 256

Parameters = Annotated[int, Meta(ge=1, le=MAX_PARAMETERS)]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]
Sequences = Annotated[int, Meta(ge=1, le=100_000)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]

Strategy = str | dict[str, dict[str, int]]
"""`"None"`, or `{"TensorParallel": {"num_devices": 4}}` and the like."""
Prefer = Literal["latency", "throughput"]
"""One copy that answers as soon as it can, or as many whole copies as there are devices for."""
TrainingMethod = Literal["full", "lora", "qlora-4bit", "qlora-8bit", "prefix", "dpo", "rlhf", "distillation"]
TrainingTarget = Literal["gpu", "tpu", "gaudi"]


# -- what is asked -----------------------------------------------------------------------------------------------


class ModelQuestion(Struct, frozen=True, kw_only=True):
    """A model, by its number of parameters or its name, and how it is to be used."""

    model_params: Parameters | None = None
    """Counts where `model` is there, too."""
    model: Name | None = None
    quantization: Name | None = None
    """None and `auto`: as is suggested."""
    context_tokens: Tokens = 4096
    sequences: Sequences = 1
    """Requests at once, each with such a context."""


class PlacementQuestion(ModelQuestion, frozen=True, kw_only=True):
    providers: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    """Those that may serve it, best first."""
    prefer: Prefer = "latency"


class AddedDevice(Struct, frozen=True):
    memory_bytes: Annotated[int, Meta(ge=1, le=2**60)]


class SimulationQuestion(ModelQuestion, frozen=True, kw_only=True):
    add_devices: Annotated[tuple[AddedDevice, ...], Meta(max_length=64)] = ()
    remove_count: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class TrainingQuestion(Struct, frozen=True, kw_only=True):
    model: Name | None = None
    model_params_m: Annotated[float, Meta(gt=0, le=MAX_PARAMETERS / 1e6)] | None = None
    """Millions.  Counts where `model` is there, too."""
    method: TrainingMethod = "lora"
    target: TrainingTarget = "gpu"


# -- what is answered --------------------------------------------------------------------------------------------


class Shard(Struct, frozen=True):
    """What one device carries."""

    shard_id: int
    layer_range: tuple[int, int]
    """First and last layer, both included."""
    device: str
    """Its kind and index: `cuda:0`; `cuda:0.2` is an instance of that GPU (MIG)."""
    memory_bytes: int


class ShardingPlan(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How a model is spread over devices."""

    strategy: Strategy
    strategy_name: str
    device_count: int
    """Of those that take part."""
    total_memory_bytes: int
    """What those have."""
    quantization: str
    fits: bool
    """Every shard has room.  Where it is false, the plan is the processor's, and swaps or fails."""
    shards: tuple[Shard, ...]
    estimated_tokens_per_sec: float | None = None


class CloudAlternative(Struct, frozen=True):
    """A machine that one can rent."""

    name: str
    provider: str
    gpu: str
    gpu_count: int
    total_gpu_memory_gb: int
    price_per_hour: float
    memory_headroom_pct: float
    interconnect: str
    as_of: str
    """The day of the price."""


class PlacementAdvice(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who should serve the model."""

    provider: str
    estimated_memory_bytes: int
    fits_in_vram: bool
    quantization: str | None = None


class Placement(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a model should run; what it needs, and whether that is there."""

    recommendation: PlacementAdvice
    cloud_alternatives: tuple[CloudAlternative, ...]
    """The cheapest that have room, where this machine has none."""
    model_params: int
    quantization: str
    memory_required_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    overhead_bytes: int
    fits_single_device: bool
    fits_available: bool
    """All accelerators together have room, less what is in use and in reserve."""
    available_vram_bytes: int
    vram_reserve_bytes: int
    suggested_quant: str
    sharding: ShardingPlan
    model: str | None = None
    """As the catalogue calls it, where it is one of its models."""


class CompatibleModel(Struct, frozen=True, kw_only=True):
    """A model of the catalogue, on this machine."""

    name: str
    family: str
    params_billions: float
    params_b: float
    """The same."""
    quantization: str
    memory_required_bytes: int
    headroom_pct: float


class CompatibleModels(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Those of the catalogue that fit, largest first; or the one that was asked about."""

    total_vram_bytes: int
    available_vram_bytes: int
    compatible: tuple[CompatibleModel, ...] | None = None
    model: CompatibleModel | None = None
    can_run: bool | None = None


class SizeFit(Struct, frozen=True):
    size: str
    quant: str
    memory_bytes: int
    fits: bool


class MachineSnapshot(Struct, frozen=True, kw_only=True):
    """A machine, real or thought of, and how the model would be spread over it."""

    device_count: int
    """The processor included."""
    accelerator_count: int
    total_vram_bytes: int
    accelerator_memory_bytes: int
    """The same."""
    available_vram_bytes: int
    system_memory_bytes: int
    memory_required_bytes: int
    fits: bool
    shards_required: int
    """How few devices have room together, the emptiest first; 0 where all of them have none."""
    sharding: ShardingPlan


class SimulatedMachines(Struct, frozen=True, kw_only=True):
    """This machine, and the same with devices taken out and put in."""

    model_params: int
    quantization: str
    removed_devices: int
    added_devices: int
    original: MachineSnapshot
    simulated: MachineSnapshot


class ModelFormat(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a model file says of itself at its beginning."""

    format: Literal["SafeTensors", "GGUF", "ONNX", "PyTorch"]
    param_count: int | None = None
    dtype: str | None = None
    tensor_count: int | None = None
    format_version: int | None = None
    architecture: str | None = None
    block_count: int | None = None
    """Layers."""
    context_length: int | None = None
    embedding_length: int | None = None
    head_count: int | None = None
    head_count_kv: int | None = None
    """The most that a layer has."""
    key_length: int | None = None
    expert_count: int | None = None
    file_bytes: int | None = None


class CloudCost(Struct, frozen=True, kw_only=True):
    """The cheapest machines for a model."""

    model: str
    model_params: int
    quantization: str
    memory_required_bytes: int
    instances: tuple[CloudAlternative, ...]
    as_of: str | None
    """The oldest of their prices' days."""


class TrainingEstimate(Struct, frozen=True, kw_only=True):
    """Gibibytes."""

    model_gb: float
    optimizer_gb: float
    activation_gb: float
    total_gb: float


class TrainingAdvice(Struct, frozen=True, kw_only=True):
    model_params_millions: float
    method: TrainingMethod
    target: TrainingTarget
    estimate: TrainingEstimate
