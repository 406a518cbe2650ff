"""The commands as plain values, read off the parsers: what completion and the documentation are written from.

argparse has no public way to ask a parser what it knows, so this is the one place that looks inside.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Node", "Option", "Word", "tree_of", "walk"]

PATHS = frozenset({"FILE", "PATH"})
"""Metavars that stand for a file."""


class Option(NamedTuple):
    flags: tuple[str, ...]
    metavar: str
    """What follows the flag, "" for nothing."""
    help: str
    choices: tuple[str, ...] = ()

    @property
    def takes_file(self) -> bool:
        return self.metavar in PATHS


class Word(NamedTuple):
    """A positional argument."""

    metavar: str
    help: str
    choices: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        return self.metavar in PATHS


class Node(NamedTuple):
    """A command, and those below it."""

    path: tuple[str, ...]
    """Without the program's name; the program itself has none."""
    help: str
    description: str
    usage: str
    examples: tuple[str, ...]
    options: tuple[Option, ...]
    words: tuple[Word, ...]
    children: tuple[Node, ...]

    @property
    def name(self) -> str:
        return self.path[-1]


def tree_of(parser: argparse.ArgumentParser, path: tuple[str, ...] = (), help: str = "") -> Node:
    """All that `parser` knows."""
    options: list[Option] = []
    words: list[Word] = []
    children: list[Node] = []
    for action in parser._actions:
        told = _told(action)
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            children += [tree_of(below, (*path, name), helps.get(name, "")) for name, below in action.choices.items()]
        elif action.option_strings:
            metavar = "" if action.nargs == 0 else _metavar(action)
            options.append(Option(tuple(action.option_strings), metavar, told, _choices(action)))
        else:
            words.append(Word(_metavar(action), told, _choices(action)))
    examples = tuple(line.strip() for line in (parser.epilog or "").splitlines()[1:]) if path else ()
    usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: ")).strip()
    return Node(path, help, parser.description or "", usage, examples, tuple(options), tuple(words), tuple(children))


def walk(node: Node) -> Iterator[Node]:
    """`node` and all below it, a command before its actions."""
    yield node
    for child in node.children:
        yield from walk(child)


def _told(action: argparse.Action) -> str:
    text = action.help or ""
    return "" if text == argparse.SUPPRESS else text.replace("%%", "%").replace("%(default)s", str(action.default))


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    choices = _choices(action)
    return "{" + ",".join(choices) + "}" if choices else action.dest.upper()


def _choices(action: argparse.Action) -> tuple[str, ...]:
    return tuple(map(str, action.choices)) if action.choices is not None else ()
