"""How every command's help is laid out: what it does, its options, and examples that can be typed as they stand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

__all__ = ["HelpFormatter", "add_command", "count", "seconds"]

MAX_COUNT = 10_000_000
MAX_SECONDS = 86_400.0


class HelpFormatter(argparse.HelpFormatter):
    """Text of one line is wrapped; text of several was laid out by whoever wrote it, and stays so."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        return "".join(indent + line for line in text.splitlines(keepends=True))


def add_command(
    commands: Any, name: str, *, help: str, description: str, examples: Sequence[str] = (), **settings: Any
) -> argparse.ArgumentParser:
    """A parser for the command `name`.  `help` is its line in the list of commands, `examples` are whole lines."""
    epilog = "\n  ".join(["examples:", *examples]) if examples else None
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
        **settings,
    )
    return parser


def count(text: str) -> int:
    """A whole number from 1, for argparse."""
    if text.isascii() and text.isdigit() and len(text) <= 8 and 1 <= int(text) <= MAX_COUNT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:20]!r} is no whole number from 1 to {MAX_COUNT}")


def seconds(text: str) -> float:
    """A time above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= MAX_SECONDS:  # NaN is none, either
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no time: write seconds, such as 2.5")
    return value
