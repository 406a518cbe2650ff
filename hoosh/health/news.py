"""What the board tells: a change when it happens, an account's condition to whoever asks.

Source: reference, sections 2.9 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

__all__ = ["Change", "Condition"]


class Change(Struct, frozen=True):
    """Something that owners want to know.

    Of a breaker, `from_` and `to` are its states; of an account's health (`model` is None) `healthy` and `unhealthy`.
    """

    provider: str
    model: str | None
    """`*` is the whole account's breaker."""
    from_: str
    to: str
    reason: str
    """A word: an HTTP status, a deadline, an ailment, `trial`, `probe`, `answered`, `expired`."""
    at_s: float


class Condition(Struct, frozen=True):
    """How one account is doing, for the pages."""

    status: str
    """healthy, unhealthy or unknown."""
    consecutive_failures: int = 0
    last_error: str | None = None
    """A word, nothing of an upstream's text."""
    breakers: Mapping[str, str] = {}
    """By model, those that are not closed; `*` is the whole account."""
    checked_ago_s: float | None = None
    """Since the last probe."""
