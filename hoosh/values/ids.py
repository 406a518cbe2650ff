"""Ids that we make up: unique across processes, cheap, and safe to print."""

from __future__ import annotations

import itertools
import secrets

__all__ = ["new_call_id", "new_request_id"]

_prefix = f"req_{secrets.token_hex(8)}"
_numbers = itertools.count(1)


def new_request_id() -> str:
    """A fresh id: 64 random bits of this process, then a counter.  Never waits, never repeats."""
    return f"{_prefix}{next(_numbers):08x}"


def new_call_id() -> str:
    """For a tool call whose upstream gave it none."""
    return f"call_{secrets.token_hex(12)}"
