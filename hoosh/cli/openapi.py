"""`hoosh-trio openapi`: the OpenAPI document of the whole surface, without a gateway."""

from __future__ import annotations

import argparse
import json
from typing import Any

from hoosh import __version__
from hoosh.cli.parsers import add_command

__all__ = ["add_to", "run"]


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "openapi",
        help="print the OpenAPI document",
        description="Print the OpenAPI 3.1 document of every route, as a gateway serves it at /openapi.json.",
        examples=("hoosh-trio openapi > openapi.json", "hoosh-trio openapi --compact"),
    )
    parser.add_argument("--compact", action="store_true", help="on one line, as it is served")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.api.openapi import document, served

    if arguments.compact:
        print(served(__version__)[0].decode())
    else:
        print(json.dumps(document(__version__), indent=2, ensure_ascii=False))
    return 0
