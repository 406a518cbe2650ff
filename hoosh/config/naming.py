"""Names of things that somebody else names again: what they may look like, and that each is given once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hoosh.config.locate import KeyPath
from hoosh.config.mistakes import Mistakes

__all__ = ["IMPOSSIBLE_NAME", "Named", "Placed", "check_names", "is_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

IMPOSSIBLE_NAME = "holds signs a name cannot have; use up to 64 letters, digits, `.`, `_`, `-`"

Item = TypeVar("Item", covariant=True)
Placed = Sequence[tuple[KeyPath, Item]]
"""Items of a list of tables, each with its path."""


class Named(Protocol):
    @property
    def name(self) -> str: ...


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def check_names(word: str, items: Placed[Named], mistakes: Mistakes) -> None:
    """No name twice.  Case does not count: names are read by people, and go into metrics."""
    first: dict[str, KeyPath] = {}
    for path, item in items:
        taken = first.setdefault(item.name.casefold(), path)
        if taken is path or mistakes.touch((*path, "name"), (*taken, "name")):
            continue
        where = (*path, "name") if (*path, "name") in mistakes.lines.known else path
        line = mistakes.lines.of(taken)
        advice = 'give one of them another: name = "..."'
        mistakes.add(where, f"the {word} name `{item.name[:64]}` is taken already by the one in line {line}; {advice}")
