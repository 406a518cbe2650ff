"""Looking at a machine: all backends beside each other, each in its own time, none able to spoil the look.

    look      everything: who is there, how he is                      seconds, where makers' tools are slow
    glance    of who was there: memory in use, load, heat, power       what does not change is not asked again

A backend that fails, crashes or hangs is a warning, and the others' findings stand.  The last resort is asked only when
the others have found no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from time import time

import trio

from hoosh.hardware.backends import LAST_RESORT, LOOKS, SILENT, SUFFICE
from hoosh.hardware.found import Found, clean_name
from hoosh.hardware.host import cpu_device, memory_of
from hoosh.hardware.machine import Machine, Probe
from hoosh.hardware.sight import Host, Sight, without_telemetry
from hoosh.hardware.surroundings import environment_of, networks_of, storage_of
from hoosh.hardware.tools import ToolFailed

__all__ = ["BACKEND_S", "Detection"]

BACKEND_S = 10.0
"""The longest that anybody waits for a backend, all its tools together."""


class Detection:
    """Looks at `machine`, as often as it is asked to.  Never raises but for a bug, or cancellation."""

    def __init__(self, machine: Machine, *, wall_s: Callable[[], float] = time) -> None:
        self._machine = machine
        self._wall_s = wall_s

    async def look(self, disabled: Collection[str] = ()) -> Sight:
        """Everything but what is disabled.  Waits BACKEND_S twice at most."""
        started_at, begun = self._wall_s(), trio.current_time()
        wanted = [name for name in LOOKS if name not in disabled]
        found = await self._ask(name for name in wanted if name != LAST_RESORT)
        if LAST_RESORT in wanted and not any(found[name].devices for name in SUFFICE & found.keys()):
            found |= await self._ask([LAST_RESORT])
        host = await self._host()
        return Sight(
            host=host,
            found={name: found[name] for name in wanted if name in found},
            looked_at=started_at,
            glanced_at=started_at,
            took_s=round(trio.current_time() - begun, 3),
        )

    async def glance(self, before: Sight) -> Sight:
        """What changes from one minute to the next, of the devices that were there `before`."""
        now = self._wall_s()
        wanted = [name for name, found in before.found.items() if found.devices and name not in SILENT]
        found = await self._ask(wanted)
        for name, seen in found.items():
            if not seen.devices and seen.warnings:
                found[name] = without_telemetry(before.found[name], seen.warnings[0])
        return before.glanced(await self._host(), found, now)

    async def _ask(self, names: Iterable[str]) -> dict[str, Found]:
        found: dict[str, Found] = {}
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(self._ask_one, name, found)
        return found

    async def _ask_one(self, name: str, found: dict[str, Found]) -> None:
        with trio.move_on_after(BACKEND_S) as scope:
            found[name] = await _careful(name, self._machine.probe(name))
        if scope.cancelled_caught:
            found[name] = Found(warnings=(f"{name}: has not answered within {BACKEND_S:g} s",))

    async def _host(self) -> Host:
        """The machine itself, without its disks and ways out where these hang in `/sys`."""
        with trio.move_on_after(BACKEND_S):
            return await self._machine.probe("host").read(_host_of, self._machine)
        return await self._machine.probe("memory").read(_host_of, self._machine, False)


async def _careful(name: str, probe: Probe) -> Found:
    try:
        return await LOOKS[name](probe)
    except (ToolFailed, ValueError) as error:
        return Found(warnings=(f"{name}: {clean_name(str(error))}",))
    except Exception as bug:
        return Found(warnings=(f"{name}: crashed: {clean_name(repr(bug))}",))


def _host_of(machine: Machine, around: bool = True) -> Host:
    root = machine.root
    memory = memory_of(root)
    return Host(
        cpu=cpu_device(root, memory),
        system_memory_bytes=memory.total_bytes,
        available_memory_bytes=memory.available_bytes,
        storage=storage_of(root) if around else (),
        networks=networks_of(root) if around else (),
        environment=environment_of(root, machine.environ),
    )
