"""A command that has commands below it, such as `keys new`; said alone it prints its help."""

from __future__ import annotations

from typing import Any

__all__ = ["add_actions"]


def add_actions(commands: Any, name: str, *, help: str, description: str) -> Any:
    """Add the command `name`.  Returns what its actions are to be added to."""
    parser = commands.add_parser(name, help=help, description=description, allow_abbrev=False)
    parser.set_defaults(run=lambda _: parser.print_help() or 0)
    return parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
