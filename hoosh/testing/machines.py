"""A machine that is what a test says it is: whoever looks at it sees that, at once and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from time import time

import trio
from msgspec.structs import replace

from hoosh.hardware.found import Found
from hoosh.hardware.sight import Host, Sight
from hoosh.values.hardware import Device, DeviceFamily, Environment, Interconnect, Storage

__all__ = ["GIB", "FakeMachine", "cpu", "gpu"]

GIB = 1024**3


def cpu(memory_bytes: int = 64 * GIB) -> Device:
    return Device(kind="cpu", family=DeviceFamily.CPU, index=0, name="Fake CPU", memory_bytes=memory_bytes)


def gpu(index: int = 0, memory_bytes: int = 24 * GIB, *, used_bytes: int | None = 1 * GIB) -> Device:
    return Device(
        kind="cuda",
        family=DeviceFamily.GPU,
        index=index,
        name="Fake GPU",
        memory_bytes=memory_bytes,
        used_bytes=used_bytes,
        utilization_pct=12.0,
        temperature_c=45.0,
        power_w=120.0,
        bandwidth_gb_s=1008.0,
    )


class FakeMachine:
    """For `open_gateway(looks=...)`.  Counts who has looked how often; change `devices` for what is seen next."""

    def __init__(
        self,
        *devices: Device,
        system_bytes: int = 64 * GIB,
        links: tuple[Interconnect, ...] = (),
        storage: tuple[Storage, ...] = (),
        environment: Environment = Environment(),  # noqa: B008  # frozen
        wall_s: Callable[[], float] = time,
    ) -> None:
        """`wall_s` dates the looks."""
        self.devices = devices
        self.warnings: tuple[str, ...] = ()
        self.looks = self.glances = 0
        self.asked: list[tuple[str, ...]] = []
        """What was disabled at each look."""
        self._links = links
        self._wall_s = wall_s
        self._host = Host(
            cpu=cpu(system_bytes),
            system_memory_bytes=system_bytes,
            available_memory_bytes=system_bytes // 2,
            storage=storage,
            networks=(),
            environment=environment,
        )

    async def look(self, disabled: tuple[str, ...] = ()) -> Sight:
        await trio.lowlevel.checkpoint()
        self.looks += 1
        self.asked.append(disabled)
        now = self._wall_s()
        found = {"cuda": self._found()} if self.devices and "cuda" not in disabled else {}
        return Sight(host=self._host, found=found, looked_at=now, glanced_at=now, took_s=0.0)

    async def glance(self, before: Sight) -> Sight:
        await trio.lowlevel.checkpoint()
        self.glances += 1
        return replace(before, found={name: self._found() for name in before.found}, glanced_at=self._wall_s())

    def _found(self) -> Found:
        return Found(devices=self.devices, interconnects=self._links, warnings=self.warnings)
