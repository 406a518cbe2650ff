"""The machine itself: its processor and its memory, as far as the container may use it.

Reads `/proc` and `/sys/fs/cgroup` (blocks for a moment; for worker threads).  On macOS there is neither: the system is
asked by `sysconf`.

Sources: `man 5 proc` (meminfo is kB of 1024 bytes); the kernel's cgroup-v2.rst (`memory.max`, `memory.current`,
`inactive_file` of `memory.stat`, which would be given back) and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os
import platform
import re
from typing import NamedTuple

from hoosh.hardware.found import byte_count, clean_name
from hoosh.hardware.root import Root
from hoosh.values.hardware import Device, DeviceFamily

__all__ = ["Memory", "cpu_device", "memory_of"]

UNKNOWN_BYTES = 16 * 1024**3
"""The reference's guess."""
DEPTH_MAX = 32
_MODEL = re.compile(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", re.MULTILINE)
_LINE = re.compile(r"^(\w+):\s+(\d{1,15}) kB$", re.MULTILINE)
_INACTIVE = re.compile(r"^(?:total_)?inactive_file (\d{1,19})$", re.MULTILINE)


class Memory(NamedTuple):
    total_bytes: int
    """Of the machine, or what its container may use of it."""
    available_bytes: int | None

    @property
    def used_bytes(self) -> int | None:
        return None if self.available_bytes is None else max(0, self.total_bytes - self.available_bytes)


class _Group(NamedTuple):
    """The names of one version of control groups."""

    limit: str
    used: str


V2 = _Group("memory.max", "memory.current")
V1 = _Group("memory.limit_in_bytes", "memory.usage_in_bytes")


def memory_of(root: Root) -> Memory:
    lines = dict(_LINE.findall(root.text("/proc/meminfo") or ""))
    total, available = byte_count(lines.get("MemTotal"), 1024), byte_count(lines.get("MemAvailable"), 1024)
    total = total or _by_sysconf() or UNKNOWN_BYTES
    for directory, names in _groups(root):
        limit = root.whole(f"{directory}/{names.limit}")
        if limit is None or not 0 < limit < total:
            continue
        total = limit
        used = root.whole(f"{directory}/{names.used}")
        if used is not None:
            inactive = _INACTIVE.search(root.text(f"{directory}/memory.stat") or "")
            free = max(0, limit - used + (int(inactive[1]) if inactive else 0))
            available = min(free, limit, limit if available is None else available)
    return Memory(total, None if available is None else min(available, total))


def _groups(root: Root) -> list[tuple[str, _Group]]:
    """Those that this process is in, and all above them: each may have a limit."""
    found = []
    for line in (root.text("/proc/self/cgroup") or "").splitlines()[:64]:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base, names = "/sys/fs/cgroup", V2
        elif "memory" in controllers.split(","):
            base, names = "/sys/fs/cgroup/memory", V1
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")][:DEPTH_MAX]
        found += [("/".join([base, *parts[:depth]]), names) for depth in range(len(parts), -1, -1)]
    return found


def _by_sysconf() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def cpu_device(root: Root, memory: Memory) -> Device:
    model = _MODEL.search(root.text("/proc/cpuinfo") or "")
    return Device(
        kind="cpu",
        family=DeviceFamily.CPU,
        index=0,
        name=clean_name(model[1] if model else platform.processor() or platform.machine(), "CPU"),
        memory_bytes=memory.total_bytes,
        used_bytes=memory.used_bytes,
    )
