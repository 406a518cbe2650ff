"""How fast devices of a kind are, next to a CPU, where their memory's bandwidth is not known.

Source: reference section 11.5.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SPEEDS", "speed_of"]

SPEEDS: Mapping[str, float] = {
    "cpu": 1,
    "cuda": 20,
    "rocm": 15,
    "metal": 12,
    "vulkan": 10,
    "oneapi": 13,
    "tpu-v4": 25,
    "tpu-v5e": 18,
    "tpu-v5p": 35,
    "gaudi2": 22,
    "gaudi3": 30,
    "inferentia": 15,
    "trainium": 24,
    "qualcomm": 14,
    "cerebras": 50,
    "graphcore": 16,
    "groq": 30,
    "intel-npu": 8,
    "apple-npu": 10,
    "amd-xdna": 7,
    "samsung-npu": 6,
    "mediatek-apu": 5,
}
_BY_CORES = frozenset({"inferentia", "trainium"})
"""Their number is that of two NeuronCores."""


def speed_of(kind: str, cores: int | None = None) -> float:
    """A multiple of a CPU's; of an unknown kind as of a CPU."""
    speed = SPEEDS.get(kind, 1.0)
    return speed * max(1.0, (cores or 2) / 2) if kind in _BY_CORES else speed
