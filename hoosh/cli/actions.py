"""A command that has commands below it, such as `keys new`; said alone it prints its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hoosh.cli.parsers import add_command

__all__ = ["add_actions"]


def add_actions(commands: Any, name: str, *, help: str, description: str, examples: Sequence[str] = ()) -> Any:
    """Add the command `name`.  Returns what its actions are to be added to."""
    parser = add_command(commands, name, help=help, description=description, examples=examples)

    def print_help(arguments: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(run=print_help)
    return parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
