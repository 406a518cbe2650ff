"""`hoosh-trio version`."""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

from hoosh import __version__
from hoosh.cli.parsers import add_command

__all__ = ["add_to", "run"]


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "version",
        help="print the version",
        description="Print the version of hoosh, Python and the libraries that matter most; `info` prints them all.",
        examples=("hoosh-trio version", "hoosh-trio version --json"),
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from importlib.metadata import PackageNotFoundError, version

    parts = {"hoosh": __version__, "python": platform.python_version()}
    for package in ("trio", "h2", "httptools"):
        try:
            parts[package] = version(package)
        except PackageNotFoundError:
            parts[package] = "missing"
    if arguments.json:
        print(json.dumps(parts))
    else:
        print(f"hoosh-trio {__version__} (" + ", ".join(f"{k} {v}" for k, v in parts.items() if k != "hoosh") + ")")
    return 0
