"""Windows of time: UTC's own minutes, hours, days and months.

    starts_ms ≤ t < ends_ms        the boundary itself belongs to the window that begins there

Times are Unix milliseconds, which know no leap seconds, so that every window but the month has one length.  The
calendar repeats itself every 400 years (146 097 days, a whole number of weeks besides): a month is looked up in the
400 years from 1970 on, whatever year it is.  Nothing here looks at a clock.
"""

from __future__ import annotations

import math
from calendar import monthrange
from datetime import date

from hoosh.budget.settings import Window

__all__ = ["NEVER_MS", "window_around"]

NEVER_MS = math.inf
"""When the window `none` ends."""

DAY_MS = 86_400_000
LENGTH_MS: dict[Window, int] = {"minute": 60_000, "hour": 3_600_000, "day": DAY_MS}
CYCLE_DAYS = 146_097
EPOCH_DAY = date(1970, 1, 1).toordinal()


def window_around(window: Window, at_ms: int) -> tuple[int, float]:
    """Start and end of the window that `at_ms` is in; `none` has begun at 0 and never ends."""
    if window == "none":
        return 0, NEVER_MS
    if window == "month":
        return _month_around(at_ms)
    length_ms = LENGTH_MS[window]
    starts_ms = at_ms - at_ms % length_ms
    return starts_ms, starts_ms + length_ms


def _month_around(at_ms: int) -> tuple[int, int]:
    day = at_ms // DAY_MS
    today = date.fromordinal(EPOCH_DAY + day % CYCLE_DAYS)
    first = day - (today.day - 1)
    days = monthrange(today.year, today.month)[1]
    return first * DAY_MS, (first + days) * DAY_MS
