"""A machine to be looked at: its files, its environment and its tools, each with a deadline.

Files and libraries are read in worker threads.  A driver that hangs holds its thread for as long as it likes, and
nobody waits for that: the thread is given up, and its place in the limiter stays taken until it comes back, so that a
backend never holds more than one.
"""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import trio

from hoosh.hardware.root import Root
from hoosh.hardware.tools import TOOL_S, find_tool, run_tool

__all__ = ["Machine", "Probe"]

T = TypeVar("T")

RunTool = Callable[..., Awaitable[str]]


class Machine:
    """This one, unless a test says otherwise."""

    def __init__(
        self,
        root: str | Path = "/",
        environ: Mapping[str, str] | None = None,
        *,
        system: str = platform.system(),
        find_tool: Callable[[str], str | None] = find_tool,
        run_tool: RunTool = run_tool,
    ) -> None:
        self.root = Root(root)
        self.environ = os.environ if environ is None else environ
        self.system = system
        """As `platform.system` names it."""
        self.find_tool = find_tool
        self.run_tool = run_tool
        self._limiters: defaultdict[str, trio.CapacityLimiter] = defaultdict(lambda: trio.CapacityLimiter(1))

    def probe(self, backend: str) -> Probe:
        """For one backend at a time."""
        return Probe(self, self._limiters[backend])


class Probe:
    """What a backend asks the machine with."""

    def __init__(self, machine: Machine, limiter: trio.CapacityLimiter) -> None:
        self._machine = machine
        self._limiter = limiter
        self.root = machine.root
        self.environ = machine.environ
        self.system = machine.system

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """`work(*arguments)` in a worker thread, which is given up when this is cancelled."""
        return await trio.to_thread.run_sync(work, *arguments, abandon_on_cancel=True, limiter=self._limiter)

    async def ask(self, tool: str, *arguments: str, within_s: float = TOOL_S) -> str | None:
        """What the tool prints; None where it is not installed.  Raises ToolFailed."""
        path = await self.read(self._machine.find_tool, tool)
        return None if path is None else await self._machine.run_tool(path, *arguments, within_s=within_s)
