"""What can this machine carry?

    GET  /v1/hardware                      devices, what joins them, where it all runs
    GET  /v1/hardware/telemetry            memory in use, load and heat of each device, now
    POST /v1/hardware/requirement-match    is there an accelerator of this sort?

Both lines of the reference are answered at once: fields of the first with those of the second beside them.  Where both
use one name for two things the first has it, and the other has another: `accelerators` is a list, `accelerator_count`
how many.  `bandwidth_gbps` is GB/s, as the reference has it.  What is not known is left out, or null in the telemetry.

Source: reference section 2.16; docs/hardware.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol

from msgspec import UNSET, Struct, UnsetType
from quart import Blueprint, Response

from hoosh.api.face import json_response, read_body, require
from hoosh.catalogue.devices import best_device
from hoosh.errors import InvalidRequest
from hoosh.values.hardware import Device, DeviceFamily, GpuShare, Inventory

__all__ = ["HardwareDesk", "HasHardware", "hardware_routes", "matching", "page_of", "telemetry_of"]

SMALL_BODY_BYTES = 64 * 1024
MAX_CHIPS = 1_000_000

Requirement = Literal["none", "gpu", "tpu", "gaudi", "aws-neuron", "gpu-or-tpu", "any-accelerator"]


class HardwareDesk(Protocol):
    inventory: Inventory | None
    """The last look at the machine; None before the first is over."""
    reserve_bytes: int

    async def look(self) -> Inventory:
        """The last look at the machine.  Raises Unavailable where the first one takes too long."""
        ...


class HasHardware(Protocol):
    """The gateway, as far as these routes know it."""

    @property
    def hardware(self) -> HardwareDesk: ...


class Accelerator(Struct, frozen=True, kw_only=True):
    """A device that is no CPU, and may be used."""

    name: str
    family: DeviceFamily
    memory_bytes: int
    memory_used_bytes: int | UnsetType = UNSET
    memory_free_bytes: int | UnsetType = UNSET
    utilization_pct: float | UnsetType = UNSET
    temperature_c: float | UnsetType = UNSET
    power_watts: float | UnsetType = UNSET
    bandwidth_gbps: float | UnsetType = UNSET
    type: str
    index: int
    unified: bool
    power_limit_watts: float | UnsetType = UNSET
    uuid: str | UnsetType = UNSET
    driver: str | UnsetType = UNSET
    compute_capability: str | UnsetType = UNSET
    pcie: str | UnsetType = UNSET
    numa_node: int | UnsetType = UNSET
    cores: int | UnsetType = UNSET
    parent: int | UnsetType = UNSET
    profile: str | UnsetType = UNSET


class BestDevice(Struct, frozen=True):
    type: str
    family: DeviceFamily
    memory_bytes: int


class Profile(BestDevice, frozen=True):
    available: bool


class Surroundings(Struct, frozen=True, kw_only=True):
    is_docker: bool
    is_kubernetes: bool
    namespace: str | UnsetType = UNSET
    cloud_provider: str | UnsetType = UNSET
    instance_type: str | UnsetType = UNSET
    kubernetes_gpu: GpuShare | UnsetType = UNSET


class Link(Struct, frozen=True, kw_only=True):
    """Of one device, both directions of all its links together."""

    kind: str
    name: str
    bandwidth_gbps: float
    state: str | UnsetType = UNSET


class Disk(Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    bandwidth_gbps: float
    size_bytes: int | UnsetType = UNSET


class SystemIo(Struct, frozen=True):
    interconnects: list[Link]
    storage: list[Disk]


class HardwarePage(Struct, frozen=True, kw_only=True):
    """The machine.  Sizes are bytes, bandwidths GB/s."""

    accelerators: list[Accelerator]
    total_vram_bytes: int
    available_vram_bytes: int
    vram_reserve_bytes: int
    has_fast_interconnect: bool
    environment: Surroundings
    detected: bool
    devices: int
    accelerator_count: int
    accel_memory_bytes: int
    total_memory_bytes: int
    best_device: BestDevice | UnsetType = UNSET
    profiles: list[Profile]
    system_memory_bytes: int
    system_available_bytes: int | UnsetType = UNSET
    system_io: SystemIo
    warnings: list[str]
    looked_at: float
    """Unix time of the numbers."""
    took_s: float
    """The last whole look."""


class DeviceTelemetry(Struct, frozen=True, kw_only=True):
    device: str
    device_id: int
    memory_bytes: int
    memory_used_bytes: int | None
    memory_free_bytes: int | None
    utilization_percent: float | None
    temperature_c: float | None
    power_watts: float | None
    parent: int | None
    """Of an instance of a GPU (MIG) the GPU's number; `device_id` counts among its instances."""


