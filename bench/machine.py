"""The machine under the bench: cores, ports, processes and what /proc says about them.

CPU time is utime + stime of every process in the gateway's group, threads included; its unit is the kernel's tick
(10 ms), so a window should last seconds.  Memory is resident set size, summed over the group.
Source: proc(5), /proc/pid/stat fields 5, 14, 15; /proc/pid/status VmRSS; /proc/net/tcp; /proc/stat.
"""

from __future__ import annotations

import os
import platform
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Cores",
    "Running",
    "busy_ticks",
    "connecting_inodes",
    "core_busy_s",
    "describe",
    "divide_cores",
    "free_port",
    "group_and_ticks",
    "raise_file_limit",
    "vm_rss_kib",
]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SYN_SENT = "02"


# --- Cores ---


@dataclass(frozen=True)
class Cores:
    """Who runs where.  On a single core everybody shares it, and `pinned` is False."""

    gateway: frozenset[int]
    load: frozenset[int]

    @property
    def pinned(self) -> bool:
        return self.gateway != self.load

    def __str__(self) -> str:
        if not self.pinned:
            return "one core, shared by gateway, upstream and load (not pinned)"
        load = ", ".join(map(str, sorted(self.load)))
        return f"gateway pinned to core {min(self.gateway)}, upstream and load to core {load}"


def divide_cores(available: frozenset[int]) -> Cores:
    """One core for the gateway, all the others for upstream and load."""
    if len(available) < 2:
        return Cores(available, available)
    gateway = frozenset({min(available)})
    return Cores(gateway, available - gateway)


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Processes started inside inherit these cores: set before exec, because runtimes size thread pools by it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> int:
    """Let us and our children open as many files as allowed.  Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """A port nobody listens on, below the range that outgoing connections are given."""
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def describe() -> dict[str, str | int]:
    """What the results should say about the machine.  No host name."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


# --- /proc, read by pure functions ---


def group_and_ticks(stat: str) -> tuple[int, int]:
    """Process group, and user plus system ticks, of one /proc/PID/stat.  The name in brackets may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[2]), int(fields[11]) + int(fields[12])


def busy_ticks(stat: str, core: int) -> int:
    """Ticks that `core` was not idle, of /proc/stat: all but the columns idle and iowait."""
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return sum(map(int, ticks[:3] + ticks[5:8]))
    return 0


def vm_rss_kib(status: str) -> int:
    """VmRSS of one /proc/PID/status; 0 for a process without memory (a zombie, a kernel thread)."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def connecting_inodes(table: str, remote_port: int) -> set[int]:
    """Inodes of the sockets in /proc/net/tcp that wait for an answer to their SYN from 127.0.0.1:remote_port."""
    remote = f"0100007F:{remote_port:04X}"
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[9]) for row in rows if row[2] == remote and row[3] == SYN_SENT}


def core_busy_s(core: int) -> float:
    return busy_ticks(Path("/proc/stat").read_text(), core) / TICKS_PER_S


# --- A process of ours ---


class Running:
    """A program in a session of its own, with its log; stopped with everything it started."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cores: frozenset[int],
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        self.started_s = time.monotonic()
        with log.open("wb") as output, on_cores(cores):
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pids(self) -> list[int]:
        return [pid for pid, _ in self._members()]

    def cpu_s(self) -> float:
        return sum(ticks for _, ticks in self._members()) / TICKS_PER_S

    def rss_kib(self) -> int:
        total = 0
        for pid in self.pids():
            try:
                total += vm_rss_kib(Path(f"/proc/{pid}/status").read_text())
            except OSError:
                pass  # it ended while we looked
        return total

    def socket_link(self, inode: int) -> Path | None:
        """The entry under /proc/PID/fd that is this socket: it vanishes the moment that the process closes it."""
        wanted = f"socket:[{inode}]"
        for pid in self.pids():
            try:
                for link in Path(f"/proc/{pid}/fd").iterdir():
                    if os.readlink(link) == wanted:
                        return link
            except OSError:
                continue
        return None

    def alive(self) -> bool:
        return self.process.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, within_s: float = 5.0) -> None:
        """SIGTERM to the group, and SIGKILL to what is left of it."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()

    def _members(self) -> list[tuple[int, int]]:
        members = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                group, ticks = group_and_ticks((entry / "stat").read_text())
            except OSError:
                continue
            if group == self.process.pid:
                members.append((int(entry.name), ticks))
        return members
