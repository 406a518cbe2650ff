"""`[hardware]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from hoosh.errors import ConfigError

__all__ = ["BACKENDS", "Hardware", "backend_named"]

Seconds = Annotated[int, Meta(ge=0, le=10**9)]
"""A clock that counts in floats can add these up."""

BACKENDS = (
    *("cuda", "rocm", "apple", "vulkan", "intel_npu", "amd_xdna", "tpu", "gaudi", "aws_neuron", "intel_oneapi"),
    *("qualcomm", "cerebras", "graphcore", "groq", "samsung_npu", "mediatek_apu", "windows_wmi"),
)
"""The reference's names.  Those of the second line find nothing here; they may be switched off all the same."""


def backend_named(name: str) -> str | None:
    """As it is spelt here: case does not count, nor whether it has `-` or `_`."""
    plain = name.casefold().replace("-", "_")
    return plain if plain in BACKENDS else None


class Hardware(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked for on this machine, where, and how often."""

    enabled: bool = True
    cache_ttl_secs: Seconds = 300
    """How long a whole look at the machine counts, also that of another process; 0 keeps none on the disk."""
    disabled_backends: tuple[str, ...] = ()
    """Not asked at all, neither at the start nor later."""
    vram_reserve_bytes: Annotated[int, Meta(ge=0, le=2**60)] = 0
    """Of accelerator memory, that no model is to be placed in."""
    refresh_interval_secs: Seconds = 30
    """Between two looks at memory in use, load, temperature and power; 0: once is enough."""
    models_dir: Annotated[str, Meta(min_length=1)] | None = None
    """Below it model files may be asked about by path; None: nowhere."""

    def __post_init__(self) -> None:
        named = [(name, backend_named(name)) for name in self.disabled_backends]
        wrong = [f"hardware.disabled_backends: `{name}` is no backend" for name, known in named if known is None]
        if wrong:
            raise ConfigError(wrong)
        force_setattr(self, "disabled_backends", tuple(known for _, known in named))
