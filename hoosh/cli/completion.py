"""`hoosh-trio completion SHELL`: a script that teaches a shell our commands and options.

It is written from the parsers, so it knows what this version knows; nothing is asked while somebody types.
"""

from __future__ import annotations

import argparse
from typing import Any

from hoosh.cli.parsers import add_command

__all__ = ["SHELLS", "add_to", "run"]

SHELLS = ("bash", "zsh", "fish")


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "completion",
        help="print a script that completes commands in your shell",
        description="Print a script with which your shell completes the commands and options of hoosh-trio.",
        examples=(
            "source <(hoosh-trio completion bash)             # in ~/.bashrc",
            "source <(hoosh-trio completion zsh)              # in ~/.zshrc, after compinit",
            "hoosh-trio completion fish > ~/.config/fish/completions/hoosh-trio.fish",
        ),
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.cli import build_parser
    from hoosh.cli.shells import WRITERS
    from hoosh.cli.tree import tree_of

    print(WRITERS[arguments.shell](tree_of(build_parser())), end="")
    return 0
