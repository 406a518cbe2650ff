"""Which topics somebody wants: `providers/health`, `providers/*`, `#`.

    *    exactly one segment          #    at the end: zero or more segments

There are few topics and they are known, so a pattern is resolved to those that it means, once.  One that means none
is a mistake: it would wait for ever.  Source: reference section 9, with its limit of 32 segments.
"""

from __future__ import annotations

from collections.abc import Iterable

from hoosh.events.news import TOPICS

__all__ = ["PATTERNS_MAX", "topic_mistake", "topics_like"]

SEGMENTS_MAX = 32
CHARS_MAX = 256
PATTERNS_MAX = 16
"""That one listener may give."""


def topics_like(patterns: Iterable[str]) -> frozenset[str]:
    """The topics that one of `patterns` means; all of them where there is no pattern.  Raises ValueError."""
    found: set[str] = set()
    patterns = list(patterns) or ["#"]
    if len(patterns) > PATTERNS_MAX:
        raise ValueError(f"are more than {PATTERNS_MAX}")
    for pattern in patterns:
        mistake = topic_mistake(pattern)
        if mistake is not None:
            raise ValueError(mistake)
        found.update(_meant(pattern))
    return frozenset(found)


def topic_mistake(pattern: str) -> str | None:
    """What is wrong with `pattern`; None where nothing is."""
    segments = pattern.split("/")
    if len(pattern) > CHARS_MAX or len(segments) > SEGMENTS_MAX:
        return f"is longer than {SEGMENTS_MAX} segments or {CHARS_MAX} characters"
    if "#" in segments[:-1]:
        return "has a `#` before its end; use `*` for one segment"
    if not _meant(pattern):
        return f"means no topic; there are {', '.join(TOPICS)}"
    return None


def _meant(pattern: str) -> list[str]:
    segments = pattern.split("/")
    return [topic for topic in TOPICS if _matches(segments, topic.split("/"))]


def _matches(pattern: list[str], topic: list[str]) -> bool:
    if pattern[-1] == "#":
        pattern = pattern[:-1]
        topic = topic[: len(pattern)]
    return len(pattern) == len(topic) and all(
        wanted in ("*", there) for wanted, there in zip(pattern, topic, strict=True)
    )
