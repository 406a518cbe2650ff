"""Machines of directories and scripted tools, and NVIDIA's library as a fake, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import trio

from hoosh.hardware.machine import Machine
from hoosh.hardware.tools import ToolFailed

CAPTURES = Path(__file__).parent / "captures"
GIB = 1024**3


def capture(name: str) -> str:
    return (CAPTURES / name).read_text()


def tree(directory: Path, files: Mapping[str, str]) -> Path:
    """A machine's files below `directory`.  A text that begins with `-> ` makes a symbolic link."""
    for name, text in files.items():
        path = directory / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        else:
            path.write_text(text)
    return directory


def meminfo(total_kb: int, available_kb: int) -> dict[str, str]:
    return {"/proc/meminfo": f"MemTotal:       {total_kb} kB\nMemFree:  1 kB\nMemAvailable:   {available_kb} kB\n"}


class Tools:
    """Makers' tools: what each prints, by its name and first arguments; an exception is raised."""

    def __init__(self, **prints: str | Exception) -> None:
        self.prints = {name.replace("_", "-"): said for name, said in prints.items()}
        self.by_arguments: dict[tuple[str, ...], str | Exception] = {}
        self.asked: list[tuple[str, ...]] = []

    def find(self, name: str) -> str | None:
        is_there = name in self.prints or any(call[0] == name for call in self.by_arguments)
        return f"/usr/bin/{name}" if is_there else None

    async def run(self, path: str, *arguments: str, within_s: float = 5.0) -> str:
        await trio.lowlevel.checkpoint()
        call = (path.rpartition("/")[2], *arguments)
        self.asked.append(call)
        said = self.by_arguments.get(call, self.prints.get(call[0], ToolFailed(f"{call[0]} has failed with 1")))
        if isinstance(said, Exception):
            raise said
        return said


def machine(
    directory: Path, tools: Tools | None = None, *, environ: Mapping[str, str] | None = None, system: str = "Linux"
) -> Machine:
    tools = tools or Tools()
    return Machine(directory, environ or {}, system=system, find_tool=tools.find, run_tool=tools.run)


# -- NVML ------------------------------------------------------------------------------------------------------------


class NVMLError(Exception):
    """As pynvml has it: `value` is the number, the text is the library's."""

    value = 999
    words = "Unknown Error"

    def __str__(self) -> str:
        return self.words


class NVMLError_NotSupported(NVMLError):  # the library's own name
    value, words = 3, "Not Supported"


class NVMLError_LibraryNotFound(NVMLError):
    value, words = 12, "NVML Shared Library Not Found"


class NVMLError_DriverNotLoaded(NVMLError):
    value, words = 9, "Driver Not Loaded"


class NVMLError_GpuIsLost(NVMLError):
    value, words = 15, "GPU is lost"


class FakeNvml(ModuleType):
    """`pynvml` over cards that are dicts: what a card has no answer for it does not support; an exception is raised.

    Keys are the functions without `nvmlDeviceGet`; the memory is (total, used).
    """

    nvmlMemory_v2 = 0x2000028
    NVMLError = NVMLError
    NVMLError_NotSupported = NVMLError_NotSupported
    NVMLError_LibraryNotFound = NVMLError_LibraryNotFound
    NVMLError_DriverNotLoaded = NVMLError_DriverNotLoaded
    NVMLError_GpuIsLost = NVMLError_GpuIsLost

    def __init__(self, *cards: dict[str, Any], init: Exception | None = None) -> None:
        super().__init__("pynvml")
        self.cards = cards
        self.init = init
        self.opened = self.closed = 0

    def nvmlInit(self) -> None:
        if self.init is not None:
            raise self.init
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        card = self.cards[index]
        if isinstance(card.get("handle"), Exception):
            raise card["handle"]
        return card

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any], version: int | None = None) -> Any:
        total, used = self._say(handle, "MemoryInfo")
        return SimpleNamespace(total=total, used=used, free=total - used)

    def nvmlDeviceGetUtilizationRates(self, handle: dict[str, Any]) -> Any:
        return SimpleNamespace(gpu=self._say(handle, "UtilizationRates"), memory=0)

    def nvmlDeviceGetPciInfo(self, handle: dict[str, Any]) -> Any:
        return SimpleNamespace(busId=self._say(handle, "PciInfo"))

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: dict[str, Any], index: int) -> dict[str, Any]:
        parts: list[dict[str, Any]] = self._say(handle, "Parts")
        if index >= len(parts):
            raise NVMLError_NotSupported
        return parts[index]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: dict[str, Any]) -> int:
        return 7

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        return lambda handle, *_: self._say(handle, name.removeprefix("nvmlDeviceGet"))

    @staticmethod
    def _say(handle: dict[str, Any], what: str) -> Any:
        said = handle.get(what, NVMLError_NotSupported())
        if isinstance(said, Exception):
            raise said
        return said() if callable(said) else said


def h100(**changes: Any) -> dict[str, Any]:
    """A card as `nvidia-smi` has shown it: issue 1264 of NVIDIA/nccl (HGX H100, driver 550.54.15)."""
    return {
        "Name": "NVIDIA H100 80GB HBM3",
        "UUID": "GPU-5a9f9f5e-0b8f-4e0e-9d6d-0a1b2c3d4e5f",
        "MemoryInfo": (81559 * 1024**2, 0),
        "UtilizationRates": 0,
        "Temperature": 28,
        "PowerUsage": 88_000,
        "EnforcedPowerLimit": 700_000,
        "CudaComputeCapability": (9, 0),
        "CurrPcieLinkGeneration": 5,
        "CurrPcieLinkWidth": 16,
        "PciInfo": "00000000:18:00.0",
        "NvLinkState": 1,
        "NvLinkVersion": 6,
        "NvLinkRemoteDeviceType": 2,
        "MigMode": (0, 0),
        **changes,
    }
