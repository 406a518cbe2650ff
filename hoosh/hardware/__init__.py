"""What can this machine carry?

`Detection` looks at a `Machine`, backend by backend; a `Sight` is what it has seen, and comes to an `Inventory`.
"""

from hoosh.hardware.detection import Detection
from hoosh.hardware.kept import KeptSight, place_of
from hoosh.hardware.machine import Machine
from hoosh.hardware.settings import BACKENDS, Hardware
from hoosh.hardware.sight import Host, Sight

__all__ = ["BACKENDS", "Detection", "Hardware", "Host", "KeptSight", "Machine", "Sight", "place_of"]
