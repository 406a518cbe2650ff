"""On which line of a TOML document does a key stand?  `tomllib` does not say, so the source is read once more.

    "[[providers]]\\nmodels = [\\n 'a',\\n 'b']"   →   {("providers",): 1, ("providers", 0): 1,
                                                      ("providers", 0, "models"): 2, ("providers", 0, "models", 1): 4}

A path is what one would index the parsed document with: names, and numbers for the items of arrays and of arrays of
tables.  The scanner trusts that `tomllib` has accepted the document; should it lose its way all the same, it stops
and keeps what it has: a line is for the reader's comfort only.  Source: TOML v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

__all__ = ["KeyPath", "Lines", "spell"]

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK_IN_LINE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# The last closing quotes may be preceded by one or two that belong to the text.
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


class Lines:
    """The lines of one document's keys, counted from 1."""

    def __init__(self, source: str) -> None:
        self._scanner = _Scanner(source)
        self._scanner.run()
        self.known: Mapping[KeyPath, int] = self._scanner.lines

    def of(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest table around it that is written down; at worst 1."""
        for length in range(len(path), 0, -1):
            line = self.known.get(path[:length])
            if line is not None:
                return line
        return 1


def spell(path: KeyPath) -> str:
    """A path as a reader would write it: `providers[1].timeouts.idle_s`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _BARE_KEY.fullmatch(step) else repr(step)[:60]
            text += f".{name}" if text else name
    return text


class _Lost(Exception):
    """The source is not what the scanner thought."""


class _Scanner:
    """Reads a document from front to back; `at` is the place in `source`."""

    def __init__(self, source: str) -> None:
        self.source = source.replace("\r\n", "\n")
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.starts = [0, *(found.end() for found in re.finditer("\n", self.source))]
        self.table: KeyPath = ()
        self.counts: dict[KeyPath, int] = {}
        """How many tables each array of tables has so far."""

    def run(self) -> None:
        try:
            self.take(_BLANK)
            while self.at < len(self.source):
                if self.source[self.at] == "[":
                    self.header()
                else:
                    self.pair(self.table)
                self.take(_BLANK)
        except (_Lost, ValueError, RecursionError):
            pass  # ValueError: a quoted key that tomllib would not take either

    def header(self) -> None:
        """`[a.b]` or `[[a.b]]`."""
        start = self.at
        is_array = self.skip("[[")
        if not is_array:
            self.expect("[")
        names = self.key()
        self.expect("]]" if is_array else "]")
        path: KeyPath = ()
        for depth, name in enumerate(names, 1):
            path = (*path, name)
            self.note(path, start)
            if is_array and depth == len(names):
                self.counts[path] = self.counts.get(path, 0) + 1
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
                self.note(path, start)
        self.table = path

    def pair(self, table: KeyPath) -> None:
        """`a.b = value`, in a table or inline."""
        start = self.at
        path = table
        for name in self.key():
            path = (*path, name)
            self.note(path, start)
        self.expect("=")
        self.value(path)

    def key(self) -> list[str]:
        names = []
        while True:
            self.take(_BLANK_IN_LINE)
            names.append(self.name())
            self.take(_BLANK_IN_LINE)
            if not self.skip("."):
                return names

    def name(self) -> str:
        for pattern in (_BASIC, _LITERAL):
            quoted = self.take(pattern)
            if quoted:
                return str(tomllib.loads(f"key = {quoted}")["key"])
        bare = self.take(_BARE_KEY)
        if not bare:
            raise _Lost
        return bare

    def value(self, path: KeyPath) -> None:
        self.take(_BLANK_IN_LINE)
        if self.skip("["):
            self.array(path)
        elif self.skip("{"):
            self.inline_table(path)
        # The long quotes first: `""` is also how they begin.
        elif not any(self.take(pattern) for pattern in (_LONG_BASIC, _LONG_LITERAL, _BASIC, _LITERAL, _BARE_VALUE)):
            raise _Lost

    def array(self, path: KeyPath) -> None:
        self.take(_BLANK)
        number = 0
        while not self.skip("]"):
            item = (*path, number)
            self.note(item, self.at)
            self.value(item)
            self.take(_BLANK)
            self.skip(",")
            self.take(_BLANK)
            number += 1

    def inline_table(self, path: KeyPath) -> None:
        self.take(_BLANK)
        while not self.skip("}"):
            self.pair(path)
            self.take(_BLANK)
            self.skip(",")
            self.take(_BLANK)

    def note(self, path: KeyPath, at: int) -> None:
        """The first mention of a path counts."""
        self.lines.setdefault(path, bisect_right(self.starts, at))

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.source, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def skip(self, text: str) -> bool:
        if not self.source.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def expect(self, text: str) -> None:
        self.take(_BLANK_IN_LINE)
        if not self.skip(text):
            raise _Lost
