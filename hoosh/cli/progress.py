"""How far long work is: a line on stderr, where that is a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys

__all__ = ["Progress", "bar"]

WIDTH = 30


def bar(share: float, words: str, *, width: int = WIDTH) -> str:
    """`share` from 0 to 1 as a bar with `words` behind it.  ASCII: every terminal has it."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return f"[{'#' * filled}{'.' * (width - filled)}] {words}"


class Progress:
    """Leaving the block wipes the line."""

    def __init__(self) -> None:
        self.is_shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.wipe()

    def wipe(self) -> None:
        if self.is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def show(self, share: float, words: str) -> None:
        if self.is_shown:
            print(f"\r{bar(share, words)}\033[K", end="", file=sys.stderr, flush=True)
