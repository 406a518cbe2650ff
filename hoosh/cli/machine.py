"""What this machine and this Python are.  The devices and the memory are looked at as the gateway does it.

Bytes and counts.  What cannot be known is None.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hoosh.values.hardware import Inventory

__all__ = ["Machine", "inventory", "libraries", "machine"]

LIBRARIES = (
    *("trio", "httptools", "h2", "msgspec", "quart-trio", "quart", "hypercorn", "httpx"),
    *("prometheus-client", "truststore", "nvidia-ml-py"),
)
OPTIONAL = ("rich", "genai-prices", "matplotlib", "pywhispercpp", "soundfile", "soxr")


class Machine(NamedTuple):
    system: str
    cores: int
    usable_cores: int
    """That this process may run on."""


def machine() -> Machine:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Machine(f"{platform.system()} {platform.release()} {platform.machine()}", cores, usable)


def inventory(disabled_backends: tuple[str, ...], environ: Mapping[str, str]) -> Inventory:
    """The devices, now.  Waits for makers' tools and drivers, 20 s where one hangs."""
    import trio

    from hoosh.gateway.hardware import look_once

    return trio.run(look_once, disabled_backends, environ)


def libraries() -> dict[str, str | None]:
    """Versions of what hoosh is built on, None where one is missing, and of the optional ones that are there."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for package in (*LIBRARIES, *OPTIONAL):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            if package in LIBRARIES:
                found[package] = None
    return found
