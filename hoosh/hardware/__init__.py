"""What can this machine carry?

`detection.Detection` looks at a `machine.Machine`, backend by backend; a `sight.Sight` is what it has seen, and comes
to an `Inventory`.  Only the settings are loaded with the package: looking needs much that no start shall wait for.
"""

from hoosh.hardware.settings import BACKENDS, Hardware

__all__ = ["BACKENDS", "Hardware"]
