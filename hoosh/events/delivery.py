"""What an answer to a delivery means, and when to try again.  Pure.

    2xx                  delivered
    410                  gone: nobody wants events there any more
    anything else        try again; a redirect, too, for it is not followed

Source: Standard Webhooks, specification 1.0.0, "Deliverability and reliability"; RFC 9110, section 10.2.3.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from msgspec import Struct

from hoosh.values import doubled_s

__all__ = ["Answer", "Verdict", "pause_s", "verdict_on"]

FIRST_S = 1.0
LONGEST_S = 300.0
GONE = 410


class Verdict(StrEnum):
    DELIVERED = "delivered"
    GONE = "gone"
    AGAIN = "again"


class Answer(Struct, frozen=True):
    """How an attempt has ended."""

    status: int | None
    """None: there was no answer."""
    word: str
    """The status, or a word for what failed.  For logs."""
    retry_after_s: float | None = None


def verdict_on(answer: Answer) -> Verdict:
    if answer.status is None:
        return Verdict.AGAIN
    if 200 <= answer.status < 300:
        return Verdict.DELIVERED
    return Verdict.GONE if answer.status == GONE else Verdict.AGAIN


def pause_s(attempts: int, retry_after_s: float | None, chance: Random) -> float:
    """Before the next attempt, after so many: 1, 2, 4 … seconds, half of each by chance; 300 at most.

    The receiver's own wish is met where it asks for more, up to the same limit.
    """
    wait_s = doubled_s(attempts, FIRST_S, LONGEST_S, chance)
    return wait_s if retry_after_s is None else max(wait_s, min(retry_after_s, LONGEST_S))
