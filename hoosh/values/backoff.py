"""How long to wait before the next try."""

from __future__ import annotations

from random import Random

__all__ = ["doubled_s"]

EXPONENT_MAX = 30
"""No pause is longer than what comes of this, and no number overflows."""


def doubled_s(failures: int, first_s: float, most_s: float, chance: Random) -> float:
    """Seconds, after so many failures: `first_s`, then twice as long each time, `most_s` at most; the upper half of it
    by chance, so that those who failed together do not come back together."""
    whole_s = min(first_s * 2.0 ** min(failures - 1, EXPONENT_MAX), most_s)
    return whole_s * (0.5 + chance.random() / 2)
