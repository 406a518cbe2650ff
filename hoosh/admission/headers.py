"""What an answer tells of the limits of its caller, in the words of OpenAI or of Anthropic.

    x-ratelimit-limit-requests: 60                anthropic-ratelimit-requests-limit: 60
    x-ratelimit-remaining-requests: 59            anthropic-ratelimit-requests-remaining: 59
    x-ratelimit-reset-requests: 1m1s              anthropic-ratelimit-requests-reset: 2026-01-01T00:01:01Z

The same for tokens; a limit that there is not has no headers.  `reset` is when the whole limit is free again if
nothing else comes.  Sources: the pages "Rate limits" of the OpenAI API and of the Anthropic API; RFC 3339.
"""

from __future__ import annotations

import datetime
import math
from functools import lru_cache
from typing import Protocol

from hoosh.admission.refusal import duration
from hoosh.admission.window import BUCKETS, Window

__all__ = ["Header", "Limited", "limit_headers"]

Header = tuple[bytes, bytes]


class Limited(Protocol):
    """The part of a meter that headers tell of."""

    rpm: int | None
    tpm: int | None
    requests: Window
    tokens: Window


_OPENAI = (
    (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
)
_ANTHROPIC = (
    (
        b"anthropic-ratelimit-requests-limit",
        b"anthropic-ratelimit-requests-remaining",
        b"anthropic-ratelimit-requests-reset",
    ),
    (b"anthropic-ratelimit-tokens-limit", b"anthropic-ratelimit-tokens-remaining", b"anthropic-ratelimit-tokens-reset"),
)


_RESETS = {
    name: [(name, duration(float(seconds)).encode()) for seconds in range(BUCKETS + 1)] for _, _, name in _OPENAI
}
"""Made for every answer, so made beforehand."""


@lru_cache(maxsize=1024)
def _limit(name: bytes, limit: int) -> Header:
    return name, b"%d" % limit


def limit_headers(meter: Limited, now_s: float, wall_s: float, language: str) -> list[Header]:
    """`now_s` is monotonic, `wall_s` Unix time.  `reset` is in whole seconds, rounded up."""
    is_anthropic = language == "anthropic"
    names = _ANTHROPIC if is_anthropic else _OPENAI
    headers: list[Header] = []
    for (limit_name, left_name, reset_name), limit, window in (
        (names[0], meter.rpm, meter.requests),
        (names[1], meter.tpm, meter.tokens),
    ):
        if limit is not None:
            used, reset_s = window.standing(now_s)
            left = limit - used
            headers += (
                _limit(limit_name, limit),
                (left_name, b"%d" % left if left > 0 else b"0"),
                (reset_name, _moment(wall_s + reset_s)) if is_anthropic else _RESETS[reset_name][reset_s],
            )
    return headers


def _moment(wall_s: float) -> bytes:
    """RFC 3339 in UTC, the next whole second."""
    moment = datetime.datetime.fromtimestamp(math.ceil(wall_s), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
