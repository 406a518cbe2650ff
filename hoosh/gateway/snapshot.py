"""What one request works with, start to end: one view of the configuration.  Swapped whole, never changed."""

from __future__ import annotations

from msgspec import Struct

from hoosh.access import KeyRing
from hoosh.config import Config
from hoosh.routing import RouteTable

__all__ = ["Snapshot"]


class Snapshot(Struct, frozen=True):
    config: Config
    keys: KeyRing
    routes: RouteTable
