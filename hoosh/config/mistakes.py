"""What is wrong with a configuration, gathered: `file:line: key: what is wrong; what would be right`.

Every mistake is kept, in the order of the file, so that one run of `hoosh-trio check` shows all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence

from hoosh.config.locate import KeyPath, Lines, spell

__all__ = ["Mistakes", "did_you_mean", "nearest", "show"]

COMMAND_LINE = "command line"


class Mistakes:
    """Collects mistakes by key path; `overridden` paths came from the command line and have no line."""

    def __init__(self, filename: str, lines: Lines, overridden: Collection[KeyPath] = ()) -> None:
        self.filename = filename
        self.lines = lines
        self.overridden = frozenset(overridden)
        self._found: list[tuple[int, KeyPath, str]] = []
        self._written: dict[KeyPath, KeyPath] = {}

    def written_as(self, path: KeyPath, place: KeyPath) -> None:
        """What is read at `path` stands at `place` in the file: there its mistakes are told."""
        self._written[path] = place

    def add(self, path: KeyPath, text: str) -> None:
        path = self._written.get(path, path)
        line = 0 if path in self.overridden else self.lines.of(path)
        self._found.append((line, path, text))

    def touch(self, *paths: KeyPath) -> bool:
        """Something at, below or right above one of `paths` is already known to be wrong."""
        return any(found[: len(path)] == path or found == path[:-1] for _, found, _ in self._found for path in paths)

    def some(self, at: Callable[[KeyPath], bool]) -> bool:
        return any(at(path) for _, path, _ in self._found)

    def sentences(self) -> list[str]:
        return [self._sentence(*found) for found in sorted(self._found, key=lambda found: found[0])]

    def _sentence(self, line: int, path: KeyPath, text: str) -> str:
        place = f"{self.filename}:{line}" if line else COMMAND_LINE
        return f"{place}: {spell(path)}: {text}" if path else f"{place}: {text}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or else the list of what there is."""
    known = list(known)
    near = nearest(word, known)
    return f"did you mean `{near}`?" if near else f"known here: {', '.join(known)}"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The one of `known` that `word` may have been meant for."""
    near = difflib.get_close_matches(word[:64].casefold(), known, n=1, cutoff=0.6)
    return near[0] if near else None


def show(text: str) -> str:
    """A short harmless word as it was written; anything longer may be a key in the wrong place and stays hidden."""
    harmless = len(text) <= 24 and text.isprintable() and not text.startswith(("sk-", "gsk_", "xai-"))
    return f"`{text}`" if harmless else "this text"
