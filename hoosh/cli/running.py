"""Trio under a command: what leaves the outermost nursery in a group is opened here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

__all__ = ["run_trio"]

T = TypeVar("T")


def run_trio(main: Callable[[], Awaitable[T]]) -> T:
    """The result of `main`.  Raises KeyboardInterrupt for Ctrl-C, wherever it has struck."""
    try:
        return trio.run(main)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        raise
