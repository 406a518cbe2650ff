"""What a migration has to say: which line, which key, and what became of it.

A remark never repeats a value: any of them may be a key or a password.  Names of keys are the file's own words, so
they are made harmless before they reach a terminal or a comment.
"""

from __future__ import annotations

from msgspec import Struct

from hoosh.config.locate import KeyPath, spell

__all__ = ["Remark", "Remarks", "harmless"]

MOST = 500
"""Remarks; a file that needs more is told so in the last one."""


class Remark(Struct, frozen=True):
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key}: {self.text}" if self.key else f"line {self.line}: {self.text}"


class Remarks:
    """Gathered in any order, told in that of the file, each once."""

    def __init__(self) -> None:
        self._found: dict[Remark, None] = {}
        self._left_out = 0

    def add(self, line: int, path: KeyPath, text: str) -> None:
        if len(self._found) >= MOST:
            self._left_out += 1
            return
        self._found[Remark(line, harmless(spell(path)), text)] = None

    def told(self) -> tuple[Remark, ...]:
        told = sorted(self._found, key=lambda remark: remark.line)
        if self._left_out:
            told.append(Remark(told[-1].line, "", f"and {self._left_out} more remarks of this kind"))
        return tuple(told)


def harmless(text: str, most: int = 120) -> str:
    """In one line, without signs that a terminal obeys."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}..."