class TelemetryPage(Struct, frozen=True, kw_only=True):
    """How each device is.  null: it cannot say."""

    devices: list[DeviceTelemetry]
    has_fast_interconnect: bool
    max_interconnect_gbps_x1000: int
    system_io: SystemIo
    available_vram_bytes: int
    looked_at: float


class RequirementMatch(Struct, frozen=True, kw_only=True):
    requirement: str
    min_chips: int
    satisfied: bool
    device: BestDevice | UnsetType = UNSET
    """The best of those that match."""


class _Match(Struct):
    requirement: Requirement
    min_chips: int = 1


def hardware_routes(gateway: HasHardware) -> Blueprint:
    routes = Blueprint("hardware", __name__)

    @routes.get("/v1/hardware")
    async def hardware() -> Response:
        """Devices, what joins them, where it all runs."""
        require("inference")
        desk = gateway.hardware
        return json_response(page_of(await desk.look(), desk.reserve_bytes))

    @routes.get("/v1/hardware/telemetry")
    async def telemetry() -> Response:
        """Memory in use, load and heat of each device."""
        require("inference")
        desk = gateway.hardware
        return json_response(telemetry_of(await desk.look(), desk.reserve_bytes))

    @routes.post("/v1/hardware/requirement-match")
    async def requirement_match() -> Response:
        """Is there an accelerator of this sort?"""
        require("inference")
        asked = await read_body(_Match, SMALL_BODY_BYTES)
        if not 1 <= asked.min_chips <= MAX_CHIPS:
            message = f"Invalid 'min_chips': must be a number from 1 to {MAX_CHIPS}."
            raise InvalidRequest(message, param="min_chips", code="invalid_value")
        found = matching(asked.requirement, (await gateway.hardware.look()).accelerators)
        return json_response(_matched(asked, found))

    return routes


# -- pages ---------------------------------------------------------------------------------------------------------


def page_of(inventory: Inventory, reserve_bytes: int) -> HardwarePage:
    accelerators, best = inventory.accelerators, best_device(inventory.devices)
    own_bytes = sum(device.memory_bytes for device in accelerators if not device.unified)
    return HardwarePage(
        accelerators=[_accelerator(device) for device in accelerators],
        total_vram_bytes=inventory.vram_bytes,
        available_vram_bytes=inventory.free_vram_bytes(reserve_bytes),
        vram_reserve_bytes=reserve_bytes,
        has_fast_interconnect=_is_fast(inventory),
        environment=_surroundings(inventory),
        detected=bool(inventory.devices),
        devices=len(inventory.devices),
        accelerator_count=len(accelerators),
        accel_memory_bytes=inventory.vram_bytes,
        total_memory_bytes=inventory.system_memory_bytes + own_bytes,
        best_device=UNSET if best is None else _best(best),
        profiles=[
            Profile(device.kind, device.family, device.memory_bytes, device.available) for device in inventory.devices
        ],
        system_memory_bytes=inventory.system_memory_bytes,
        system_available_bytes=_known(inventory.available_memory_bytes),
        system_io=_system_io(inventory),
        warnings=list(inventory.warnings),
        looked_at=inventory.looked_at,
        took_s=inventory.took_s,
    )


