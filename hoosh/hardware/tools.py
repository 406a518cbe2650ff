"""Makers' tools: found by their path, given little time, little room and little to know, and gone when nobody waits.

Never a shell, never the owner's PATH or environment: what `LD_PRELOAD` or a directory of somebody's own would put in a
tool's place does not run here.  A tool runs in a process group of its own, so that what it has started ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

import trio

__all__ = ["OUTPUT_BYTES", "TOOL_S", "ToolFailed", "find_tool", "run_tool"]

TOOL_S = 5.0
OUTPUT_BYTES = 1024 * 1024
REAP_S = 1.0
"""For the kernel to take away what was killed.  Longer only what hangs in a driver."""
DIRECTORIES = (
    *("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"),
    *(
        "/usr/local/nvidia/bin",
        "/usr/lib/wsl/lib",
        "/opt/aws/neuron/bin",
        "/opt/xpum/bin",
        "/run/current-system/sw/bin",
    ),
)
"""Only an administrator can put something there."""
ENVIRON: Mapping[str, str] = MappingProxyType({"PATH": ":".join(DIRECTORIES), "LC_ALL": "C", "HOME": "/nonexistent"})


class ToolFailed(Exception):
    """It is there, and has not done what it was asked.  The text names it and says why."""


def find_tool(name: str, directories: Sequence[str] = DIRECTORIES) -> str | None:
    """Its absolute path; None where it is not installed.  Blocks for a moment."""
    paths = (f"{directory}/{name}" for directory in directories)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


async def run_tool(path: str, *arguments: str, within_s: float = TOOL_S) -> str:
    """What it prints.  Raises ToolFailed when it fails, prints more than 1 MiB, or takes longer than `within_s`.

    Whoever is cancelled while he waits here leaves no process behind.
    """
    name = os.path.basename(path)
    with trio.move_on_after(within_s) as scope:
        output, code = await _run(path, arguments)
    if scope.cancelled_caught:
        raise ToolFailed(f"{name} has not answered within {within_s:g} s")
    if code is None:
        raise ToolFailed(f"{name} prints more than {OUTPUT_BYTES // 1024} KiB")
    if code:
        raise ToolFailed(f"{name} has failed with {code}")
    return output.decode("utf-8", "replace")


async def _run(path: str, arguments: Sequence[str]) -> tuple[bytes, int | None]:
    """Output and exit code; None for the code where there was too much output."""
    start = partial(
        trio.lowlevel.open_process,
        [path, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(ENVIRON),
        cwd="/",
        start_new_session=True,
    )
    try:
        with trio.CancelScope(shield=True):  # else a process could be started that nobody knows of
            process = await start()
    except OSError as error:
        raise ToolFailed(f"{os.path.basename(path)} cannot be started: {error.strerror}") from None
    code: int | None = None
    try:
        output = bytearray()
        assert process.stdout is not None
        async for part in process.stdout:
            output += part
            if len(output) > OUTPUT_BYTES:
                return b"", None
        code = await process.wait()
        return bytes(output), code
    finally:
        await _end(process, is_over=code is not None)


async def _end(process: trio.Process, *, is_over: bool) -> None:
    """Kill what is left of it and of what it has started, and let the kernel take it away.

    Unless it is over nobody has asked for its exit code: its number, and so that of its group, is nobody else's yet.
    """
    if not is_over:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    with trio.CancelScope(shield=True, deadline=trio.current_time() + REAP_S):
        if process.stdout is not None:
            await process.stdout.aclose()
        await process.wait()
