"""Which machines one could rent for a model, cheapest first.  Source: reference section 11.4, appendix C."""

from __future__ import annotations

from hoosh.catalogue.clouds import cloud_instances
from hoosh.values.placement import CloudAlternative

__all__ = ["MOST_ALTERNATIVES", "cloud_alternatives", "headroom_pct"]

MOST_ALTERNATIVES = 5
GIB = 1024**3


def cloud_alternatives(need_bytes: int, most: int = MOST_ALTERNATIVES) -> tuple[CloudAlternative, ...]:
    """Those whose cards have room together for `need_bytes`.  A card's gigabytes are taken for gibibytes."""
    able = [machine for machine in cloud_instances() if need_bytes <= machine.total_gpu_memory_gb * GIB]
    able.sort(key=lambda machine: (machine.price_per_hour, machine.name))
    return tuple(
        CloudAlternative(
            name=machine.name,
            provider=machine.provider,
            gpu=machine.gpu,
            gpu_count=machine.gpu_count,
            total_gpu_memory_gb=machine.total_gpu_memory_gb,
            price_per_hour=machine.price_per_hour,
            memory_headroom_pct=headroom_pct(need_bytes, machine.total_gpu_memory_gb * GIB),
            interconnect=machine.interconnect,
            as_of=machine.as_of,
        )
        for machine in able[:most]
    )


def headroom_pct(need_bytes: int, total_bytes: int) -> float:
    """How much of `total_bytes` would be left, in per cent; 0 where nothing is."""
    return 0.0 if total_bytes <= need_bytes else round((total_bytes - need_bytes) / total_bytes * 100, 1)
