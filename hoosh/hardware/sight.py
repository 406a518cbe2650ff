"""One look at a machine, backend by backend, and the inventory that it comes to.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from hoosh.hardware.found import Found
from hoosh.values.hardware import Device, Environment, Interconnect, Inventory, Storage

__all__ = ["Host", "Sight", "without_telemetry"]


class Host(Struct, frozen=True, kw_only=True):
    """The machine without what its backends find."""

    cpu: Device
    system_memory_bytes: int
    available_memory_bytes: int | None
    storage: tuple[Storage, ...]
    networks: tuple[Interconnect, ...]
    environment: Environment


class Sight(Struct, frozen=True, kw_only=True):
    host: Host
    found: dict[str, Found]
    """By backend; those that were not asked are not in it."""
    looked_at: float
    """Unix time of the whole look."""
    glanced_at: float
    """Unix time of what changes from one minute to the next."""
    took_s: float

    @property
    def is_sound(self) -> bool:
        """No backend had anything to complain of: another process may believe it."""
        return not any(each.warnings for each in self.found.values())

    def inventory(self) -> Inventory:
        host, found = self.host, self.found.values()
        return Inventory(
            devices=(host.cpu, *(device for each in found for device in each.devices)),
            system_memory_bytes=host.system_memory_bytes,
            available_memory_bytes=host.available_memory_bytes,
            interconnects=(*(link for each in found for link in each.interconnects), *host.networks),
            storage=host.storage,
            environment=host.environment,
            warnings=tuple(warning for each in found for warning in each.warnings),
            looked_at=self.glanced_at,
            took_s=self.took_s,
        )

    def glanced(self, host: Host, found: Mapping[str, Found], now: float) -> Sight:
        """With what was seen later of some of it."""
        return replace(self, host=host, found={**self.found, **found}, glanced_at=now)


def without_telemetry(found: Found, warning: str) -> Found:
    """What is still there, of which nobody can say now how it is."""
    devices = (
        replace(device, used_bytes=None, utilization_pct=None, temperature_c=None, power_w=None)
        for device in found.devices
    )
    return replace(found, devices=tuple(devices), warnings=(warning,))
