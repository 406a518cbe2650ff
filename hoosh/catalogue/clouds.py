"""Machines with accelerators that one can rent, what they cost an hour on demand, and on which day that was so.

Every price has its day and its source; the reference's own are of early 2025.  Nothing is asked of a cloud at run time.

Sources: reference appendix C, corrected where it confuses machines (`Standard_ND96asr_v4` has 40 GB cards, the MI300X
machine another name), and brought up to date as the data say.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

__all__ = ["CLOUDS_FILE", "CloudInstance", "cloud_instances"]

CLOUDS_FILE = Path(__file__).with_name("clouds.json")


class CloudInstance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of machine.  Gigabytes are those that the vendor prints on the card."""

    name: str
    provider: str
    """`aws`, `gcp`, `azure`."""
    gpu: str
    gpu_count: int
    gpu_memory_gb: int
    total_gpu_memory_gb: int
    vcpus: int
    ram_gb: int
    interconnect: str
    price_per_hour: float
    """USD."""
    as_of: str
    """The day on which that was the price: YYYY-MM-DD."""
    source: str
    """A name in the file's `sources`."""


class _File(Struct, forbid_unknown_fields=True):
    currency: str
    unit: str
    as_of: str
    sources: dict[str, str]
    instances: tuple[CloudInstance, ...]


@cache
def cloud_instances() -> tuple[CloudInstance, ...]:
    """All of them, in the order of the file.  Raises OSError."""
    return msgspec.json.decode(CLOUDS_FILE.read_bytes(), type=_File).instances
