"""What `/sys` says of a device on the PCI bus, whoever has made it."""

from __future__ import annotations

import re

from hoosh.hardware.found import number, temperature, watts
from hoosh.hardware.root import Root

__all__ = ["PCIE_GENERATIONS", "degrees", "drm_cards", "numa_node", "pcie", "power", "power_limit"]

PCIE_GENERATIONS = {"2.5": "1.0", "5.0": "2.0", "8.0": "3.0", "16.0": "4.0", "32.0": "5.0", "64.0": "6.0"}
"""By GT/s of a lane."""
MICRO = 1_000_000
_CARD = re.compile(r"card\d{1,4}", re.ASCII)


def drm_cards(root: Root, *drivers: str) -> list[str]:
    """The device directories of graphics cards that one of `drivers` runs."""
    cards = [name for name in root.names("/sys/class/drm") if _CARD.fullmatch(name)]
    paths = [f"/sys/class/drm/{name}/device" for name in cards]
    return [path for path in paths if root.target(f"{path}/driver") in drivers]


def pcie(root: Root, device: str) -> str | None:
    """As it runs now: `4.0 x16`.  The parts of a processor have no link that would mean anything."""
    speed, width = root.text(f"{device}/current_link_speed"), root.whole(f"{device}/current_link_width")
    generation = PCIE_GENERATIONS.get((speed or "").partition(" ")[0])
    return f"{generation} x{width}" if generation and width and 0 < width <= 32 else None


def numa_node(root: Root, device: str) -> int | None:
    node = root.whole(f"{device}/numa_node")
    return node if node is not None and 0 <= node < 4096 else None


def degrees(root: Root, device: str) -> float | None:
    """°C, of the first sensor.  Source: the kernel's hwmon sysfs interface: thousandths."""
    found = _first(root, device, "temp1_input", "temp2_input")
    return None if found is None else temperature(found / 1000)


def power(root: Root, device: str) -> float | None:
    found = _first(root, device, "power1_average", "power1_input")
    return None if found is None else watts(found / MICRO)


def power_limit(root: Root, device: str) -> float | None:
    found = _first(root, device, "power1_cap", "power1_max")
    return None if found is None else watts(found / MICRO)


def _first(root: Root, device: str, *files: str) -> float | None:
    for monitor in root.names(f"{device}/hwmon"):
        for file in files:
            found = number(root.whole(f"{device}/hwmon/{monitor}/{file}"))
            if found is not None:
                return found
    return None
