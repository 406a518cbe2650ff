"""A bug, as the owner is told of it."""

from __future__ import annotations

from hoosh.api.errors import unwrap
from hoosh.gateway.gateway import Gateway

__all__ = ["report_crash"]


def report_crash(gateway: Gateway, bug: BaseException) -> None:
    """Loud in the log, with its stack, and silent to the client."""
    gateway.log.error("bug", room="api", error=type(unwrap(bug)).__name__, stack=gateway.log.stack_of(bug))
