"""One attempt at one upstream: what the record, the log line and the live view say of it."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["AttemptRecord"]


class AttemptRecord(Struct, frozen=True, gc=False):
    """A try that is over, and why the request did not end with it; the one that answered has no `reason`."""

    provider: str
    model: str
    duration_s: float
    reason: str = ""
    """A word: an HTTP status (`503`), a deadline (`first_token`), `connect`, `broke`, `hedged`, `cut`."""