def telemetry_of(inventory: Inventory, reserve_bytes: int) -> TelemetryPage:
    fastest = max((link.bandwidth_gb_s for link in inventory.interconnects), default=0.0)
    return TelemetryPage(
        devices=[_telemetry(device) for device in inventory.devices],
        has_fast_interconnect=_is_fast(inventory),
        max_interconnect_gbps_x1000=round(fastest * 1000),
        system_io=_system_io(inventory),
        available_vram_bytes=inventory.free_vram_bytes(reserve_bytes),
        looked_at=inventory.looked_at,
    )


def _accelerator(device: Device) -> Accelerator:
    return Accelerator(
        name=device.name,
        family=device.family,
        memory_bytes=device.memory_bytes,
        memory_used_bytes=_known(device.used_bytes),
        memory_free_bytes=_known(device.free_bytes),
        utilization_pct=_known(device.utilization_pct),
        temperature_c=_known(device.temperature_c),
        power_watts=_known(device.power_w),
        bandwidth_gbps=_known(device.bandwidth_gb_s),
        type=device.kind,
        index=device.index,
        unified=device.unified,
        power_limit_watts=_known(device.power_limit_w),
        uuid=_known(device.uuid),
        driver=_known(device.driver),
        compute_capability=_known(device.compute_capability),
        pcie=_known(device.pcie),
        numa_node=_known(device.numa_node),
        cores=_known(device.cores),
        parent=_known(device.parent),
        profile=_known(device.profile),
    )


def _telemetry(device: Device) -> DeviceTelemetry:
    return DeviceTelemetry(
        device=device.kind,
        device_id=device.index,
        memory_bytes=device.memory_bytes,
        memory_used_bytes=device.used_bytes,
        memory_free_bytes=device.free_bytes,
        utilization_percent=device.utilization_pct,
        temperature_c=device.temperature_c,
        power_watts=device.power_w,
        parent=device.parent,
    )


def _best(device: Device) -> BestDevice:
    return BestDevice(device.kind, device.family, device.memory_bytes)


def _surroundings(inventory: Inventory) -> Surroundings:
    environment = inventory.environment
    return Surroundings(
        is_docker=environment.is_docker,
        is_kubernetes=environment.is_kubernetes,
        namespace=_known(environment.namespace),
        cloud_provider=_known(environment.cloud_provider),
        instance_type=_known(environment.instance_type),
        kubernetes_gpu=_known(environment.kubernetes_gpu),
    )


def _system_io(inventory: Inventory) -> SystemIo:
    return SystemIo(
        [
            Link(kind=each.kind, name=each.name, bandwidth_gbps=each.bandwidth_gb_s, state=_known(each.state))
            for each in inventory.interconnects
        ],
        [
            Disk(kind=each.kind, name=each.name, bandwidth_gbps=each.bandwidth_gb_s, size_bytes=_known(each.size_bytes))
            for each in inventory.storage
        ],
    )


def _is_fast(inventory: Inventory) -> bool:
    """Something better than PCIe joins devices, or machines, and is not down."""
    return any(link.state in (None, "active") for link in inventory.interconnects)


def _known(value: Any) -> Any:
    return UNSET if value is None else value


# -- requirements --------------------------------------------------------------------------------------------------


def matching(requirement: Requirement, accelerators: Iterable[Device]) -> list[Device]:
    """Those that would do."""
    return [device for device in accelerators if _does(requirement, device)]


def _does(requirement: Requirement, device: Device) -> bool:
    match requirement:
        case "none":
            return False
        case "gpu":
            return device.family is DeviceFamily.GPU
        case "tpu":
            return device.family is DeviceFamily.TPU
        case "gpu-or-tpu":
            return device.family in (DeviceFamily.GPU, DeviceFamily.TPU)
        case "gaudi":
            return device.kind.startswith("gaudi")
        case "aws-neuron":
            return device.kind in ("inferentia", "trainium")
        case "any-accelerator":
            return True


def _matched(asked: _Match, found: list[Device]) -> RequirementMatch:
    is_satisfied = asked.requirement == "none" or len(found) >= asked.min_chips
    best = best_device(found) if is_satisfied else None
    return RequirementMatch(
        requirement=asked.requirement,
        min_chips=asked.min_chips,
        satisfied=is_satisfied,
        device=UNSET if best is None else _best(best),
    )
