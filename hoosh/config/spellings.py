"""Other names and spellings of what is configured: a configuration written for the reference is understood.

    [server] strategy = "round-robin"           is   [routing] strategy = "round_robin"
    [server] health_check_interval_secs = 30    is   [health] interval_secs = 30

What is moved keeps its place in the file: a mistake in it is told where it is written.  Said at both places it must be
the same.  Source: reference sections 4.3 and 17.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from hoosh.config.locate import KeyPath, spell
from hoosh.config.mistakes import Mistakes
from hoosh.routing import Strategy

__all__ = ["spelled", "under_usual_names"]

Document = Mapping[str, object]
Name = tuple[str, str]
"""A section and a key of it."""

OTHER_NAMES: Mapping[Name, Name] = {
    ("server", "strategy"): ("routing", "strategy"),
    ("server", "health_check_interval_secs"): ("health", "interval_secs"),
}
STRATEGIES = frozenset(get_args(Strategy))


def under_usual_names(document: Document, mistakes: Mistakes) -> Document:
    """The document with every key under the name that it has here.  The one given is not changed."""
    for other, usual in OTHER_NAMES.items():
        section = document.get(other[0])
        if isinstance(section, Mapping) and other[1] in section:
            document = _moved(document, section, other, usual, mistakes)
    return document


def _moved(document: Document, section: Document, other: Name, usual: Name, mistakes: Mistakes) -> Document:
    rest = {name: value for name, value in section.items() if name != other[1]}
    document = {**document, other[0]: rest}
    value = section[other[1]]
    home = document.get(usual[0], {})
    if not isinstance(home, Mapping):
        return document  # whoever reads that section says what is wrong with it
    if usual[1] not in home:
        mistakes.written_as(usual, other)
        return {**document, usual[0]: {**home, usual[1]: value}}
    if spelled(home[usual[1]]) != spelled(value):
        path: KeyPath = usual
        mistakes.add(other, f"is another name for {spell(path)}, which says something else; keep one of the two")
    return document


def spelled(strategy: object) -> object:
    """A strategy as we write it; what is none stays as it is."""
    if not isinstance(strategy, str):
        return strategy
    word = "round_robin" if strategy == "roundrobin" else strategy.replace("-", "_")
    return word if word in STRATEGIES else strategy
