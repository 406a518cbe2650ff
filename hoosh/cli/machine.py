"""What this machine and this Python are, as far as the system tells without being asked twice.

Bytes and counts.  What cannot be known is None.  GPUs are asked of `nvidia-ml-py` where somebody has installed it:
detection proper is the gateway's.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["GPU_WITHIN_S", "Gpu", "Machine", "gpus", "libraries", "machine"]

GPU_WITHIN_S = 2.0
"""A card that has fallen off the bus never answers."""

LIBRARIES = (
    *("trio", "httptools", "h2", "msgspec", "quart-trio", "quart", "hypercorn", "httpx"),
    *("prometheus-client", "truststore"),
)
OPTIONAL = ("rich", "genai-prices", "matplotlib", "nvidia-ml-py")
_MODEL = re.compile(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB", re.MULTILINE)


class Machine(NamedTuple):
    system: str
    cpu: str
    cores: int
    usable_cores: int
    """That this process may run on."""
    memory_bytes: int | None
    available_bytes: int | None


class Gpu(NamedTuple):
    name: str
    memory_bytes: int
    used_bytes: int


def machine() -> Machine:
    """This machine, now."""
    found = _MODEL.search(_text("/proc/cpuinfo"))
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    free = _AVAILABLE.search(_text("/proc/meminfo"))
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=found[1].strip() if found else platform.processor() or platform.machine(),
        cores=cores,
        usable_cores=usable,
        memory_bytes=_memory_bytes(),
        available_bytes=int(free[1]) * 1024 if free else None,
    )


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


def gpus() -> tuple[list[Gpu], str]:
    """The cards of NVIDIA's driver, and why there are none: "" when there are.  Waits GPU_WITHIN_S at most."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return [], "not asked: `pip install nvidia-ml-py` lets this command ask NVIDIA's driver"
    found: list[Gpu] = []
    trouble = ["the driver does not answer"]

    def ask() -> None:
        try:
            found.extend(_cards(nvml))
            trouble[0] = "" if found else "none"
        except Exception as error:  # the driver's library may raise anything, and nothing here depends on it
            trouble[0] = f"none: {error}"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(GPU_WITHIN_S)
    return list(found), trouble[0]


def _cards(nvml: Any) -> list[Gpu]:
    nvml.nvmlInit()
    try:
        cards = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name, memory = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetMemoryInfo(handle)
            cards.append(Gpu(name.decode() if isinstance(name, bytes) else str(name), memory.total, memory.used))
        return cards
    finally:
        nvml.nvmlShutdown()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
