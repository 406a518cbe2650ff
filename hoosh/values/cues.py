"""Subtitles: pieces of text with times, as SubRip (SRT) and WebVTT.

Sources: W3C WebVTT, section 4 (blank lines and `-->` end a cue's text); SubRip has no standard and is written alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["Cue", "srt", "vtt"]


class Cue(Struct, frozen=True):
    """What is said from `start_s` to `end_s`."""

    text: str
    start_s: float
    end_s: float


def srt(cues: Iterable[Cue]) -> str:
    return "\n".join(f"{number}\n{_times(cue, ',')}\n{_line(cue)}\n" for number, cue in enumerate(cues, 1))


def vtt(cues: Iterable[Cue]) -> str:
    return "\n".join(["WEBVTT\n", *(f"{_times(cue, '.')}\n{_line(cue)}\n" for cue in cues)])


def _times(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_s, point)} --> {_clock(cue.end_s, point)}"


def _clock(seconds: float, point: str) -> str:
    whole_ms = round(seconds * 1000)
    hours, rest = divmod(whole_ms, 3_600_000)
    return f"{hours:02}:{rest // 60_000:02}:{rest // 1000 % 60:02}{point}{rest % 1000:03}"


def _line(cue: Cue) -> str:
    """One line: whatever is said must not look like the end of the cue or the times of another."""
    return " ".join(cue.text.split()).replace("-->", "—>")
