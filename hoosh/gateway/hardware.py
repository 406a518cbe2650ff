"""What this machine can carry: the last look at it, for the doors and for routing."""

from __future__ import annotations

from hoosh.errors import Unavailable
from hoosh.values.hardware import Inventory

__all__ = ["Hardware"]


class Hardware:
    """The last look at the machine."""

    def __init__(self) -> None:
        self.inventory: Inventory | None = None
        """None until the first look is over."""
        self.reserve_bytes = 0
        """Of accelerator memory, that nobody may plan with."""

    async def look(self) -> Inventory:
        """The last look.  Raises Unavailable before the first."""
        if self.inventory is None:
            raise Unavailable("This machine has not been looked at yet.", retry_after_s=1.0)
        return self.inventory
