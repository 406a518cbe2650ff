"""What one backend has found, and how its words and numbers are read.

Tools and drivers are not believed: names are cut and cleaned, numbers that cannot be are None, and there are never
more than 256 devices of a backend.
"""

from __future__ import annotations

import math

from msgspec import Struct

from hoosh.values.hardware import Device, Interconnect

__all__ = ["DEVICES_MAX", "MIB", "Found", "byte_count", "clean_name", "number", "percent", "temperature", "watts"]

DEVICES_MAX = 256
NAME_CHARS = 120
MIB = 1024**2
MOST_BYTES = 2**50


class Found(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing, unless more is said."""

    devices: tuple[Device, ...] = ()
    interconnects: tuple[Interconnect, ...] = ()
    warnings: tuple[str, ...] = ()


def clean_name(text: object, otherwise: str = "") -> str:
    """For people: printable, on one line, not long."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        return otherwise
    printable = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * NAME_CHARS])
    return " ".join(printable.split())[:NAME_CHARS] or otherwise


def number(value: object, low: float = -math.inf, high: float = math.inf) -> float | None:
    """Of a number, or a text that begins with one (`672 MiB`); None for all else (`N/A`), and for what cannot be."""
    if isinstance(value, str):
        try:
            value = float(value[:40].split()[0])
        except (ValueError, IndexError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return None
    return None if math.isinf(value) else float(value)


def byte_count(value: object, unit_bytes: int = 1) -> int | None:
    count = number(value, 0, MOST_BYTES / unit_bytes)
    if count is None:
        return None
    return value * unit_bytes if type(value) is int else int(count * unit_bytes)


def percent(value: object) -> float | None:
    return number(value, 0, 100)


def temperature(value: object) -> float | None:
    """°C, of silicon that is alive."""
    return number(value, -60, 250)


def watts(value: object) -> float | None:
    return number(value, 0, 100_000)
